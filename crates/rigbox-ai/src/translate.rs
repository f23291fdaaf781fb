//! Chats, texts, responses and embeddings in OpenAI's shape for providers that speak another one: the
//! request there, the answer and its errors back, whole or as a stream.
//!
//! ```text
//! request ── request() ──> Translated { path, body } ──> provider
//! answer <── Answering::whole, Answering::stream ── status and bytes
//!    └── cost ──> with `usage.cost_micro` and `usage.cost_credits`
//! ```
//!
//! What has no equal at the provider is refused with its name where it changes what the caller gets or
//! pays, and left out where it does not (`store: false`, `metadata`, `service_tier: "auto"`, names of
//! caches, `detail` of an image, which other providers read in one way only).
//!
//! Invariants: a request was read by `estimate::Request` before, so that it is strict, bounded in size
//! and depth; texts, numbers, schemas and arguments pass as they are written; the bound of what is
//! written is always in what is sent; usage is counted by `usage` alone; nothing of an answer is held
//! back for longer than its event is under way, and what is kept of one is bounded; what a provider sends
//! never panics.
//! Does not know prices, clocks or ids (the caller brings them), and opens no connection.

mod answer;
mod anthropic;
mod chat;
mod completion;
pub mod cost;
mod embeddings;
mod gemini;
mod raw;
mod response;
mod stream;

pub use answer::{ANSWER_MAX_BYTES, Answer};
pub use stream::Stream;

use std::borrow::Cow;

use crate::{route::Operation, usage::Dialect};

/// The path of Anthropic's messages.
const MESSAGES: &str = "/v1/messages";

/// Longest name of a model of Gemini, which becomes part of a path.
const MODEL_MAX_LEN: usize = 128;

/// Whom a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'t> {
    /// How the provider speaks.
    pub dialect: Dialect,
    /// The model as the provider names it.
    pub model: &'t str,
    /// Most tokens of an answer, where the request does not say: what was held for.
    pub max_output: u64,
}

/// A request as the provider takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translated {
    /// What is asked of the provider: it says how the answer is to be metered.
    pub operation: Operation,
    /// The path at the provider, below its base address.
    pub path: String,
    /// The query at the provider.
    pub query: Option<&'static str>,
    /// The body.
    pub body: Vec<u8>,
    /// What is needed to translate the answer.
    pub answering: Answering,
}

/// What of a request is needed to translate its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answering {
    dialect: Dialect,
    kind: Kind,
    /// The model as the caller names it.
    model: String,
    is_stream: bool,
    include_usage: bool,
    /// Whether the answer is what a tool was called with, which the request has no tool for.
    is_by_tool: bool,
}

/// In which of OpenAI's shapes an answer is written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Chat,
    /// A text that goes on.
    Completion,
    /// A response, which repeats some of its request.
    Response(Box<response::Said>),
    /// Vectors, as numbers or in base64.
    Embedding {
        is_base64: bool,
    },
}

/// What an answer is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp<'s> {
    /// Its id, which no other answer has: ids of calls are made of it.
    pub id: &'s str,
    /// When it was made, in seconds since 1970.
    pub created: u64,
}

impl<'s> Stamp<'s> {
    /// What is in its id but for what that is of.
    fn stem(self) -> &'s str {
        self.id.split_once('-').map_or(self.id, |(_, stem)| stem)
    }
}

impl Answering {
    /// Whether the caller has asked for a stream. An error comes whole all the same.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// The answer in OpenAI's shape. Where the provider's status is no success, or what it has sent is
    /// no answer, that is an error with the status that the caller gets.
    #[must_use]
    pub fn whole(&self, status: u16, body: &[u8], stamp: Stamp<'_>) -> Answer {
        answer::whole(self, status, body, stamp)
    }

    /// What translates the answer as it comes; only for a success that is a stream.
    #[must_use]
    pub fn stream(&self, stamp: Stamp<'_>) -> Stream {
        Stream::new(self, stamp)
    }
}

/// Why a request is not sent. It costs nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TranslateError {
    /// The provider has nothing like it.
    #[error("{field} is not offered with this model: {why}")]
    Unsupported {
        /// Which field.
        field: String,
        /// Why.
        why: &'static str,
    },
    /// Not what it must be.
    #[error("{field} must be {must}")]
    Invalid {
        /// Which field.
        field: String,
        /// What it must be.
        must: &'static str,
    },
    /// The provider has no such operation.
    #[error("{path} is not offered with model {model:?}: its provider has nothing like it")]
    NoOperation {
        /// The path that was called.
        path: &'static str,
        /// The model.
        model: String,
        /// What to do.
        hint: &'static str,
    },
}

impl TranslateError {
    fn unsupported(field: String, why: &'static str) -> Self {
        Self::Unsupported { field, why }
    }

    fn invalid(field: String, must: &'static str) -> Self {
        Self::Invalid { field, must }
    }

    /// The field that it is about, where there is one.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Unsupported { field, .. } | Self::Invalid { field, .. } => Some(field),
            Self::NoOperation { .. } => Some("model"),
        }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Unsupported { field, .. } => {
                format!("leave {field} out, or use a model whose provider has it")
            }
            Self::Invalid { field, must } => format!("set {field} to {must}"),
            Self::NoOperation { hint, .. } => (*hint).to_owned(),
        }
    }
}

/// Translates a request of the gateway for a provider that speaks another shape.
///
/// # Errors
/// [`TranslateError`] where the provider has nothing like it.
pub fn request(
    operation: Operation,
    body: &[u8],
    target: &Target<'_>,
) -> Result<Translated, TranslateError> {
    if operation == Operation::Embedding && target.dialect == Dialect::Gemini {
        let model = path_model(target.model)?;
        let (body, answering) = embeddings::body(body, target)?;
        let path = format!("/v1beta/models/{model}:batchEmbedContents");
        let operation = Operation::EmbedBatch;
        return Ok(Translated { operation, path, query: None, body, answering });
    }
    let send = match target.dialect {
        Dialect::Anthropic => to_anthropic,
        Dialect::Gemini => to_gemini,
        Dialect::OpenAi | Dialect::Brave => return Err(no_operation(operation, target.model)),
    };
    let (chat, kind) = match operation {
        Operation::ChatCompletion => (chat::Chat::read(body, target)?, Kind::Chat),
        Operation::Completion => (completion::read(body, target)?, Kind::Completion),
        Operation::Response => {
            let (chat, said) = response::read(body, target)?;
            (chat, Kind::Response(Box::new(said)))
        }
        operation => return Err(no_operation(operation, target.model)),
    };
    send(chat, kind, target)
}

fn to_anthropic(
    chat: chat::Chat<'_>,
    kind: Kind,
    target: &Target<'_>,
) -> Result<Translated, TranslateError> {
    let answering = chat.answering(kind, target);
    let (body, is_by_tool) = anthropic::body(chat, target)?;
    let answering = Answering { is_by_tool, ..answering };
    let (path, operation) = (MESSAGES.to_owned(), Operation::Message);
    Ok(Translated { operation, path, query: None, body, answering })
}

fn to_gemini(
    chat: chat::Chat<'_>,
    kind: Kind,
    target: &Target<'_>,
) -> Result<Translated, TranslateError> {
    let model = path_model(target.model)?;
    let answering = chat.answering(kind, target);
    let body = gemini::body(chat, target)?;
    let (operation, called, query) = if answering.is_stream {
        (Operation::StreamGenerate, "streamGenerateContent", Some("alt=sse"))
    } else {
        (Operation::Generate, "generateContent", None)
    };
    let path = format!("/v1beta/models/{model}:{called}");
    Ok(Translated { operation, path, query, body, answering })
}

/// What to do instead of an operation that the provider has not.
fn no_operation(operation: Operation, model: &str) -> TranslateError {
    let (path, hint) = match operation {
        Operation::Embedding => {
            ("/v1/embeddings", "use a model for embeddings of a provider that has some")
        }
        // The rest is not the gateway's, or is the provider's own.
        _ => ("this path", "call it with a model of a provider that has it"),
    };
    TranslateError::NoOperation { path, model: model.to_owned(), hint }
}

/// The model as the caller names it, or, where that was left to a default, as the provider does.
fn named(object: &mut raw::Object<'_>, target: &Target<'_>) -> Result<String, TranslateError> {
    match object.take("model") {
        Some(raw) => raw::text(raw).map(Cow::into_owned),
        None => Some(target.model.to_owned()),
    }
    .ok_or_else(|| TranslateError::invalid("model".to_owned(), "a text"))
}

/// A model that may be part of a path.
fn path_model(model: &str) -> Result<&str, TranslateError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fits = (1..=MODEL_MAX_LEN).contains(&model.len());
    if fits && !model.starts_with('.') && model.bytes().all(plain) {
        return Ok(model);
    }
    Err(TranslateError::invalid("model".to_owned(), "letters, digits, '-', '_' and '.'"))
}

#[cfg(test)]
mod tests;
