//! Finds what somebody probably meant, and writes commands that can be pasted. Pure.

use rigbox_types::nearest::nearest;

/// Share of letters, in percent, that a suggestion has in common with what was typed: below it a
/// guess is noise.
const ALIKE_MIN_PERCENT: usize = 60;

/// The known name that was probably meant.
pub(crate) fn near<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest(name, known).filter(|found| {
        (name.len() > 1 && found.starts_with(name))
            || alike_percent(name, found) >= ALIKE_MIN_PERCENT
    })
}

/// Letters that the two have in common, whatever their order.
fn alike_percent(a: &str, b: &str) -> usize {
    let mut rest: Vec<char> = b.chars().collect();
    let all = a.chars().count() + rest.len();
    let mut common = 0_usize;
    for letter in a.chars() {
        if let Some(at) = rest.iter().position(|other| *other == letter) {
            rest.swap_remove(at);
            common += 2;
        }
    }
    common * 100 / all.max(1)
}

/// A word as a shell reads it back.
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// A command of several words as a shell reads it back.
pub(crate) fn command<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_something_like_it_is_suggested() {
        for (name, expected) in [
            ("helo", Some("hello")),
            ("hello2", Some("hello")),
            ("prod", Some("production")),
            ("xyz", None),
            ("", None),
        ] {
            assert_eq!(near(name, ["hello", "production"]), expected, "{name}");
        }
        assert_eq!(near("a", []), None);
    }

    #[test]
    fn a_command_can_be_pasted() {
        let words = ["rig", "exec", "hello", "--", "echo", "it's $HOME", ""];
        assert_eq!(command(words), "rig exec hello -- echo 'it'\\''s $HOME' ''");
    }
}
