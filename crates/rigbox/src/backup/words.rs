//! What backups and restores say, and how they name moments.

use rigbox_types::Timestamp;

use super::place::Place;
use crate::output;

/// The time of day.
pub(super) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let micros = since.unwrap_or_default().as_micros();
    Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// A moment for the name of a file, to the second: `20261128T174212Z`.
pub(super) fn compact(at: Timestamp) -> String {
    let text = at.to_string();
    let second = text.split(['.', 'Z']).next().unwrap_or_default();
    format!("{}Z", second.replace(['-', ':'], ""))
}

/// The result, on standard output unless the backup is there.
pub(super) fn result(place: &Place, line: &str) {
    match place {
        Place::Stream => output::note(line),
        Place::Path(_) | Place::Object(_) => output::data(line),
    }
}

/// A size for people.
pub(super) fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes < 10 * 1024 * MIB {
        format!("{} MiB", bytes.div_ceil(MIB))
    } else {
        format!("{} GiB", bytes.div_ceil(1024 * MIB))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_name_of_a_file() {
        assert_eq!(compact(Timestamp::from_micros(1_795_887_732_123_456)), "20261128T174212Z");
    }
}
