//! What a request may not say, because it could cost more than is held, or reach what belongs to others.

use super::*;

#[test]
fn a14_more_than_the_model_writes_is_refused_with_the_limit_and_the_way_out() {
    for (operation, model, body, field, most) in [
        (Operation::ChatCompletion, GPT, r#"{"max_tokens":128001}"#, "max_tokens", 128_000),
        (
            Operation::ChatCompletion,
            GPT,
            r#"{"max_tokens":7,"max_completion_tokens":999999999999}"#,
            "max_completion_tokens",
            128_000,
        ),
        (Operation::Response, GPT, r#"{"max_output_tokens":128001}"#, "max_output_tokens", 128_000),
        (Operation::Message, CLAUDE, r#"{"max_tokens":128001}"#, "max_tokens", 128_000),
        (
            Operation::Message,
            CLAUDE,
            r#"{"max_tokens":7,"thinking":{"budget_tokens":128001}}"#,
            "thinking.budget_tokens",
            128_000,
        ),
        (
            Operation::Generate,
            GEMINI,
            r#"{"generation_config":{"max_output_tokens":65537}}"#,
            "generation_config.max_output_tokens",
            65_536,
        ),
    ] {
        let error = estimate(operation, model, body).unwrap_err();
        assert_eq!(error.field(), Some(field), "{body}");
        assert!(error.to_string().contains(&most.to_string()), "{error}");
        assert_eq!(error.hint(), format!("set {field} to at most {most}, or leave it out"));
    }
    // Where thinking does not count as part of the answer, both may be written.
    let both = r#"{"max_tokens":100000,"thinking":{"budget_tokens":128000}}"#;
    assert_eq!(estimate(Operation::Message, CLAUDE, both).unwrap().output_tokens, 228_000);
}

#[test]
fn a14_a_bound_of_nothing_is_none() {
    for (operation, body, field) in [
        (Operation::ChatCompletion, r#"{"max_tokens":0}"#, "max_tokens"),
        (Operation::ChatCompletion, r#"{"max_completion_tokens":0}"#, "max_completion_tokens"),
        (Operation::Message, r#"{"max_tokens":0}"#, "max_tokens"),
        (
            Operation::Generate,
            r#"{"generationConfig":{"maxOutputTokens":0}}"#,
            "generationConfig.maxOutputTokens",
        ),
    ] {
        let error = read(operation, body).unwrap_err();
        assert_eq!(error.field(), Some(field), "{body}");
    }
    // No thinking is a bound.
    let body = r#"{"generationConfig":{"thinkingConfig":{"thinkingBudget":0}}}"#;
    assert!(read(Operation::Generate, body).is_ok());
}

#[test]
fn a20_tools_that_are_no_list_of_objects_are_refused() {
    for (operation, body, field) in [
        (Operation::Generate, r#"{"tools":{"googleSearch":{}}}"#, "tools"),
        (Operation::StreamGenerate, r#"{"tools":{}}"#, "tools"),
        (Operation::Generate, r#"{"tools":[[{"googleSearch":{}}]]}"#, "tools.[]"),
        (Operation::Generate, r#"{"tools":"googleSearch"}"#, "tools"),
        (Operation::Message, r#"{"tools":{"type":"web_search_20250305"}}"#, "tools"),
        (Operation::ChatCompletion, r#"{"tools":{"type":"function"}}"#, "tools"),
        (Operation::Response, r#"{"tools":["web_search"]}"#, "tools.[]"),
        (Operation::Generate, r#"{"generationConfig":[{"candidateCount":8}]}"#, "generationConfig"),
        (
            Operation::Generate,
            r#"{"generation_config":{"thinking_config":[{"thinking_budget":1}]}}"#,
            "generation_config.thinking_config",
        ),
        (Operation::Message, r#"{"thinking":[{"budget_tokens":9}]}"#, "thinking"),
    ] {
        let error = read(operation, body).unwrap_err();
        assert!(matches!(error, RequestError::Invalid { .. }), "{body}: {error}");
        assert_eq!(error.field(), Some(field), "{body}");
    }
    for body in [r#"{"tools":null}"#, r#"{"tools":[]}"#, r#"{"tools":[null]}"#] {
        assert!(read(Operation::Generate, body).is_ok(), "{body}");
    }
    // OpenAI's way of asking for a summary of what was said.
    let compact = r#"{"context_management":[{"type":"compaction","compact_threshold":1000}]}"#;
    assert!(read(Operation::Response, compact).is_err());
}

#[test]
fn a15_what_is_stored_with_a_provider_is_out_of_reach() {
    let chat = |part: &str| format!(r#"{{"messages":[{{"content":[{part}]}}]}}"#);
    let input = |item: &str| format!(r#"{{"input":[{item}]}}"#);
    let part = |part: &str| format!(r#"{{"contents":[{{"parts":[{part}]}}]}}"#);
    let file = |address: &str| part(&format!(r#"{{"fileData":{{"fileUri":"{address}"}}}}"#));
    for (operation, body) in [
        (Operation::Response, r#"{"previous_response_id":"resp_1"}"#.to_owned()),
        (Operation::Response, r#"{"conversation":{"id":"conv_1"}}"#.to_owned()),
        (Operation::Response, r#"{"prompt":{"id":"p"}}"#.to_owned()),
        (Operation::Response, r#"{"background":true}"#.to_owned()),
        (Operation::Response, input(r#"{"type":"item_reference","id":"i"}"#)),
        (Operation::Response, input(r#"{"id":"i"}"#)),
        (Operation::Response, input(r#"{"id":"i","type":null}"#)),
        (Operation::Response, input(r#"{"content":[{"type":"input_file","file_id":"f"}]}"#)),
        (Operation::Response, input(r#"{"output":[{"type":"input_image","file_id":"f"}]}"#)),
        (
            Operation::Response,
            r#"{"max_tool_calls":1,"tools":[{"type":"file_search","vector_store_ids":["v"]}]}"#
                .to_owned(),
        ),
        (
            Operation::Response,
            r#"{"tools":[{"type":"code_interpreter","container":"cntr_1"}]}"#.to_owned(),
        ),
        (
            Operation::Response,
            r#"{"tools":[{"type":"code_interpreter","container":{"file_ids":["f"]}}]}"#.to_owned(),
        ),
        (Operation::ChatCompletion, chat(r#"{"type":"file","file":{"file_id":"f"}}"#)),
        (Operation::ChatCompletion, r#"{"messages":[{"audio":{"id":"a"}}]}"#.to_owned()),
        (Operation::Message, chat(r#"{"type":"image","source":{"type":"file","file_id":"f"}}"#)),
        (Operation::Message, chat(r#"{"type":"container_upload","file_id":"f"}"#)),
        (Operation::Generate, r#"{"cached_content":"cachedContents/1"}"#.to_owned()),
        (Operation::Generate, part(r#"{"file_data":{"file_uri":"gs://bucket/object"}}"#)),
        (Operation::Generate, file("files/abc")),
        (Operation::Generate, file("https://generativelanguage.googleapis.com/v1beta/files/abc")),
        (Operation::Generate, file("https://GENERATIVELANGUAGE.GoogleAPIs.com.:443/files/abc")),
        (Operation::Generate, file("https://x@generativelanguage.googleapis.com/files/abc")),
        (Operation::Generate, file("https:///files/abc")),
    ] {
        let error = read(operation, &body).unwrap_err();
        assert!(matches!(error, RequestError::NotOffered { .. }), "{body}: {error}");
        assert!(error.hint().contains("a key of your own"), "{error}");
    }
    // What is in the body, on the web, or an argument of a call.
    for (operation, body) in [
        (Operation::Response, r#"{"previous_response_id":null,"store":false}"#.to_owned()),
        (Operation::Response, input(r#"{"type":"message","id":"m","content":[]}"#)),
        (Operation::Response, input(r#"{"type":"reasoning","id":"r","encrypted_content":"x"}"#)),
        (Operation::Generate, file("https://www.youtube.com/watch?v=x")),
        (Operation::Message, chat(r#"{"type":"tool_use","input":{"file_id":"f","id":"i"}}"#)),
        (Operation::ChatCompletion, r#"{"audio":{"voice":"alloy"},"store":null}"#.to_owned()),
    ] {
        assert!(read(operation, &body).is_ok(), "{body}");
    }
}

#[test]
fn what_would_be_kept_with_the_provider_is_refused_clearly() {
    for operation in [Operation::Response, Operation::ChatCompletion] {
        let error = read(operation, r#"{"store":true}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "store is not offered: the platform keeps nothing; use store=false"
        );
        assert!(error.hint().contains("or use a key of your own"), "{}", error.hint());
        assert!(read(operation, r#"{"store":"true"}"#).is_err());
        assert!(read(operation, r#"{"store":false,"store":false}"#).is_err());
    }
}

#[test]
fn both_spellings_of_googles_bound_and_refuse_the_same() {
    // As google-genai for Python writes it, and as the others do.
    let snake = |rest: &str| {
        format!(
            r#"{{"contents":[],"system_instruction":{{"parts":[{{"text":"x"}}]}},"tools":[{{"function_declarations":[{{"name":"f","parameters_json_schema":{{}}}}]}}],"generation_config":{{"max_output_tokens":50,"candidate_count":2,"response_json_schema":{{}},"thinking_config":{{"thinking_budget":60}}}}{rest}}}"#
        )
    };
    let camel = |rest: &str| {
        format!(
            r#"{{"contents":[],"systemInstruction":{{"parts":[{{"text":"x"}}]}},"tools":[{{"functionDeclarations":[{{"name":"f","parametersJsonSchema":{{}}}}]}}],"generationConfig":{{"maxOutputTokens":50,"candidateCount":2,"responseJsonSchema":{{}},"thinkingConfig":{{"thinkingBudget":60}}}}{rest}}}"#
        )
    };
    let newer = ("google", "gemini-3-flash-preview");
    for (one, other) in [
        ("", ""),
        (r#","service_tier":"priority""#, r#","serviceTier":"priority""#),
        (r#","service_tier":"unheard-of""#, r#","serviceTier":"unheard-of""#),
        (r#","cached_content":"c""#, r#","cachedContent":"c""#),
        (r#","tools":[]"#, r#","tools":[]"#),
        (r#","generationConfig":{}"#, r#","generation_config":{}"#),
        (r#","store":true"#, r#","store":true"#),
    ] {
        let found = [snake(one), camel(other)].map(|body| {
            let found = estimate(Operation::Generate, newer, &body);
            found
                .map(|it| (it.output_tokens, it.output_price))
                .map_err(|error| std::mem::discriminant(&error))
        });
        assert_eq!(found[0], found[1], "{one}");
        // Twice the answer and its thoughts.
        assert_eq!(found[0].as_ref().map(|it| it.0).unwrap_or(220), 220, "{one}");
        assert_eq!(found[0].is_ok(), one.is_empty() || one.contains("priority"), "{one}");
    }
    let tools = [r#"[{"google_search":{}}]"#, r#"[{"googleSearch":{}}]"#].map(|tools| {
        let body = format!(r#"{{"tools":{tools}}}"#);
        estimate(Operation::Generate, newer, &body).unwrap().fees
    });
    assert_eq!(tools[0], tools[1]);
    assert!(tools[0] > Cost::ZERO);
    for part in [
        r#"{"inline_data":{"mime_type":"audio/mp3","data":"x"}}"#,
        r#"{"file_data":{"file_uri":"https://x.example"}}"#,
        r#"{"function_response":{"parts":[{"inline_data":{"mime_type":"video/mp4"}}]}}"#,
    ] {
        let body = format!(r#"{{"contents":[{{"parts":[{part}]}}]}}"#);
        assert!(read(Operation::Generate, &body).unwrap().media.is_unbounded, "{part}");
    }
}
