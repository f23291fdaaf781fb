//! `GET /v1/models`: what can be asked for here, as OpenAI lists models.

use axum::body::Body;
use http::{HeaderValue, Response, header};
use rigbox_ai::{prices::ProviderName, route::headers::Scheme};
use rigbox_store::ai::AiCaller;
use rigbox_types::api::ai::{AiMode, AiProvider};
use serde_json::{Value, json};

use crate::proxy::Proxy;

/// All models with a price at a provider that there is a key for, by their slugs, and the aliases.
pub(crate) fn list(proxy: &Proxy, caller: &AiCaller) -> Response<Body> {
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
    let data: Vec<Value> = aliases.chain(slugs).collect();
    let document = json!({ "object": "list", "data": data });
    let mut answer = Response::new(Body::from(document.to_string()));
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}
