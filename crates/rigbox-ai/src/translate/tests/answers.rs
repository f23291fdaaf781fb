use super::*;

fn whole(target: &Target<'_>, rest: &str, body: &str) -> String {
    let answer = answering(target, rest).whole(200, body.as_bytes(), STAMP);
    assert_eq!(answer.status, 200, "{body}");
    String::from_utf8(answer.body).unwrap()
}

/// An answer with these choices and this usage.
fn completion(choices: &str, usage: &str) -> String {
    format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"x/y","choices":[{choices}],"usage":{{{usage}}}}}"#
    )
}

fn choice(index: u64, message: &str, finish: &str) -> String {
    format!(
        r#"{{"index":{index},"message":{{"role":"assistant",{message}}},"logprobs":null,"finish_reason":"{finish}"}}"#
    )
}

#[test]
fn a_message_becomes_a_completion() {
    let message = r#"{"id":"msg","type":"message","role":"assistant","model":"claude","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"a\u00e9"},{"type":"text","text":"b"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"cache_creation_input_tokens":7,"cache_read_input_tokens":90,"output_tokens":5}}"#;
    let usage = r#""prompt_tokens":100,"completion_tokens":5,"total_tokens":105,"prompt_tokens_details":{"cached_tokens":90,"cache_write_tokens":7}"#;
    let said = choice(0, r#""content":"a\u00e9b","refusal":null"#, "stop");
    assert_eq!(whole(&CLAUDE, r#""n":1"#, message), completion(&said, usage));
}

#[test]
fn a04_cached_tokens_are_among_those_of_the_prompt() {
    let message = r#"{"content":[],"stop_reason":"end_turn","usage":{"input_tokens":3,"cache_creation_input_tokens":12304,"cache_read_input_tokens":0,"output_tokens":550}}"#;
    let answer: serde_json::Value =
        serde_json::from_str(&whole(&CLAUDE, r#""n":1"#, message)).unwrap();
    assert_eq!(answer["usage"]["prompt_tokens"], 12307);
    assert_eq!(answer["usage"]["total_tokens"], 12857);
    // What we say is read as what the provider has said.
    let said = answer.to_string();
    let report = crate::usage::tests::report(Dialect::OpenAi, crate::usage::Framing::Json, &said);
    assert_eq!((report.usage.input, report.usage.cache_write_5m), (3, 12304));
}

#[test]
fn a07_thoughts_are_among_the_tokens_of_the_completion() {
    let response = r#"{"candidates":[{"content":{"parts":[{"text":"why","thought":true},{"text":"x"}],"role":"model"},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":41,"cachedContentTokenCount":40,"candidatesTokenCount":5,"thoughtsTokenCount":343,"totalTokenCount":389}}"#;
    let usage = r#""prompt_tokens":41,"completion_tokens":348,"total_tokens":389,"prompt_tokens_details":{"cached_tokens":40},"completion_tokens_details":{"reasoning_tokens":343}"#;
    let said = choice(0, r#""content":"x","refusal":null"#, "stop");
    assert_eq!(whole(&GEMINI, r#""n":1"#, response), completion(&said, usage));
}

#[test]
fn calls_come_back_with_ids() {
    let message = r#"{"content":[{"type":"text","text":"I look"},{"type":"tool_use","id":"toolu_1","name":"w","input":{"b": 1.50,"a":"é"}},{"type":"server_tool_use","id":"s","name":"web_search","input":{}}],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":1}}"#;
    let usage = r#""prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"prompt_tokens_details":{"cached_tokens":0}"#;
    let calls = r#""content":"I look","refusal":null,"tool_calls":[{"id":"toolu_1","type":"function","function":{"name":"w","arguments":"{\"b\": 1.50,\"a\":\"é\"}"}}]"#;
    let expected = completion(&choice(0, calls, "tool_calls"), usage);
    assert_eq!(whole(&CLAUDE, r#""n":1"#, message), expected);

    let response = r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"w","args":{"a":1}},"thoughtSignature":"sig"},{"functionCall":{"name":"t"}},{"functionCall":{"id":"own","name":"u","args":{}}}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":1,"totalTokenCount":2}}"#;
    let calls = r#""content":null,"refusal":null,"tool_calls":[{"id":"call_1_0_0","type":"function","function":{"name":"w","arguments":"{\"a\":1}"},"extra_content":{"google":{"thought_signature":"sig"}}},{"id":"call_1_0_1","type":"function","function":{"name":"t","arguments":"{}"}},{"id":"own","type":"function","function":{"name":"u","arguments":"{}"}}]"#;
    let expected = completion(&choice(0, calls, "tool_calls"), usage);
    assert_eq!(whole(&GEMINI, r#""n":1"#, response), expected);
}

#[test]
fn the_input_of_the_tool_for_json_is_the_answer() {
    let message = r#"{"content":[{"type":"text","text":"sure"},{"type":"tool_use","id":"t","name":"json_answer","input":{"a":"b"}}],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":1}}"#;
    let answer = whole(&CLAUDE, r#""response_format":{"type":"json_object"}"#, message);
    let said = choice(0, r#""content":"{\"a\":\"b\"}","refusal":null"#, "stop");
    assert!(answer.contains(&said), "{answer}");
}

#[test]
fn reasons_of_ending_have_their_equals() {
    for (reason, finish) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "stop"),
        ("something_new", "stop"),
    ] {
        let message = format!(r#"{{"content":[],"stop_reason":"{reason}"}}"#);
        let answer = whole(&CLAUDE, r#""n":1"#, &message);
        assert!(answer.contains(&format!(r#""finish_reason":"{finish}""#)), "{reason}");
        // What is not known is not said.
        assert!(!answer.contains("usage"), "{answer}");
    }
    for (reason, finish) in [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "stop"),
    ] {
        let response = format!(r#"{{"candidates":[{{"finishReason":"{reason}"}}]}}"#);
        let answer = whole(&GEMINI, r#""n":1"#, &response);
        assert!(answer.contains(&format!(r#""finish_reason":"{finish}""#)), "{reason}");
    }
    let blocked = r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":4,"totalTokenCount":4}}"#;
    let answer = whole(&GEMINI, r#""n":1"#, blocked);
    assert!(answer.contains(&choice(0, r#""content":null,"refusal":null"#, "content_filter")));
}

#[test]
fn several_answers_are_several_choices() {
    let response = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"},{"content":{"parts":[{"text":"b"}]},"finishReason":"MAX_TOKENS","index":1}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2,"totalTokenCount":3}}"#;
    let answer = whole(&GEMINI, r#""n":2"#, response);
    let first = choice(0, r#""content":"a","refusal":null"#, "stop");
    let second = choice(1, r#""content":"b","refusal":null"#, "length");
    assert!(answer.contains(&format!("[{first},{second}]")), "{answer}");
}

#[test]
fn errors_keep_their_status_and_what_they_say() {
    for (target, status, body, expected) in [
        (
            CLAUDE,
            529,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"r"}"#,
            r#"{"error":{"message":"Overloaded","type":"overloaded_error","param":null,"code":null}}"#,
        ),
        (
            GEMINI,
            429,
            r#"{"error":{"code":429,"message":"Slow down","status":"RESOURCE_EXHAUSTED","details":[]}}"#,
            r#"{"error":{"message":"Slow down","type":"rate_limit_error","param":null,"code":"RESOURCE_EXHAUSTED"}}"#,
        ),
        (
            GEMINI,
            400,
            r#"[{"error":{"code":400,"message":"Bad","status":"INVALID_ARGUMENT"}}]"#,
            r#"{"error":{"message":"Bad","type":"invalid_request_error","param":null,"code":"INVALID_ARGUMENT"}}"#,
        ),
        (
            CLAUDE,
            500,
            "<html>",
            r#"{"error":{"message":"the provider has answered with status 500","type":"api_error","param":null,"code":null}}"#,
        ),
    ] {
        let answer = answering(&target, r#""n":1"#).whole(status, body.as_bytes(), STAMP);
        assert_eq!(answer.status, status);
        assert_eq!(String::from_utf8(answer.body).unwrap(), expected);
    }
}

#[test]
fn a33_an_answer_that_is_none_is_no_success() {
    for (target, body, message) in [
        (CLAUDE, "", "the provider has sent what is no answer"),
        (CLAUDE, r#"{"content":"x"}"#, "the provider has sent what is no answer"),
        (CLAUDE, r#"{"content":[{"type":"text""#, "the provider has sent what is no answer"),
        (CLAUDE, r#"{"type":"error","error":{"type":"api_error","message":"Oh"}}"#, "Oh"),
        (GEMINI, "{}", "the provider has sent what is no answer"),
        (GEMINI, r#"{"error":{"code":503,"message":"Oh"}}"#, "Oh"),
    ] {
        let answer = answering(&target, r#""n":1"#).whole(200, body.as_bytes(), STAMP);
        let said = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.status, 502, "{body}");
        assert!(said.starts_with(&format!(r#"{{"error":{{"message":"{message}""#)), "{said}");
    }
}

#[test]
fn vectors_come_back_as_numbers_or_in_base64() {
    let embed = |format: &str, body: &str| {
        let request = format!(r#"{{"model":"google/e","input":"a"{format}}}"#);
        let target = Target { model: "e", ..GEMINI };
        let translated = super::request(Operation::Embedding, request.as_bytes(), &target).unwrap();
        let answer = translated.answering.whole(200, body.as_bytes(), STAMP);
        (answer.status, String::from_utf8(answer.body).unwrap())
    };
    let body = r#"{"embeddings":[{"values":[0.10,-1]},{"values":[2e0]}]}"#;
    assert_eq!(
        embed("", body).1,
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.10,-1]},{"object":"embedding","index":1,"embedding":[2e0]}],"model":"google/e"}"#
    );
    let told = r#"{"embeddings":[{"values":[1,-2]}],"usageMetadata":{"promptTokenCount":4}}"#;
    assert_eq!(
        embed(r#","encoding_format":"base64""#, told).1,
        r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AACAPwAAAMA="}],"model":"google/e","usage":{"prompt_tokens":4,"total_tokens":4}}"#
    );
    for bad in [r#"{"embeddings":[{"values":["x"]}]}"#, r#"{"embeddings":[{}]}"#, "{}"] {
        assert_eq!(embed("", bad).0, 502, "{bad}");
    }
}
