//! What a call has cost: usage times prices, in lines.
//!
//! | what is known of the answer | what is charged |
//! |---|---|
//! | all that was used | that, at the rates of the tier that the answer names (of one that names none, at the dearer of the standard tier and the one that was asked for) and of how much was read |
//! | what the provider says it has cost, where its row trusts it | that |
//! | some or nothing, as the answer was cut or does not tell | an estimate (see below), marked as one |
//! | an error of the provider before anything was shown | nothing |
//! | more than can be true: above twice what was held, and, where it was reported, more than any model reads or writes at once | what was held, marked as an estimate |
//!
//! An estimate reads what was reported as read, or else what the body's bytes likely are, and once more
//! for each call of a tool that the provider has made, with what those have found; at the price that was
//! held (a cache may have been written). It writes, for each answer that was asked for, the most of: what
//! was reported, and what the shown bytes likely are with, where something may be written that is not shown,
//! what can have been written in the time in which nothing was. Images count by their bytes and audio by a
//! 200th of them, at the dearest rate of what is written; a model that writes them, and of which nothing was
//! seen, has written all that it may. What is added to what was reported is no more than the bound of the
//! request. So a caller who hangs up does not get an answer for nothing, and one whom a provider has hung up
//! on does not pay for what can not have been made: charging the whole hold would be neither.
//!
//! Invariants: pure, so that a repeat gives the same charge (that one is charged once is the ledger's to
//! keep); nothing that has no price is left out: there is none (see `estimate`).

use rigbox_types::Credits;

use crate::{
    estimate::{BYTES_PER_TOKEN, Estimate, dearest_output},
    money::{Cost, Price},
    prices::{Class, Fee, Rates},
    usage::{Ending, Report, Standing, Usage},
};

/// Tokens that a model writes in a second at most, for what nobody is shown. Assumed: above what the
/// models of the table are known for.
const TOKENS_PER_SECOND: u64 = 300;

/// Tokens that a call of a tool which the provider makes adds to what the model reads, where nothing of it was
/// seen: Anthropic's documented search adds 5,300, and OpenAI's were said to be 8,000.
const RESULT_TOKENS: u64 = 8_000;

/// Bytes of audio, as JSON has them, that a token stands for: of 20 in a second at least, and in the
/// smallest of the formats 4 KB.
const AUDIO_BYTES_PER_TOKEN: u64 = 200;

/// How many times what was held may be charged, whoever says so.
const HOLDS_MAX: i64 = 2;

/// Tokens that a provider is believed to have read and written for one call, beyond what was held for it:
/// twice what any model of the table reads. It charges the platform for them, whatever the request was.
const BELIEVED_TOKENS: u64 = 2_097_152;

/// How often a request is sent at most.
pub const ATTEMPTS_MAX: u32 = 3;

/// What a charge goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Usage that the provider reported.
    Reported,
    /// A cost that the provider reported.
    ProviderCost,
    /// What was seen.
    Estimated,
    /// Nothing was done.
    Failed,
}

impl Basis {
    /// In one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::ProviderCost => "provider_cost",
            Self::Estimated => "estimated",
            Self::Failed => "failed",
        }
    }
}

/// One line of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// What for.
    pub what: &'static str,
    /// How many.
    pub count: u64,
    /// Each at this price.
    pub price: Price,
}

/// A charge, and how it came to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    /// What is charged.
    pub credits: Credits,
    /// The same before it is rounded.
    pub cost: Cost,
    /// What it goes by.
    pub basis: Basis,
    /// Its parts; none where the provider has told the cost, or what was held is charged.
    pub lines: Vec<Line>,
    /// What was used, as far as it is known.
    pub usage: Usage,
    /// Whether the answer named a service tier without a price, and has the dearest one.
    pub tier_is_unknown: bool,
    /// Whether the provider reported more than can be true, and what was held is charged instead.
    pub is_not_believed: bool,
}

/// How long nothing was shown of an answer, and whether it is shown while it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Course {
    /// In milliseconds: of a stream the gaps in which nothing came of it, of an answer that comes as a whole all
    /// the time that it took.
    pub hidden_ms: u64,
    /// Whether the answer is a stream: of one that comes as a whole nothing is seen before its end.
    pub is_stream: bool,
}

/// What a call has cost.
#[must_use]
pub fn settle(estimate: &Estimate, report: &Report, course: Course) -> Bill {
    let is_nothing = [report.shown_bytes, report.media_bytes, report.audio_bytes] == [0; 3];
    if report.ending == Ending::Failed && report.standing == Standing::Nothing && is_nothing {
        return Bill {
            credits: Credits::ZERO,
            cost: Cost::ZERO,
            basis: Basis::Failed,
            lines: Vec::new(),
            usage: Usage::default(),
            tier_is_unknown: false,
            is_not_believed: false,
        };
    }
    let told = report.cost.filter(|_| estimate.model.cost_is_reported);
    let (usage, basis) = match (told, report.standing) {
        (Some(_), _) => (report.usage, Basis::ProviderCost),
        (None, Standing::Final) => (report.usage, Basis::Reported),
        (None, Standing::SoFar | Standing::Nothing) => {
            (estimated(estimate, report, course), Basis::Estimated)
        }
    };
    let (rates, is_known) = estimate.rates(report.tier.as_deref(), usage.input_tokens());
    let lines = match told {
        Some(_) => Vec::new(),
        None => lines(estimate, &usage, rates.as_ref()),
    };
    let tier_is_unknown = told.is_none() && !is_known;
    let add = |sum: Cost, line: &Line| sum.plus(line.price.times(line.count));
    let sum = told.or_else(|| lines.iter().try_fold(Cost::ZERO, add));
    let most = match basis {
        // Nobody bills the platform for what we think.
        Basis::Estimated => estimate.hold.micro().saturating_mul(HOLDS_MAX),
        _ => believed(estimate, rates.as_ref()),
    };
    let credits = sum.and_then(|cost| Some((cost, cost.credits()?)));
    match credits.filter(|(_, credits)| credits.micro() <= most) {
        Some((cost, credits)) => {
            Bill { credits, cost, basis, lines, usage, tier_is_unknown, is_not_believed: false }
        }
        None => Bill {
            credits: estimate.hold,
            cost: Cost::paid_by(estimate.hold),
            basis: Basis::Estimated,
            lines: Vec::new(),
            usage,
            tier_is_unknown,
            is_not_believed: true,
        },
    }
}

/// Most that a provider is believed, in micro-credits.
fn believed(estimate: &Estimate, rates: Option<&Rates>) -> i64 {
    let rate = rates.and_then(|rates| Class::ALL.into_iter().map(|class| rates.of(class)).max());
    let tokens = rate.and_then(|rate| rate.times(BELIEVED_TOKENS).credits());
    let holds = estimate.hold.micro().saturating_mul(HOLDS_MAX);
    tokens.map_or(holds, |tokens| tokens.micro().max(holds))
}

/// What was likely used, where nobody says all of it. See the module.
fn estimated(estimate: &Estimate, report: &Report, course: Course) -> Usage {
    let mut usage = report.usage;
    if usage.input_tokens() == 0 {
        usage.add(estimate.input_class, estimate.likely_input_tokens);
    }
    let read = usage.input_tokens();
    let again = read_again(read, report);
    usage.add(estimate.input_class, again.min(estimate.input_tokens.saturating_sub(read)));
    let [text, image] =
        [report.shown_bytes, report.media_bytes].map(|bytes| bytes.div_ceil(BYTES_PER_TOKEN));
    let media = image.saturating_add(report.audio_bytes.div_ceil(AUDIO_BYTES_PER_TOKEN));
    let model = &estimate.model;
    // What is reported of audio and images is known, whatever their bytes are.
    let media_is_reported = usage.audio_output > 0 || usage.image_output > 0;
    let media = if media_is_reported { 0 } else { media };
    let writes_media = model.writes_media && !media_is_reported;
    let shown = text.saturating_add(media);
    // Where thoughts are reported as they come, nothing is hidden.
    let may_hide = !course.is_stream || (model.reasons && usage.reasoning == 0) || writes_media;
    let in_time = course.hidden_ms.saturating_mul(TOKENS_PER_SECOND) / 1_000;
    let in_time = in_time.saturating_mul(estimate.answers);
    let written = match usage.output_tokens().max(shown) {
        // An image comes as one piece, and may have been all there but for its last byte.
        0 if writes_media => estimate.output_tokens,
        _ if may_hide && course.is_stream => shown.saturating_add(in_time),
        // All of it was written in that time.
        _ if may_hide => shown.max(in_time),
        _ => shown,
    };
    let missing = written.min(estimate.output_tokens).saturating_sub(usage.output_tokens());
    let is_text = media == 0 && !writes_media;
    let as_text = if is_text { missing } else { text.saturating_sub(usage.output).min(missing) };
    usage.add(Class::Output, as_text);
    let rates = estimate.rates(report.tier.as_deref(), usage.input_tokens()).0;
    usage.add(rates.map_or(Class::Output, |rates| dearest_output(&rates)), missing - as_text);
    usage
}

/// What is read after each call of a tool: all that was read before it, and what it has found.
fn read_again(first: u64, report: &Report) -> u64 {
    let calls = report.tool_calls;
    let found = (calls.saturating_mul(calls.saturating_add(1)) / 2).saturating_mul(RESULT_TOKENS);
    let pages = report.found_bytes.div_ceil(BYTES_PER_TOKEN).saturating_mul(calls);
    first.saturating_mul(calls).saturating_add(found.max(pages))
}

fn lines(estimate: &Estimate, usage: &Usage, rates: Option<&Rates>) -> Vec<Line> {
    let model = &estimate.model;
    let tokens = Class::ALL.into_iter().filter_map(|class| {
        let price = rates?.of(class);
        Some(Line { what: class.as_str(), count: usage.of(class), price })
    });
    let fees = [Fee::Request, Fee::WebSearch, Fee::WebFetch, Fee::FileSearch, Fee::CodeInterpreter];
    let pieces = fees.into_iter().filter_map(|fee| {
        let count = usage.pieces(fee);
        let count = match fee {
            Fee::WebSearch => model.searches_priced(count.max(estimate.searches_least)),
            _ => count,
        };
        Some(Line { what: fee.as_str(), count, price: model.fee(fee)? })
    });
    tokens.chain(pieces).filter(|line| line.count > 0).collect()
}

/// How far an attempt to send a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// No connection was made: nothing was sent.
    NotSent,
    /// A status that is no success.
    Refused(u16),
    /// It was sent, and no status came.
    Silent,
    /// An answer began.
    Answered,
}

impl Attempt {
    /// Whether the request may be sent again, as the `number`-th attempt that was made (from 1 on): only
    /// where it surely was not billed, and nothing of an answer was passed on.
    #[must_use]
    pub const fn may_be_repeated(self, number: u32) -> bool {
        if number >= ATTEMPTS_MAX {
            return false;
        }
        match self {
            Self::NotSent => true,
            // Too many, unavailable, overloaded. A 502 or 504 may have been worked on.
            Self::Refused(status) => matches!(status, 429 | 503 | 529),
            Self::Silent | Self::Answered => false,
        }
    }

    /// Whether it has to be settled. What was refused was not worked on; what got no status may have
    /// been, and what got one of something in between that gave up waiting, and both are settled as an
    /// answer that was cut before its first byte.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        match self {
            Self::NotSent => false,
            // Bad gateway, and two ways to say that what is behind one has not answered in time.
            Self::Refused(status) => matches!(status, 502 | 504 | 524),
            Self::Silent | Self::Answered => true,
        }
    }
}

#[cfg(test)]
mod tests;
