//! How long ago something was, in words of one unit. Pure.

use rigbox_types::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// From here on, months say more than days.
const MONTHS_FROM: i64 = 60 * DAY;
const MONTH: i64 = 30 * DAY;
const YEAR: i64 = 365 * DAY;

/// `then` as seen at `now`: `12s ago`, `5m ago`, `3h ago`, `2d ago`, `4mo ago`, `2y ago`. Clocks
/// of two machines differ: what lies ahead counts as now.
pub(crate) fn ago(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.as_micros().saturating_sub(then.as_micros()) / 1_000_000;
    if seconds < 1 {
        return "just now".to_owned();
    }
    format!("{} ago", span(seconds))
}

/// A length of time.
pub(crate) fn span(seconds: i64) -> String {
    let (unit, name) = match seconds {
        ..MINUTE => (1, "s"),
        MINUTE..HOUR => (MINUTE, "m"),
        HOUR..DAY => (HOUR, "h"),
        DAY..MONTHS_FROM => (DAY, "d"),
        MONTHS_FROM..YEAR => (MONTH, "mo"),
        _ => (YEAR, "y"),
    };
    format!("{}{name}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_in_one_unit() {
        let now = Timestamp::from_micros(2_000_000_000_000_000);
        for (seconds, expected) in [
            (-5, "just now"),
            (0, "just now"),
            (1, "1s ago"),
            (59, "59s ago"),
            (60, "1m ago"),
            (3599, "59m ago"),
            (2 * HOUR, "2h ago"),
            (59 * DAY, "59d ago"),
            (61 * DAY, "2mo ago"),
            (800 * DAY, "2y ago"),
        ] {
            let then = Timestamp::from_micros(now.as_micros() - seconds * 1_000_000);
            assert_eq!(ago(now, then), expected, "{seconds}");
        }
    }
}
