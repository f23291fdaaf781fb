//! AI credits as money: whole millionths, so that nothing is ever rounded away; and the calendar month
//! (UTC) that a plan's grant is for. Pure.
//! Invariant: an amount is within what an account may have (see [`CREDITS_MAX`]), and arithmetic that
//! would leave these bounds gives none.
//! Does not know prices, and keeps no balance.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{Timestamp, limits::CREDITS_MAX};

/// Millionths in a credit.
pub const MICRO: i64 = 1_000_000;

/// Digits behind the point that a credit has.
const DECIMALS: usize = 6;

/// Most millionths of an amount, either way.
// Widening: `From` is not const.
const MAX_MICRO: i64 = CREDITS_MAX as i64 * MICRO;

/// An amount of credits, which may be negative; in JSON a decimal as a text, such as `"12.5"`.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Credits(i64);

/// What is no amount of credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be credits as a decimal of at most {CREDITS_MAX}, with at most {DECIMALS} digits behind \
     the point, such as 12.5"
)]
pub struct InvalidCredits;

impl Credits {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// Most of them.
    pub const MAX: Self = Self(MAX_MICRO);

    /// So many millionths.
    ///
    /// # Errors
    /// [`InvalidCredits`] beyond the bounds.
    pub const fn from_micro(micro: i64) -> Result<Self, InvalidCredits> {
        if micro > MAX_MICRO || micro < -MAX_MICRO {
            return Err(InvalidCredits);
        }
        Ok(Self(micro))
    }

    /// So many whole credits; the most there may be where it is more.
    #[must_use]
    pub fn at_most(whole: u64) -> Self {
        let micro = i64::try_from(whole).ok().and_then(|whole| whole.checked_mul(MICRO));
        Self(micro.unwrap_or(MAX_MICRO).min(MAX_MICRO))
    }

    /// In millionths.
    #[must_use]
    pub const fn micro(self) -> i64 {
        self.0
    }

    /// For readers who want a number; the millionths are exact.
    #[must_use]
    pub fn approximate(self) -> f64 {
        // Whole and millionths are each exact in a double: the bounds are below 2^53.
        let (whole, rest) = (self.0 / MICRO, self.0 % MICRO);
        let double = |part: i64| i32::try_from(part).map_or(0.0, f64::from);
        // Divided once, so that 5.565 is what is nearest to it.
        (double(whole) * 1e6 + double(rest)) / 1e6
    }

    /// Whole credits that these begin, for counts: 0.2 is one.
    #[must_use]
    pub fn begun(self) -> u64 {
        u64::try_from(self.0).unwrap_or(0).div_ceil(MICRO.unsigned_abs())
    }

    /// The sum; none beyond the bounds.
    #[must_use]
    pub const fn plus(self, other: Self) -> Option<Self> {
        // Both are far from the ends of an i64.
        match Self::from_micro(self.0 + other.0) {
            Ok(sum) => Some(sum),
            Err(_) => None,
        }
    }

    /// The difference; none beyond the bounds.
    #[must_use]
    pub const fn minus(self, other: Self) -> Option<Self> {
        self.plus(other.negated())
    }

    /// The same the other way.
    #[must_use]
    pub const fn negated(self) -> Self {
        Self(-self.0)
    }

    /// Whether it is more than nothing.
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }
}

impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micro = self.0.unsigned_abs();
        let unit = MICRO.unsigned_abs();
        let (whole, rest) = (micro / unit, micro % unit);
        let sign = if self.0 < 0 { "-" } else { "" };
        if rest == 0 {
            return f.pad(&format!("{sign}{whole}"));
        }
        let digits = format!("{rest:06}");
        f.pad(&format!("{sign}{whole}.{}", digits.trim_end_matches('0')))
    }
}

impl FromStr for Credits {
    type Err = InvalidCredits;

    fn from_str(text: &str) -> Result<Self, InvalidCredits> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, text),
        };
        let (whole, rest) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = |part: &str, most: usize| {
            (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        // As the schema below has it: nothing that fits has more digits, but the most there may be.
        if !(plain(whole, 9) || whole == "1000000000") || !plain(rest, DECIMALS) {
            return Err(InvalidCredits);
        }
        let number = |text: &str| text.parse::<i64>().map_err(|_| InvalidCredits);
        let micro = number(whole)? * MICRO + number(&format!("{rest:0<6}"))?;
        Self::from_micro(sign * micro)
    }
}

impl TryFrom<String> for Credits {
    type Error = InvalidCredits;

    fn try_from(text: String) -> Result<Self, InvalidCredits> {
        text.parse()
    }
}

impl From<Credits> for String {
    fn from(credits: Credits) -> Self {
        credits.to_string()
    }
}

impl JsonSchema for Credits {
    fn schema_name() -> Cow<'static, str> {
        "Credits".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^-?([0-9]{1,9}(\\.[0-9]{1,6})?|10{9}(\\.0{1,6})?)$",
            "maxLength": 18,
        })
    }
}

/// A calendar month in UTC, counted from the year 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(i32);

impl Month {
    /// The month of a moment.
    #[must_use]
    pub fn of(moment: Timestamp) -> Self {
        let (year, month) = moment.year_and_month();
        Self(i32::from(year) * 12 + i32::from(month) - 1)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0
    }

    /// The month of this number.
    #[must_use]
    pub const fn from_number(number: i32) -> Self {
        Self(number)
    }

    /// When it is over: the first moment of the next one.
    #[must_use]
    pub fn end(self) -> Timestamp {
        let next = self.0.saturating_add(1);
        let text =
            format!("{:04}-{:02}-01T00:00:00Z", next.div_euclid(12), next.rem_euclid(12) + 1);
        text.parse().unwrap_or_else(|_| Timestamp::from_micros(i64::MAX))
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.div_euclid(12), self.0.rem_euclid(12) + 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_decimal_is_read_to_the_millionth() {
        for (text, micro) in [
            ("0", 0),
            ("-0", 0),
            ("12.5", 12_500_000),
            ("0.000001", 1),
            ("-3.25", -3_250_000),
            ("1000000000", 1_000_000_000_000_000),
            ("007", 7_000_000),
        ] {
            assert_eq!(text.parse::<Credits>().map(Credits::micro), Ok(micro), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "+1",
            "1e3",
            "1,5",
            " 1",
            "1 ",
            "0.0000001",
            "--1",
            "1.-5",
            "1000000000.000001",
            "0000000001",
            "9223372036854775807",
            "-1000000001",
            "٣",
            "NaN",
            "inf",
        ] {
            assert_eq!(text.parse::<Credits>(), Err(InvalidCredits), "{text}");
        }
    }

    #[test]
    fn nothing_goes_beyond_the_bounds() {
        let one = Credits::from_micro(1).unwrap();
        assert_eq!(Credits::MAX.plus(one), None);
        assert_eq!(Credits::MAX.negated().minus(one), None);
        assert_eq!(Credits::at_most(u64::MAX), Credits::MAX);
        assert_eq!(Credits::at_most(250).micro(), 250 * MICRO);
        assert!(Credits::from_micro(i64::MIN).is_err());
        assert_eq!(Credits::from_micro(200_000).map(Credits::begun), Ok(1));
        assert_eq!(Credits::ZERO.begun(), 0);
    }

    #[test]
    fn a_month_ends_where_the_next_one_begins() {
        for (moment, month, end) in [
            ("2026-11-28T12:00:00Z", "2026-11", "2026-12-01T00:00:00Z"),
            ("2026-12-31T23:59:59.999999Z", "2026-12", "2027-01-01T00:00:00Z"),
            ("2027-01-01T00:00:00Z", "2027-01", "2027-02-01T00:00:00Z"),
            ("1969-12-31T23:59:59Z", "1969-12", "1970-01-01T00:00:00Z"),
        ] {
            let found = Month::of(moment.parse().unwrap());
            assert_eq!((found.to_string(), found.end()), (month.to_owned(), end.parse().unwrap()));
            assert_eq!(Month::from_number(found.number()), found);
        }
    }

    proptest! {
        #[test]
        fn an_amount_is_read_back_as_it_is_written(micro in -MAX_MICRO..=MAX_MICRO) {
            let credits = Credits::from_micro(micro).unwrap();
            prop_assert_eq!(credits.to_string().parse(), Ok(credits));
        }
    }
}
