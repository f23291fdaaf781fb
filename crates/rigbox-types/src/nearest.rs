//! Finds the known name that somebody probably meant. Pure.

/// Longest part of an unknown name that is compared, so that a stranger cannot buy quadratic work.
const COMPARED_MAX_LEN: usize = 64;

/// The known name that is nearest to `name`: case and punctuation aside, the fewest edits away,
/// where a common run of letters (`cpu` of `vcpu_count`) makes up for edits around it.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name: String = letters(name).take(COMPARED_MAX_LEN).collect();
    let farness = |known: &&str| {
        let known: String = letters(known).collect();
        // The longest run is never longer than the name.
        2 * distance(&name, &known) + name.len() - longest_run(&name, &known)
    };
    known.into_iter().min_by_key(farness)
}

fn letters(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase())
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = *cell;
            left = replaced.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// How many characters the longest text has that is in both.
fn longest_run(a: &str, b: &str) -> usize {
    let mut longest = 0;
    let mut row = vec![0; b.len()];
    for from in a.chars() {
        let mut diagonal = 0;
        for (cell, to) in row.iter_mut().zip(b.chars()) {
            let run = if from == to { diagonal + 1 } else { 0 };
            longest = longest.max(run);
            diagonal = std::mem::replace(cell, run);
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_needs_the_fewest_edits() {
        let known = ["ram_mb", "vcpu_count", "disk_size_mb"];
        for (name, expected) in
            [("RAM", "ram_mb"), ("diskSize", "disk_size_mb"), ("cpus", "vcpu_count")]
        {
            assert_eq!(nearest(name, known), Some(expected), "{name}");
        }
        assert_eq!(nearest("x", []), None);
    }
}
