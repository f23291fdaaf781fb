use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;

use super::{
    headers::{InvalidKey, Payer, Scheme, downstream, is_plain},
    *,
};

/// The headers of a request that its owner pays for.
fn upstream(
    caller: &HeaderMap,
    scheme: Scheme,
    key: &SecretString,
) -> Result<HeaderMap, InvalidKey> {
    headers::upstream(caller, scheme, key, Payer::Owner)
}

fn post(path: &str) -> Result<Route, NoRoute> {
    route(&Method::POST, path, None)
}

fn place(path: &str) -> Option<(String, Operation, Option<String>, String)> {
    let found =
        [Method::POST, Method::GET].iter().find_map(|method| route(method, path, None).ok())?;
    let spoken = match found.spoken {
        Spoken::Gateway => "gateway".to_owned(),
        Spoken::Native(provider) => provider.to_string(),
    };
    Some((spoken, found.operation, found.model, found.path))
}

#[test]
fn paths_of_the_contract_lead_where_it_says() {
    for (path, spoken, operation, upstream) in [
        ("/v1/chat/completions", "gateway", Operation::ChatCompletion, "/v1/chat/completions"),
        ("/v1/completions", "gateway", Operation::Completion, "/v1/completions"),
        ("/v1/responses", "gateway", Operation::Response, "/v1/responses"),
        ("/v1/embeddings", "gateway", Operation::Embedding, "/v1/embeddings"),
        ("/v1/models", "gateway", Operation::ModelList, "/v1/models"),
        ("/v1/messages", "anthropic", Operation::Message, "/v1/messages"),
        ("/anthropic/v1/messages", "anthropic", Operation::Message, "/v1/messages"),
        ("/anthropic/v1/models", "anthropic", Operation::ModelList, "/v1/models"),
        ("/openai/v1/responses", "openai", Operation::Response, "/v1/responses"),
        ("/brave/res/v1/web/search", "brave", Operation::WebSearch, "/res/v1/web/search"),
        ("/google/v1beta/models", "google", Operation::ModelList, "/v1beta/models"),
    ] {
        let expected = (spoken.to_owned(), operation, None, upstream.to_owned());
        assert_eq!(place(path), Some(expected), "{path}");
    }
    // As google-genai for Python asks.
    let stable = place("/google/v1/models/gemini-2.5-pro:generateContent").unwrap();
    assert_eq!(
        (stable.1, stable.3.as_str()),
        (Operation::Generate, "/v1/models/gemini-2.5-pro:generateContent")
    );
    let counted = place("/v1/messages/count_tokens").unwrap();
    assert_eq!(counted.1, Operation::MessageCount);
    let (spoken, operation, model, upstream) =
        place("/google/v1beta/models/gemini-2.5-pro:streamGenerateContent").unwrap();
    assert_eq!((spoken.as_str(), operation), ("google", Operation::StreamGenerate));
    assert_eq!(model.as_deref(), Some("gemini-2.5-pro"));
    assert_eq!(upstream, "/v1beta/models/gemini-2.5-pro:streamGenerateContent");
}

#[test]
fn a15_every_way_to_a_provider_is_priced_or_free_at_the_provider() {
    let free: Vec<Operation> =
        Operation::ALL.into_iter().filter(|operation| !operation.is_priced()).collect();
    assert_eq!(free, [Operation::ModelList, Operation::MessageCount, Operation::Count]);
    for (path, operation) in GATEWAY {
        assert_eq!(place(path).unwrap().1, operation);
    }
}

#[test]
fn a30_paths_that_are_not_listed_lead_nowhere() {
    for path in [
        "",
        "/",
        "/v1",
        "/v1/",
        "/v1/chat/completions/",
        "/v1/chat/completions/x",
        "/v1//chat/completions",
        "/v1/files",
        "/v1/batches",
        "/v1/fine_tuning/jobs",
        "/v1/realtime",
        "/v1/responses/resp_1",
        "/v1/organization/costs",
        "/openai/v1/files",
        "/openai/v1/messages",
        "/openai/v1/../v1/files",
        "/openai/v1/chat/completions/../../files",
        "/openai/v1/%63hat/completions",
        "/openai//v1/chat/completions",
        "/openai/v1/chat/completions#x",
        "/openai/v1/chat/completions?x",
        "/OpenAI/v1/chat/completions",
        "/anthropic/v1/messages/batches",
        "/anthropic/v1/chat/completions",
        "/anthropic/v1/organizations/me",
        "/google/v1beta/models/a/b:generateContent",
        "/google/v1beta/models/..:generateContent",
        "/google/v1beta/models/%2e%2e:generateContent",
        "/google/v1beta/models/:generateContent",
        "/google/v1beta/models/m:generateContent:countTokens",
        "/google/v1beta/models/m:batchGenerateContent",
        "/google/v1beta/cachedContents",
        "/google/v1beta/files",
        "/google/upload/v1beta/files",
        "/google/v1alpha/models/m:generateContent",
        "/brave/res/v1/images/search",
        "/evil.example/v1/chat/completions",
        "http://evil.example/v1/chat/completions",
        "//evil.example/v1/chat/completions",
    ] {
        assert_eq!(place(path), None, "{path}");
    }
    assert_eq!(post(&format!("/v1/{}", "x".repeat(10_000))), Err(NoRoute::NotFound));
    assert_eq!(post("/v1/models"), Err(NoRoute::Method("GET")));
    assert_eq!(route(&Method::DELETE, "/v1/chat/completions", None), Err(NoRoute::Method("POST")));
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

#[test]
fn a26_a27_nothing_that_a_caller_sends_chooses_where_a_request_goes() {
    let caller = headers(&[
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "host=evil.example"),
        ("x-base-url", "https://evil.example"),
        ("openai-organization", "org-x"),
        ("openai-project", "p"),
        ("connection", "x-secret"),
        ("cookie", "a=b"),
        ("x-rigbox-subject", "ada"),
        ("content-type", "application/json"),
        ("anthropic-version", "2023-06-01"),
    ]);
    let sent = upstream(&caller, Scheme::Open, &SecretString::from("k")).unwrap();
    let mut names: Vec<&str> = sent.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept-encoding", "anthropic-version", "content-type"]);
}

#[test]
fn a30_every_credential_of_a_caller_is_dropped_and_ours_is_added_once() {
    let caller = headers(&[
        ("authorization", "Bearer sk-caller"),
        ("authorization", "Bearer sk-second"),
        ("x-api-key", "sk-caller"),
        ("x-goog-api-key", "sk-caller"),
        ("api-key", "sk-caller"),
        ("x-subscription-token", "sk-caller"),
        ("proxy-authorization", "sk-caller"),
    ]);
    let key = SecretString::from("sk-canary");
    for (scheme, name, value) in [
        (Scheme::Bearer, "authorization", "Bearer sk-canary"),
        (Scheme::ApiKey, "x-api-key", "sk-canary"),
        (Scheme::Google, "x-goog-api-key", "sk-canary"),
        (Scheme::Subscription, "x-subscription-token", "sk-canary"),
    ] {
        let sent = upstream(&caller, scheme, &key).unwrap();
        assert_eq!(sent.len(), 2, "{name}");
        assert_eq!(sent.get(name).unwrap(), value);
        assert!(!format!("{sent:?}").contains("canary"), "{name}");
    }
    assert_eq!(upstream(&caller, Scheme::Open, &key).unwrap().len(), 1);
    for bad in ["", "a b", "a\r\nx: y", "é"] {
        let found = upstream(&caller, Scheme::Bearer, &SecretString::from(bad));
        assert!(found.is_err(), "{bad:?}");
    }
}

#[test]
fn a15_features_that_change_a_price_or_a_limit_pass_with_an_owners_key_alone() {
    let caller = headers(&[
        ("anthropic-beta", "prompt-caching-2024-07-31, context-1m-2025-08-07"),
        ("anthropic-beta", "output-128k-2025-02-19,claude-code-20250219,mcp-client-2025-11-20"),
        ("anthropic-beta", "interleaved-thinking-2025-05-14-x,,prompt-caching"),
        ("openai-beta", "x=1"),
    ]);
    let sent = |caller, payer| {
        headers::upstream(caller, Scheme::Open, &SecretString::from("k"), payer).unwrap()
    };
    let managed = sent(&caller, Payer::Platform);
    let betas: Vec<_> = managed.get_all("anthropic-beta").iter().collect();
    assert_eq!(betas, ["prompt-caching-2024-07-31,claude-code-20250219,prompt-caching"]);
    assert!(!managed.contains_key("openai-beta"));
    let own = sent(&caller, Payer::Owner);
    assert_eq!(own.get_all("anthropic-beta").iter().count(), 3);
    assert!(own.contains_key("openai-beta"));
    let none = headers(&[("anthropic-beta", "files-api-2025-04-14")]);
    assert!(!sent(&none, Payer::Platform).contains_key("anthropic-beta"));
}

/// What is left of a query.
fn query(path: &str, query: &str) -> Result<Option<String>, NoRoute> {
    let method = if path.contains("search") || path.ends_with("/models") {
        Method::GET
    } else {
        Method::POST
    };
    route(&method, path, Some(query)).map(|route| route.query)
}

const CONTENT: &str = "/google/v1beta/models/m:generateContent";

#[test]
fn a34_keys_in_a_query_are_dropped() {
    for (given, left) in [
        ("key=AIza", None),
        ("alt=sse&key=AIza", Some("alt=sse")),
        ("KEY=AIza&alt=sse", Some("alt=sse")),
        ("%6bey=AIza&alt=sse", Some("alt=sse")),
        ("%6B%65%79=AIza", None),
        ("alt=json;key=AIza", Some("alt=json")),
        ("api_key=x&access_token=y&$key=z&key", None),
        ("a=%zz", None),
        ("", None),
    ] {
        assert_eq!(query(CONTENT, given), Ok(left.map(str::to_owned)), "{given}");
    }
    assert_eq!(query(CONTENT, "a=\r\nx"), Err(NoRoute::Query));
    assert_eq!(query(CONTENT, &"a".repeat(5_000)), Err(NoRoute::Query));
}

#[test]
fn a15_only_what_is_listed_of_a_query_reaches_a_provider() {
    let search = "/brave/res/v1/web/search";
    for (path, given, left) in [
        ("/v1/messages", "beta=true", Some("beta=true")),
        ("/v1/messages", "beta=tr%75e&x=1", Some("beta=true")),
        ("/anthropic/v1/messages", "beta=false&fields=id", None),
        ("/v1/chat/completions", "api-version=1&beta=true&alt=sse", None),
        ("/openai/v1/responses", "include=x", None),
        (search, "q=a%20b&count=3&key=k&x=1", Some("q=a%20b&count=3")),
        (search, "%71=a&Q=b", Some("q=a")),
        ("/anthropic/v1/models", "limit=5&beta=true", Some("limit=5")),
        ("/google/v1beta/models", "pageSize=5&key=k", Some("pageSize=5")),
        (CONTENT, "alt=s%73e&prettyPrint=false&quotaUser=u", Some("alt=sse")),
    ] {
        assert_eq!(query(path, given), Ok(left.map(str::to_owned)), "{path}?{given}");
    }
    // Usage could not be read of what comes then.
    for (given, form) in [
        ("alt=proto", "alt"),
        ("alt=media", "alt"),
        ("alt=sse&alt=", "alt"),
        ("Alt=json", "alt"),
        ("$alt=proto", "$alt"),
        ("fields=candidates", "fields"),
        ("alt=sse&%66ields=candidates", "fields"),
        ("FIELDS=candidates", "fields"),
        ("%24fields=candidates", "$fields"),
        ("callback=f", "callback"),
    ] {
        assert_eq!(query(CONTENT, given), Err(NoRoute::Form(form)), "{given}");
    }
}

#[test]
fn a21_answers_are_asked_for_in_plain_bytes_and_others_are_known() {
    let caller = headers(&[("accept-encoding", "gzip, br")]);
    let sent = upstream(&caller, Scheme::Open, &SecretString::from("k")).unwrap();
    assert_eq!(sent.get("accept-encoding").unwrap(), "identity");
    assert!(is_plain(&headers(&[])) && is_plain(&headers(&[("content-encoding", "identity")])));
    for encoding in ["gzip", "br", "identity, gzip"] {
        assert!(!is_plain(&headers(&[("content-encoding", encoding)])), "{encoding}");
    }
}

#[test]
fn an_answer_brings_no_account_of_ours() {
    let answer = headers(&[
        ("content-type", "text/event-stream"),
        ("retry-after", "3"),
        ("request-id", "r"),
        ("openai-organization", "ours"),
        ("set-cookie", "a=b"),
        ("location", "https://elsewhere.example"),
        ("anthropic-organization-id", "ours"),
        ("anthropic-ratelimit-tokens-limit", "80000"),
    ]);
    let mut names: Vec<String> = downstream(&answer).keys().map(ToString::to_string).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-type", "request-id", "retry-after"]);
}

#[test]
fn a_slug_picks_the_provider() {
    let direct: Vec<ProviderName> =
        ["anthropic", "openai", "google"].iter().map(|name| name.parse().unwrap()).collect();
    for (text, provider, model) in [
        ("anthropic/claude-opus-4-6", "anthropic", "claude-opus-4-6"),
        ("google/gemini-2.5-pro", "google", "gemini-2.5-pro"),
        ("mistralai/mistral-large", "openrouter", "mistralai/mistral-large"),
        ("gpt-5.4", "openrouter", "gpt-5.4"),
        ("openai", "openrouter", "openai"),
        ("/x", "openrouter", "/x"),
    ] {
        let found = slug(text, &direct).unwrap();
        assert_eq!((found.provider.as_str(), found.model.as_str()), (provider, model), "{text}");
    }
}
