//! What an answer shall be like: as a default, for a model, or from a directive in a request.
//! Invariant: a field that is not known is refused, so that a misspelt test does not pass.
//! Does not decide which behaviour a request gets (see `server`) nor what it means on the wire (`speak`).

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How an answer behaves. Tokens are in one class each: `input` contains none of the cached ones,
/// `output` no reasoning; every provider's convention is made from these.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Tokens read and in none of the next five classes; by length of the request where absent.
    pub input: Option<u64>,
    /// Tokens read from a cache.
    pub cached: u64,
    /// Tokens written to a cache for five minutes.
    pub cache_write_5m: u64,
    /// Tokens written to a cache for an hour.
    pub cache_write_1h: u64,
    /// Tokens of audio that was read.
    pub audio_input: u64,
    /// Tokens that tools of the provider's own have read (Gemini alone tells of them).
    pub tool_input: u64,
    /// Tokens shown; by length of the answer where absent.
    pub output: Option<u64>,
    /// Tokens written and not shown. More than none makes a thinking part where there is one.
    pub reasoning: u64,
    /// Tokens of audio that was written. More than none makes an answer spoken.
    pub audio_output: u64,
    /// Tokens of images that were written.
    pub image_output: u64,
    /// Searches on the web that the provider made.
    pub web_searches: u64,
    /// Pages that the provider read.
    pub web_fetches: u64,
    /// Searches in files that the provider made.
    pub file_searches: u64,
    /// Containers that the provider ran code in.
    pub code_interpreters: u64,
    /// What OpenRouter says that it has cost, in dollars.
    pub cost: Option<f64>,
    /// What OpenRouter says that the provider behind it was paid with somebody's own key.
    pub upstream_cost: Option<f64>,
    /// The tier that the answer says it had.
    pub service_tier: Option<String>,

    /// The words of the answer.
    pub text: Option<String>,
    /// What the model thinks, where that is shown.
    pub thinking: Option<String>,
    /// In how many pieces a stream has the words.
    pub pieces: Option<u32>,
    /// Whether the first tool on offer is called, unless its result is there already.
    pub tool: bool,
    /// The arguments of that call, instead of an example by its schema.
    pub arguments: Option<Value>,
    /// Why it ended, in the provider's word, instead of the true reason.
    pub stop: Option<String>,
    /// Whether the request's bound on the output is ignored.
    pub ignores_limit: bool,

    /// Pause before the head of the answer.
    pub first_ms: u64,
    /// Pause before each piece.
    pub gap_ms: u64,
    /// Pause after each write.
    pub drip_ms: u64,
    /// Bytes a write, each flushed. An event a write where absent.
    pub split_at: Option<usize>,
    /// Where in a stream the counts are.
    pub usage: Reporting,
    /// Compress the answer although nobody asked.
    pub gzip: bool,
    /// End lines of events with CRLF.
    pub crlf: bool,
    /// Write `data:` without the space after it.
    pub no_space: bool,
    /// Comments before the first event and between all.
    pub comments: u32,
    /// Bytes of padding in the first event.
    pub huge: Option<usize>,
    /// Leave out what ends a stream: `[DONE]`, `message_stop`, `response.completed`.
    pub no_done: bool,

    /// Refuse instead.
    pub error: Option<Failure>,
    /// Only the first so many requests of the series are refused (with 503 where `error` is absent).
    pub fail_first: u64,
    /// What counts as one series, instead of the same directive or model.
    pub series: Option<String>,
    /// Tell of an error inside the stream after so many events.
    pub error_after: Option<u32>,
    /// Cut the connection after so many bytes of the body.
    pub cut_after: Option<u64>,
    /// Close the connection without an answer.
    pub hang_up: bool,
    /// Never answer.
    pub hang: bool,
    /// Say nothing more after so many events.
    pub hang_after: Option<u32>,
    /// Send the client elsewhere; to `/sim/trap` of this server where empty.
    pub redirect: Option<String>,
    /// The status of that.
    pub redirect_status: Option<u16>,
    /// What is charged for an answer that did not come to its end.
    pub bill: Bill,
}

/// A refusal, in the provider's shape.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Failure {
    /// The status of HTTP.
    pub status: u16,
    /// The provider's word for it, instead of the usual one.
    pub kind: Option<String>,
    /// What it says, instead of the usual. OpenAI's 401 shows some of the key.
    pub message: Option<String>,
    /// Seconds in `Retry-After`.
    pub retry_after: Option<u64>,
    /// Whether the provider has worked and charges all of it nevertheless.
    pub billed: bool,
}

/// Where in a stream the counts are. A whole answer has them once, or never with `missing`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reporting {
    /// Where the provider has them.
    #[default]
    Usual,
    /// All of them in the first event, and nowhere else.
    Early,
    /// All of them in the last event that may have them, and nowhere else.
    Late,
    /// All of them in every event.
    Repeated,
    /// Those so far in every event.
    Cumulative,
    /// Nowhere.
    Missing,
    /// Anthropic's compatible vendors: what was cached counts as read first, and is split off at the end.
    InclusiveFirst,
}

/// What a provider charges for an answer that did not come to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bill {
    /// What was read, and what was written until then.
    #[default]
    SoFar,
    /// All that it would have written: it does not notice that nobody listens.
    All,
    /// Nothing.
    Nothing,
}

impl Behaviour {
    /// This one, with the fields of a JSON object instead of its own.
    ///
    /// # Errors
    /// When a field is not known or not of its type.
    pub fn with(&self, fields: &Value) -> Result<Self, serde_json::Error> {
        let mut all = serde_json::to_value(self)?;
        if let (Value::Object(all), Value::Object(fields)) = (&mut all, fields) {
            all.extend(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        serde_json::from_value(all)
    }
}
