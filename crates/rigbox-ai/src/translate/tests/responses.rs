use super::*;
use crate::{
    estimate::Request,
    usage::{Framing, tests::report},
};

fn body(target: &Target<'_>, rest: &str) -> Result<String, TranslateError> {
    let translated = request(Operation::Response, chat(rest).as_bytes(), target)?;
    Ok(String::from_utf8(translated.body).unwrap())
}

/// What both make of an input.
fn check_input(input: &str, anthropic: &str, gemini: &str) {
    let expected = format!(r#"{{"model":"claude-x","max_tokens":4096,{anthropic}}}"#);
    assert_eq!(body(&CLAUDE, input).unwrap(), expected, "{input}");
    let expected = format!(r#"{{{gemini},"generationConfig":{{"maxOutputTokens":4096}}}}"#);
    assert_eq!(body(&GEMINI, input).unwrap(), expected, "{input}");
}

/// What both make of settings beside one text.
fn check_settings(settings: &str, anthropic: &str, gemini: &str) {
    let rest = format!(r#""input":"hi",{settings}"#);
    let hi = r#""messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]"#;
    let expected = format!(r#"{{"model":"claude-x",{}}}"#, anthropic.replace("HI", hi));
    assert_eq!(body(&CLAUDE, &rest).unwrap(), expected, "{settings}");
    let hi = r#""contents":[{"role":"user","parts":[{"text":"hi"}]}]"#;
    assert_eq!(body(&GEMINI, &rest).unwrap(), format!("{{{hi}{gemini}}}"), "{settings}");
}

#[test]
fn a_text_is_a_message_and_instructions_come_first() {
    check_input(
        r#""instructions":"be \u00e9","input":[{"role":"developer","content":"a"},{"type":"message","role":"system","content":[{"type":"input_text","text":"b"}]},{"role":"user","content":"hi","status":null}]"#,
        r#""system":[{"type":"text","text":"be \u00e9"},{"type":"text","text":"a"},{"type":"text","text":"b"}],"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]"#,
        r#""systemInstruction":{"parts":[{"text":"be \u00e9"},{"text":"a"},{"text":"b"}]},"contents":[{"role":"user","parts":[{"text":"hi"}]}]"#,
    );
    check_input(
        r#""input":"hi""#,
        r#""messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]"#,
        r#""contents":[{"role":"user","parts":[{"text":"hi"}]}]"#,
    );
}

#[test]
fn a_conversation_with_calls_keeps_its_order() {
    check_input(
        r#""input":[
          {"role":"user","content":[{"type":"input_text","text":"weather"},{"type":"input_image","detail":"auto","file_id":null,"image_url":"data:image/png;base64,iVBO"}]},
          {"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"x"},
          {"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"I look","annotations":[],"logprobs":[],"parsed":{"a":1}},{"type":"refusal","refusal":"no"}]},
          {"type":"function_call","id":"fc_1","call_id":"c1","name":"w","arguments":"{\"b\": 1.50, \"a\":[]}","status":"completed","parsed_arguments":null},
          {"type":"function_call","call_id":"c2","name":"t","arguments":""},
          {"type":"function_call_output","call_id":"c1","output":"sun","id":"o","status":null},
          {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"1"},{"type":"input_text","text":"2"}]},
          {"role":"user","content":"so?"}]"#,
        r#""messages":[{"role":"user","content":[{"type":"text","text":"weather"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBO"}}]},{"role":"assistant","content":[{"type":"text","text":"I look"},{"type":"text","text":"no"},{"type":"tool_use","id":"c1","name":"w","input":{"b": 1.50, "a":[]}},{"type":"tool_use","id":"c2","name":"t","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":[{"type":"text","text":"sun"}]},{"type":"tool_result","tool_use_id":"c2","content":[{"type":"text","text":"1"},{"type":"text","text":"2"}]},{"type":"text","text":"so?"}]}]"#,
        // Of calls at once, the first one is signed.
        r#""contents":[{"role":"user","parts":[{"text":"weather"},{"inlineData":{"mimeType":"image/png","data":"iVBO"}}]},{"role":"model","parts":[{"text":"I look"},{"text":"no"},{"functionCall":{"id":"c1","name":"w","args":{"b": 1.50, "a":[]}},"thoughtSignature":"skip_thought_signature_validator"},{"functionCall":{"id":"c2","name":"t","args":{}}}]},{"role":"user","parts":[{"functionResponse":{"id":"c1","name":"w","response":{"output":"sun"}}},{"functionResponse":{"id":"c2","name":"t","response":{"output":["1","2"]}}},{"text":"so?"}]}]"#,
    );
}

#[test]
fn tools_and_settings_have_their_equals() {
    check_settings(
        r#""tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object","z":1,"a":1e2},"strict":null},{"type":"function","name":"g","strict":true}],"tool_choice":{"type":"function","name":"g"}"#,
        r#""max_tokens":4096,HI,"tools":[{"name":"f","description":"d","input_schema":{"type":"object","z":1,"a":1e2}},{"name":"g","input_schema":{"type":"object","properties":{}},"strict":true}],"tool_choice":{"type":"tool","name":"g"}"#,
        r#","tools":[{"functionDeclarations":[{"name":"f","description":"d","parametersJsonSchema":{"type":"object","z":1,"a":1e2}},{"name":"g"}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["g"]}},"generationConfig":{"maxOutputTokens":4096}"#,
    );
    check_settings(
        r#""max_output_tokens":50,"temperature":0.70,"top_p":0.9,"reasoning":{"effort":"low","summary":"auto"},"text":{"format":{"type":"json_schema","name":"n","strict":true,"schema":{"type":"object","b":1,"a":2}},"verbosity":"medium"},"safety_identifier":"u""#,
        r#""max_tokens":50,HI,"temperature":0.70,"top_p":0.9,"output_config":{"effort":"low","format":{"type":"json_schema","schema":{"type":"object","b":1,"a":2}}},"metadata":{"user_id":"u"}"#,
        r#","generationConfig":{"maxOutputTokens":50,"temperature":0.70,"topP":0.9,"responseMimeType":"application/json","responseJsonSchema":{"type":"object","b":1,"a":2},"thinkingConfig":{"thinkingLevel":"low"}}"#,
    );
    let nothing = r#""generationConfig":{"maxOutputTokens":4096}"#;
    check_settings(
        r#""store":false,"metadata":{"a":"b"},"truncation":"disabled","include":["reasoning.encrypted_content"],"background":false,"previous_response_id":null,"conversation":null,"prompt":null,"top_logprobs":0,"service_tier":"auto","prompt_cache_key":"k","max_tool_calls":3,"text":{"format":{"type":"text"}},"tools":[],"tool_choice":"auto","parallel_tool_calls":true,"stream":false,"reasoning":{}"#,
        r#""max_tokens":4096,HI"#,
        &format!(",{nothing}"),
    );
}

#[test]
fn what_is_written_is_always_bounded_and_held_for() {
    for (rest, most) in [("", None), (r#","max_output_tokens":7"#, Some(7))] {
        let written = chat(&format!(r#""input":"hi"{rest}"#));
        let read = Request::read(Operation::Response, written.as_bytes()).unwrap();
        assert_eq!(read.output.map(|bound| bound.tokens), most);
        let sent = body(&CLAUDE, &format!(r#""input":"hi"{rest}"#)).unwrap();
        let bound = format!(r#""max_tokens":{},"#, most.unwrap_or(CLAUDE.max_output));
        assert!(sent.contains(&bound), "{sent}");
    }
    // Images count as such, wherever they stand.
    let image = r#"{"type":"input_image","image_url":"data:image/png;base64,iVBO"}"#;
    let input = format!(
        r#""input":[{{"role":"user","content":[{image}]}},{{"type":"function_call","call_id":"c","name":"f","arguments":"{{}}"}},{{"type":"function_call_output","call_id":"c","output":[{image}]}}]"#
    );
    let read = Request::read(Operation::Response, chat(&input).as_bytes()).unwrap();
    assert_eq!((read.media.images, read.media.is_unbounded), (2, false));
    assert_eq!(read.media.image_bytes, 2 * "data:image/png;base64,iVBO".len() as u64);
    assert!(body(&CLAUDE, &input).is_ok());
    assert_eq!(body(&GEMINI, &input).unwrap_err().field(), Some("input[2].output[0].image_url"));
}

#[test]
fn what_nobody_else_has_is_refused_by_its_name() {
    for (rest, field) in [
        (r#""previous_response_id":"r""#, "previous_response_id"),
        (r#""conversation":"c""#, "conversation"),
        (r#""background":true"#, "background"),
        (r#""store":true"#, "store"),
        (r#""prompt":{"id":"p"}"#, "prompt"),
        (r#""truncation":"auto""#, "truncation"),
        (r#""top_logprobs":1"#, "top_logprobs"),
        (
            r#""include":["reasoning.encrypted_content","message.output_text.logprobs"]"#,
            "include[1]",
        ),
        (r#""include":[7]"#, "include"),
        (r#""tools":[{"type":"web_search"}]"#, "tools[0].type"),
        (r#""tools":[{"type":"function","name":"f"},{"type":"mcp"}]"#, "tools[1].type"),
        (r#""tools":[{"type":"function","name":"f","defer":1}]"#, "tools[0].defer"),
        (r#""tools":[{"type":"function"}]"#, "tools[0].name"),
        (r#""tool_choice":{"type":"file_search"}"#, "tool_choice.type"),
        (r#""tool_choice":{"type":"function","name":"x"}"#, "tool_choice.name"),
        (r#""reasoning":{"effort":"much"}"#, "reasoning.effort"),
        (r#""reasoning":{"summary":"detailed"}"#, "reasoning.summary"),
        (r#""text":{"format":{"type":"grammar"}}"#, "text.format.type"),
        (r#""text":{"format":{"type":"json_schema","name":"n"}}"#, "text.format.schema"),
        (r#""text":{"verbosity":"low"}"#, "text.verbosity"),
        (r#""service_tier":"flex""#, "service_tier"),
        (r#""context_management":[{"type":"compaction"}]"#, "context_management"),
        (r#""instructions":["x"]"#, "instructions"),
        (r#""max_tokens":7"#, "max_tokens"),
        (r#""n":2"#, "n"),
        (r#""messages":[]"#, "messages"),
    ] {
        for target in [CLAUDE, GEMINI] {
            let error = body(&target, &format!(r#""input":"hi",{rest}"#)).unwrap_err();
            assert_eq!(error.field(), Some(field), "{rest}: {error}");
        }
    }
    let effort = |target: &Target<'_>, effort: &str| {
        body(target, &format!(r#""input":"hi","reasoning":{{"effort":"{effort}"}}"#))
    };
    assert_eq!(effort(&GEMINI, "max").unwrap_err().field(), Some("reasoning.effort"));
    let json = r#""input":"hi","text":{"format":{"type":"json_object"}},"tools":[{"type":"function","name":"f"}]"#;
    assert_eq!(body(&CLAUDE, json).unwrap_err().field(), Some("text.format"));
}

#[test]
fn an_item_that_can_not_be_passed_on_is_refused_by_its_place() {
    for (input, field) in [
        (r#""""#, "input"),
        ("[]", "input"),
        ("7", "input"),
        (r#"{"role":"user","content":"x"}"#, "input"),
        (r#"["x"]"#, "input[0]"),
        (r#"[{"type":"reasoning","summary":[]}]"#, "input"),
        (r#"[{"type":"item_reference","id":"msg_1"}]"#, "input[0].type"),
        (r#"[{"type":"web_search_call","id":"ws_1"}]"#, "input[0].type"),
        (r#"[{"type":7}]"#, "input[0].type"),
        (r#"[{"role":"tool","content":"x"}]"#, "input[0].role"),
        (r#"[{"role":"user"}]"#, "input[0].content"),
        (r#"[{"role":"user","content":"x","name":"n"}]"#, "input[0].name"),
        (
            r#"[{"role":"user","content":[{"type":"input_file","file_id":"f"}]}]"#,
            "input[0].content[0].type",
        ),
        (
            r#"[{"role":"user","content":[{"type":"input_image","file_id":"f"}]}]"#,
            "input[0].content[0].file_id",
        ),
        (
            r#"[{"role":"user","content":[{"type":"input_image"}]}]"#,
            "input[0].content[0].image_url",
        ),
        (r#"[{"role":"user","content":[{"type":"input_text"}]}]"#, "input[0].content[0].text"),
        (
            r#"[{"role":"system","content":[{"type":"input_image","image_url":"data:image/png;base64,AA=="}]}]"#,
            "input[0].content[0].type",
        ),
        (r#"[{"type":"function_call","name":"f","arguments":"{}"}]"#, "input[0].call_id"),
        (
            r#"[{"type":"function_call","call_id":"c","name":"f","arguments":"[]"}]"#,
            "input[0].arguments",
        ),
        (r#"[{"type":"function_call_output","call_id":"c"}]"#, "input[0].output"),
    ] {
        for target in [CLAUDE, GEMINI] {
            let error = body(&target, &format!(r#""input":{input}"#)).unwrap_err();
            assert_eq!(error.field(), Some(field), "{input}: {error}");
        }
    }
    // The name of what was called is Gemini's alone to need.
    let stray = r#""input":[{"type":"function_call_output","call_id":"c","output":"x"}]"#;
    assert_eq!(body(&GEMINI, stray).unwrap_err().field(), Some("input[0].call_id"));
    let part = r#"{"type":"input_text","text":"x"}"#;
    let message =
        |count| format!(r#"{{"role":"user","content":[{}]}}"#, vec![part; count].join(","));
    for (input, is_taken) in [
        (message(10_000), true),
        (message(10_001), false),
        (vec![message(10_000); 6].join(","), false),
        (
            vec![r#"{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}"#; 50_001]
                .join(","),
            false,
        ),
    ] {
        assert_eq!(body(&CLAUDE, &format!(r#""input":[{input}]"#)).is_ok(), is_taken);
    }
}

fn whole(target: &Target<'_>, rest: &str, body: &str) -> String {
    let answer = responding(target, rest).whole(200, body.as_bytes(), STAMP);
    assert_eq!(answer.status, 200, "{body}");
    String::from_utf8(answer.body).unwrap()
}

/// A response that repeats what nobody has said.
fn response(status: &str, incomplete: &str, output: &str, usage: &str) -> String {
    format!(
        r#"{{"id":"resp_1","object":"response","created_at":1700000000,"status":"{status}","background":false,"error":null,"incomplete_details":{incomplete},"instructions":null,"max_output_tokens":null,"model":"x/y","output":[{output}],"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{{"effort":null,"summary":null}},"store":false,"temperature":null,"text":{{"format":{{"type":"text"}}}},"tool_choice":"auto","tools":[],"top_p":null,"truncation":"disabled","user":null,"metadata":{{}},"usage":{usage}}}"#
    )
}

fn message(status: &str, text: &str) -> String {
    format!(
        r#"{{"type":"message","id":"msg_1_0","status":"{status}","role":"assistant","content":[{{"type":"output_text","text":"{text}","annotations":[],"logprobs":[]}}]}}"#
    )
}

#[test]
fn a_message_becomes_a_response() {
    let said = r#"{"content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"a\u00e9"},{"type":"text","text":"b"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"cache_creation_input_tokens":7,"cache_read_input_tokens":90,"output_tokens":5}}"#;
    let usage = r#"{"input_tokens":100,"input_tokens_details":{"cached_tokens":90,"cache_write_tokens":7},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":105}"#;
    let answer = whole(&CLAUDE, r#""store":false"#, said);
    assert_eq!(answer, response("completed", "null", &message("completed", r"a\u00e9b"), usage));
    // What we say is read as what the provider has said.
    let read = report(Dialect::OpenAi, Framing::Json, &answer).usage;
    assert_eq!((read.input, read.cache_read, read.cache_write_5m, read.output), (3, 90, 7, 5));
    let thought = r#"{"candidates":[{"content":{"parts":[{"text":"why","thought":true},{"text":"x"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":41,"candidatesTokenCount":5,"thoughtsTokenCount":343,"totalTokenCount":389}}"#;
    let answer = whole(&GEMINI, r#""store":false"#, thought);
    let usage = r#"{"input_tokens":41,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"output_tokens":348,"output_tokens_details":{"reasoning_tokens":343},"total_tokens":389}"#;
    assert_eq!(answer, response("completed", "null", &message("completed", "x"), usage));
}

#[test]
fn calls_become_items_that_can_be_sent_back() {
    let said = r#"{"content":[{"type":"text","text":"I look"},{"type":"tool_use","id":"toolu_1","name":"w","input":{"b": 1.50,"a":"é"}}],"stop_reason":"tool_use"}"#;
    let call = r#"{"type":"function_call","id":"fc_1_1","status":"completed","call_id":"toolu_1","name":"w","arguments":"{\"b\": 1.50,\"a\":\"é\"}"}"#;
    let output = format!("{},{call}", message("completed", "I look"));
    assert_eq!(
        whole(&CLAUDE, r#""store":false"#, said),
        response("completed", "null", &output, "null")
    );
    let said = r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"w","args":{"a":1}},"thoughtSignature":"sig"},{"functionCall":{"name":"t"}}]},"finishReason":"STOP"}]}"#;
    let answer = whole(&GEMINI, r#""store":false"#, said);
    let call = r#"{"type":"function_call","id":"fc_1_0","status":"completed","call_id":"call_1_0_0","name":"w","arguments":"{\"a\":1}","extra_content":{"google":{"thought_signature":"sig"}}}"#;
    let bare = r#"{"type":"function_call","id":"fc_1_1","status":"completed","call_id":"call_1_0_1","name":"t","arguments":"{}"}"#;
    let output = format!("{call},{bare}");
    assert_eq!(answer, response("completed", "null", &output, "null"));
    let given =
        |id: &str| format!(r#"{{"type":"function_call_output","call_id":"{id}","output":"sun"}}"#);
    let (first, second) = (given("call_1_0_0"), given("call_1_0_1"));
    let back = format!(r#""input":[{{"role":"user","content":"hi"}},{output},{first},{second}]"#);
    let sent = body(&GEMINI, &back).unwrap();
    let calls = r#"{"role":"model","parts":[{"functionCall":{"id":"call_1_0_0","name":"w","args":{"a":1}},"thoughtSignature":"sig"},{"functionCall":{"id":"call_1_0_1","name":"t","args":{}}}]}"#;
    assert!(sent.contains(calls), "{sent}");
}

#[test]
fn an_answer_that_was_cut_short_is_incomplete() {
    for (target, said, reason) in [
        (
            CLAUDE,
            r#"{"content":[{"type":"text","text":"a"}],"stop_reason":"max_tokens"}"#,
            "max_output_tokens",
        ),
        (
            CLAUDE,
            r#"{"content":[{"type":"text","text":"a"}],"stop_reason":"refusal"}"#,
            "content_filter",
        ),
        (
            GEMINI,
            r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"MAX_TOKENS"}]}"#,
            "max_output_tokens",
        ),
        (
            GEMINI,
            r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"SAFETY"}]}"#,
            "content_filter",
        ),
    ] {
        let details = format!(r#"{{"reason":"{reason}"}}"#);
        let expected = response("incomplete", &details, &message("incomplete", "a"), "null");
        assert_eq!(whole(&target, r#""store":false"#, said), expected);
    }
    let blocked = r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#;
    let expected = response("incomplete", r#"{"reason":"content_filter"}"#, "", "null");
    assert_eq!(whole(&GEMINI, r#""store":false"#, blocked), expected);
}

#[test]
fn an_answer_repeats_its_request_as_far_as_that_is_short() {
    let said = r#"{"content":[{"type":"text","text":"a"}],"stop_reason":"end_turn"}"#;
    let tools = r#""tools":[{"type":"function","name":"f","parameters":{"b":1.0,"a":2}}],"tool_choice":{"type":"function","name":"f"}"#;
    let rest = format!(
        r#""instructions":"be \u00e9","max_output_tokens":9,"temperature":0.50,"top_p":1,"metadata":{{"k":"v"}},"user":"u","reasoning":{{"effort":"high"}},"text":{{"format":{{"type":"json_schema","name":"n","schema":{{"z":1}}}}}},"parallel_tool_calls":false,{tools}"#
    );
    let answer = whole(&CLAUDE, &rest, said);
    for part in [
        r#""instructions":"be \u00e9","max_output_tokens":9,"#,
        r#""parallel_tool_calls":false,"#,
        r#""reasoning":{"effort":"high","summary":null},"#,
        r#""temperature":0.50,"text":{"format":{"type":"json_schema","name":"n","schema":{"z":1}}},"tool_choice":{"type":"function","name":"f"},"tools":[{"type":"function","name":"f","description":null,"parameters":{"b":1.0,"a":2},"strict":false}],"top_p":1,"#,
        r#""user":"u","metadata":{"k":"v"},"usage":null}"#,
    ] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    let long = "x".repeat(64 * 1024);
    for field in [
        format!(r#""instructions":"{long}""#),
        format!(r#""metadata":{{"k":"{long}"}}"#),
        format!(r#""text":{{"format":{{"type":"json_schema","name":"{long}","schema":{{}}}}}}"#),
        format!(r#""tools":[{{"type":"function","name":"f","description":"{long}"}}]"#),
        format!(
            r#""tools":[{{"type":"function","name":"{long}"}}],"tool_choice":{{"type":"function","name":"{long}"}}"#
        ),
    ] {
        let expected = response("completed", "null", &message("completed", "a"), "null");
        assert!(whole(&CLAUDE, &field, said) == expected, "{}", &field[..20]);
    }
}

#[test]
fn errors_have_the_shape_that_chats_have() {
    let answering = responding(&CLAUDE, r#""stream":true"#);
    let overloaded =
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let answer = answering.whole(529, overloaded.as_bytes(), STAMP);
    let expected =
        r#"{"error":{"message":"Overloaded","type":"overloaded_error","param":null,"code":null}}"#;
    assert_eq!((answer.status, String::from_utf8(answer.body).unwrap().as_str()), (529, expected));
    assert_eq!(answering.whole(200, b"[]", STAMP).status, 502);
}

#[test]
fn the_cost_of_a_response_is_in_its_usage() {
    use crate::translate::cost::in_body;

    let said = r#"{"content":[{"type":"text","text":"\"usage\":{}"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#;
    let rest = r#""metadata":{"usage":"{}"},"tools":[{"type":"function","name":"usage","parameters":{"usage":{}}}]"#;
    let answer = whole(&CLAUDE, rest, said);
    let with = in_body(answer.clone().into_bytes(), rigbox_types::Credits::from_micro(42).unwrap());
    let cost = r#","cost_micro":42,"cost_credits":0.000042}}"#;
    let expected = format!("{}{cost}", answer.strip_suffix("}}").unwrap());
    assert_eq!(String::from_utf8(with).unwrap(), expected);
}
