//! When a certificate is replaced: when its authority suggests it, else at two thirds of its time.
//! Invariants: the moment is a pure function of the certificate, the suggestion and a number that
//! was drawn once, so that every replica has the same; it is before the certificate's end.
//! Does not read a clock.

use rigbox_types::Timestamp;

/// When an authority suggests that a certificate is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// From then.
    pub start: Timestamp,
    /// Until then.
    pub end: Timestamp,
    /// When the suggestion is to be asked for again.
    pub ask_again_at: Timestamp,
}

/// Without a suggestion, a certificate is replaced between these parts of its time, in 1/1000.
const WITHOUT_FROM: i64 = 633;
const WITHOUT_SPAN: i64 = 67;

/// When a certificate that is good from and to these moments is replaced. `jitter` was drawn for
/// it: certificates that were made at once are not replaced at once.
#[must_use]
pub fn renew_at(
    (not_before, not_after): (Timestamp, Timestamp),
    suggested: Option<Window>,
    jitter: u32,
) -> Timestamp {
    let (from, to) = (not_before.as_micros(), not_after.as_micros());
    let at = match suggested {
        // An end before the start is no window: then its start counts.
        Some(window) => {
            let (start, end) = (window.start.as_micros(), window.end.as_micros());
            start.saturating_add(part(end.saturating_sub(start), jitter))
        }
        None => {
            let lifetime = to.saturating_sub(from).max(0);
            let (from_part, span) =
                (lifetime / 1000 * WITHOUT_FROM, lifetime / 1000 * WITHOUT_SPAN);
            from.saturating_add(from_part).saturating_add(part(span, jitter))
        }
    };
    // A suggestion beyond the end would leave the name without a certificate.
    let latest = from.saturating_add(to.saturating_sub(from).max(0) / 10 * 9);
    Timestamp::from_micros(at.min(latest))
}

/// `jitter` as a part of `span`.
fn part(span: i64, jitter: u32) -> i64 {
    let span = i128::from(span.max(0)) * i128::from(jitter) / i128::from(u32::MAX);
    i64::try_from(span).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn window(start: i64, end: i64) -> Option<Window> {
        Some(Window { start: at(start), end: at(end), ask_again_at: at(start) })
    }

    #[test]
    fn without_a_suggestion_it_is_about_two_thirds_of_the_time() {
        let life = (at(0), at(90_000));
        assert_eq!(renew_at(life, None, 0), at(56_970));
        assert_eq!(renew_at(life, None, u32::MAX), at(63_000));
    }

    #[test]
    fn a_suggestion_is_followed_within_its_window() {
        let life = (at(0), at(90_000));
        assert_eq!(renew_at(life, window(10_000, 20_000), 0), at(10_000));
        assert_eq!(renew_at(life, window(10_000, 20_000), u32::MAX), at(20_000));
        // In the past: at once.
        assert_eq!(renew_at(life, window(-20_000, -10_000), u32::MAX), at(-10_000));
    }

    #[test]
    fn a_suggestion_that_makes_no_sense_leaves_no_name_without_a_certificate() {
        let life = (at(0), at(90_000));
        assert_eq!(renew_at(life, window(200_000, 300_000), 7), at(81_000));
        assert_eq!(renew_at(life, window(20_000, 10_000), 7), at(20_000));
        assert_eq!(renew_at((at(5), at(0)), None, 7), at(5));
    }
}
