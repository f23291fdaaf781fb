//! Tools that a provider runs: what is held for them, and how often it may call them.

use super::*;

#[test]
fn a20_tools_of_a_provider_need_a_price_and_a_bound() {
    let search = |rest: &str| {
        let body = format!(
            r#"{{"max_tokens":10,"tools":[{{"type":"web_search_20250305","name":"web_search"{rest}}}]}}"#
        );
        estimate(Operation::Message, CLAUDE, &body)
    };
    // A bound of ours has to be put in.
    let unsaid = search("").unwrap();
    assert_eq!(unsaid.tool_calls, Some(3));
    assert!(matches!(search(r#","max_uses":101"#), Err(EstimateError::Request(_))));
    let found = search(r#","max_uses":2"#).unwrap();
    // What the request brings thrice, with what one and two searches find; and those at $10 for a thousand.
    let brought = found.input_tokens.checked_sub(3 * FOUND_TOKENS + 2 * 10).unwrap();
    assert!((3 * 1_024..10_000).contains(&brought), "{brought}");
    assert_eq!((found.tool_calls, brought % 3), (None, 0));
    let micro = i64::try_from(found.input_tokens).unwrap() * 500 + 10 * 2_500 + 2 * 1_000_000;
    assert_eq!(found.hold.micro(), micro);
    for (operation, model, body) in [
        (
            Operation::Message,
            CLAUDE,
            r#"{"tools":[{"type":"code_execution_20250825","max_uses":1}]}"#,
        ),
        (Operation::Message, CLAUDE, r#"{"tools":[{"type":"mcp_toolset"}]}"#),
        (Operation::Response, GPT, r#"{"max_tool_calls":1,"tools":[{"type":"code_interpreter"}]}"#),
        (Operation::Response, GPT, r#"{"tools":[{"type":"image_generation"}]}"#),
        (Operation::Response, GPT, r#"{"tools":[{"type":"web_search_preview"}]}"#),
        (Operation::Message, CLAUDE, r#"{"tools":[{"type":"code_execution_20250825"}]}"#),
        (Operation::ChatCompletion, GPT, r#"{"web_search_options":{}}"#),
        (Operation::Generate, GEMINI, r#"{"tools":[{"googleMaps":{}}]}"#),
    ] {
        assert!(estimate(operation, model, body).is_err(), "{body}");
    }
    let response = |rest: &str| {
        let body = format!(r#"{{"tools":[{{"type":"web_search"}}]{rest}}}"#);
        estimate(Operation::Response, GPT, &body).unwrap()
    };
    let (unsaid, said) = (response(""), response(r#","max_tool_calls":3"#));
    assert_eq!((unsaid.tool_calls, said.tool_calls), (Some(3), None));
    let bytes = said.body_bytes - unsaid.body_bytes;
    assert_eq!(said.input_tokens, unsaid.input_tokens + 4 * bytes);
    let grounded =
        estimate(Operation::Generate, GEMINI, r#"{"tools":[{"google_search":{}}]}"#).unwrap();
    assert_eq!(grounded.input_tokens, 1_048_576);
    assert!(
        estimate(Operation::Message, CLAUDE, r#"{"tools":[{"name":"f","input_schema":{}}]}"#)
            .is_ok()
    );
    assert!(
        estimate(
            Operation::Generate,
            GEMINI,
            r#"{"tools":[{"functionDeclarations":[{"name":"f","x":1}]}]}"#
        )
        .is_ok()
    );
}

#[test]
fn searches_are_held_with_what_they_may_find_and_fewer_of_them_with_less() {
    let of = ("openai", "gpt-5.4");
    let body = r#"{"max_output_tokens":100,"input":"hello","tools":[{"type":"web_search"}]}"#;
    let request = read(Operation::Response, body).unwrap();
    let three = estimate(Operation::Response, of, body).unwrap();
    let first = three.input_tokens.checked_sub(6 * FOUND_TOKENS + 3 * 100).unwrap() / 4;
    assert!((body.len() as u64..5_000).contains(&first), "{first}");
    let two = three.with_fewer_calls(&request).unwrap();
    let twice = 3 * first + 3 * FOUND_TOKENS + 2 * 100;
    assert_eq!((two.tool_calls, two.input_tokens), (Some(2), twice));
    let one = two.with_fewer_calls(&request).unwrap();
    assert_eq!((one.tool_calls, one.input_tokens), (Some(1), 2 * first + FOUND_TOKENS + 100));
    assert!(one.hold < two.hold && two.hold < three.hold);
    assert_eq!(one.with_fewer_calls(&request), None);
    // A page may be all that the model reads.
    let page =
        r#"{"max_tokens":10,"tools":[{"type":"web_fetch_20250910","name":"f","max_uses":2}]}"#;
    let page = estimate(Operation::Message, CLAUDE, page).unwrap();
    assert!((2_001_000..2_010_000).contains(&page.input_tokens), "{}", page.input_tokens);
    // What the caller has said is not changed, and no model reads more than it can.
    let said = body.replace("100,", "100,\"max_tool_calls\":100,");
    let request = read(Operation::Response, &said).unwrap();
    let said = estimate(Operation::Response, of, &said).unwrap();
    assert_eq!(said.with_fewer_calls(&request), None);
    let most = said.model.max_input_tokens;
    assert!(said.input_tokens < 101 * most && said.input_tokens > 90 * most);
}

#[test]
fn tools_are_nowhere_but_where_they_are_bounded() {
    let input = |item: &str| {
        let body = format!(r#"{{"max_output_tokens":16,"input":[{item}]}}"#);
        estimate(Operation::Response, GPT, &body)
    };
    for item in [
        r#"{"type":"additional_tools","role":"developer","tools":[{"type":"image_generation"}]}"#,
        r#"{"type":"tool_search_output","tools":[{"type":"mcp"}]}"#,
        r#"{"type":"message","role":"user","content":"a","tools":[{"type":"web_search"}]}"#,
        r#"{"type":"message","t\u006fols":{"type":"web_search"}}"#,
        r#"{"type":"message","type":"\u0061dditional_tools"}"#,
        r#"{"type":["additional_tools"]}"#,
        r#"{"type":7}"#,
        r#"{"type":"compaction_trigger"}"#,
        r#"{"type":"configuration_update"}"#,
        r#"{"type":"item_reference","id":"i"}"#,
    ] {
        assert!(matches!(input(item), Err(EstimateError::Request(_))), "{item}");
    }
    let error = input(r#"{"type":"compaction_trigger"}"#).unwrap_err();
    assert_eq!(error.field(), Some("input[].type \"compaction_trigger\""));
    for item in [
        r#"{"role":"user","content":"a","tools":null}"#,
        r#"{"type":null,"role":"user","content":"a"}"#,
        r#"{"type":"message","role":"user","content":"a"}"#,
        r#"{"type":"function_call_output","call_id":"c","output":"{\"tools\":[1]}"}"#,
        r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"e"}"#,
    ] {
        assert!(input(item).is_ok(), "{item}: {:?}", input(item));
    }
    assert!(read(Operation::Embedding, r#"{"input":["a"]}"#).is_ok());
}

#[test]
fn a_bound_of_tools_is_one_number_from_1_on() {
    for (operation, body) in [
        (Operation::Response, r#"{"max_tool_calls":0}"#),
        (Operation::Response, r#"{"max_tool_calls":101}"#),
        (Operation::Message, r#"{"tools":[{"type":"web_search_20250305","max_uses":0}]}"#),
        (Operation::Message, r#"{"tools":[{"type":"web_search_20250305","max_uses":{}}]}"#),
        (Operation::Message, r#"{"tools":[{"type":"web_search_20250305","max_uses":[3]}]}"#),
        (Operation::Message, r#"{"tools":[{"type":["web_search_20250305"]}]}"#),
    ] {
        assert!(read(operation, body).is_err(), "{body}");
    }
}
