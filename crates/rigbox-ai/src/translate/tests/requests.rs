use super::*;

/// The body that a chat becomes.
fn body(target: &Target<'_>, rest: &str) -> Result<String, TranslateError> {
    let translated = request(Operation::ChatCompletion, chat(rest).as_bytes(), target)?;
    Ok(String::from_utf8(translated.body).unwrap())
}

/// What both make of messages.
fn check_messages(messages: &str, anthropic: &str, gemini: &str) {
    let messages = format!(r#""messages":[{messages}]"#);
    let expected = format!(r#"{{"model":"claude-x","max_tokens":4096,{anthropic}}}"#);
    assert_eq!(body(&CLAUDE, &messages).unwrap(), expected, "{messages}");
    let expected = format!(r#"{{{gemini},"generationConfig":{{"maxOutputTokens":4096}}}}"#);
    assert_eq!(body(&GEMINI, &messages).unwrap(), expected, "{messages}");
}

const USER: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

/// What both make of settings beside one message.
fn check_settings(settings: &str, anthropic: &str, gemini: &str) {
    let rest = format!("{USER},{settings}");
    let hi = r#""messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]"#;
    let expected = format!(r#"{{"model":"claude-x","max_tokens":4096,{hi}{anthropic}}}"#);
    assert_eq!(body(&CLAUDE, &rest).unwrap(), expected, "{settings}");
    let hi = r#""contents":[{"role":"user","parts":[{"text":"hi"}]}]"#;
    assert_eq!(body(&GEMINI, &rest).unwrap(), format!("{{{hi}{gemini}}}"), "{settings}");
}

/// The field of the error of both, or of one.
fn check_refused(rest: &str, anthropic: Option<&str>, gemini: Option<&str>) {
    for (target, expected) in [(CLAUDE, anthropic), (GEMINI, gemini)] {
        let error = body(&target, rest).err();
        let field = error.as_ref().and_then(TranslateError::field);
        assert_eq!(field, expected, "{rest}: {error:?}");
        assert!(error.is_none_or(|error| !error.hint().is_empty()));
    }
}

const NO_CONFIG: &str = r#","generationConfig":{"maxOutputTokens":4096}"#;

#[test]
fn instructions_and_texts_are_kept_as_they_are_written() {
    check_messages(
        r#"{"role":"system","content":"be \u00e9"},
           {"role":"developer","content":[{"type":"text","text":"b"},{"type":"text","text":""}]},
           {"role":"user","content":"line\nend 😀"}"#,
        r#""system":[{"type":"text","text":"be \u00e9"},{"type":"text","text":"b"}],"messages":[{"role":"user","content":[{"type":"text","text":"line\nend 😀"}]}]"#,
        r#""systemInstruction":{"parts":[{"text":"be \u00e9"},{"text":"b"}]},"contents":[{"role":"user","parts":[{"text":"line\nend 😀"}]}]"#,
    );
}

#[test]
fn turns_of_one_side_in_a_row_become_one() {
    check_messages(
        r#"{"role":"user","content":"a"},{"role":"user","content":"b"},
           {"role":"assistant","content":null,"refusal":"no","annotations":[]},
           {"role":"assistant","content":""},{"role":"user","content":"c"}"#,
        r#""messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":[{"type":"text","text":"no"}]},{"role":"user","content":[{"type":"text","text":"c"}]}]"#,
        r#""contents":[{"role":"user","parts":[{"text":"a"},{"text":"b"}]},{"role":"model","parts":[{"text":"no"}]},{"role":"user","parts":[{"text":"c"}]}]"#,
    );
}

#[test]
fn images_in_addresses_are_taken_apart() {
    check_messages(
        r#"{"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBO\/w0=","detail":"low"}}]}"#,
        r#""messages":[{"role":"user","content":[{"type":"text","text":"see"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBO/w0="}}]}]"#,
        r#""contents":[{"role":"user","parts":[{"text":"see"},{"inlineData":{"mimeType":"image/png","data":"iVBO/w0="}}]}]"#,
    );
    let image = |url: &str| {
        format!(
            r#""messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"{url}"}}}}]}}]"#
        )
    };
    let at = Some("messages[0].content[0].image_url.url");
    // One fetches addresses, and the other does not.
    check_refused(&image("https://x.test/a.png"), None, at);
    check_refused(&image("data:image/tiff;base64,AA=="), at, None);
    for url in ["http://x.test/a.png", "data:text/plain;base64,AA==", "data:image/png,x", "", "a"] {
        check_refused(&image(url), at, at);
    }
    let fetched = body(&CLAUDE, &image("https://x.test/a.png")).unwrap();
    assert!(fetched.contains(r#""source":{"type":"url","url":"https://x.test/a.png"}"#));
}

#[test]
fn calls_and_what_they_have_given_find_each_other() {
    check_messages(
        r#"{"role":"user","content":"weather"},
           {"role":"assistant","content":"I look","tool_calls":[
             {"id":"c1","type":"function","function":{"name":"w","arguments":"{\"b\": 1.50, \"a\":[]}"}},
             {"id":"c2","type":"function","function":{"name":"t","arguments":""}}]},
           {"role":"tool","tool_call_id":"c1","name":"w","content":"sun"},
           {"role":"tool","tool_call_id":"c2","content":[{"type":"text","text":"1"},{"type":"text","text":"2"}]},
           {"role":"user","content":"so?"}"#,
        r#""messages":[{"role":"user","content":[{"type":"text","text":"weather"}]},{"role":"assistant","content":[{"type":"text","text":"I look"},{"type":"tool_use","id":"c1","name":"w","input":{"b": 1.50, "a":[]}},{"type":"tool_use","id":"c2","name":"t","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":[{"type":"text","text":"sun"}]},{"type":"tool_result","tool_use_id":"c2","content":[{"type":"text","text":"1"},{"type":"text","text":"2"}]},{"type":"text","text":"so?"}]}]"#,
        r#""contents":[{"role":"user","parts":[{"text":"weather"}]},{"role":"model","parts":[{"text":"I look"},{"functionCall":{"id":"c1","name":"w","args":{"b": 1.50, "a":[]}},"thoughtSignature":"skip_thought_signature_validator"},{"functionCall":{"id":"c2","name":"t","args":{}}}]},{"role":"user","parts":[{"functionResponse":{"id":"c1","name":"w","response":{"output":"sun"}}},{"functionResponse":{"id":"c2","name":"t","response":{"output":["1","2"]}}},{"text":"so?"}]}]"#,
    );
}

#[test]
fn a_signature_of_gemini_comes_back_to_it() {
    let messages = |extra: &str| {
        format!(
            r#""messages":[{{"role":"user","content":"a"}},{{"role":"assistant","tool_calls":[{{"id":"c","type":"function"{extra},"function":{{"name":"f","arguments":"{{}}"}}}}]}},{{"role":"tool","tool_call_id":"c","content":"b"}}]"#
        )
    };
    let signed = messages(r#","extra_content":{"google":{"thought_signature":"sig="}}"#);
    let sent = body(&GEMINI, &signed).unwrap();
    assert!(sent.contains(r#""args":{}},"thoughtSignature":"sig="}"#), "{sent}");
    assert!(!body(&CLAUDE, &signed).unwrap().contains("sig="));
    // Before Gemini 3 nobody asks for one.
    let early = Target { model: "gemini-2.5-flash", ..GEMINI };
    assert!(!body(&early, &messages("")).unwrap().contains("thoughtSignature"));
}

#[test]
fn tools_keep_their_schemas() {
    let tools = r#""tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","z":1,"a":1e2}}},{"type":"function","function":{"name":"g","strict":true}}]"#;
    let claude = r#","tools":[{"name":"f","description":"d","input_schema":{"type":"object","z":1,"a":1e2}},{"name":"g","input_schema":{"type":"object","properties":{}},"strict":true}]"#;
    let gemini = r#","tools":[{"functionDeclarations":[{"name":"f","description":"d","parametersJsonSchema":{"type":"object","z":1,"a":1e2}},{"name":"g"}]}]"#;
    for (choice, to_claude, to_gemini) in [
        ("", "", r#"{"mode":"VALIDATED"}"#),
        (r#","tool_choice":"auto""#, r#"{"type":"auto"}"#, r#"{"mode":"VALIDATED"}"#),
        (r#","tool_choice":"none""#, r#"{"type":"none"}"#, r#"{"mode":"NONE"}"#),
        (r#","tool_choice":"required""#, r#"{"type":"any"}"#, r#"{"mode":"ANY"}"#),
        (
            r#","tool_choice":{"type":"function","function":{"name":"g"}}"#,
            r#"{"type":"tool","name":"g"}"#,
            r#"{"mode":"ANY","allowedFunctionNames":["g"]}"#,
        ),
    ] {
        let to_claude = match to_claude {
            "" => String::new(),
            choice => format!(r#","tool_choice":{choice}"#),
        };
        check_settings(
            &format!("{tools}{choice}"),
            &format!("{claude}{to_claude}"),
            &format!(r#"{gemini},"toolConfig":{{"functionCallingConfig":{to_gemini}}}{NO_CONFIG}"#),
        );
    }
    let one = r#""tools":[{"type":"function","function":{"name":"f","parameters":{"b":1}}}]"#;
    let rest = format!(r#"{USER},{one},"parallel_tool_calls":false"#);
    let sent = body(&CLAUDE, &rest).unwrap();
    assert!(sent.contains(r#""input_schema":{"type":"object","b":1}"#), "{sent}");
    assert!(
        sent.ends_with(r#""tool_choice":{"type":"auto","disable_parallel_tool_use":true}}"#),
        "{sent}"
    );
    check_refused(&rest, None, Some("parallel_tool_calls"));
}

#[test]
fn settings_have_their_equals() {
    let config = |rest: &str| format!(r#","generationConfig":{{"maxOutputTokens":4096,{rest}}}"#);
    check_settings(
        r#""temperature":0.70,"top_p":1"#,
        r#","temperature":0.70,"top_p":1"#,
        &config(r#""temperature":0.70,"topP":1"#),
    );
    check_settings(
        r#""stop":"a""#,
        r#","stop_sequences":["a"]"#,
        &config(r#""stopSequences":["a"]"#),
    );
    check_settings(
        r#""stop":["a","\n"]"#,
        r#","stop_sequences":["a","\n"]"#,
        &config(r#""stopSequences":["a","\n"]"#),
    );
    check_settings(r#""user":"u""#, r#","metadata":{"user_id":"u"}"#, NO_CONFIG);
    check_settings(r#""safety_identifier":"s""#, r#","metadata":{"user_id":"s"}"#, NO_CONFIG);
    check_settings(
        r#""response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object","b":0,"a":0}}}"#,
        r#","output_config":{"format":{"type":"json_schema","schema":{"type":"object","b":0,"a":0}}}"#,
        &config(
            r#""responseMimeType":"application/json","responseJsonSchema":{"type":"object","b":0,"a":0}"#,
        ),
    );
    check_settings(
        r#""response_format":{"type":"json_object"}"#,
        r#","tools":[{"name":"json_answer","description":"Takes the whole answer as its input, which is a JSON object.","input_schema":{"type":"object","additionalProperties":true}}],"tool_choice":{"type":"tool","name":"json_answer","disable_parallel_tool_use":true}"#,
        &config(r#""responseMimeType":"application/json""#),
    );
    check_settings(
        r#""reasoning_effort":"low""#,
        r#","output_config":{"effort":"low"}"#,
        &config(r#""thinkingConfig":{"thinkingLevel":"low"}"#),
    );
    check_settings(r#""n":1,"stream":false,"response_format":{"type":"text"}"#, "", NO_CONFIG);
    check_settings(r#""stream":true"#, r#","stream":true"#, NO_CONFIG);
}

#[test]
fn the_bound_of_what_is_written_is_always_there() {
    for (said, bound) in [
        (r#""max_tokens":7"#, 7),
        (r#""max_completion_tokens":8"#, 8),
        (r#""max_tokens":7,"max_completion_tokens":8"#, 8),
        (r#""max_tokens":null"#, 4096),
    ] {
        let rest = format!("{USER},{said}");
        let sent = body(&CLAUDE, &rest).unwrap();
        assert!(sent.contains(&format!(r#""max_tokens":{bound},"#)), "{sent}");
        let sent = body(&GEMINI, &rest).unwrap();
        assert!(sent.contains(&format!(r#""maxOutputTokens":{bound}}}"#)), "{sent}");
    }
}

#[test]
fn what_only_one_of_them_has_is_sent_there_alone() {
    let gemini = |rest: &str| body(&GEMINI, &format!("{USER},{rest}")).unwrap();
    for (setting, field, sent) in [
        (r#""n":3"#, "n", r#""candidateCount":3"#),
        (r#""seed":42"#, "seed", r#""seed":42"#),
        (r#""frequency_penalty":0.5"#, "frequency_penalty", r#""frequencyPenalty":0.5"#),
        (r#""presence_penalty":-1"#, "presence_penalty", r#""presencePenalty":-1"#),
        (r#""temperature":1.5"#, "temperature", r#""temperature":1.5"#),
    ] {
        check_refused(&format!("{USER},{setting}"), Some(field), None);
        assert!(gemini(setting).contains(sent), "{}", gemini(setting));
    }
    for effort in ["none", "xhigh", "max"] {
        let setting = format!(r#"{USER},"reasoning_effort":"{effort}""#);
        check_refused(&setting, None, Some("reasoning_effort"));
    }
    // Models that cannot be told.
    for model in ["claude-haiku-4-5", "claude-sonnet-4-5-20250929", "claude-opus-4-20250514"] {
        let before = Target { model, ..CLAUDE };
        let said = body(&before, &format!(r#"{USER},"reasoning_effort":"low""#)).unwrap();
        assert!(!said.contains("output_config"), "{said}");
    }
    let off = body(&CLAUDE, &format!(r#"{USER},"reasoning_effort":"none""#)).unwrap();
    assert!(off.ends_with(r#""thinking":{"type":"disabled"}}"#), "{off}");
    let early = Target { model: "gemini-2.5-pro", ..GEMINI };
    for (effort, budget) in [("none", 0), ("minimal", 1024), ("medium", 8192), ("high", 24576)] {
        let said = format!(r#"{USER},"max_tokens":50000,"reasoning_effort":"{effort}""#);
        let sent = body(&early, &said).unwrap();
        assert!(sent.contains(&format!(r#""thinkingConfig":{{"thinkingBudget":{budget}}}"#)));
    }
    // Not more than is held, where the model takes that little.
    for (most, budget) in [(16, 512), (2_000, 2_000)] {
        let said = format!(r#"{USER},"max_tokens":{most},"reasoning_effort":"high""#);
        let sent = body(&early, &said).unwrap();
        assert!(sent.contains(&format!(r#""thinkingConfig":{{"thinkingBudget":{budget}}}"#)));
    }
}

#[test]
fn what_has_no_equal_is_refused_by_name_and_what_is_harmless_is_dropped() {
    for (setting, field) in [
        (r#""logprobs":true"#, "logprobs"),
        (r#""top_logprobs":3"#, "top_logprobs"),
        (r#""logit_bias":{"1":2}"#, "logit_bias"),
        (r#""audio":{"voice":"x"}"#, "audio"),
        (r#""modalities":["text","audio"]"#, "modalities"),
        (r#""prediction":{"type":"content"}"#, "prediction"),
        (r#""functions":[{"name":"f"}]"#, "functions"),
        (r#""web_search_options":{}"#, "web_search_options"),
        (r#""store":true"#, "store"),
        (r#""service_tier":"flex""#, "service_tier"),
        (r#""verbosity":"low""#, "verbosity"),
        (r#""something_new":1"#, "something_new"),
        (r#""tools":[{"type":"custom","custom":{}}]"#, "tools[0].type"),
        (r#""tools":[{"type":"function","function":{"name":"f","x":1}}]"#, "tools[0].function.x"),
        (r#""tool_choice":"required""#, "tools"),
        (
            r#""tool_choice":{"type":"function","function":{"name":"f"}}"#,
            "tool_choice.function.name",
        ),
        (r#""tool_choice":"x""#, "tool_choice"),
        (r#""response_format":{"type":"grammar"}"#, "response_format.type"),
        (r#""response_format":{"type":"json_schema"}"#, "response_format.json_schema"),
        (r#""stop":[1]"#, "stop"),
        (r#""temperature":"1""#, "temperature"),
        (r#""max_tokens":-1"#, "max_tokens"),
        (r#""stream":1"#, "stream"),
        (r#""reasoning_effort":"much""#, "reasoning_effort"),
        (r#""user":1"#, "user"),
    ] {
        check_refused(&format!("{USER},{setting}"), Some(field), Some(field));
    }
    for setting in [
        r#""logprobs":false,"top_logprobs":null,"logit_bias":{},"modalities":["text"],"store":false"#,
        r#""metadata":{"a":"b"},"service_tier":"auto","verbosity":"medium","prompt_cache_key":"k""#,
        r#""tools":[],"tool_choice":"auto","parallel_tool_calls":false,"something_new":null"#,
        r#""frequency_penalty":null,"stream_options":{"include_usage":true}"#,
    ] {
        check_settings(setting, "", NO_CONFIG);
    }
    check_settings(
        r#""frequency_penalty":0"#,
        "",
        r#","generationConfig":{"maxOutputTokens":4096,"frequencyPenalty":0}"#,
    );
    let tools = r#""tools":[{"type":"function","function":{"name":"f"}}]"#;
    let both = format!(r#"{USER},{tools},"response_format":{{"type":"json_object"}}"#);
    check_refused(&both, Some("response_format"), None);
}

#[test]
fn messages_that_are_not_understood_are_refused_by_place() {
    for (messages, field) in [
        (r#"{"role":"alien","content":"x"}"#, "messages[0].role"),
        (r#"{"role":"user","content":"x"},{"role":"user"}"#, "messages[1].content"),
        (r#"{"role":"user","content":"x","name":"bob"}"#, "messages[0].name"),
        (r#"{"role":"user","content":[{"type":"input_audio"}]}"#, "messages[0].content[0].type"),
        (r#"{"role":"user","content":[{"type":"text"}]}"#, "messages[0].content[0].text"),
        (r#"{"role":"user","content":7}"#, "messages[0].content"),
        (r#"{"role":"assistant","audio":{"id":"a"}}"#, "messages[0].audio"),
        (r#"{"role":"user","content":""}"#, "messages"),
        ("", "messages"),
        (
            r#"{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"[1]"}}]}"#,
            "messages[0].tool_calls[0].function.arguments",
        ),
        (
            r#"{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{\"a\":"}}]}"#,
            "messages[0].tool_calls[0].function.arguments",
        ),
    ] {
        check_refused(&format!(r#""messages":[{messages}]"#), Some(field), Some(field));
    }
    // Only Gemini has to know which call it was.
    let stray = r#""messages":[{"role":"tool","tool_call_id":"c","content":"x"}]"#;
    check_refused(stray, None, Some("messages[0].tool_call_id"));
}

#[test]
fn what_is_to_be_cached_is_cached_for_minutes() {
    let rest = |cache: &str| {
        format!(
            r#""messages":[{{"role":"user","content":[{{"type":"text","text":"x","cache_control":{cache}}}]}}]"#
        )
    };
    let sent = body(&CLAUDE, &rest(r#"{"type":"ephemeral"}"#)).unwrap();
    assert!(sent.contains(r#""text":"x","cache_control":{"type":"ephemeral"}}"#), "{sent}");
    check_refused(&rest(r#"{"type":"ephemeral","ttl":"1h"}"#), Some("cache_control.ttl"), None);
}

#[test]
fn texts_become_a_batch() {
    let embed = |rest: &str| {
        let body = format!(r#"{{"model":"google/e",{rest}}}"#);
        let target = Target { model: "gemini-embedding-001", ..GEMINI };
        request(Operation::Embedding, body.as_bytes(), &target)
    };
    let sent = embed(r#""input":["a","\u00e9"],"dimensions":8,"user":"u""#).unwrap();
    assert_eq!(sent.path, "/v1beta/models/gemini-embedding-001:batchEmbedContents");
    assert_eq!(sent.operation, Operation::EmbedBatch);
    assert_eq!(
        String::from_utf8(sent.body).unwrap(),
        r#"{"requests":[{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"a"}]},"outputDimensionality":8},{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"\u00e9"}]},"outputDimensionality":8}]}"#
    );
    for (rest, field) in [
        (r#""input":[1,2]"#, "input"),
        (r#""input":[]"#, "input"),
        (r#""input":"a","encoding_format":"int8""#, "encoding_format"),
        (r#""input":"a","x":1"#, "x"),
    ] {
        assert_eq!(embed(rest).unwrap_err().field(), Some(field), "{rest}");
    }
}
