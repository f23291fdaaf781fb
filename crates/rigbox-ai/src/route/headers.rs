//! What goes on to a provider of a request's headers and query, what is added, and what comes back.
//! Invariants: only what is listed passes, so that no credential, host or account that a caller names
//! reaches a provider; a key is never in `Debug`, and sensitive wherever it is in a header; an answer
//! brings no cookie, redirect or account of ours to a caller.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};

use super::{NoRoute, Operation, QUERY_MAX_LEN};
use crate::usage::Dialect;

/// What passes of a request. Not `accept-encoding`: usage is read from plain bytes.
const REQUEST: [&str; 8] = [
    "accept",
    "accept-language",
    "anthropic-beta",
    "anthropic-version",
    "content-type",
    "openai-beta",
    "user-agent",
    "x-goog-api-client",
];

/// Features of Anthropic's that change neither a price nor a limit, and reach nothing that is stored,
/// without their dates. What some of them bring is refused or priced by its field: code that runs, pages
/// that are read, speed.
const BETAS: [&str; 20] = [
    "claude-code",
    "code-execution",
    "computer-use",
    "context-management",
    "effort",
    "extended-cache-ttl",
    "fast-mode",
    "fine-grained-tool-streaming",
    "interleaved-thinking",
    "max-tokens-3-5-sonnet",
    "model-context-window-exceeded",
    "pdfs",
    "prompt-caching",
    "search-results",
    "structured-outputs",
    "text-editor",
    "token-counting",
    "token-efficient-tools",
    "web-fetch",
    "web-search",
];

/// What passes of an answer. Not the limits of our account.
const ANSWER: [&str; 7] = [
    "cache-control",
    "content-length",
    "content-type",
    "openai-processing-ms",
    "request-id",
    "retry-after",
    "x-request-id",
];

/// Parameters of a query that pass, whatever they say: Brave's own, as it documents them.
const BRAVE_PARAMETERS: [&str; 16] = [
    "q",
    "country",
    "search_lang",
    "ui_lang",
    "count",
    "offset",
    "safesearch",
    "freshness",
    "text_decorations",
    "spellcheck",
    "result_filter",
    "goggles",
    "goggles_id",
    "units",
    "extra_snippets",
    "summary",
];

/// Those of a list of models, by page: Anthropic's and Google's.
const LIST_PARAMETERS: [&str; 5] = ["limit", "after_id", "before_id", "pageSize", "pageToken"];

/// Those of Google's that choose the form of an answer, or what is in it: one that has lost its usage
/// cannot be metered.
const GOOGLE_FORMS: [&str; 6] = ["alt", "$alt", "fields", "$fields", "callback", "$callback"];

/// How a provider wants its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `authorization: Bearer …` (OpenAI and who copies it).
    Bearer,
    /// `x-api-key` (Anthropic).
    ApiKey,
    /// `x-goog-api-key` (Google).
    Google,
    /// `x-subscription-token` (Brave).
    Subscription,
    /// None: a provider of the operator's own network.
    Open,
}

/// Who pays a provider for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payer {
    /// The platform, with a key of its own: what could change a price or a limit does not pass.
    Platform,
    /// The owner of the workspace, with a key of theirs.
    Owner,
}

/// A key that no header can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a provider key must be visible ASCII")]
pub struct InvalidKey;

/// The headers of a request to a provider: what is listed of the caller's, and our key.
///
/// # Errors
/// [`InvalidKey`] where the key fits into no header.
pub fn upstream(
    caller: &HeaderMap,
    scheme: Scheme,
    key: &SecretString,
    payer: Payer,
) -> Result<HeaderMap, InvalidKey> {
    let mut headers = HeaderMap::new();
    for name in REQUEST {
        for value in caller.get_all(name) {
            headers.append(HeaderName::from_static(name), value.clone());
        }
    }
    if payer == Payer::Platform {
        // Nothing that is reachable needs one of OpenAI's.
        headers.remove("openai-beta");
        if let Some(betas) = headers.remove("anthropic-beta").and_then(|_| betas(caller)) {
            headers.insert("anthropic-beta", betas);
        }
    }
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let (name, value) = match scheme {
        Scheme::Bearer => {
            let value = SecretString::from(format!("Bearer {}", key.expose_secret()));
            (header::AUTHORIZATION, value)
        }
        Scheme::ApiKey => (HeaderName::from_static("x-api-key"), key.clone()),
        Scheme::Google => (HeaderName::from_static("x-goog-api-key"), key.clone()),
        Scheme::Subscription => (HeaderName::from_static("x-subscription-token"), key.clone()),
        Scheme::Open => return Ok(headers),
    };
    let is_visible = key.expose_secret().bytes().all(|byte| byte.is_ascii_graphic());
    if key.expose_secret().is_empty() || !is_visible {
        return Err(InvalidKey);
    }
    let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| InvalidKey)?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(headers)
}

/// The features that are listed, of those that a caller asks for; none where none is.
fn betas(caller: &HeaderMap) -> Option<HeaderValue> {
    let asked = caller.get_all("anthropic-beta").iter().filter_map(|value| value.to_str().ok());
    let listed = |beta: &&str| BETAS.contains(&undated(beta));
    let kept: Vec<&str> =
        asked.flat_map(|value| value.split(',')).map(str::trim).filter(listed).collect();
    HeaderValue::from_str(&kept.join(",")).ok().filter(|kept| !kept.is_empty())
}

/// A feature's name without the date at its end.
fn undated(beta: &str) -> &str {
    let is_of_date = |byte: char| byte.is_ascii_digit() || byte == '-';
    beta.trim_end_matches(is_of_date)
}

/// The headers of an answer to a caller.
#[must_use]
pub fn downstream(provider: &HeaderMap) -> HeaderMap {
    let listed = provider.iter().filter(|(name, _)| ANSWER.contains(&name.as_str()));
    listed.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Whether the bytes of an answer can be read as they are.
#[must_use]
pub fn is_plain(answer: &HeaderMap) -> bool {
    let mut encodings = answer.get_all(header::CONTENT_ENCODING).iter();
    encodings.all(|value| value.as_bytes().eq_ignore_ascii_case(b"identity") || value.is_empty())
}

/// What is listed of a query; none where nothing is. What is not, is dropped, keys among it: a provider
/// that does not see it answers as if it were not there. Only what would have made another answer is
/// refused, so that nobody takes one form for the other.
pub(super) fn query(operation: Operation, query: &str) -> Result<Option<String>, NoRoute> {
    if query.len() > QUERY_MAX_LEN || !query.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(NoRoute::Query);
    }
    let mut kept = Vec::new();
    // Both ways of separating, as some servers know both.
    for parameter in query.split(['&', ';']) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        kept.extend(passing(operation, &decoded(name), value)?);
    }
    Ok((!kept.is_empty()).then(|| kept.join("&")))
}

/// A parameter as it is passed on, under the name that is listed.
fn passing(operation: Operation, name: &str, value: &str) -> Result<Option<String>, NoRoute> {
    let listed = |names: &[&'static str]| {
        let name = names.iter().find(|listed| **listed == name)?;
        Some(format!("{name}={value}"))
    };
    match (operation, operation.dialect()) {
        (Operation::ModelList, _) => Ok(listed(&LIST_PARAMETERS)),
        (_, Dialect::Brave) => Ok(listed(&BRAVE_PARAMETERS)),
        (_, Dialect::Anthropic) => {
            let is_beta = name == "beta" && decoded(value) == "true";
            Ok(is_beta.then(|| "beta=true".to_owned()))
        }
        (_, Dialect::Gemini) => match (name, decoded(value).as_str()) {
            ("alt", "sse") => Ok(Some("alt=sse".to_owned())),
            ("alt", "json") => Ok(Some("alt=json".to_owned())),
            _ => match GOOGLE_FORMS.iter().find(|form| form.eq_ignore_ascii_case(name)) {
                Some(form) => Err(NoRoute::Form(form)),
                None => Ok(None),
            },
        },
        (_, Dialect::OpenAi) => Ok(None),
    }
}

/// Percent-encoding undone, as far as it is one.
fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let hex =
            tail.get(..2).filter(|_| byte == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
