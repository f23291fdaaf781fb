use proptest::prelude::*;

use super::*;
use crate::{
    translate::{
        Target,
        tests::{CLAUDE, GEMINI, STAMP, answering},
    },
    usage::tests::events,
};

const USAGE: &str = r#""stream":true,"stream_options":{"include_usage":true}"#;

fn by(target: &Target<'_>, rest: &str, stream: &[u8], size: usize) -> String {
    let (mut translating, mut out) = (answering(target, rest).stream(STAMP), Vec::new());
    stream.chunks(size.max(1)).for_each(|piece| translating.feed(piece, &mut out));
    translating.finish(&mut out);
    String::from_utf8(out).unwrap()
}

/// What a stream becomes, which is the same for whatever pieces it comes in.
fn translated(target: &Target<'_>, rest: &str, data: &[&str]) -> String {
    let stream = events(data);
    let whole = by(target, rest, stream.as_bytes(), stream.len());
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(by(target, rest, stream.as_bytes(), size), whole, "by {size}: {stream}");
    }
    whole
}

/// Chunks with these choices, and whether usage was asked for.
fn chunks(choices: &[&str], has_usage: bool) -> String {
    let usage = if has_usage { r#","usage":null"# } else { "" };
    choices.iter().map(|choice| chunk(choice, usage)).collect()
}

fn chunk(choices: &str, usage: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"x/y\",\"choices\":[{choices}]{usage}}}\n\n"
    )
}

fn delta(delta: &str) -> String {
    format!(r#"{{"index":0,"delta":{{{delta}}},"logprobs":null,"finish_reason":null}}"#)
}

fn end(finish: &str) -> String {
    format!(r#"{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"{finish}"}}"#)
}

const DONE: &str = "data: [DONE]\n\n";

const START: &str = r#"{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","content":[],"stop_reason":null,"usage":{"input_tokens":10,"cache_read_input_tokens":90,"output_tokens":1}}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;

#[test]
fn a_message_becomes_chunks() {
    let stream = [
        START,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" \u00e9😀\n"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":15}}"#,
        STOP,
    ];
    let role = delta(r#""role":"assistant","content":"""#);
    let (hello, rest) = (delta(r#""content":"Hello""#), delta(r#""content":" \u00e9😀\n""#));
    let said = [&*role, &*hello, &*rest, &*end("stop")];
    let usage = r#","usage":{"prompt_tokens":100,"completion_tokens":15,"total_tokens":115,"prompt_tokens_details":{"cached_tokens":90}}"#;
    let with = format!("{}{}{DONE}", chunks(&said, true), chunk("", usage));
    assert_eq!(translated(&CLAUDE, USAGE, &stream), with);
    let without = format!("{}{DONE}", chunks(&said, false));
    assert_eq!(translated(&CLAUDE, r#""stream":true"#, &stream), without);
}

#[test]
fn calls_come_in_parts_with_index_and_id() {
    let stream = [
        START,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t1","name":"w","input":{}}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\": "}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"1}"}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t2","name":"now","input":{}}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}"#,
        r#"{"type":"content_block_stop","index":2}"#,
        r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"t3","name":"z","input":{"q":1}}}"#,
        r#"{"type":"content_block_stop","index":3}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":15}}"#,
        STOP,
    ];
    let begin = |index: u64, id: &str, name: &str, arguments: &str| {
        delta(&format!(
            r#""tool_calls":[{{"index":{index},"id":"{id}","type":"function","function":{{"name":"{name}","arguments":"{arguments}"}}}}]"#
        ))
    };
    let more = |index: u64, arguments: &str| {
        delta(&format!(
            r#""tool_calls":[{{"index":{index},"function":{{"arguments":"{arguments}"}}}}]"#
        ))
    };
    let said = [
        delta(r#""role":"assistant","content":"""#),
        begin(0, "t1", "w", ""),
        more(0, r#"{\"a\": "#),
        more(0, "1}"),
        begin(1, "t2", "now", ""),
        // Arguments of nothing are an object all the same.
        more(1, "{}"),
        begin(2, "t3", "z", r#"{\"q\":1}"#),
        end("tool_calls"),
    ];
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    let expected = format!("{}{DONE}", chunks(&said, false));
    assert_eq!(translated(&CLAUDE, r#""stream":true"#, &stream), expected);
}

#[test]
fn what_is_said_beside_the_tool_of_a_json_answer_is_told_where_none_is_called() {
    let rest = r#""stream":true,"response_format":{"type":"json_object"}"#;
    let said = |text: &str| {
        format!(
            r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}"#
        )
    };
    let (one, other) = (said("Su"), said("re"));
    let alone = translated(&CLAUDE, rest, &[START, &one, &other, STOP]);
    let first = delta(r#""role":"assistant","content":"""#);
    let texts = [delta(r#""content":"Su""#), delta(r#""content":"re""#)];
    let expected = chunks(&[&first, &texts[0], &texts[1], &end("stop")], false) + DONE;
    assert_eq!(alone, expected);
    let tool = r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"j","input":{}}}"#;
    let json = r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"7"}}"#;
    let called = translated(&CLAUDE, rest, &[START, &one, tool, json, &other, STOP]);
    let expected = chunks(&[&first, &delta(r#""content":"7""#), &end("stop")], false) + DONE;
    assert_eq!(called, expected);
    // It does not wait for ever.
    let long = said(&"x".repeat(64 * 1024));
    let (mut translating, mut out) = (answering(&CLAUDE, rest).stream(STAMP), Vec::new());
    for _ in 0..5 {
        translating.feed(events(&[&long]).as_bytes(), &mut out);
    }
    assert!(out.len() > 4 * 64 * 1024, "{}", out.len());
}

#[test]
fn the_input_of_the_tool_for_json_is_streamed_as_content() {
    let rest = r#""stream":true,"response_format":{"type":"json_object"}"#;
    let begin = r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"json_answer","input":{}}}"#;
    let stop = r#"{"type":"content_block_stop","index":0}"#;
    let over = r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":1}}"#;
    let json = r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}"#;
    let role = delta(r#""role":"assistant","content":"""#);
    let content = delta(r#""content":"{\"a\":1}""#);
    let expected = chunks(&[&role, &content, &end("stop")], false) + DONE;
    assert_eq!(translated(&CLAUDE, rest, &[START, begin, json, stop, over, STOP]), expected);
    let nothing = delta(r#""content":"{}""#);
    let expected = chunks(&[&role, &nothing, &end("stop")], false) + DONE;
    assert_eq!(translated(&CLAUDE, rest, &[START, begin, stop, over, STOP]), expected);
}

#[test]
fn content_of_gemini_becomes_chunks() {
    let stream = [
        r#"{"candidates":[{"content":{"parts":[{"text":"hm","thought":true}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":41,"thoughtsTokenCount":300,"totalTokenCount":341}}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"Hello"}]},"index":0}],"usageMetadata":{"promptTokenCount":41,"totalTokenCount":389}}"#,
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"w","args":{"a":1}},"thoughtSignature":"s"},{"functionCall":{"name":"t","args":{}}}]},"index":0}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":41,"candidatesTokenCount":5,"thoughtsTokenCount":343,"totalTokenCount":389}}"#,
    ];
    let said = [
        delta(r#""role":"assistant","content":"""#),
        delta(r#""content":"Hello""#),
        delta(
            r#""tool_calls":[{"index":0,"id":"call_1_0_0","type":"function","function":{"name":"w","arguments":"{\"a\":1}"},"extra_content":{"google":{"thought_signature":"s"}}}]"#,
        ),
        delta(
            r#""tool_calls":[{"index":1,"id":"call_1_0_1","type":"function","function":{"name":"t","arguments":"{}"}}]"#,
        ),
        end("tool_calls"),
    ];
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    let usage = r#","usage":{"prompt_tokens":41,"completion_tokens":348,"total_tokens":389,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":343}}"#;
    let expected = format!("{}{}{DONE}", chunks(&said, true), chunk("", usage));
    assert_eq!(translated(&GEMINI, USAGE, &stream), expected);
}

#[test]
fn a_prompt_that_is_refused_ends_with_that() {
    let blocked = r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":4,"totalTokenCount":4}}"#;
    let role = delta(r#""role":"assistant","content":"""#);
    let expected = chunks(&[&role, &end("content_filter")], false) + DONE;
    assert_eq!(translated(&GEMINI, r#""stream":true"#, &[blocked]), expected);
}

#[test]
fn several_answers_are_told_apart() {
    let stream = [
        r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}},{"content":{"parts":[{"text":"b"}]},"index":1}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"c"}]},"finishReason":"STOP","index":1}]}"#,
    ];
    let cut = translated(&GEMINI, r#""stream":true,"n":2"#, &stream);
    assert!(cut.contains(r#"{"index":1,"delta":{"content":"c"}"#), "{cut}");
    // The first has not ended.
    assert!(!cut.contains(DONE), "{cut}");
    let last = r#"{"candidates":[{"finishReason":"MAX_TOKENS","index":0}]}"#;
    let whole =
        translated(&GEMINI, r#""stream":true,"n":2"#, &[stream.as_slice(), &[last]].concat());
    assert!(whole.contains(r#"{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}"#));
    assert!(whole.ends_with(DONE));
}

#[test]
fn a10_a_stream_that_is_cut_never_ends_with_done() {
    let text =
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#;
    let reason = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}"#;
    let cut = "data: {\"error\":{\"message\":\"the answer of the provider was cut off\",\"type\":\"api_error\",\"param\":null,\"code\":\"bad_gateway\"}}\n\n";
    for stream in [&[][..], &[START], &[START, text], &[START, text, reason]] {
        let out = translated(&CLAUDE, USAGE, stream);
        assert!(out.ends_with(cut), "{out}");
        assert!(!out.contains("[DONE]"), "{out}");
    }
    let text = r#"{"candidates":[{"content":{"parts":[{"text":"x"}]}}]}"#;
    for stream in [&[][..], &[text]] {
        let out = translated(&GEMINI, USAGE, stream);
        assert!(out.ends_with(cut) && !out.contains("[DONE]"), "{out}");
    }
    // In the middle of an event.
    let whole = events(&[START, reason, STOP]);
    for length in 0..whole.len() {
        let out = by(&CLAUDE, USAGE, &whole.as_bytes()[..length], 5);
        assert_eq!(out.contains("[DONE]"), length >= whole.len() - 2, "{length}: {out}");
    }
}

#[test]
fn a33_an_error_inside_a_stream_ends_it() {
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let out = translated(&CLAUDE, USAGE, &[START, error, STOP]);
    let expected = "data: {\"error\":{\"message\":\"Overloaded\",\"type\":\"overloaded_error\",\"param\":null,\"code\":null}}\n\n";
    assert!(out.ends_with(expected), "{out}");
    let error = r#"{"error":{"code":503,"message":"Busy","status":"UNAVAILABLE"}}"#;
    let out = translated(&GEMINI, USAGE, &[error, r#"{"candidates":[{"finishReason":"STOP"}]}"#]);
    let expected = "data: {\"error\":{\"message\":\"Busy\",\"type\":\"overloaded_error\",\"param\":null,\"code\":\"UNAVAILABLE\"}}\n\n";
    assert_eq!(out, expected);
    for event in ["{", "[]", r#"["message_stop"]"#, r#"{"type":7}"#, r#"{"type":"error"}"#] {
        let out = translated(&CLAUDE, USAGE, &[START, event, STOP]);
        assert!(out.contains("can not be read") && !out.contains("[DONE]"), "{out}");
    }
}

#[test]
fn events_of_any_order_make_a_stream() {
    let text =
        r#"{"type":"content_block_delta","index":9,"delta":{"type":"text_delta","text":"x"}}"#;
    let stray = r#"{"type":"content_block_delta","index":9,"delta":{"type":"input_json_delta","partial_json":"{"}}"#;
    let role = delta(r#""role":"assistant","content":"""#);
    let content = delta(r#""content":"x""#);
    // Without a beginning, with a delta of nothing, without a reason, and with more behind the end.
    let expected = chunks(&[&role, &content, &end("stop")], false) + DONE;
    let out = translated(&CLAUDE, r#""stream":true"#, &[text, stray, STOP, text, STOP]);
    assert_eq!(out, expected);
    // What comes behind the reason is not shown, and one reason is told.
    let reason = |reason: &str| {
        format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}"}}}}"#)
    };
    let (length, again) = (reason("max_tokens"), reason("end_turn"));
    let out = translated(
        &CLAUDE,
        r#""stream":true"#,
        &[START, r#"{"type":"new_event"}"#, text, &length, text, &again, STOP],
    );
    assert_eq!(out, chunks(&[&role, &content, &end("length")], false) + DONE);
}

#[test]
fn a22_memory_is_bounded_and_nothing_is_held_back() {
    let mut translating = answering(&CLAUDE, USAGE).stream(STAMP);
    let mut out = Vec::new();
    translating.feed(events(&[START]).as_bytes(), &mut out);
    assert!(!out.is_empty());
    let shown = out.len();
    translating.feed(
        b"data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",",
        &mut out,
    );
    assert_eq!(out.len(), shown);
    translating.feed(b"\"text\":\"x\"}}\n\n", &mut out);
    assert!(out.len() > shown);
    translating.feed(b"data: ", &mut out);
    for _ in 0..EVENT_MAX_BYTES / 1024 + 2 {
        translating.feed(&[b'x'; 1024], &mut out);
        assert!(translating.event.len() <= EVENT_MAX_BYTES);
    }
    assert!(translating.is_over());
    translating.finish(&mut out);
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("an event of the provider is too long") && !out.contains("[DONE]"));
}

/// Bytes that are streams here and there.
pub(super) fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..6),
            prop::sample::select(vec![
                "data: ", "\n\n", "\r\n", "\n", START, STOP, "data: {\"type\":", "}", ",", "[DONE]",
                "\n\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"i\",\"name\":\"n\"}}\n\n",
                "\n\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\"}}\n\n",
                "\n\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n",
                "\n\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"x\"},\"usage\":{\"output_tokens\":3}}\n\n",
                "\n\ndata: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"é\"},{\"functionCall\":{\"name\":\"f\"}}]}}]}\n\n",
                "\n\ndata: {\"candidates\":[{\"index\":3,\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":1}}\n\n",
                "\n\ndata: {\"error\":{\"message\":\"m\"}}\n\n",
            ])
            .prop_map(|part| part.as_bytes().to_vec()),
        ],
        0..16,
    )
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_give_the_same(
        parts in pieces(),
        size in 1_usize..9,
    ) {
        let stream = parts.concat();
        for target in [CLAUDE, GEMINI] {
            let whole = by(&target, USAGE, &stream, stream.len());
            prop_assert_eq!(&by(&target, USAGE, &stream, size), &whole);
            // It ends once: with what it came to, or with an error.
            let has_failed = whole.contains("data: {\"error\"");
            prop_assert_ne!(whole.ends_with(DONE), has_failed);
        }
    }
}
