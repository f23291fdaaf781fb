//! `GET /v1/models`, and one of them: what can be asked for here, as OpenAI lists models.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use rigbox_ai::{prices::ProviderName, route::headers::Scheme};
use rigbox_store::ai::AiCaller;
use rigbox_types::api::ai::{AiMode, AiProvider};
use serde_json::{Value, json};

use crate::{proxy::Proxy, refusal::Refusal};

/// All models with a price at a provider that there is a key for, by their slugs, and the aliases.
pub(crate) fn list(proxy: &Proxy, caller: &AiCaller) -> Response<Body> {
    answer(&json!({ "object": "list", "data": models(proxy, caller) }))
}

/// One of those, by its slug or, as SDKs of its vendor name it, without the vendor.
pub(crate) fn one(
    proxy: &Proxy,
    caller: &AiCaller,
    named: &str,
) -> Result<Response<Body>, Refusal> {
    let is_it = |model: &&Value| {
        let id = model["id"].as_str().unwrap_or_default();
        id == named || id.split_once('/').is_some_and(|(_, name)| name == named)
    };
    let models = models(proxy, caller);
    let model = models.iter().find(is_it).ok_or_else(|| {
        let message = format!("there is no model {named:?} here; GET /v1/models lists all");
        Refusal::new(StatusCode::NOT_FOUND, "model_not_found", message)
    })?;
    Ok(answer(model))
}

fn models(proxy: &Proxy, caller: &AiCaller) -> Vec<Value> {
    let prices = proxy.prices.load();
    let created = prices.as_of.as_micros() / 1_000_000;
    let model = |id: &str, owner: &str| json!({ "id": id, "object": "model", "created": created, "owned_by": owner });
    let now = proxy.store.now();
    let has_key = |name: &ProviderName| match caller.mode {
        AiMode::Managed => proxy
            .providers
            .get(name)
            .is_some_and(|it| it.key.is_some() || it.scheme == Scheme::Open),
        AiMode::Byok => {
            AiProvider::of_word(name.as_str()).is_some_and(|it| caller.key(it).is_some())
        }
    };
    let is_there = |name: &ProviderName| name.as_str() != "brave" && has_key(name);
    let listed = prices.names(now).filter(|(provider, _)| is_there(provider));
    let slugs = listed.map(|(provider, name)| {
        // OpenRouter's own names have a slash already.
        if provider.as_str() == "openrouter" {
            model(name, provider.as_str())
        } else {
            model(&format!("{provider}/{name}"), provider.as_str())
        }
    });
    let aliases = proxy.aliases.keys().map(|alias| model(alias, "rigbox"));
    aliases.chain(slugs).collect()
}

fn answer(document: &Value) -> Response<Body> {
    let mut answer = Response::new(Body::from(document.to_string()));
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}
