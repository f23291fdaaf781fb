//! Answers without a model's words: embeddings, models, counted tokens, and what Brave has found.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Provider, chat::put, chat::put_cost};
use crate::{behaviour::Reporting, call::Endpoint, plan::Plan};

/// Length of an embedding, where none was asked for; and the longest.
const DIMENSIONS: u64 = 8;
const DIMENSIONS_MAX: u64 = 3_072;

/// How many pages a search finds.
const FOUND: u32 = 3;

pub(super) fn whole(plan: &Plan) -> Value {
    let read = plan.counts.read();
    match plan.call.endpoint {
        Endpoint::Embeddings => embeddings(plan),
        Endpoint::CountMessages => json!({ "input_tokens": read }),
        Endpoint::CountContents => json!({
            "totalTokens": read,
            "promptTokensDetails": [{ "modality": "TEXT", "tokenCount": read }],
        }),
        Endpoint::Embed => {
            let mut document = json!({ "embedding": { "values": vector(plan, 0) } });
            put(&mut document, "usageMetadata", embedded(plan));
            document
        }
        Endpoint::BatchEmbed => {
            let made: Vec<Value> =
                (0..plan.call.inputs).map(|at| json!({ "values": vector(plan, at) })).collect();
            let mut document = json!({ "embeddings": made });
            put(&mut document, "usageMetadata", embedded(plan));
            document
        }
        Endpoint::Search => found(plan),
        _ => models(plan),
    }
}

fn embedded(plan: &Plan) -> Option<Value> {
    (plan.behaviour.usage != Reporting::Missing)
        .then(|| json!({ "promptTokenCount": plan.counts.read() }))
}

/// A vector of length one that differs from input to input.
fn vector(plan: &Plan, at: u64) -> Vec<f32> {
    let length = plan.call.dimensions.unwrap_or(DIMENSIONS).clamp(1, DIMENSIONS_MAX);
    (0..length).map(|index| if index == at % length { 1.0 } else { 0.0 }).collect()
}

fn embeddings(plan: &Plan) -> Value {
    let one = |at: u64| {
        let vector = vector(plan, at);
        let embedding = if plan.call.is_base64 {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            Value::from(STANDARD.encode(bytes))
        } else {
            json!(vector)
        };
        json!({ "object": "embedding", "index": at, "embedding": embedding })
    };
    let data: Vec<Value> = (0..plan.call.inputs).map(one).collect();
    let mut document = json!({ "object": "list", "data": data, "model": plan.call.model });
    if plan.behaviour.usage != Reporting::Missing {
        let read = plan.counts.read();
        let mut usage = json!({ "prompt_tokens": read, "total_tokens": read });
        if plan.call.provider == Provider::OpenRouter {
            put_cost(plan, &mut usage);
        }
        put(&mut document, "usage", Some(usage));
    }
    document
}

/// The models of a provider, or the one that was asked for by name.
fn models(plan: &Plan) -> Value {
    let (provider, wanted) = (plan.call.provider, plan.call.model.as_str());
    let one = |id: &str| match provider {
        Provider::Anthropic => json!({
            "type": "model", "id": id, "display_name": id, "created_at": "2026-01-01T00:00:00Z",
            "max_input_tokens": 200_000, "max_tokens": 64_000,
        }),
        Provider::Google => json!({
            "name": format!("models/{id}"), "version": "001", "displayName": id,
            "inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
        }),
        Provider::OpenRouter => json!({
            "id": id, "name": id, "created": 1_767_225_600, "context_length": 200_000,
            "pricing": { "prompt": "0.000001", "completion": "0.000002" },
        }),
        Provider::OpenAi | Provider::Brave => json!({
            "id": id, "object": "model", "created": 1_767_225_600, "owned_by": "simulator",
        }),
    };
    if !wanted.is_empty() {
        return one(wanted);
    }
    let (first, last) = match provider {
        Provider::Anthropic => ("claude-sim-large", "claude-sim-small"),
        Provider::Google => ("gemini-sim-large", "gemini-sim-small"),
        Provider::OpenRouter => ("sim/large", "sim/small"),
        Provider::OpenAi | Provider::Brave => ("gpt-sim-large", "gpt-sim-small"),
    };
    let both = [one(first), one(last)];
    match provider {
        Provider::Anthropic => {
            json!({ "data": both, "has_more": false, "first_id": first, "last_id": last })
        }
        Provider::Google => json!({ "models": both }),
        Provider::OpenRouter => json!({ "data": both }),
        Provider::OpenAi | Provider::Brave => json!({ "object": "list", "data": both }),
    }
}

fn found(plan: &Plan) -> Value {
    let pages: Vec<Value> = (1..=FOUND)
        .map(|at| {
            json!({
                "type": "search_result", "subtype": "generic", "title": format!("Page {at}"),
                "url": format!("https://example.com/{at}"), "description": plan.text(),
                "is_source_local": false, "is_source_both": false, "language": "en",
                "family_friendly": true, "meta_url": {
                    "scheme": "https", "netloc": "example.com", "hostname": "example.com",
                    "favicon": "", "path": format!("> {at}"),
                },
            })
        })
        .collect();
    let main: Vec<Value> =
        (0..FOUND).map(|index| json!({ "type": "web", "index": index, "all": false })).collect();
    json!({
        "type": "search",
        "query": {
            "original": plan.call.query, "show_strict_warning": false, "is_navigational": false,
            "is_news_breaking": false, "country": "us", "more_results_available": false,
        },
        "mixed": { "type": "mixed", "main": main, "top": [], "side": [] },
        "web": { "type": "search", "results": pages, "family_friendly": true },
    })
}
