//! The table as it is written, and what makes one invalid.
//! Invariant: no key is ignored, so that a price with a name that is not known here is never absent.

use std::{collections::BTreeMap, sync::Arc};

use rigbox_types::Timestamp;
use serde::Deserialize;

use super::{ANY, Fee, Model, ProviderName, Rates, SearchUnit, Table, Tier};
use crate::money::{PerMillion, PerUnit, Price};

/// Longest table.
const TABLE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Most rows.
const ROWS_MAX: usize = 10_000;

/// Longest name of a model.
pub(crate) const MODEL_MAX_LEN: usize = 128;

/// Most tokens that a model may take or give.
const TOKENS_MAX: u64 = 100_000_000;

/// Why a table is not used. The one before stays.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It is not read at all.
    #[error("a table of prices has at most {TABLE_MAX_BYTES} bytes and {ROWS_MAX} rows")]
    Size,
    /// It is no TOML, or has keys or values that do not belong.
    #[error("read the table of prices")]
    Form(#[source] Box<toml::de::Error>),
    /// A row is wrong in itself.
    #[error("price of {provider} {name:?}: {what}")]
    Row {
        /// Of whom.
        provider: ProviderName,
        /// Of which model.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    as_of: Timestamp,
    #[serde(default)]
    sources: BTreeMap<String, Source>,
    #[serde(default)]
    models: Vec<Row>,
}

/// Where prices were read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "for whoever reads the file; read so that its form is checked")]
struct Source {
    title: String,
    read_at: Timestamp,
    /// Whether somebody has compared it with what the provider says.
    is_verified: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    provider: ProviderName,
    names: Vec<String>,
    sources: Vec<String>,
    from: Option<Timestamp>,
    #[serde(default)]
    max_input_tokens: u64,
    #[serde(default)]
    max_output_tokens: u64,
    #[serde(default = "yes")]
    reasons: bool,
    #[serde(default)]
    encrypts_reasoning: bool,
    image_tokens: Option<u64>,
    rates: Option<RatesRow>,
    long: Option<LongRow>,
    #[serde(default)]
    tiers: BTreeMap<String, TierRow>,
    #[serde(default)]
    fees: BTreeMap<Fee, PerUnit>,
    #[serde(default)]
    search_unit: SearchUnit,
    searches_max: Option<u64>,
    #[serde(default)]
    cost_is_reported: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct LongRow {
    above_input_tokens: u64,
    rates: RatesRow,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct TierRow {
    rates: RatesRow,
    long: Option<RatesRow>,
}

/// Dollars for a million tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RatesRow {
    input: PerMillion,
    output: PerMillion,
    cache_read: Option<PerMillion>,
    cache_write_5m: Option<PerMillion>,
    cache_write_1h: Option<PerMillion>,
    reasoning: Option<PerMillion>,
    audio_input: Option<PerMillion>,
    audio_output: Option<PerMillion>,
    image_output: Option<PerMillion>,
}

impl RatesRow {
    /// Whether audio or images that are written have a price here.
    fn prices_media(&self) -> bool {
        self.audio_output.is_some() || self.image_output.is_some()
    }

    /// All classes. One without a price here costs what it is part of; audio and images, which are
    /// dearer than text, cost as much as the dearest of their direction, or as in `base`.
    fn resolve(&self, base: Option<&Rates>) -> Rates {
        let own = |price: Option<PerMillion>| price.map(|price| price.0);
        let (input, output) = (self.input.0, self.output.0);
        let (short, hour) = (own(self.cache_write_5m), own(self.cache_write_1h));
        let write = short.or(hour).unwrap_or(input).max(hour.or(short).unwrap_or(input));
        let cache_write_5m = short.unwrap_or(write);
        let cache_write_1h = hour.unwrap_or(write);
        let reasoning = own(self.reasoning).unwrap_or(output);
        let dearest_in = input.max(cache_write_5m).max(cache_write_1h);
        let dearest_out = output
            .max(reasoning)
            .max(own(self.audio_output).unwrap_or(output))
            .max(own(self.image_output).unwrap_or(output));
        let or_base = |price: Option<PerMillion>, dearest: Price, base: Option<Price>| {
            own(price).unwrap_or_else(|| dearest.max(base.unwrap_or(Price::FREE)))
        };
        Rates {
            input,
            output,
            reasoning,
            cache_write_5m,
            cache_write_1h,
            cache_read: own(self.cache_read).unwrap_or(input),
            audio_input: or_base(self.audio_input, dearest_in, base.map(|base| base.audio_input)),
            audio_output: or_base(
                self.audio_output,
                dearest_out,
                base.map(|base| base.audio_output),
            ),
            image_output: or_base(
                self.image_output,
                dearest_out,
                base.map(|base| base.image_output),
            ),
        }
    }
}

pub(super) fn parse(text: &str) -> Result<Table, TableError> {
    if text.len() > TABLE_MAX_BYTES {
        return Err(TableError::Size);
    }
    let document: Document =
        toml::from_str(text).map_err(|source| TableError::Form(Box::new(source)))?;
    if document.models.len() > ROWS_MAX {
        return Err(TableError::Size);
    }
    let mut table = Table { as_of: document.as_of, models: BTreeMap::new() };
    for row in &document.models {
        let wrong = |name: &str, what| TableError::Row {
            provider: row.provider.clone(),
            name: name.to_owned(),
            what,
        };
        let first = row.names.first().map_or("", String::as_str);
        check(row).map_err(|what| wrong(first, what))?;
        if row.sources.is_empty() || row.sources.iter().any(|it| !document.sources.contains_key(it))
        {
            return Err(wrong(first, "sources must name one of [sources] or more"));
        }
        for name in &row.names {
            let rows = table.models.entry(row.provider.clone()).or_default();
            let rows = rows.entry(name.clone()).or_default();
            let model = model(row, name);
            if rows.iter().any(|other| other.from == model.from) {
                return Err(wrong(name, "there twice from the same moment on"));
            }
            rows.push(Arc::new(model));
            rows.sort_by_key(|model| model.from);
        }
    }
    Ok(table)
}

fn check(row: &Row) -> Result<(), &'static str> {
    let is_name = |name: &String| {
        (1..=MODEL_MAX_LEN).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if row.names.is_empty() || !row.names.iter().all(is_name) {
        return Err("names must be one or more, of visible ASCII");
    }
    if row.rates.is_none() && !row.fees.contains_key(&Fee::Request) {
        return Err("rates, or a fee for the request, must be there");
    }
    let Some(rates) = &row.rates else {
        let is_alone = row.long.is_none() && row.tiers.is_empty();
        return if is_alone { Ok(()) } else { Err("long and tiers need rates") };
    };
    if !(1..=TOKENS_MAX).contains(&row.max_input_tokens) || row.max_output_tokens > TOKENS_MAX {
        return Err("max_input_tokens must be there, and it and max_output_tokens within bounds");
    }
    let dearer = |above: &RatesRow, below: &RatesRow| {
        above.input >= below.input && above.output >= below.output
    };
    if row.long.as_ref().is_some_and(|long| !dearer(&long.rates, rates)) {
        return Err("a long input is not cheaper than a short one");
    }
    for tier in row.tiers.values() {
        match (&row.long, &tier.long) {
            (Some(_), None) => return Err("a tier must say what a long input costs"),
            (None, Some(_)) => return Err("a tier's long rates need the model's"),
            (Some(_), Some(long)) if !dearer(long, &tier.rates) => {
                return Err("a long input is not cheaper than a short one");
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
    Ok(())
}

fn model(row: &Row, name: &str) -> Model {
    let base = row.rates.as_ref().map(|rates| rates.resolve(None));
    let above = row.long.as_ref().map(|long| long.above_input_tokens);
    let standard = base.map(|rates| {
        let long = row.long.as_ref().map(|long| long.rates.resolve(Some(&rates)));
        Tier { base: rates, long: above.zip(long) }
    });
    let tiers = row.tiers.iter().map(|(tier, rates)| {
        let long = rates.long.as_ref().map(|long| long.resolve(base.as_ref()));
        let rates = rates.rates.resolve(base.as_ref());
        (tier.to_ascii_lowercase(), Tier { base: rates, long: above.zip(long) })
    });
    Model {
        provider: row.provider.clone(),
        name: name.to_owned(),
        standard,
        tiers: tiers.collect(),
        fees: row.fees.iter().map(|(fee, price)| (*fee, price.0)).collect(),
        search_unit: row.search_unit,
        searches_max: row.searches_max,
        max_input_tokens: row.max_input_tokens,
        max_output_tokens: row.max_output_tokens,
        image_tokens: row.image_tokens,
        reasons: row.reasons,
        encrypts_reasoning: row.encrypts_reasoning,
        writes_media: row.rates.as_ref().is_some_and(RatesRow::prices_media)
            || row.tiers.values().any(|tier| tier.rates.prices_media()),
        cost_is_reported: row.cost_is_reported,
        is_fallback: name == ANY,
        from: row.from.unwrap_or_else(|| Timestamp::from_micros(0)),
    }
}
