//! When something ends, as people write it: `90d` from now, or a moment. Pure.

use rigbox_types::Timestamp;

/// When something ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// So many seconds from now.
    After(i64),
    /// At this moment.
    At(Timestamp),
}

impl Expiry {
    /// The moment.
    pub(crate) fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::After(seconds) => {
                let micros = seconds.saturating_mul(1_000_000);
                Timestamp::from_micros(now.as_micros().saturating_add(micros))
            }
            Self::At(moment) => moment,
        }
    }
}

const FORM: &str = "write 12h, 30d, 8w, or a moment such as 2030-12-01T09:30:00Z";

/// Reads a length of time with its unit, or an RFC 3339 time.
///
/// # Errors
/// What to write instead.
pub(crate) fn parse(text: &str) -> Result<Expiry, String> {
    if let Ok(moment) = text.parse() {
        return Ok(Expiry::At(moment));
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: i64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(FORM.to_owned()),
    };
    let number: u32 = number.parse().map_err(|_| FORM.to_owned())?;
    if number == 0 {
        return Err("what ends at once is of no use".to_owned());
    }
    Ok(Expiry::After(i64::from(number).saturating_mul(factor)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_length_of_time_or_a_moment() {
        let moment = "2030-12-01T09:30:00Z".parse().unwrap();
        for (text, expected) in [
            ("90s", Some(Expiry::After(90))),
            ("5m", Some(Expiry::After(300))),
            ("12h", Some(Expiry::After(43_200))),
            ("30d", Some(Expiry::After(2_592_000))),
            ("8w", Some(Expiry::After(4_838_400))),
            ("2030-12-01T09:30:00Z", Some(Expiry::At(moment))),
            ("2030-12-01T10:30:00+01:00", Some(Expiry::At(moment))),
            ("0d", None),
            ("", None),
            ("d", None),
            ("30", None),
            ("-1d", None),
            ("1y", None),
            ("2030-12-01", None),
            ("99999999999d", None),
        ] {
            assert_eq!(parse(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_length_of_time_begins_now() {
        let now = Timestamp::from_micros(1_000_000);
        assert_eq!(Expiry::After(60).from(now), Timestamp::from_micros(61_000_000));
        assert!(Expiry::After(i64::MAX).from(now) > now);
    }
}
