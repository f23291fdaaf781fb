//! What a request says about what it may cost, read in one pass over its body.
//! Invariants: a body is strict JSON of bounded size and depth, so that no parser reads it otherwise;
//! a field that bounds a cost is there once at most; nothing of the content is kept.
//! Does not change the body (see `route::rewrite`).

use memchr::memmem;

use super::{media::Media, reader::Reader, words::WORDS};
use crate::{
    json::{Path, Scanner},
    route::Operation,
};

/// Longest body: what Anthropic takes.
pub const BODY_MAX_BYTES: usize = 32 * 1024 * 1024;

/// Deepest body.
const DEPTH_MAX: u64 = 128;

/// Why a request is not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Too long.
    #[error("the body must have at most {BODY_MAX_BYTES} bytes")]
    TooLong,
    /// No JSON.
    #[error("the body must be one JSON object in UTF-8")]
    NoObject,
    /// Too deep.
    #[error("the body must be at most {DEPTH_MAX} levels deep")]
    TooDeep,
    /// There twice.
    #[error("{0} must be there once at most")]
    Twice(String),
    /// Not what it must be.
    #[error("{field} must be {must}")]
    Invalid {
        /// Which field.
        field: String,
        /// What it must be.
        must: &'static str,
    },
    /// Not offered, because what it costs is not known.
    #[error("{field} is not offered: {why}")]
    NotOffered {
        /// Which field.
        field: String,
        /// Why.
        why: &'static str,
    },
}

impl RequestError {
    /// The field that it is about, where there is one.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::TooLong | Self::NoObject | Self::TooDeep => None,
            Self::Twice(field) => Some(field),
            Self::Invalid { field, .. } | Self::NotOffered { field, .. } => Some(field),
        }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::TooLong | Self::TooDeep => "send less at once".to_owned(),
            Self::NoObject => "send a JSON object".to_owned(),
            Self::Twice(field) => format!("send {field} once"),
            Self::Invalid { field, must } => format!("set {field} to {must}"),
            Self::NotOffered { field, .. } => {
                format!("leave {field} out, or use a key of your own (mode byok)")
            }
        }
    }
}

/// Tools that a request brings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tools {
    /// How many have a description of the vendor's, which is not in the request.
    pub of_vendor: u64,
    /// Whether the provider searches the web.
    pub searches: bool,
    /// Whether the provider reads pages.
    pub fetches: bool,
    /// Whether the provider searches in files.
    pub file_searches: bool,
    /// Whether the provider runs code.
    pub code: bool,
    /// Most uses of those tools that the provider runs of which the request says a bound.
    pub uses_max: u64,
    /// How many of the others take a bound.
    pub without_uses: u64,
    /// Whether one of the others takes none.
    pub is_unbounded: bool,
    /// Why one of them is refused.
    pub refused: Option<RequestError>,
}

impl Tools {
    /// Whether the provider does something by itself.
    #[must_use]
    pub const fn run_by_provider(&self) -> bool {
        self.searches || self.fetches || self.file_searches || self.code
    }

    /// Whether a tool of this type has `max_uses` at Anthropic.
    pub(crate) fn take_uses(kind: &str) -> bool {
        ["web_search", "web_fetch"].iter().any(|begin| kind.starts_with(begin))
    }
}

/// How much a request lets be written, and the field that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// Most tokens.
    pub tokens: u64,
    /// Where it is said.
    pub field: String,
}

impl Bound {
    /// Of two bounds the wider one counts: a provider may go by either.
    pub(super) fn widen(bound: &mut Option<Self>, tokens: u64, path: Path<'_>) {
        if bound.as_ref().is_none_or(|bound| bound.tokens < tokens) {
            *bound = Some(Self { tokens, field: path.join(".") });
        }
    }
}

/// What a request says. See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it does.
    pub operation: Operation,
    /// Bytes of the body.
    pub body_bytes: u64,
    /// The model, where the body names it.
    pub model: Option<String>,
    /// Whether the answer is to be a stream.
    pub is_stream: bool,
    /// Whether the caller has asked for usage in a stream.
    pub asks_for_usage: bool,
    /// For whom the caller says that the call is.
    pub user: Option<String>,
    /// Most tokens of an answer.
    pub output: Option<Bound>,
    /// Most tokens of thinking.
    pub thinking: Option<Bound>,
    /// Answers that are asked for, all prompts together.
    pub answers: u64,
    /// The service tier that is asked for.
    pub tier: Option<String>,
    /// The speed that is asked for, where that is another one.
    pub speed: Option<String>,
    /// Whether a text is given that the answer may be like.
    pub has_prediction: bool,
    /// Whether something may be written to a cache.
    pub caches: bool,
    /// Whether that may be for an hour.
    pub caches_for_an_hour: bool,
    /// Most calls of tools that OpenAI makes.
    pub tool_calls_max: Option<u64>,
    /// Tools.
    pub tools: Tools,
    /// Media.
    pub media: Media,
}

impl Request {
    /// One that has no body.
    #[must_use]
    pub fn without_body(operation: Operation) -> Self {
        Self {
            operation,
            body_bytes: 0,
            model: None,
            is_stream: false,
            asks_for_usage: false,
            user: None,
            output: None,
            thinking: None,
            answers: 1,
            tier: None,
            speed: None,
            has_prediction: false,
            caches: false,
            caches_for_an_hour: false,
            tool_calls_max: None,
            tools: Tools::default(),
            media: Media::default(),
        }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`RequestError`] where it cannot be relied on.
    pub fn read(operation: Operation, body: &[u8]) -> Result<Self, RequestError> {
        if body.len() > BODY_MAX_BYTES {
            return Err(RequestError::TooLong);
        }
        let text = std::str::from_utf8(body).map_err(|_| RequestError::NoObject)?;
        // Strict, and without recursion.
        serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|_| RequestError::NoObject)?;
        if !text.trim_start().starts_with('{') {
            return Err(RequestError::NoObject);
        }
        let mut reader = Reader::new(operation);
        let mut scanner = Scanner::new(WORDS);
        scanner.feed(body, &mut reader);
        if scanner.deepest() > DEPTH_MAX {
            return Err(RequestError::TooDeep);
        }
        // An escape may hide a name where names are looked for as bytes.
        let is_said = |word: &str| {
            let finds = |word: &str| memmem::find(body, word.as_bytes()).is_some();
            finds(word) || finds("\\u")
        };
        reader.request.caches = is_said("cache_control");
        reader.request.caches_for_an_hour = reader.request.caches && is_said("1h");
        reader.request.body_bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
        reader.finish()
    }
}
