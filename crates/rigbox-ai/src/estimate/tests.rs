mod refused;
mod tools;

use proptest::prelude::*;

use super::*;
use crate::prices::tests::{embedded, model};

/// A body as JSON that means the same as what is written here.
fn read(operation: Operation, body: &str) -> Result<Request, RequestError> {
    Request::read(operation, body.as_bytes())
}

/// The estimate of a request to a model of the table.
pub(crate) fn estimate(
    operation: Operation,
    (provider, name): (&str, &str),
    body: &str,
) -> Result<Estimate, EstimateError> {
    Estimate::of(&read(operation, body)?, &embedded(provider, name))
}

const CLAUDE: (&str, &str) = ("anthropic", "claude-opus-4-6");
const GPT: (&str, &str) = ("openai", "gpt-5.4");
const GEMINI: (&str, &str) = ("google", "gemini-2.5-pro");

#[test]
fn a14_what_is_held_is_all_that_may_be_read_and_written() {
    let body = r#"{"model":"claude-opus-4-6","max_tokens":1000,"messages":[{"role":"user","content":"hi"}]}"#;
    let found = estimate(Operation::Message, CLAUDE, body).unwrap();
    assert_eq!(found.input_tokens, body.len() as u64 + OVERHEAD_TOKENS);
    assert_eq!(found.output_tokens, 1000);
    assert!(found.output_is_explicit);
    // $5 and $25 for a million: 500 and 2,500 micro-credits a token.
    let micro = i64::try_from(found.input_tokens).unwrap() * 500 + 1000 * 2_500;
    assert_eq!(found.hold.micro(), micro);
}

#[test]
fn a14_without_a_bound_the_model_has_its_own_and_a_smaller_one_can_be_put_in() {
    let body = r#"{"model":"gpt-5.4","messages":[]}"#;
    let found = estimate(Operation::ChatCompletion, GPT, body).unwrap();
    assert_eq!((found.output_tokens, found.output_is_explicit), (128_000, false));
    // 10 credits pay for 6,666 tokens at $15 a million, less what is read.
    let ten: Credits = "10".parse().unwrap();
    let tokens = found.affordable(ten).unwrap();
    assert!((6_000..6_667).contains(&tokens), "{tokens}");
    let clamped = found.clamped(tokens).unwrap();
    assert!(clamped.hold <= ten && clamped.hold < found.hold);
    assert!(found.clamped(tokens + 1).unwrap().hold > ten);
    assert_eq!(found.affordable(Credits::ZERO), None);
    assert_eq!(found.affordable(Credits::MAX), Some(128_000));
    let explicit = r#"{"max_completion_tokens":5000,"messages":[]}"#;
    let explicit = estimate(Operation::ChatCompletion, GPT, explicit).unwrap();
    assert_eq!(explicit.clamped(10), None);
}

#[test]
fn bounds_of_what_is_written_are_read_in_every_dialect() {
    let bodies = [
        (Operation::ChatCompletion, GPT, r#"{"max_tokens":7}"#, 7),
        (Operation::ChatCompletion, GPT, r#"{"max_tokens":7,"max_completion_tokens":9}"#, 9),
        (Operation::ChatCompletion, GPT, r#"{"max_tokens":7,"n":3}"#, 21),
        (Operation::ChatCompletion, GPT, r#"{"max_tokens":null}"#, 128_000),
        (Operation::ChatCompletion, GPT, r#"{"max_tokens":128000}"#, 128_000),
        (Operation::ChatCompletion, GPT, r#"{"max_tokens":7,"reasoning":{"max_tokens":50}}"#, 57),
        (Operation::Completion, GPT, r#"{"max_tokens":7,"n":2,"best_of":4}"#, 28),
        (Operation::Completion, GPT, r#"{"max_tokens":7,"prompt":["a","b",[1,2]]}"#, 21),
        (Operation::Completion, GPT, r#"{"max_tokens":7,"prompt":[1,2,3]}"#, 7),
        (Operation::Response, GPT, r#"{"max_output_tokens":7}"#, 7),
        (Operation::Message, CLAUDE, r#"{"max_tokens":7,"thinking":{"budget_tokens":5}}"#, 7),
        (Operation::Message, CLAUDE, r#"{"max_tokens":7,"thinking":{"budget_tokens":8}}"#, 15),
        (Operation::Generate, GEMINI, r#"{"generationConfig":{"maxOutputTokens":7}}"#, 7),
        (
            Operation::StreamGenerate,
            GEMINI,
            r#"{"generation_config":{"max_output_tokens":7,"candidate_count":2}}"#,
            14,
        ),
        (
            Operation::Generate,
            GEMINI,
            r#"{"generationConfig":{"maxOutputTokens":7,"thinkingConfig":{"thinkingBudget":-1}}}"#,
            7,
        ),
        (Operation::Generate, GEMINI, "{}", 65_536),
        (Operation::Embedding, ("openai", "text-embedding-3-small"), r#"{"max_tokens":9}"#, 0),
    ];
    for (operation, model, body, tokens) in bodies {
        let found = estimate(operation, model, body).unwrap();
        assert_eq!(found.output_tokens, tokens, "{body}");
    }
}

#[test]
fn what_may_be_read_two_ways_is_refused() {
    let chat = Operation::ChatCompletion;
    for (operation, body, field) in [
        (chat, r#"{"max_tokens":1,"max_tokens":100000}"#, "max_tokens"),
        (chat, r#"{"max_tokens":1,"max_\u0074okens":100000}"#, "max_tokens"),
        (chat, r#"{"max_tokens":1,"max_tokens":null}"#, "max_tokens"),
        (chat, r#"{"model":"a","model":"b"}"#, "model"),
        (chat, r#"{"stream_options":{},"stream_options":{}}"#, "stream_options"),
        (
            chat,
            r#"{"stream_options":{"include_usage":true,"include_usage":false}}"#,
            "stream_options.include_usage",
        ),
        (
            Operation::Generate,
            r#"{"generationConfig":{},"generation_config":{"maxOutputTokens":1}}"#,
            "generation_config",
        ),
        (
            Operation::Generate,
            r#"{"generationConfig":{"maxOutputTokens":1,"max_output_tokens":null}}"#,
            "generationConfig.max_output_tokens",
        ),
        (
            Operation::Message,
            r#"{"tools":[{"type":"web_search_20250305","type":"custom"}]}"#,
            "tools.[].type",
        ),
    ] {
        assert_eq!(read(operation, body), Err(RequestError::Twice(field.to_owned())), "{body}");
    }
    // Content may say the same twice, and tools of one list each have a type.
    let body = r#"{"messages":[{"content":"a","x":1},{"content":"b","x":2}],"tools":[{"type":"function"},{"type":"function"}],"metadata":{"a":1,"a":2}}"#;
    assert!(read(chat, body).is_ok());
}

#[test]
fn what_is_no_bound_is_refused_with_its_field() {
    for (field, value) in [
        ("max_tokens", "\"100\""),
        ("max_tokens", "1e5"),
        ("max_tokens", "-1"),
        ("max_tokens", "1.5"),
        ("max_tokens", "[1]"),
        ("max_tokens", "true"),
        ("n", &format!("128.{}", "0".repeat(2_000))),
        ("n", "0"),
        ("n", "129"),
        ("stream", "\"yes\""),
        ("model", "7"),
        ("model", "{}"),
    ] {
        let body = format!(r#"{{"{field}":{value}}}"#);
        let error = read(Operation::ChatCompletion, &body).unwrap_err();
        assert_eq!(error.field(), Some(field), "{body}");
        assert!(error.hint().contains(field), "{}", error.hint());
    }
}

#[test]
fn bodies_are_bounded_and_strict() {
    let chat = Operation::ChatCompletion;
    for body in
        ["", "[]", "7", "{", "{}x", "{'a':1}", "{\"a\":01}", "{\"a\":\"\n\"}", "{\"a\":NaN}"]
    {
        assert_eq!(read(chat, body), Err(RequestError::NoObject), "{body}");
    }
    assert_eq!(Request::read(chat, b"{\"a\":\"\xff\"}"), Err(RequestError::NoObject));
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(read(chat, &deep), Err(RequestError::TooDeep));
    let long = vec![b' '; BODY_MAX_BYTES + 1];
    assert_eq!(Request::read(chat, &long), Err(RequestError::TooLong));
}

#[test]
fn a15_what_is_not_metered_is_refused() {
    for (operation, body, field) in [
        (Operation::Response, r#"{"background":true}"#, "background"),
        (Operation::Response, r#"{"prompt":{"id":"p"}}"#, "prompt"),
        (Operation::Response, r#"{"conversation":"c"}"#, "conversation"),
        (Operation::Message, r#"{"mcp_servers":[{"name":"m"}]}"#, "mcp_servers"),
        (Operation::Response, r#"{"reasoning":{"mode":"pro"}}"#, "reasoning.mode"),
        (Operation::Response, r#"{"reasoning":{"mode":"pr\u006f"}}"#, "reasoning.mode"),
        (
            Operation::Response,
            r#"{"prompt_cache_options":{"ttl":"12h"}}"#,
            "prompt_cache_options.ttl",
        ),
        (Operation::Message, r#"{"container":"c"}"#, "container"),
        (Operation::Message, r#"{"inference_geo":"us"}"#, "inference_geo"),
        (Operation::ChatCompletion, r#"{"models":["a","b"]}"#, "models"),
        (Operation::ChatCompletion, r#"{"models":[null]}"#, "models"),
        (Operation::ChatCompletion, r#"{"models":[[]]}"#, "models"),
        (Operation::ChatCompletion, r#"{"fallbacks":{}}"#, "fallbacks"),
        (Operation::ChatCompletion, r#"{"plugins":[{"id":"web"}]}"#, "plugins"),
        (Operation::Generate, r#"{"cachedContent":"cachedContents/1"}"#, "cachedContent"),
        (
            Operation::Message,
            r#"{"context_management":{"edits":[{"type":"compact_20260112"}]}}"#,
            "context_management.edits",
        ),
    ] {
        let error = read(operation, body).unwrap_err();
        assert!(matches!(error, RequestError::NotOffered { .. }), "{body}: {error}");
        assert_eq!(error.field(), Some(field), "{body}");
    }
    // The same words elsewhere, or as nothing.
    for (operation, body) in [
        (Operation::Completion, r#"{"prompt":"p"}"#),
        (Operation::Response, r#"{"conversation":null,"background":null}"#),
        (Operation::Response, r#"{"background":false,"reasoning":{"mode":"standard"}}"#),
        (Operation::Response, r#"{"prompt_cache_options":{"mode":"explicit","ttl":"30m"}}"#),
        (Operation::Message, r#"{"mcp_servers":[]}"#),
        (Operation::ChatCompletion, r#"{"models":[],"plugins":[]}"#),
        (Operation::ChatCompletion, r#"{"messages":[{"content":"background"}]}"#),
    ] {
        assert!(read(operation, body).is_ok(), "{body}");
    }
}

/// What of a body's bytes counts as text, and how many images there are; none for all that is read.
fn counted(operation: Operation, body: &str) -> (Option<u64>, u64) {
    let request = read(operation, body).unwrap();
    let text = request.body_bytes - request.media.image_bytes;
    ((!request.media.is_unbounded).then_some(text), request.media.images)
}

#[test]
fn images_count_as_images_and_not_as_text() {
    let pixels = "A".repeat(10_000);
    for (operation, body, images) in [
        (
            Operation::ChatCompletion,
            format!(
                r#"{{"messages":[{{"content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{pixels}"}}}}]}}]}}"#
            ),
            1,
        ),
        (
            Operation::Response,
            format!(
                r#"{{"input":[{{"content":[{{"type":"input_image","image_url":"data:image\/png;base64,{pixels}"}}]}}]}}"#
            ),
            1,
        ),
        (
            Operation::Message,
            format!(
                r#"{{"messages":[{{"content":[{{"type":"image","source":{{"data":"{pixels}","media_type":"image/png","type":"base64"}}}}]}}]}}"#
            ),
            1,
        ),
        (
            Operation::Message,
            format!(
                r#"{{"messages":[{{"content":[{{"type":"tool_result","content":[{{"source":{{"type":"base64","media_type":"image/png","data":"{pixels}"}},"type":"image"}}]}}]}}]}}"#
            ),
            1,
        ),
        (
            Operation::Generate,
            format!(
                r#"{{"contents":[{{"parts":[{{"inlineData":{{"mimeType":"image/png","data":"{pixels}"}}}},{{"inline_data":{{"data":"{pixels}","mime_type":"image/png"}}}}]}}]}}"#
            ),
            2,
        ),
    ] {
        let (text, found) = counted(operation, &body);
        assert_eq!(found, images, "{body:.80}");
        assert!(text.unwrap() < 300, "{text:?} {body:.80}");
    }
    for (operation, body) in [
        (
            Operation::ChatCompletion,
            r#"{"messages":[{"content":[{"image_url":{"url":"https://x/y.png"}}]}]}"#,
        ),
        (
            Operation::Message,
            r#"{"messages":[{"content":[{"type":"image","source":{"type":"url","url":"https://x"}}]}]}"#,
        ),
    ] {
        assert_eq!(counted(operation, body), (Some(body.len() as u64), 1), "{body}");
    }
}

#[test]
fn text_that_looks_like_an_image_counts_as_text() {
    let text = "word ".repeat(2_000);
    for (operation, body) in [
        // Arguments of a call are text to the model.
        (
            Operation::Message,
            format!(
                r#"{{"messages":[{{"content":[{{"type":"tool_use","input":{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{text}"}}}}}}]}}]}}"#
            ),
        ),
        (
            Operation::Generate,
            format!(
                r#"{{"contents":[{{"parts":[{{"functionCall":{{"args":{{"inlineData":{{"mimeType":"image/png","data":"{text}"}}}}}}}}]}}]}}"#
            ),
        ),
        (
            Operation::Message,
            format!(
                r#"{{"messages":[{{"content":[{{"type":"document","source":{{"type":"text","media_type":"text/plain","data":"{text}"}}}}]}}]}}"#
            ),
        ),
        (
            Operation::ChatCompletion,
            format!(r#"{{"metadata":{{"image_url":{{"url":"data:image/png;base64,{text}"}}}}}}"#),
        ),
    ] {
        assert_eq!(counted(operation, &body), (Some(body.len() as u64), 0), "{body:.90}");
    }
    // Where it is in doubt, all that the model reads is held.
    for body in [
        r#"{"messages":[{"content":[{"type":"image","type":"text","source":{"type":"base64","media_type":"image/png","data":"x"}}]}]}"#,
        r#"{"messages":[{"content":[{"type":"image","source":{"type":"base64","media_type":"image/png","media_type":"text/plain","data":"x"}}]}]}"#,
        r#"{"messages":[{"content":[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"x"}}]}]}"#,
        r#"{"messages":[{"content":[{"type":"document","source":{"type":"url","url":"https://x"}}]}]}"#,
    ] {
        assert_eq!(counted(Operation::Message, body).0, None, "{body}");
    }
}

#[test]
fn what_no_byte_bounds_is_held_as_all_that_the_model_reads() {
    for (operation, body) in [
        (
            Operation::ChatCompletion,
            r#"{"messages":[{"content":[{"type":"input_audio","input_audio":{"data":"x"}}]}]}"#,
        ),
        (
            Operation::ChatCompletion,
            r#"{"messages":[{"content":[{"type":"file","file":{"file_data":"x"}}]}]}"#,
        ),
        (
            Operation::Response,
            r#"{"input":[{"content":[{"type":"input_file","file_url":"https://x"}]}]}"#,
        ),
        (Operation::Response, r#"{"input":[{"id":"i","content":"x"}]}"#),
        (Operation::Generate, r#"{"contents":[{"parts":[{"fileData":{"fileUri":"https://x"}}]}]}"#),
        (
            Operation::Generate,
            r#"{"contents":[{"parts":[{"inlineData":{"mimeType":"audio/mp3","data":"x"}}]}]}"#,
        ),
    ] {
        assert_eq!(counted(operation, body).0, None, "{body}");
    }
    assert!(counted(Operation::Response, r#"{"input":[{"type":"message","id":"i"}]}"#).0.is_some());
}

#[test]
fn fast_is_openais_other_word_for_priority() {
    let of = ("openai", "gpt-5.4");
    let hold = |tier: &str| {
        let body = format!(
            r#"{{"service_tier":"{tier}","max_tokens":10,"x":"{}"}}"#,
            &"12345678"[tier.len()..]
        );
        estimate(Operation::ChatCompletion, of, &body).map(|estimate| estimate.hold)
    };
    assert_eq!(hold("fast"), hold("priority"));
    assert!(hold("fast").unwrap() > hold("default").unwrap());
}

#[test]
fn caches_and_tiers_have_their_prices_in_the_hold() {
    let price = |body: &str| {
        let found = estimate(Operation::Message, CLAUDE, body).unwrap();
        found.input_cost.pico() / u128::from(found.input_tokens)
    };
    assert_eq!(price(r#"{"max_tokens":1}"#), 5_000_000);
    assert_eq!(
        price(r#"{"max_tokens":1,"system":[{"cache_control":{"type":"ephemeral"}}]}"#),
        6_250_000
    );
    assert_eq!(price(r#"{"max_tokens":1,"system":[{"cache_control":{"ttl":"1h"}}]}"#), 10_000_000);
    assert_eq!(
        price(r#"{"max_tokens":1,"system":[{"cache\u005fcontrol":{"ttl":"\u0031h"}}]}"#),
        10_000_000
    );
    assert_eq!(price(r#"{"max_tokens":1,"speed":"fast"}"#), 30_000_000);
    let tier = |tier: &str| {
        let body = format!(r#"{{"max_tokens":1000,"service_tier":"{tier}"}}"#);
        estimate(Operation::ChatCompletion, GPT, &body).map(|found| found.output_price.pico())
    };
    assert_eq!(tier("priority"), Ok(30_000_000));
    // It may be answered as standard.
    assert_eq!(tier("flex"), Ok(15_000_000));
    assert_eq!(tier("auto"), Ok(15_000_000));
    assert!(matches!(tier("secret"), Err(EstimateError::NoPrice { .. })));
}

#[test]
fn a18_a_long_input_is_held_at_the_long_rates() {
    let text = "x".repeat(200_000);
    let body = format!(
        r#"{{"contents":[{{"parts":[{{"text":"{text}"}}]}}],"generationConfig":{{"maxOutputTokens":1}}}}"#
    );
    let found = estimate(Operation::Generate, GEMINI, &body).unwrap();
    assert_eq!(found.output_price.pico(), 15_000_000);
    assert!(found.input_cost >= crate::money::Cost::paid_by("50".parse().unwrap()));
}

#[test]
fn a_search_is_held_by_the_call() {
    let found = Estimate::of_call(Operation::WebSearch, &embedded("brave", "web/search")).unwrap();
    assert_eq!(found.hold.micro(), 500_000);
    assert_eq!((found.input_tokens, found.output_tokens), (0, 0));
}

#[test]
fn for_whom_a_call_is_is_read_and_cut() {
    let user = |user: &str| {
        read(Operation::ChatCompletion, &format!(r#"{{"user":"{user}"}}"#)).unwrap().user
    };
    assert_eq!(user(" ada ").as_deref(), Some("ada"));
    assert_eq!(user("  "), None);
    assert_eq!(user(&"😀".repeat(1_000)).unwrap().chars().count(), 256);
}

#[test]
fn a_hold_that_no_account_may_have_is_refused() {
    let dear =
        model("rates = { input = \"10000\", output = \"10000\" }\nimage_tokens = 1").unwrap();
    let request = read(Operation::ChatCompletion, r#"{"n":128}"#).unwrap();
    assert!(Estimate::of(&request, &dear).is_ok());
    let mut request = request;
    request.answers = u64::MAX;
    assert_eq!(Estimate::of(&request, &dear), Err(EstimateError::TooMuch));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for operation in Operation::ALL {
            drop(Request::read(operation, &bytes));
        }
    }

    #[test]
    fn no_json_makes_it_panic(
        members in prop::collection::vec(
            (
                prop::sample::select(words::WORDS),
                prop::sample::select(vec![
                    "1", "-1", "null", "true", "\"data:image/png;base64,AA\"", "\"web_search\"", "[1,\"a\"]",
                    "[{\"type\":\"image\",\"source\":{\"data\":\"AA\"}}]", "{}", "{\"type\":\"x\"}",
                    "[{\"content\":[{\"source\":{},\"source\":{}}]}]", "18446744073709551615",
                ]),
            ),
            0..8,
        ),
    ) {
        let members: Vec<String> =
            members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let body = format!("{{{}}}", members.join(","));
        for operation in Operation::ALL {
            if let Ok(request) = Request::read(operation, body.as_bytes()) {
                for named in [CLAUDE, GPT, GEMINI] {
                    drop(Estimate::of(&request, &embedded(named.0, named.1)));
                }
            }
        }
    }
}

#[test]
fn a_body_of_nothing_but_fields_is_read_in_a_moment() {
    // Each name twice over within an object that configures, and as many tools as fit.
    let names: Vec<String> = words::WORDS.iter().map(|word| format!("\"{word}\":1")).collect();
    let inner: Vec<String> =
        words::WORDS.iter().map(|word| format!("\"{word}\":{{{}}}", names.join(","))).collect();
    let tools = vec![r#"{"type":"function"}"#; 100_000].join(",");
    let body = format!(r#"{{"thinking":{{{}}},"tools":[{tools}]}}"#, inner.join(","));
    // Quadratic work would take minutes.
    assert!(read(Operation::Response, &body).is_err());
}
