//! Prices and costs in whole picodollars, and how they become credits.
//! Invariants: no floating point; every sum and product is checked; a cost is rounded once, up, when it
//! becomes credits. A micro-credit is 10^-8 dollars: 1 credit = 1,000,000 micro-credits = $0.01.
//! Does not know what is priced.

use rigbox_types::Credits;
use serde::Deserialize;

/// Picodollars in a micro-credit.
const PICO_PER_MICRO: u128 = 10_000;

/// Picodollars in a dollar, as digits behind the point.
const PICO_DIGITS: u32 = 12;

/// Digits behind the point of a price for a million: a millionth of it is whole picodollars.
const PER_MILLION_DIGITS: u32 = 6;

/// Dearest price of a million tokens, in dollars, and of anything else: ten times what there is.
const DOLLARS_MAX: u64 = 10_000;

/// Cheapest price of a million tokens that is not nothing, in picodollars for one: $0.001. One below
/// was meant for a single token.
const PER_TOKEN_MIN: u64 = 1_000;

/// Dearest price of one token, in picodollars.
const PER_TOKEN_MAX: u64 = DOLLARS_MAX * 1_000_000;

/// Longest number that is read.
const NUMBER_MAX_LEN: usize = 64;

/// What one of something costs, in picodollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Price(u64);

/// The price of a token, written as dollars for a million of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct PerMillion(pub(crate) Price);

/// The price of a call, an image or a search, written as dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct PerUnit(pub(crate) Price);

/// What is no price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrice {
    /// Not dollars for a million tokens.
    #[error(
        "{0:?} must be dollars for a million tokens, as a decimal in quotes such as \"2.50\": \"0\", \
         or from 0.001 to {DOLLARS_MAX}"
    )]
    PerMillion(String),
    /// Not dollars for one.
    #[error(
        "{0:?} must be dollars for one, as a decimal in quotes such as \"0.014\", to {DOLLARS_MAX}"
    )]
    PerUnit(String),
}

/// What something has cost, in picodollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost(u128);

impl Price {
    /// Nothing.
    pub const FREE: Self = Self(0);

    /// In picodollars.
    #[must_use]
    pub const fn pico(self) -> u64 {
        self.0
    }

    /// Of so many.
    #[must_use]
    pub fn times(self, count: u64) -> Cost {
        // The product of two u64 fits.
        Cost(u128::from(self.0) * u128::from(count))
    }
}

impl TryFrom<String> for PerMillion {
    type Error = InvalidPrice;

    fn try_from(text: String) -> Result<Self, InvalidPrice> {
        let usable = |pico: &u64| *pico == 0 || (PER_TOKEN_MIN..=PER_TOKEN_MAX).contains(pico);
        match decimal(&text, PER_MILLION_DIGITS).filter(usable) {
            Some(pico) => Ok(Self(Price(pico))),
            None => Err(InvalidPrice::PerMillion(text)),
        }
    }
}

impl TryFrom<String> for PerUnit {
    type Error = InvalidPrice;

    fn try_from(text: String) -> Result<Self, InvalidPrice> {
        let most = DOLLARS_MAX * 10_u64.pow(PICO_DIGITS);
        match decimal(&text, PICO_DIGITS).filter(|pico| *pico <= most) {
            Some(pico) => Ok(Self(Price(pico))),
            None => Err(InvalidPrice::PerUnit(text)),
        }
    }
}

impl Cost {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// In picodollars.
    #[must_use]
    pub const fn pico(self) -> u128 {
        self.0
    }

    /// The sum; none where it is more than can be counted.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// So many of it; none where it is more than can be counted.
    #[must_use]
    pub fn times(self, count: u64) -> Option<Self> {
        self.0.checked_mul(u128::from(count)).map(Self)
    }

    /// What is left after `other`; nothing where that is more.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// In credits, rounded up to the micro-credit; none where it is more than an account may have.
    #[must_use]
    pub fn credits(self) -> Option<Credits> {
        let micro = i64::try_from(self.0.div_ceil(PICO_PER_MICRO)).ok()?;
        Credits::from_micro(micro).ok()
    }

    /// What so many credits pay for.
    #[must_use]
    pub fn paid_by(credits: Credits) -> Self {
        let micro = u128::try_from(credits.micro()).unwrap_or(0);
        // At most 10^15 times 10^4.
        Self(micro * PICO_PER_MICRO)
    }

    /// Dollars as a provider writes them in JSON, such as `0.00014` or `1.4e-4`, rounded up; none where
    /// it is no amount, or more than a call can cost.
    #[must_use]
    pub fn from_usd(number: &str) -> Option<Self> {
        if number.len() > NUMBER_MAX_LEN {
            return None;
        }
        let (mantissa, exponent) = match number.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (number, 0),
        };
        let (whole, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{rest}");
        let is_plain = !whole.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let value = digits.trim_start_matches('0');
        if !is_plain || value.len() > 30 {
            return None;
        }
        let value: u128 = if value.is_empty() { 0 } else { value.parse().ok()? };
        let behind = i32::try_from(rest.len()).ok()?;
        let power = exponent.checked_sub(behind)?.checked_add(i32::try_from(PICO_DIGITS).ok()?)?;
        let factor = 10_u128.checked_pow(power.unsigned_abs());
        let pico = match (power >= 0, factor) {
            (true, Some(factor)) => value.checked_mul(factor)?,
            (true, None) if value == 0 => 0,
            (true, None) => return None,
            (false, Some(factor)) => value.div_ceil(factor),
            // Less than one of the smallest.
            (false, None) => u128::from(value > 0),
        };
        let most = u128::from(DOLLARS_MAX) * 10_u128.pow(PICO_DIGITS);
        (pico <= most).then_some(Self(pico))
    }
}

/// A plain decimal, in units of its last possible digit.
fn decimal(text: &str, digits: u32) -> Option<u64> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
    let plain = |part: &str, most: usize| {
        (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let width = usize::try_from(digits).ok()?;
    if !plain(whole, 6) || !plain(rest, width) {
        return None;
    }
    let rest: u64 = format!("{rest:0<width$}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(10_u64.checked_pow(digits)?)?.checked_add(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn per_million(text: &str) -> Option<u64> {
        PerMillion::try_from(text.to_owned()).ok().map(|price| price.0.pico())
    }

    #[test]
    fn a_price_is_read_to_the_picodollar() {
        for (text, pico) in [
            ("3", Some(3_000_000)),
            ("0.075", Some(75_000)),
            ("0.001", Some(1_000)),
            ("0", Some(0)),
            ("10000", Some(10_000_000_000)),
            ("10001", None),
            ("0.0000001", None),
            ("-1", None),
            ("1e3", None),
            ("", None),
            (".5", None),
            ("3.", None),
        ] {
            assert_eq!(per_million(text), pico, "{text}");
        }
        let search = PerUnit::try_from("0.014".to_owned()).unwrap();
        assert_eq!(search.0.times(1_000).credits().unwrap().micro(), 1_400_000_000);
    }

    #[test]
    fn a16_a_price_for_one_token_where_one_for_a_million_belongs_is_refused() {
        assert_eq!(per_million("0.000003"), None);
        assert_eq!(per_million("3000000"), None);
    }

    #[test]
    fn a32_costs_are_rounded_once_and_up() {
        let price = PerMillion::try_from("0.005".to_owned()).unwrap().0;
        assert_eq!(price.times(0).credits().unwrap().micro(), 0);
        assert_eq!(price.times(1).credits().unwrap().micro(), 1);
        assert_eq!(price.times(2).credits().unwrap().micro(), 1);
        assert_eq!(price.times(3).credits().unwrap().micro(), 2);
        assert_eq!(Cost(u128::MAX).credits(), None);
        assert_eq!(Cost(u128::MAX).plus(Cost(1)), None);
        assert_eq!(Cost(u128::MAX).times(2), None);
    }

    #[test]
    fn a_cost_of_a_provider_is_read_as_json_writes_it() {
        for (text, pico) in [
            ("0.00014", Some(140_000_000)),
            ("1.4e-4", Some(140_000_000)),
            ("1.4E-04", Some(140_000_000)),
            ("0", Some(0)),
            ("0e99999", Some(0)),
            ("2", Some(2_000_000_000_000)),
            ("0.0000000000001", Some(1)),
            ("1e-400", Some(1)),
            ("1e400", None),
            ("-0.1", None),
            ("10001", None),
            ("1e2147483647", None),
            ("1e-2147483648", Some(1)),
            ("1e-2147483649", None),
            ("NaN", None),
            ("", None),
        ] {
            assert_eq!(Cost::from_usd(text), pico.map(Cost), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_cost_panic(text in ".{0,80}", number in "[0-9.eE+-]{0,70}") {
            let _ = (Cost::from_usd(&text), Cost::from_usd(&number));
            let _ = (per_million(&text), per_million(&number));
        }

        #[test]
        fn credits_pay_for_what_they_come_from(pico in 0_u128..=10_u128.pow(19)) {
            let credits = Cost(pico).credits().unwrap();
            let paid = Cost::paid_by(credits);
            prop_assert!(paid >= Cost(pico) && paid.minus(Cost(pico)).pico() < PICO_PER_MICRO);
        }
    }
}
