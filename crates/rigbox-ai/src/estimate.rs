//! The worst case of a request before it is sent: what is held for it.
//!
//! Read is at most: a token for each byte of the body that is no image, what images and tools add, and
//! no more than the model reads; and again with what was found, after each call of a tool that the provider
//! makes by itself. Written is at most
//! what the request says, or else the model's own maximum; for each answer. Each at the dearest rate
//! that may apply: of the tier that is asked for or the standard one, of a long input where the bound is
//! long, with caches and reasoning where they may be.
//!
//! Invariants: a charge is never more than what was held, as long as a provider keeps to the request and
//! to the limits in the table, and the operator's account there has the standard tier by default; what
//! has no bound or no price is refused, with the field and the way out.
//! Does not read the balance: [`Estimate::affordable`] says what a balance would pay for.

mod media;
mod reader;
mod request;
mod words;

use std::sync::Arc;

pub use request::{BODY_MAX_BYTES, Bound, Request, RequestError, Tools};
use rigbox_types::Credits;

use crate::{
    money::{Cost, Price},
    prices::{Class, Fee, Model, Rates},
    route::Operation,
    usage::Dialect,
};

/// Tokens that providers add to every request: instructions for tools and for the form of answers.
/// Anthropic documents up to some 800 for its own tools.
const OVERHEAD_TOKENS: u64 = 1_024;

/// Tokens that a tool of the vendor's adds, whose description is not in the request.
const VENDOR_TOOL_TOKENS: u64 = 1_024;

/// Most calls of tools that a provider runs, where a request says none: few, because after each of them the
/// model reads everything again.
const TOOL_CALLS: u64 = 3;

/// Tokens that a search adds at most to what the model reads: OpenAI lets searches have a context of no more,
/// and Anthropic's add a twentieth of it. Pages have no bound but the model's own.
const FOUND_TOKENS: u64 = 128_000;

/// Bytes of JSON that a token stands for where nobody has counted: English is four or more, code three,
/// Chinese three bytes a character at about a token each.
pub const BYTES_PER_TOKEN: u64 = 3;

/// The worst case of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// The prices that it was made with; the charge is made with the same ones.
    pub model: Arc<Model>,
    /// What is done.
    pub operation: Operation,
    /// Most tokens that are read.
    pub input_tokens: u64,
    /// Most tokens that are written, of all answers.
    pub output_tokens: u64,
    /// Answers that are asked for.
    pub answers: u64,
    /// Whether the request itself says how much is written.
    pub output_is_explicit: bool,
    /// The bound of what tools of the provider do that has to be put into the request, of each or of all
    /// (see `route::rewrite`).
    pub tool_calls: Option<u64>,
    /// Bytes of the body.
    pub body_bytes: u64,
    /// Tokens that are read where nobody has counted them: what is charged for where a provider does
    /// not say.
    pub likely_input_tokens: u64,
    /// Searches that are made at least, where the provider does not count them.
    pub(crate) searches_least: u64,
    /// What is held.
    pub hold: Credits,
    /// The class of the price at which what is read is held.
    pub(crate) input_class: Class,
    /// The tiers that are asked for.
    asked: [Option<String>; 2],
    input_cost: Cost,
    fees: Cost,
    output_price: Price,
}

/// Why a request is not sent. It costs nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EstimateError {
    /// The request itself.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Something is asked for that has no price.
    #[error("{what} has no price for model {model:?}")]
    NoPrice {
        /// What.
        what: String,
        /// The model.
        model: String,
    },
    /// Something is asked for whose number has no bound.
    #[error("{what} must be bounded: {field} must be there")]
    Unbounded {
        /// What.
        what: &'static str,
        /// The field that bounds it.
        field: &'static str,
    },
    /// More may be written than the model writes.
    #[error("{field} must be at most {most} for model {model:?}, and is {asked}")]
    OverModel {
        /// The field.
        field: String,
        /// What it says.
        asked: u64,
        /// What it may say.
        most: u64,
        /// The model.
        model: String,
    },
    /// The bound is more than an account may have.
    #[error("the request could cost more than any account may have")]
    TooMuch,
}

impl EstimateError {
    /// The field that it is about, where there is one.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Request(error) => error.field(),
            Self::NoPrice { what, .. } => Some(what),
            Self::Unbounded { field, .. } => Some(field),
            Self::OverModel { field, .. } => Some(field),
            Self::TooMuch => None,
        }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Request(error) => error.hint(),
            Self::NoPrice { what, .. } => {
                format!("leave {what} out, or ask the operator to add its price")
            }
            Self::Unbounded { field, .. } => format!("set {field}"),
            Self::OverModel { field, most, .. } => {
                format!("set {field} to at most {most}, or leave it out")
            }
            Self::TooMuch => "ask for fewer or shorter answers".to_owned(),
        }
    }
}

impl Estimate {
    /// The worst case of a request with these prices.
    ///
    /// # Errors
    /// [`EstimateError`] where it cannot be bounded or has no price.
    pub fn of(request: &Request, model: &Arc<Model>) -> Result<Self, EstimateError> {
        Self::with_calls(request, model, TOOL_CALLS)
    }

    /// The same with one call less of the provider's tools; none where the request itself says how many
    /// there may be, or it is one.
    #[must_use]
    pub fn with_fewer_calls(&self, request: &Request) -> Option<Self> {
        let fewer = self.tool_calls.filter(|calls| *calls > 1)?.saturating_sub(1);
        Self::with_calls(request, &self.model, fewer).ok()
    }

    /// Where the request does not say how often tools of the provider are called, as often as `unsaid`.
    fn with_calls(
        request: &Request,
        model: &Arc<Model>,
        unsaid: u64,
    ) -> Result<Self, EstimateError> {
        let calls = calls(request, model, unsaid)?;
        let output_tokens = output_bound(request, model)?;
        let input_tokens = input_bound(request, model, (calls, output_tokens));
        let (input_class, input_price, output_price) = match rates(request, model, input_tokens)? {
            Some(rates) => {
                let class = input_class(request, &rates);
                (class, rates.of(class), rates.of(dearest_output(&rates)))
            }
            // What is priced by the call alone.
            None => (Class::Input, Price::FREE, Price::FREE),
        };
        let output_price = match request.operation.output_field() {
            Some(_) => output_price,
            None => Price::FREE,
        };
        let input_cost = input_price.times(input_tokens);
        let fees = fees(request, model, calls)?;
        let mut estimate = Self {
            model: model.clone(),
            operation: request.operation,
            input_tokens,
            output_tokens,
            answers: request.answers,
            output_is_explicit: request.output.is_some(),
            tool_calls: lacks_bound(request).then_some(unsaid),
            body_bytes: request.body_bytes,
            likely_input_tokens: likely_input(request, model, input_tokens),
            searches_least: u64::from(is_searching_chat(request)),
            hold: Credits::ZERO,
            input_class,
            asked: [request.tier.clone(), request.speed.clone()],
            input_cost,
            fees,
            output_price,
        };
        estimate.hold = estimate.cost_of(output_tokens).ok_or(EstimateError::TooMuch)?;
        Ok(estimate)
    }

    /// What a search costs, which has no tokens.
    ///
    /// # Errors
    /// [`EstimateError::NoPrice`] where the table has none.
    pub fn of_call(operation: Operation, model: &Arc<Model>) -> Result<Self, EstimateError> {
        Self::of(&Request::without_body(operation), model)
    }

    /// The largest bound of what is written, for each answer, that so many credits pay for; none where
    /// they do not pay for a single token.
    #[must_use]
    pub fn affordable(&self, credits: Credits) -> Option<u64> {
        let left = Cost::paid_by(credits);
        let fixed = self.input_cost.plus(self.fees)?;
        if fixed > left {
            return None;
        }
        let each = self.output_price.times(self.answers);
        let tokens = left.minus(fixed).pico().checked_div(each.pico()).unwrap_or(u128::MAX);
        let most = self.output_tokens.checked_div(self.answers).unwrap_or(0);
        let tokens = u64::try_from(tokens).unwrap_or(u64::MAX).min(most);
        (tokens > 0).then_some(tokens)
    }

    /// The same with a smaller bound of what is written, for each answer, which then has to be put into
    /// the request (see `route::rewrite`). Only where the request itself does not say one: what a caller
    /// says is not changed.
    #[must_use]
    pub fn clamped(&self, tokens: u64) -> Option<Self> {
        if self.output_is_explicit || self.operation.output_field().is_none() {
            return None;
        }
        let output_tokens = tokens.saturating_mul(self.answers).min(self.output_tokens);
        let hold = self.cost_of(output_tokens)?;
        Some(Self { output_tokens, hold, ..self.clone() })
    }

    /// The rates of an answer that names its service tier, and whether that one has rates of its own; of
    /// one that names none, those that were held: the dearer of the standard ones and of what was asked for.
    pub(crate) fn rates(&self, tier: Option<&str>, input_tokens: u64) -> (Option<Rates>, bool) {
        if tier.is_some() {
            return self.model.tier(tier, input_tokens);
        }
        let (standard, is_known) = self.model.tier(None, input_tokens);
        let asked = self.asked.iter().flatten();
        let rates = asked.fold(standard, |rates, tier| {
            let tier = self.model.tier(Some(tier), input_tokens).0;
            rates.zip(tier).map(|(rates, tier)| rates.dearer(&tier))
        });
        (rates, is_known)
    }

    fn cost_of(&self, output_tokens: u64) -> Option<Credits> {
        let written = self.output_price.times(output_tokens);
        self.input_cost.plus(self.fees)?.plus(written)?.credits()
    }
}

/// How often the provider may call tools by itself for one request, and the model once more after each.
fn calls(request: &Request, model: &Model, unsaid: u64) -> Result<u64, EstimateError> {
    if let Some(error) = &request.tools.refused {
        return Err(error.clone().into());
    }
    let is_chat = request.operation == Operation::ChatCompletion;
    if is_searching_chat(request) && model.searches_max.is_none() {
        return Err(no_price("web_search_options", model));
    }
    Ok(match request.operation.dialect() {
        Dialect::OpenAi if request.tools.run_by_provider() => match request.tool_calls_max {
            Some(most) => most,
            // Chat completions search once before they answer.
            None if is_chat => 0,
            None => unsaid,
        },
        Dialect::Anthropic if request.tools.is_unbounded => {
            return Err(EstimateError::Unbounded {
                what: "what a tool of the provider does",
                field: "tools[].max_uses",
            });
        }
        Dialect::Anthropic => {
            let unsaid = request.tools.without_uses.saturating_mul(unsaid);
            request.tools.uses_max.saturating_add(unsaid)
        }
        Dialect::Gemini if request.tools.searches && model.searches_max.is_none() => {
            return Err(no_price("tools[].googleSearch", model));
        }
        Dialect::OpenAi | Dialect::Gemini | Dialect::Brave => 0,
    })
}

/// Whether a chat is to search before it answers, which its usage does not tell.
fn is_searching_chat(request: &Request) -> bool {
    request.operation == Operation::ChatCompletion && request.tools.searches
}

fn no_price(what: &str, model: &Model) -> EstimateError {
    EstimateError::NoPrice { what: what.to_owned(), model: model.name().to_owned() }
}

/// Whether a request says of a tool of the provider not how often it may be called.
fn lacks_bound(request: &Request) -> bool {
    match request.operation.dialect() {
        Dialect::OpenAi if request.operation == Operation::Response => {
            request.tools.run_by_provider() && request.tool_calls_max.is_none()
        }
        Dialect::Anthropic => request.tools.without_uses > 0,
        Dialect::OpenAi | Dialect::Gemini | Dialect::Brave => false,
    }
}

/// What is read in all: at first what the request brings, and again after each call with what was written
/// before it and found.
fn input_bound(request: &Request, model: &Model, (calls, written): (u64, u64)) -> u64 {
    let most = model.max_input_tokens;
    let found = if request.tools.fetches { most } else { FOUND_TOKENS };
    let (mut all, mut next) = (0_u64, first_bound(request, model, calls));
    let mut brought = next.saturating_add(written);
    for call in 0..=calls {
        if next >= most {
            let left = calls.saturating_sub(call).saturating_add(1);
            return all.saturating_add(most.saturating_mul(left));
        }
        all = all.saturating_add(next);
        brought = brought.saturating_add(found);
        next = brought;
    }
    all
}

/// What is read at first.
fn first_bound(request: &Request, model: &Model, calls: u64) -> u64 {
    let most = model.max_input_tokens;
    let Tools { file_searches, code, .. } = request.tools;
    // What is found before the first word has no call of its own.
    let finds_first = calls == 0 && request.tools.run_by_provider();
    if request.media.is_unbounded || file_searches || code || finds_first {
        return most;
    }
    let images = match (request.media.images, model.image_tokens) {
        (0, _) => 0,
        (images, Some(tokens)) => images.saturating_mul(tokens),
        (_, None) => return most,
    };
    let text = request.body_bytes.saturating_sub(request.media.image_bytes);
    let added = request.tools.of_vendor.saturating_mul(VENDOR_TOOL_TOKENS);
    let sum = [text, OVERHEAD_TOKENS, added].into_iter().fold(images, u64::saturating_add);
    // A call without tokens reads none.
    sum.min(most)
}

/// What is likely read, for where it is not reported; the bound where that has nothing to go by.
fn likely_input(request: &Request, model: &Model, bound: u64) -> u64 {
    let images = request.media.images.saturating_mul(model.image_tokens.unwrap_or(0));
    if request.media.is_unbounded || (request.media.images > 0 && model.image_tokens.is_none()) {
        return bound;
    }
    let text = request.body_bytes.saturating_sub(request.media.image_bytes);
    text.div_ceil(BYTES_PER_TOKEN).saturating_add(images).min(bound)
}

fn output_bound(request: &Request, model: &Model) -> Result<u64, EstimateError> {
    if request.operation.output_field().is_none() {
        return Ok(0);
    }
    let most = model.max_output_tokens;
    // The limit of the table may be lower than the provider's: what is asked for beyond it is not held.
    for bound in [&request.output, &request.thinking].into_iter().flatten() {
        if bound.tokens > most {
            return Err(EstimateError::OverModel {
                field: bound.field.clone(),
                asked: bound.tokens,
                most,
                model: model.name().to_owned(),
            });
        }
    }
    let tokens = |bound: &Option<Bound>| bound.as_ref().map(|bound| bound.tokens);
    let each = match (tokens(&request.output), tokens(&request.thinking)) {
        // A budget for thinking is part of what is written, unless it is larger.
        (Some(tokens), Some(thinking)) if thinking >= tokens => tokens.saturating_add(thinking),
        (Some(tokens), _) => tokens,
        (None, _) => most,
    };
    let predicted = if request.has_prediction { request.body_bytes } else { 0 };
    Ok(each.saturating_add(predicted).saturating_mul(request.answers))
}

/// The dearer of the standard rates and those of the tier that is asked for.
fn rates(request: &Request, model: &Model, input: u64) -> Result<Option<Rates>, EstimateError> {
    let (standard, _) = model.tier(None, input);
    let Some(standard) = standard else { return Ok(None) };
    let mut rates = standard;
    for (named, field) in [(&request.tier, "service_tier"), (&request.speed, "speed")] {
        let Some(named) = named else { continue };
        let (tier, is_known) = model.tier(Some(named), input);
        let Some(tier) = tier.filter(|_| is_known) else {
            return Err(EstimateError::NoPrice {
                what: field.to_owned(),
                model: model.name().to_owned(),
            });
        };
        rates = rates.dearer(&tier);
    }
    Ok(Some(rates))
}

/// The class of what is read that costs most, of those that may be.
fn input_class(request: &Request, rates: &Rates) -> Class {
    let is_anthropic = request.operation.dialect() == Dialect::Anthropic;
    let may_be = [
        (Class::Input, true),
        (Class::CacheRead, true),
        // Others write to caches unasked, where that has a price.
        (Class::CacheWrite5m, !is_anthropic || request.caches),
        (Class::CacheWrite1h, is_anthropic && request.caches_for_an_hour),
        (Class::AudioInput, request.media.is_unbounded),
    ];
    let classes = may_be.into_iter().filter(|(_, may_be)| *may_be).map(|(class, _)| class);
    dearest(rates, classes)
}

/// The class of what is written that costs most.
pub(crate) fn dearest_output(rates: &Rates) -> Class {
    dearest(rates, [Class::Output, Class::Reasoning, Class::AudioOutput, Class::ImageOutput])
}

/// Of classes that cost the same, the first one.
fn dearest(rates: &Rates, classes: impl IntoIterator<Item = Class>) -> Class {
    let dearer = |one, two| if rates.of(two) > rates.of(one) { two } else { one };
    classes.into_iter().reduce(dearer).unwrap_or(Class::Input)
}

fn fees(request: &Request, model: &Model, calls: u64) -> Result<Cost, EstimateError> {
    let tools = &request.tools;
    let searches = match request.operation.dialect() {
        Dialect::Gemini => model.searches_max.unwrap_or(0),
        Dialect::OpenAi if request.operation == Operation::ChatCompletion => {
            model.searches_max.unwrap_or(0)
        }
        Dialect::OpenAi | Dialect::Anthropic | Dialect::Brave => calls,
    };
    let wanted = [
        (Fee::WebSearch, tools.searches, searches),
        (Fee::WebFetch, tools.fetches, calls),
        (Fee::FileSearch, tools.file_searches, calls),
        (Fee::CodeInterpreter, tools.code, calls),
    ];
    let request_fee = model.fee(Fee::Request).unwrap_or(Price::FREE).times(1);
    let mut sum = request_fee;
    for (fee, is_wanted, count) in wanted {
        if !is_wanted {
            continue;
        }
        let price = model.fee(fee).ok_or_else(|| EstimateError::NoPrice {
            what: format!("a tool for {}", fee.as_str()),
            model: model.name().to_owned(),
        })?;
        let count = if fee == Fee::WebSearch { model.searches_priced(count) } else { count };
        sum = sum.plus(price.times(count)).ok_or(EstimateError::TooMuch)?;
    }
    Ok(sum)
}

#[cfg(test)]
pub(crate) mod tests;
