//! Which provider and which of its paths a request means, and nothing else: what is not listed here is
//! not reachable with a key of ours.
//! Invariants: a path is matched whole, as it is written, against a list; no header, host or query of
//! the caller chooses where a request goes; what reaches a provider is made of parts that were checked.
//! Does not say what a request costs (see `estimate`); every operation that a provider charges for says
//! so here ([`Operation::is_priced`]), and there is no other way to one.

pub mod headers;
pub mod rewrite;

use http::Method;

use crate::{
    prices::{InvalidProvider, ProviderName},
    usage::Dialect,
};

/// Longest path that is looked at.
const PATH_MAX_LEN: usize = 512;

/// Longest query that is passed on.
const QUERY_MAX_LEN: usize = 4096;

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// OpenAI: a chat is continued.
    ChatCompletion,
    /// OpenAI: a text is continued.
    Completion,
    /// OpenAI: a response is made.
    Response,
    /// OpenAI: texts become vectors.
    Embedding,
    /// Models are listed.
    ModelList,
    /// Anthropic: a message is made.
    Message,
    /// Anthropic: tokens are counted.
    MessageCount,
    /// Gemini: content is made.
    Generate,
    /// Gemini: content is made, and streamed.
    StreamGenerate,
    /// Gemini: a text becomes a vector.
    Embed,
    /// Gemini: texts become vectors.
    EmbedBatch,
    /// Gemini: tokens are counted.
    Count,
    /// Brave: the web is searched.
    WebSearch,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::ChatCompletion,
        Self::Completion,
        Self::Response,
        Self::Embedding,
        Self::ModelList,
        Self::Message,
        Self::MessageCount,
        Self::Generate,
        Self::StreamGenerate,
        Self::Embed,
        Self::EmbedBatch,
        Self::Count,
        Self::WebSearch,
    ];

    /// In one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChatCompletion => "chat_completion",
            Self::Completion => "completion",
            Self::Response => "response",
            Self::Embedding => "embedding",
            Self::ModelList => "model_list",
            Self::Message => "message",
            Self::MessageCount => "message_count",
            Self::Generate => "generate",
            Self::StreamGenerate => "stream_generate",
            Self::Embed => "embed",
            Self::EmbedBatch => "embed_batch",
            Self::Count => "count",
            Self::WebSearch => "web_search",
        }
    }

    /// How its answers are written.
    #[must_use]
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::ChatCompletion
            | Self::Completion
            | Self::Response
            | Self::Embedding
            | Self::ModelList => Dialect::OpenAi,
            Self::Message | Self::MessageCount => Dialect::Anthropic,
            Self::Generate
            | Self::StreamGenerate
            | Self::Embed
            | Self::EmbedBatch
            | Self::Count => Dialect::Gemini,
            Self::WebSearch => Dialect::Brave,
        }
    }

    /// Whether a provider charges for it. What it does not charge for is not held for either.
    #[must_use]
    pub const fn is_priced(self) -> bool {
        match self {
            Self::ModelList | Self::MessageCount | Self::Count => false,
            Self::ChatCompletion
            | Self::Completion
            | Self::Response
            | Self::Embedding
            | Self::Message
            | Self::Generate
            | Self::StreamGenerate
            | Self::Embed
            | Self::EmbedBatch
            | Self::WebSearch => true,
        }
    }

    /// The field of a request that bounds what is written, as errors and hints name it; none where
    /// nothing is written.
    #[must_use]
    pub const fn output_field(self) -> Option<&'static str> {
        match self {
            Self::ChatCompletion => Some("max_completion_tokens"),
            Self::Completion | Self::Message => Some("max_tokens"),
            Self::Response => Some("max_output_tokens"),
            Self::Generate | Self::StreamGenerate => Some("generationConfig.maxOutputTokens"),
            Self::Embedding
            | Self::ModelList
            | Self::MessageCount
            | Self::Embed
            | Self::EmbedBatch
            | Self::Count
            | Self::WebSearch => None,
        }
    }

    const fn method(self) -> Method {
        match self {
            Self::ModelList | Self::WebSearch => Method::GET,
            Self::ChatCompletion
            | Self::Completion
            | Self::Response
            | Self::Embedding
            | Self::Message
            | Self::MessageCount
            | Self::Generate
            | Self::StreamGenerate
            | Self::Embed
            | Self::EmbedBatch
            | Self::Count => Method::POST,
        }
    }
}

/// Whose API the caller speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spoken {
    /// Ours, in the form of OpenAI: the model's slug says which provider.
    Gateway,
    /// A provider's own.
    Native(ProviderName),
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// By whose API.
    pub spoken: Spoken,
    /// To do what.
    pub operation: Operation,
    /// The model, where the path names it.
    pub model: Option<String>,
    /// The path at the provider, below its base address.
    pub path: String,
    /// The query at the provider, of what is listed alone.
    pub query: Option<String>,
}

/// Why a request goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// Nothing is there.
    #[error("nothing is at this path of the AI proxy")]
    NotFound,
    /// Something is there, for another method.
    #[error("this path of the AI proxy takes {0}")]
    Method(&'static str),
    /// The query is not passed on.
    #[error("the query must have at most {QUERY_MAX_LEN} bytes of visible ASCII")]
    Query,
    /// The query asks for an answer that could not be metered.
    #[error(
        "the parameter {0} of the query is not offered: leave it out, or set alt to sse or json"
    )]
    Form(&'static str),
}

/// Path of the gateway and below a provider's own prefix, what it does.
const GATEWAY: [(&str, Operation); 7] = [
    ("/v1/chat/completions", Operation::ChatCompletion),
    ("/v1/completions", Operation::Completion),
    ("/v1/responses", Operation::Response),
    ("/v1/embeddings", Operation::Embedding),
    ("/v1/models", Operation::ModelList),
    ("/v1/messages", Operation::Message),
    ("/v1/messages/count_tokens", Operation::MessageCount),
];

/// Operations of a Gemini model, as its path has them behind a colon.
const GEMINI: [(&str, Operation); 5] = [
    ("generateContent", Operation::Generate),
    ("streamGenerateContent", Operation::StreamGenerate),
    ("embedContent", Operation::Embed),
    ("batchEmbedContents", Operation::EmbedBatch),
    ("countTokens", Operation::Count),
];

/// Versions of Gemini's API.
const GEMINI_VERSIONS: [&str; 2] = ["v1beta", "v1"];

/// The path of Brave's search.
const BRAVE: &str = "/res/v1/web/search";

/// Routes a request by its method, path and query, as they came, without decoding.
///
/// # Errors
/// [`NoRoute`] for everything that is not listed.
pub fn route(method: &Method, path: &str, query: Option<&str>) -> Result<Route, NoRoute> {
    if path.len() > PATH_MAX_LEN {
        return Err(NoRoute::NotFound);
    }
    let (spoken, operation, model, upstream) = locate(path).ok_or(NoRoute::NotFound)?;
    if *method != operation.method() {
        return Err(NoRoute::Method(if operation.method() == Method::GET {
            "GET"
        } else {
            "POST"
        }));
    }
    let query = query.map(|query| headers::query(operation, query)).transpose()?.flatten();
    Ok(Route { spoken, operation, model, path: upstream.to_owned(), query })
}

/// What the path of one model begins with.
const MODEL: &str = "/v1/models/";

/// Who speaks, to do what, with which model, and the path at the provider.
type Place<'p> = (Spoken, Operation, Option<String>, &'p str);

fn locate(path: &str) -> Option<Place<'_>> {
    if let Some(operation) = listed(path) {
        // Anthropic's shape leads to Anthropic alone.
        let spoken = match operation.dialect() {
            Dialect::Anthropic => Spoken::Native(provider("anthropic")?),
            Dialect::OpenAi | Dialect::Gemini | Dialect::Brave => Spoken::Gateway,
        };
        return Some((spoken, operation, None, path));
    }
    if let Some(model) = path.strip_prefix(MODEL) {
        // SDKs write the slash of a slug so; nothing of it goes anywhere.
        let model = model.replacen("%2F", "/", 1).replacen("%2f", "/", 1);
        let is_slug = model.split('/').all(is_plain);
        return is_slug.then_some((Spoken::Gateway, Operation::ModelList, Some(model), path));
    }
    let (prefix, _) = path.strip_prefix('/')?.split_once('/')?;
    let rest = path.get(prefix.len() + 1..)?;
    let native =
        |operation, model| Some((Spoken::Native(provider(prefix)?), operation, model, rest));
    match prefix {
        "anthropic" | "openai" => {
            let dialect = if prefix == "openai" { Dialect::OpenAi } else { Dialect::Anthropic };
            if rest == "/v1/models" || rest.strip_prefix(MODEL).is_some_and(is_plain) {
                return native(Operation::ModelList, None);
            }
            native(listed(rest).filter(|operation| operation.dialect() == dialect)?, None)
        }
        "google" => {
            let (operation, model) = gemini(rest)?;
            native(operation, model)
        }
        "brave" => (rest == BRAVE).then(|| native(Operation::WebSearch, None)).flatten(),
        _ => None,
    }
}

fn listed(path: &str) -> Option<Operation> {
    GATEWAY.iter().find(|(listed, _)| *listed == path).map(|(_, operation)| *operation)
}

fn provider(name: &str) -> Option<ProviderName> {
    name.parse().ok()
}

/// `/v1beta/models/{model}:{operation}`, or the list of models.
fn gemini(path: &str) -> Option<(Operation, Option<String>)> {
    let (version, rest) = path.strip_prefix('/')?.split_once('/')?;
    if !GEMINI_VERSIONS.contains(&version) {
        return None;
    }
    if rest == "models" {
        return Some((Operation::ModelList, None));
    }
    let Some((model, called)) = rest.strip_prefix("models/")?.split_once(':') else {
        return rest.strip_prefix("models/").filter(|model| is_plain(model)).map(|_| {
            // What is told of a model costs nothing.
            (Operation::ModelList, None)
        });
    };
    let (_, operation) = GEMINI.iter().find(|(listed, _)| *listed == called)?;
    is_plain(model).then(|| (*operation, Some(model.to_owned())))
}

/// Whether a part of a path is a name, and leads nowhere else.
fn is_plain(model: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !model.is_empty() && !model.starts_with('.') && model.bytes().all(plain)
}

/// A model as the gateway names it, by who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slug {
    /// Of whom.
    pub provider: ProviderName,
    /// As that provider names it.
    pub model: String,
}

/// Reads a model of the gateway: `{provider}/{model}` where the provider is one of `direct`, and
/// OpenRouter's name of it otherwise. Aliases have been replaced before.
///
/// # Errors
/// Never where the constant is a name.
pub fn slug(text: &str, direct: &[ProviderName]) -> Result<Slug, InvalidProvider> {
    if let Some((provider, model)) = text.split_once('/')
        && let Some(provider) = direct.iter().find(|direct| direct.as_str() == provider)
    {
        return Ok(Slug { provider: provider.clone(), model: model.to_owned() });
    }
    Ok(Slug { provider: "openrouter".parse()?, model: text.to_owned() })
}

#[cfg(test)]
mod tests;
