//! What a request asks for, as far as the shape of an answer depends on it.
//! Does not judge a request; `refusal` names what the real provider would not take.

use serde_json::Value;

use crate::{directive, speak::Provider};

/// Where Gemini's requests have their options. Its fields are taken in either spelling.
const CONFIGS: [&str; 2] = ["generationConfig", "generation_config"];

/// One of those options, in either spelling.
fn option<'b>(body: &'b Value, names: [&str; 2]) -> Option<&'b Value> {
    let config = CONFIGS.iter().find_map(|name| body.get(name))?;
    names.iter().find_map(|name| config.get(name))
}

/// What is asked for, by path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Chat,
    Completions,
    Responses,
    Embeddings,
    Models,
    Messages,
    CountMessages,
    Generate,
    StreamGenerate,
    Embed,
    BatchEmbed,
    CountContents,
    Search,
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) provider: Provider,
    pub(crate) endpoint: Endpoint,
    pub(crate) model: String,
    pub(crate) is_stream: bool,
    /// Gemini: whether the stream is of events, and not one array.
    pub(crate) is_sse: bool,
    /// OpenAI: whether the stream shall tell the counts.
    pub(crate) wants_usage: bool,
    /// Name and schema of the first tool on offer.
    pub(crate) tool: Option<(String, Value)>,
    pub(crate) has_tool_result: bool,
    /// What structured output has to fit.
    pub(crate) schema: Option<Value>,
    pub(crate) images: u64,
    pub(crate) text_bytes: u64,
    pub(crate) limit: Option<u64>,
    pub(crate) choices: u64,
    /// Embeddings: how many, how long, and whether as base64.
    pub(crate) inputs: u64,
    pub(crate) dimensions: Option<u64>,
    pub(crate) is_base64: bool,
    pub(crate) tier: Option<String>,
    /// Brave: what is searched for.
    pub(crate) query: String,
}

/// Most choices and embeddings of one request.
const MANY_MAX: u64 = 2048;

/// The endpoint that a path below a provider's prefix leads to, and the model in it.
pub(crate) fn route(provider: Provider, path: &str) -> Option<(Endpoint, &str)> {
    match provider {
        Provider::OpenAi => open_ai(path.strip_prefix("/v1/")?),
        Provider::OpenRouter => open_ai(path.strip_prefix("/api/v1/")?),
        Provider::Anthropic => match path.strip_prefix("/v1/")? {
            "messages" => Some((Endpoint::Messages, "")),
            "messages/count_tokens" => Some((Endpoint::CountMessages, "")),
            rest => models(rest),
        },
        Provider::Google => {
            let rest = path.strip_prefix("/v1beta/").or_else(|| path.strip_prefix("/v1/"))?;
            let Some((model, action)) =
                rest.strip_prefix("models/").and_then(|at| at.split_once(':'))
            else {
                return models(rest);
            };
            let endpoint = match action {
                "generateContent" => Endpoint::Generate,
                "streamGenerateContent" => Endpoint::StreamGenerate,
                "embedContent" => Endpoint::Embed,
                "batchEmbedContents" => Endpoint::BatchEmbed,
                "countTokens" => Endpoint::CountContents,
                _ => return None,
            };
            Some((endpoint, model))
        }
        Provider::Brave => (path == "/res/v1/web/search").then_some((Endpoint::Search, "")),
    }
}

fn open_ai(rest: &str) -> Option<(Endpoint, &str)> {
    match rest {
        "chat/completions" => Some((Endpoint::Chat, "")),
        "completions" => Some((Endpoint::Completions, "")),
        "responses" => Some((Endpoint::Responses, "")),
        "embeddings" => Some((Endpoint::Embeddings, "")),
        rest => models(rest),
    }
}

fn models(rest: &str) -> Option<(Endpoint, &str)> {
    let model = rest.strip_prefix("models")?;
    if model.is_empty() {
        return Some((Endpoint::Models, ""));
    }
    model.strip_prefix('/').filter(|model| !model.is_empty()).map(|model| (Endpoint::Models, model))
}

impl Endpoint {
    /// Whether it is asked with GET.
    pub(crate) const fn is_read(self) -> bool {
        matches!(self, Self::Models | Self::Search)
    }
}

impl Call {
    /// Reads a request.
    pub(crate) fn read(
        provider: Provider,
        at: (Endpoint, &str),
        body: &Value,
        query: &str,
    ) -> Self {
        let (endpoint, model) = at;
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        let model = if model.is_empty() { text("model") } else { model };
        let parameter = |name: &str| {
            let pairs: Vec<(String, String)> =
                serde_urlencoded::from_str(query).unwrap_or_default();
            pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
        };
        let mut seen = Seen::default();
        seen.visit(body);
        let mut text_bytes = 0_u64;
        directive::visit(body, &mut |text| {
            text_bytes = text_bytes.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
        });
        let limit = ["max_completion_tokens", "max_tokens", "max_output_tokens"];
        let limit = limit.iter().find_map(|name| body.get(name)?.as_u64());
        let dimensions =
            ["/dimensions", "/outputDimensionality", "/requests/0/outputDimensionality"];
        Self {
            provider,
            endpoint,
            model: model.to_owned(),
            is_stream: endpoint == Endpoint::StreamGenerate
                || body.get("stream") == Some(&true.into()),
            is_sse: parameter("alt").as_deref() == Some("sse"),
            wants_usage: body.pointer("/stream_options/include_usage") == Some(&true.into()),
            tool: tool(body),
            has_tool_result: has_tool_result(body),
            schema: schema(body),
            images: seen.images,
            text_bytes: text_bytes.saturating_sub(seen.image_bytes),
            limit: limit
                .or_else(|| option(body, ["maxOutputTokens", "max_output_tokens"])?.as_u64()),
            choices: body
                .get("n")
                .or_else(|| option(body, ["candidateCount", "candidate_count"]))
                .and_then(Value::as_u64)
                .unwrap_or(1)
                .clamp(1, MANY_MAX),
            inputs: inputs(body).clamp(1, MANY_MAX),
            dimensions: dimensions.iter().find_map(|at| body.pointer(at)?.as_u64()),
            is_base64: text("encoding_format") == "base64",
            tier: body.get("service_tier").and_then(Value::as_str).map(str::to_owned),
            query: parameter("q").unwrap_or_default(),
        }
    }

    /// What the real provider would say against it: the field, and the words.
    pub(crate) fn refusal(&self, headers: &http::HeaderMap, body: &Value) -> Option<String> {
        let is_missing = |name: &str| body.get(name).is_none();
        let needs = |name: &str| is_missing(name).then(|| self.missing(name));
        match self.endpoint {
            _ if self.provider == Provider::Anthropic
                && !headers.contains_key("anthropic-version") =>
            {
                Some("anthropic-version: header is required".to_owned())
            }
            Endpoint::Chat => needs("model").or_else(|| needs("messages")),
            Endpoint::Completions => needs("model").or_else(|| needs("prompt")),
            Endpoint::Responses | Endpoint::Embeddings => needs("model").or_else(|| needs("input")),
            Endpoint::Messages => {
                needs("model").or_else(|| needs("max_tokens")).or_else(|| needs("messages"))
            }
            Endpoint::CountMessages => needs("model").or_else(|| needs("messages")),
            Endpoint::Generate | Endpoint::StreamGenerate => is_missing("contents")
                .then(|| "* GenerateContentRequest.contents: contents is not specified".to_owned()),
            Endpoint::Search => {
                self.query.is_empty().then(|| "Unable to validate request parameter(s)".to_owned())
            }
            Endpoint::Models | Endpoint::Embed | Endpoint::BatchEmbed | Endpoint::CountContents => {
                None
            }
        }
    }

    fn missing(&self, name: &str) -> String {
        match self.provider {
            Provider::Anthropic => format!("{name}: Field required"),
            _ => format!("Missing required parameter: '{name}'."),
        }
    }
}

/// How many embeddings are asked for. A text and a list of numbers are one input.
fn inputs(body: &Value) -> u64 {
    let many = body.get("requests").or_else(|| body.get("input")).and_then(Value::as_array);
    let many = many.filter(|items| !items.first().is_some_and(Value::is_number));
    many.map_or(1, |items| u64::try_from(items.len()).unwrap_or(u64::MAX))
}

/// Name and schema of the first tool that the client itself would run.
fn tool(body: &Value) -> Option<(String, Value)> {
    let tools = body.get("tools")?.as_array()?;
    tools.iter().find_map(|tool| {
        let declared = ["functionDeclarations", "function_declarations"];
        let declared = declared.iter().find_map(|name| tool.get(name)?.get(0));
        let tool = declared.or_else(|| tool.get("function")).unwrap_or(tool);
        let schemas =
            ["parameters", "parametersJsonSchema", "parameters_json_schema", "input_schema"];
        let schema = schemas.iter().find_map(|name| tool.get(name));
        // What a provider runs itself has a name and no schema.
        let is_ours = schema.is_some() || declared.is_some();
        let name = tool.get("name").and_then(Value::as_str).filter(|_| is_ours)?;
        Some((name.to_owned(), schema.cloned().unwrap_or_default()))
    })
}

/// Whether what was said last is what a tool has answered.
fn has_tool_result(body: &Value) -> bool {
    let turns =
        ["messages", "input", "contents"].iter().find_map(|name| body.get(name)?.as_array());
    let Some(last) = turns.and_then(|turns| turns.last()) else { return false };
    let is_result = |part: &Value| {
        let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
        matches!(kind, "tool_result" | "function_call_output")
            || part.get("functionResponse").is_some()
            || part.get("function_response").is_some()
    };
    let parts = ["content", "parts"].iter().find_map(|name| last.get(name)?.as_array());
    last.get("role").and_then(Value::as_str) == Some("tool")
        || is_result(last)
        || parts.is_some_and(|parts| parts.iter().any(is_result))
}

/// What structured output has to fit. JSON of no schema fits the schema of any object.
fn schema(body: &Value) -> Option<Value> {
    const PLACES: [&str; 4] = [
        "/response_format/json_schema/schema",
        "/text/format/schema",
        "/output_config/format/schema",
        "/output_format/schema",
    ];
    let given = PLACES.iter().find_map(|place| body.pointer(place));
    let given = given
        .or_else(|| option(body, ["responseSchema", "response_schema"]))
        .or_else(|| option(body, ["responseJsonSchema", "response_json_schema"]));
    given.cloned().or_else(|| {
        let kinds = ["/response_format/type", "/text/format/type"];
        let kind = kinds.iter().find_map(|place| body.pointer(place));
        let kind = kind.or_else(|| option(body, ["responseMimeType", "response_mime_type"]));
        let is_json = matches!(kind?.as_str()?, "json_object" | "application/json");
        is_json.then(|| serde_json::json!({ "properties": { "answer": { "type": "string" } } }))
    })
}

#[derive(Debug, Default)]
struct Seen {
    images: u64,
    image_bytes: u64,
}

impl Seen {
    /// Counts images, in the shape of any provider.
    fn visit(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.visit(item)),
            Value::Object(fields) if is_image(value) => {
                self.images += 1;
                let mut bytes = 0_u64;
                for field in fields.values() {
                    directive::visit(field, &mut |text| {
                        bytes = bytes.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
                    });
                }
                self.image_bytes = self.image_bytes.saturating_add(bytes);
            }
            Value::Object(fields) => fields.values().for_each(|field| self.visit(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn is_image(value: &Value) -> bool {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
    let is_part = match kind {
        "image_url" | "input_image" => true,
        "image" => value.get("source").is_some(),
        _ => false,
    };
    let data = ["inlineData", "inline_data", "fileData", "file_data"];
    is_part || data.iter().any(|name| value.get(name).is_some())
}
