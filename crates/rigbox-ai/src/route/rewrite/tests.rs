use proptest::prelude::*;

use super::*;
use crate::{
    estimate::Request,
    route::{Method, route},
};

fn changed(body: &str, changes: &Changes) -> String {
    String::from_utf8(rewrite(body.as_bytes(), changes).unwrap()).unwrap()
}

#[test]
fn a08_usage_is_asked_for_whatever_the_caller_says() {
    let changes = Changes { include_usage: true, ..Changes::default() };
    for (body, expected) in [
        (r#"{ "a" : 1 }"#, r#"{"stream_options":{"include_usage":true}, "a" : 1 }"#),
        ("{}", r#"{"stream_options":{"include_usage":true}}"#),
        (r#"{"x":{},"stream_options":{}}"#, r#"{"x":{},"stream_options":{"include_usage":true}}"#),
        (
            r#"{"stream_options":{"include_obfuscation":false}}"#,
            r#"{"stream_options":{"include_usage":true,"include_obfuscation":false}}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":false },"b":"é"}"#,
            r#"{"stream_options":{"include_usage":true },"b":"é"}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":null}}"#,
            r#"{"stream_options":{"include_usage":true}}"#,
        ),
        (r#"{"stream_options":null,"c":3}"#, r#"{"stream_options":{"include_usage":true},"c":3}"#),
        (
            r#"{"messages":[{"stream_options":{"include_usage":false}}]}"#,
            r#"{"stream_options":{"include_usage":true},"messages":[{"stream_options":{"include_usage":false}}]}"#,
        ),
        (
            r#"{"\u0073tream_options":{"include_usage":false}}"#,
            r#"{"\u0073tream_options":{"include_usage":true}}"#,
        ),
    ] {
        assert_eq!(changed(body, &changes), expected, "{body}");
    }
    assert_eq!(rewrite(b"[]", &changes), None);
    assert_eq!(rewrite(b"{", &changes), None);
}

#[test]
fn thoughts_that_nobody_keeps_are_told_to_who_gives_them_back() {
    let changes = Changes { include_reasoning: true, ..Changes::default() };
    const ADDED: &str = r#""reasoning.encrypted_content""#;
    for (body, expected) in [
        (r#"{"a":1}"#, format!(r#"{{"include":[{ADDED}],"a":1}}"#)),
        (r#"{"include":[]}"#, format!(r#"{{"include":[{ADDED}]}}"#)),
        (r#"{"include":null}"#, format!(r#"{{"include":[{ADDED}]}}"#)),
        (r#"{"include":["x"]}"#, format!(r#"{{"include":[{ADDED},"x"]}}"#)),
        (
            r#"{"tools":[{"include":[]}]}"#,
            format!(r#"{{"include":[{ADDED}],"tools":[{{"include":[]}}]}}"#),
        ),
    ] {
        assert_eq!(changed(body, &changes), expected, "{body}");
    }
    // It is there, or its provider is to say that it is no list.
    for body in [
        r#"{"include":["x","reasoning.encrypted_content"]}"#,
        r#"{"include":"x"}"#,
        r#"{"include":{}}"#,
    ] {
        assert_eq!(changed(body, &changes), body);
    }
}

#[test]
fn tools_of_the_provider_are_bounded_where_the_caller_says_nothing() {
    let changes = Changes { tool_calls: Some((CallsField::OfEach, 3)), ..Changes::default() };
    for (body, expected) in [
        (
            r#"{"tools":[{"type":"web_search_20250305","name":"web_search"}]}"#,
            r#"{"tools":[{"max_uses":3,"type":"web_search_20250305","name":"web_search"}]}"#,
        ),
        (
            r#"{"tools":[{"max_uses": null,"type":"web_fetch_20250910"},{"type":"custom"},{}]}"#,
            r#"{"tools":[{"max_uses": 3,"type":"web_fetch_20250910"},{"type":"custom"},{}]}"#,
        ),
        (
            r#"{"tools":[{"type":"web_search_20250305","max_uses":9}, {"x":1,"type":"web_search_20260209"}]}"#,
            r#"{"tools":[{"type":"web_search_20250305","max_uses":9}, {"max_uses":3,"x":1,"type":"web_search_20260209"}]}"#,
        ),
        // Only where tools are.
        (r#"{"messages":[{"type":"web_search"}]}"#, r#"{"messages":[{"type":"web_search"}]}"#),
    ] {
        assert_eq!(changed(body, &changes), expected, "{body}");
    }
    let changes = Changes { tool_calls: Some((CallsField::OfAll, 3)), ..Changes::default() };
    for (body, expected) in [
        (r#"{"a":1}"#, r#"{"max_tool_calls":3,"a":1}"#),
        (r#"{"max_tool_calls":null}"#, r#"{"max_tool_calls":3}"#),
    ] {
        assert_eq!(changed(body, &changes), expected, "{body}");
    }
}

#[test]
fn a14_a_bound_is_put_where_the_provider_looks_for_it() {
    let output = |field, body: &str| {
        changed(body, &Changes { output: Some((field, 7)), ..Changes::default() })
    };
    let chat = OutputField::of(Operation::ChatCompletion).unwrap();
    let gemini = OutputField::of(Operation::Generate).unwrap();
    for (field, body, expected) in [
        (chat, r#"{"n":1}"#, r#"{"max_completion_tokens":7,"n":1}"#),
        (chat, r#"{"max_completion_tokens":null}"#, r#"{"max_completion_tokens":7}"#),
        (gemini, "{}", r#"{"generationConfig":{"maxOutputTokens":7}}"#),
        (gemini, r#"{"generationConfig":null}"#, r#"{"generationConfig":{"maxOutputTokens":7}}"#),
        (
            gemini,
            r#"{"generation_config":{"topK":1}}"#,
            r#"{"generation_config":{"maxOutputTokens":7,"topK":1}}"#,
        ),
        (
            gemini,
            r#"{"generationConfig":{"maxOutputTokens":null}}"#,
            r#"{"generationConfig":{"maxOutputTokens":7}}"#,
        ),
    ] {
        assert_eq!(output(field, body), expected, "{body}");
    }
}

#[test]
fn a15_a_response_is_not_kept_whatever_its_default() {
    let changes = Changes { no_store: true, ..Changes::default() };
    for (body, expected) in [
        ("{}", r#"{"store":false}"#),
        (r#"{"input":"store"}"#, r#"{"store":false,"input":"store"}"#),
        (r#"{"store": null }"#, r#"{"store": false }"#),
        (r#"{"a":1,"store":true}"#, r#"{"a":1,"store":false}"#),
        (r#"{"store":false,"b":{"store":true}}"#, r#"{"store":false,"b":{"store":true}}"#),
    ] {
        assert_eq!(changed(body, &changes), expected, "{body}");
    }
}

#[test]
fn a_model_gets_the_providers_name() {
    let changes = Changes { model: Some("gpt \"5\"".to_owned()), ..Changes::default() };
    for (body, expected) in [
        (r#"{"a":1,"model":"openai/gpt-5","b":2}"#, r#"{"a":1,"model":"gpt \"5\"","b":2}"#),
        (r#"{"model" : "a\"\u00e9"}"#, r#"{"model" : "gpt \"5\""}"#),
        (r#"{"a":1}"#, r#"{"model":"gpt \"5\"","a":1}"#),
    ] {
        assert_eq!(changed(body, &changes), expected, "{body}");
    }
}

proptest! {
    #[test]
    fn what_is_rewritten_says_the_same_but_for_the_changes(
        members in prop::collection::btree_map(
            prop::sample::select(vec![
                "model", "stream_options", "generationConfig", "messages", "x", "max_tokens", "store", "é\"\\",
                "include",
            ]),
            prop::sample::select(vec![
                "null", "\"a\\\"b\"", " 1 ", "{}", "{ \"include_usage\" : false }", "[1,{\"model\":\"m\"}]",
                "{\"maxOutputTokens\":null}", "{\"y\":[]}",
            ]),
            0..7,
        ),
        output in prop::option::of(prop::sample::select(vec![
            OutputField::MaxOutputTokens, OutputField::MaxCompletionTokens,
        ])),
    ) {
        let text: Vec<String> = members
            .iter()
            .map(|(name, value)| format!("{}:{value}", serde_json::to_string(name).unwrap()))
            .collect();
        let body = format!("{{{}}}", text.join(" ,"));
        prop_assume!(Request::read(Operation::ChatCompletion, body.as_bytes()).is_ok());
        let options = members.get("stream_options").copied().unwrap_or("null");
        prop_assume!(options == "null" || options.starts_with('{'));
        let changes = Changes {
            include_usage: true,
            model: Some("new".to_owned()),
            output: output.map(|field| (field, 5)),
            tool_calls: Some((CallsField::OfAll, 3)),
            no_store: true,
            include_reasoning: true,
        };
        let new = rewrite(body.as_bytes(), &changes).unwrap();
        let mut expected: serde_json::Value = serde_json::from_str(&body).unwrap();
        expected["model"] = "new".into();
        expected["store"] = false.into();
        expected["max_tool_calls"] = 3.into();
        if expected["stream_options"].is_null() {
            expected["stream_options"] = serde_json::json!({});
        }
        expected["stream_options"]["include_usage"] = true.into();
        let reasoning = serde_json::json!("reasoning.encrypted_content");
        match expected.get_mut("include") {
            None | Some(serde_json::Value::Null) => {
                expected["include"] = serde_json::json!([reasoning]);
            }
            Some(serde_json::Value::Array(list)) => list.insert(0, reasoning),
            Some(_) => {}
        }
        match output {
            Some(OutputField::MaxOutputTokens) => expected["max_output_tokens"] = 5.into(),
            Some(_) => expected["max_completion_tokens"] = 5.into(),
            None => {}
        }
        let new: serde_json::Value = serde_json::from_slice(&new).unwrap();
        prop_assert_eq!(new, expected);
    }

    #[test]
    fn no_request_makes_a_route_panic(path in ".{0,80}", query in ".{0,80}", tail in "[a-z:/.%-]{0,40}") {
        for path in [path, format!("/google/v1beta/models/{tail}"), format!("/openai/{tail}")] {
            drop(route(&Method::POST, &path, Some(&query)));
            drop(route(&Method::GET, &path, None));
        }
        drop(rewrite(tail.as_bytes(), &Changes { include_usage: true, ..Changes::default() }));
    }
}
