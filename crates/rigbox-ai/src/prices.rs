//! The dated table of prices: what a model's tokens and extras cost, and how much it takes and gives.
//! Owned by the operator: the table in the repository is compiled in, a file of the same form replaces
//! rows of it or all of it, also while we run. A call keeps the [`Model`] that it was held with.
//! Invariants: a price is there or the call is refused; an unknown name, key or source makes the whole
//! table invalid; a class of tokens without a price of its own costs no less than what it is part of.
//! Does not guess: a name is known exactly as it is written, or by a provider's row `*`.

mod document;

use std::{collections::BTreeMap, fmt, sync::Arc};

use rigbox_types::Timestamp;
use serde::Deserialize;

pub use document::TableError;

use crate::money::Price;

/// The table of the repository.
const EMBEDDED: &str = include_str!("../prices/prices.toml");

/// The table of the repository, as it is written, for who begins one of their own.
#[must_use]
pub const fn embedded_text() -> &'static str {
    EMBEDDED
}

/// The name of the row for all models of a provider that have none.
pub const ANY: &str = "*";

/// Longest name of a provider.
const PROVIDER_MAX_LEN: usize = 32;

/// A provider, by the name that prices and slugs have for it: lower-case letters, digits, hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct ProviderName(String);

/// What is no name of a provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} must be 1 to {PROVIDER_MAX_LEN} lower-case letters, digits and hyphens")]
pub struct InvalidProvider(String);

impl ProviderName {
    /// The name as a text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ProviderName {
    type Error = InvalidProvider;

    fn try_from(text: String) -> Result<Self, InvalidProvider> {
        let usable = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=PROVIDER_MAX_LEN).contains(&text.len()) && text.bytes().all(usable) {
            return Ok(Self(text));
        }
        Err(InvalidProvider(text))
    }
}

impl std::str::FromStr for ProviderName {
    type Err = InvalidProvider;

    fn from_str(text: &str) -> Result<Self, InvalidProvider> {
        text.to_owned().try_into()
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What tokens are priced as. No token is of two classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Read, and neither from a cache nor audio.
    Input,
    /// Read from a cache.
    CacheRead,
    /// Written to a cache that keeps it for minutes.
    CacheWrite5m,
    /// Written to a cache that keeps it for an hour.
    CacheWrite1h,
    /// Audio that was read.
    AudioInput,
    /// Written, and none of those below.
    Output,
    /// Written for itself alone.
    Reasoning,
    /// Audio that was written.
    AudioOutput,
    /// Images that were written.
    ImageOutput,
}

impl Class {
    /// All of them: first what is read, then what is written.
    pub const ALL: [Self; 9] = [
        Self::Input,
        Self::CacheRead,
        Self::CacheWrite5m,
        Self::CacheWrite1h,
        Self::AudioInput,
        Self::Output,
        Self::Reasoning,
        Self::AudioOutput,
        Self::ImageOutput,
    ];

    /// In one word, as the table has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::CacheRead => "cache_read",
            Self::CacheWrite5m => "cache_write_5m",
            Self::CacheWrite1h => "cache_write_1h",
            Self::AudioInput => "audio_input",
            Self::Output => "output",
            Self::Reasoning => "reasoning",
            Self::AudioOutput => "audio_output",
            Self::ImageOutput => "image_output",
        }
    }
}

/// What is priced by the piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fee {
    /// The call itself.
    Request,
    /// A search on the web that the provider makes.
    WebSearch,
    /// A page that the provider reads.
    WebFetch,
    /// A search in files that the provider makes.
    FileSearch,
    /// A container in which the provider runs code.
    CodeInterpreter,
}

impl Fee {
    /// In one word, as the table has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::WebSearch => "web_search",
            Self::WebFetch => "web_fetch",
            Self::FileSearch => "file_search",
            Self::CodeInterpreter => "code_interpreter",
        }
    }
}

/// What a token of each class costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    input: Price,
    cache_read: Price,
    cache_write_5m: Price,
    cache_write_1h: Price,
    audio_input: Price,
    output: Price,
    reasoning: Price,
    audio_output: Price,
    image_output: Price,
}

impl Rates {
    /// What a token of a class costs.
    #[must_use]
    pub const fn of(&self, class: Class) -> Price {
        match class {
            Class::Input => self.input,
            Class::CacheRead => self.cache_read,
            Class::CacheWrite5m => self.cache_write_5m,
            Class::CacheWrite1h => self.cache_write_1h,
            Class::AudioInput => self.audio_input,
            Class::Output => self.output,
            Class::Reasoning => self.reasoning,
            Class::AudioOutput => self.audio_output,
            Class::ImageOutput => self.image_output,
        }
    }
}

/// Rates by how much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    base: Rates,
    /// Above so many tokens of input, cached ones included, all of the call has these rates.
    long: Option<(u64, Rates)>,
}

impl Tier {
    /// The rates of a call that reads so many tokens, cached ones included.
    #[must_use]
    pub fn rates(&self, input_tokens: u64) -> &Rates {
        match &self.long {
            Some((above, long)) if input_tokens > *above => long,
            Some(_) | None => &self.base,
        }
    }
}

/// What the price of a search on the web is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchUnit {
    /// For each.
    #[default]
    Query,
    /// For all that one call makes.
    Call,
}

/// A model's prices and limits at one time.
#[derive(Debug, PartialEq, Eq)]
pub struct Model {
    provider: ProviderName,
    name: String,
    standard: Option<Tier>,
    tiers: BTreeMap<String, Tier>,
    fees: BTreeMap<Fee, Price>,
    search_unit: SearchUnit,
    /// Most searches of one call, where a request cannot say so.
    pub searches_max: Option<u64>,
    /// Most tokens that it reads.
    pub max_input_tokens: u64,
    /// Most tokens that it writes for one answer.
    pub max_output_tokens: u64,
    /// Most tokens that an image counts as; none where that is not known.
    pub image_tokens: Option<u64>,
    /// Whether it may write tokens that nobody is shown.
    pub reasons: bool,
    /// Whether it can tell its thoughts in a form that is given back to it (`reasoning.encrypted_content`).
    pub encrypts_reasoning: bool,
    /// Whether it may write audio or images, which have a price of their own.
    pub writes_media: bool,
    /// Whether what the provider says that a call has cost is believed before rates.
    pub cost_is_reported: bool,
    /// Whether the row is the provider's for all models without one.
    pub is_fallback: bool,
    /// From when on it is so.
    pub from: Timestamp,
}

impl Model {
    /// Whose it is.
    #[must_use]
    pub fn provider(&self) -> &ProviderName {
        &self.provider
    }

    /// Its name, as the provider has it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What one piece costs; none where there is no price.
    #[must_use]
    pub fn fee(&self, fee: Fee) -> Option<Price> {
        self.fees.get(&fee).copied()
    }

    /// How many searches of so many are paid for.
    #[must_use]
    pub fn searches_priced(&self, searches: u64) -> u64 {
        match self.search_unit {
            SearchUnit::Query => searches,
            SearchUnit::Call => searches.min(1),
        }
    }

    /// The rates where an answer says which service tier it had, or nothing; and whether that tier has
    /// rates of its own. One that has none costs as much as the dearest.
    #[must_use]
    pub fn tier(&self, named: Option<&str>, input_tokens: u64) -> (Option<Rates>, bool) {
        let Some(standard) = &self.standard else { return (None, true) };
        let name = named.unwrap_or_default().to_ascii_lowercase();
        let name = name.as_str();
        if matches!(name, "" | "auto" | "default" | "standard" | "on_demand" | "unspecified") {
            return (Some(*standard.rates(input_tokens)), true);
        }
        match self.tiers.get(name.strip_prefix("on_demand_").unwrap_or(name)) {
            Some(tier) => (Some(*tier.rates(input_tokens)), true),
            None => (self.dearest(input_tokens), false),
        }
    }

    /// The dearest rates of all tiers, class by class.
    #[must_use]
    pub fn dearest(&self, input_tokens: u64) -> Option<Rates> {
        let standard = *self.standard.as_ref()?.rates(input_tokens);
        let tiers = self.tiers.values().map(|tier| *tier.rates(input_tokens));
        Some(tiers.fold(standard, |most, rates| most.dearer(&rates)))
    }
}

impl Rates {
    /// Of two, the dearer price of each class.
    #[must_use]
    pub fn dearer(&self, other: &Self) -> Self {
        let dearer = |class| self.of(class).max(other.of(class));
        Self {
            input: dearer(Class::Input),
            cache_read: dearer(Class::CacheRead),
            cache_write_5m: dearer(Class::CacheWrite5m),
            cache_write_1h: dearer(Class::CacheWrite1h),
            audio_input: dearer(Class::AudioInput),
            output: dearer(Class::Output),
            reasoning: dearer(Class::Reasoning),
            audio_output: dearer(Class::AudioOutput),
            image_output: dearer(Class::ImageOutput),
        }
    }
}

/// A model that has no price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("model {name:?} of {provider} has no price here")]
pub struct UnknownModel {
    /// Of whom it would be.
    pub provider: ProviderName,
    /// What it was called; cut where it is long.
    pub name: String,
}

impl UnknownModel {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        "use a model of `GET /v1/models`, or ask the operator to add its price"
    }
}

/// Most of an unknown name that an error repeats.
const NAME_SHOWN_CHARS: usize = 80;

/// All prices. See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// As of when its maintainer has looked at it.
    pub as_of: Timestamp,
    /// Each name's rows, oldest first.
    models: BTreeMap<ProviderName, BTreeMap<String, Vec<Arc<Model>>>>,
}

impl Table {
    /// The table of the repository.
    ///
    /// # Errors
    /// Never in a build whose tests pass.
    pub fn embedded() -> Result<Self, TableError> {
        Self::parse(EMBEDDED)
    }

    /// Reads a table.
    ///
    /// # Errors
    /// [`TableError`] with what is wrong where.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        document::parse(text)
    }

    /// This table with the rows of another one, which replace all rows of the same names.
    #[must_use]
    pub fn overlaid(mut self, over: Self) -> Self {
        self.as_of = self.as_of.max(over.as_of);
        for (provider, names) in over.models {
            self.models.entry(provider).or_default().extend(names);
        }
        self
    }

    /// The row of a model at a moment: the newest that has begun, and the provider's `*` where the
    /// name has none.
    ///
    /// # Errors
    /// [`UnknownModel`] where there is no price.
    pub fn model(
        &self,
        provider: &ProviderName,
        name: &str,
        at: Timestamp,
    ) -> Result<Arc<Model>, UnknownModel> {
        let rows = self.models.get(provider);
        let begun = |name: &str| {
            let rows = rows?.get(name)?;
            rows.iter().rev().find(|model| model.from <= at)
        };
        // `*` itself is no model.
        let own = if name == ANY { None } else { begun(name) };
        own.or_else(|| begun(ANY)).cloned().ok_or_else(|| UnknownModel {
            provider: provider.clone(),
            name: name.chars().take(NAME_SHOWN_CHARS).collect(),
        })
    }

    /// All names that have a price at a moment, for `GET /v1/models`.
    pub fn names(&self, at: Timestamp) -> impl Iterator<Item = (&ProviderName, &str)> {
        self.models.iter().flat_map(move |(provider, names)| {
            let begun = names.iter().filter(move |(name, rows)| {
                *name != ANY && rows.iter().any(|model| model.from <= at)
            });
            begun.map(move |(name, _)| (provider, name.as_str()))
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
