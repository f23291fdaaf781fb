use proptest::prelude::*;

use super::*;
use crate::{
    translate::{
        Target,
        cost::CostStream,
        stream::tests::pieces,
        tests::{CLAUDE, GEMINI, STAMP, responding},
    },
    usage::{
        Dialect, Framing, Meter, Standing,
        tests::{events, report},
    },
};

fn by(target: &Target<'_>, rest: &str, stream: &[u8], size: usize) -> String {
    let (mut translating, mut out) = (responding(target, rest).stream(STAMP), Vec::new());
    stream.chunks(size.max(1)).for_each(|piece| translating.feed(piece, &mut out));
    translating.finish(&mut out);
    String::from_utf8(out).unwrap()
}

/// What a stream becomes, which is the same wherever it is split.
fn translated(target: &Target<'_>, data: &[&str]) -> String {
    let (stream, rest) = (events(data), r#""stream":true"#);
    let whole = by(target, rest, stream.as_bytes(), stream.len());
    for size in 1..stream.len() {
        assert_eq!(by(target, rest, stream.as_bytes(), size), whole, "by {size}: {stream}");
    }
    whole
}

/// The same with numbers in their order; `RESPONSE(…)` is one with this status, output and the rest.
fn numbered(events: &[(&str, String)]) -> String {
    let event = |(number, (kind, rest)): (usize, &(&str, String))| {
        format!(
            "event: {kind}\ndata: {{\"type\":\"{kind}\",\"sequence_number\":{number},{rest}}}\n\n"
        )
    };
    events.iter().enumerate().map(event).collect()
}

fn response(status: &str, (error, incomplete): (&str, &str), output: &str, usage: &str) -> String {
    format!(
        r#""response":{{"id":"resp_1","object":"response","created_at":1700000000,"status":"{status}","background":false,"error":{error},"incomplete_details":{incomplete},"instructions":null,"max_output_tokens":null,"model":"x/y","output":[{output}],"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{{"effort":null,"summary":null}},"store":false,"temperature":null,"text":{{"format":{{"type":"text"}}}},"tool_choice":"auto","tools":[],"top_p":null,"truncation":"disabled","user":null,"metadata":{{}},"usage":{usage}}}"#
    )
}

const NEITHER: (&str, &str) = ("null", "null");

fn begun() -> [(&'static str, String); 2] {
    let response = response("in_progress", NEITHER, "", "null");
    [("response.created", response.clone()), ("response.in_progress", response)]
}

fn part(text: &str) -> String {
    format!(r#"{{"type":"output_text","text":"{text}","annotations":[],"logprobs":[]}}"#)
}

fn message(index: usize, status: &str, content: &str) -> String {
    format!(
        r#"{{"type":"message","id":"msg_1_{index}","status":"{status}","role":"assistant","content":[{content}]}}"#
    )
}

/// All that is told of a message.
fn told(index: usize, status: &str, deltas: &[&str]) -> Vec<(&'static str, String)> {
    let at = format!(r#""item_id":"msg_1_{index}","output_index":{index}"#);
    let text = deltas.concat();
    let mut told = vec![
        (
            "response.output_item.added",
            format!(r#""output_index":{index},"item":{}"#, message(index, "in_progress", "")),
        ),
        ("response.content_part.added", format!(r#"{at},"content_index":0,"part":{}"#, part(""))),
    ];
    told.extend(deltas.iter().map(|delta| {
        let rest = format!(r#"{at},"content_index":0,"delta":"{delta}","logprobs":[]"#);
        ("response.output_text.delta", rest)
    }));
    let done = message(index, status, &part(&text));
    told.extend([
        (
            "response.output_text.done",
            format!(r#"{at},"content_index":0,"text":"{text}","logprobs":[]"#),
        ),
        ("response.content_part.done", format!(r#"{at},"content_index":0,"part":{}"#, part(&text))),
        ("response.output_item.done", format!(r#""output_index":{index},"item":{done}"#)),
    ]);
    told
}

fn call(
    index: usize,
    status: &str,
    (id, name, rest): (&str, &str, &str),
    arguments: &str,
) -> String {
    format!(
        r#"{{"type":"function_call","id":"fc_1_{index}","status":"{status}","call_id":"{id}","name":"{name}","arguments":"{arguments}"{rest}}}"#
    )
}

/// All that is told of a call.
fn called(index: usize, named: (&str, &str, &str), deltas: &[&str]) -> Vec<(&'static str, String)> {
    let at = format!(r#""item_id":"fc_1_{index}","output_index":{index}"#);
    let arguments = deltas.concat();
    let added = call(index, "in_progress", named, "");
    let mut told =
        vec![("response.output_item.added", format!(r#""output_index":{index},"item":{added}"#))];
    told.extend(deltas.iter().map(|delta| {
        ("response.function_call_arguments.delta", format!(r#"{at},"delta":"{delta}""#))
    }));
    let done = call(index, "completed", named, &arguments);
    told.extend([
        (
            "response.function_call_arguments.done",
            format!(r#"{at},"name":"{}","arguments":"{arguments}""#, named.1),
        ),
        ("response.output_item.done", format!(r#""output_index":{index},"item":{done}"#)),
    ]);
    told
}

const START: &str = r#"{"type":"message_start","message":{"id":"m","content":[],"usage":{"input_tokens":10,"cache_read_input_tokens":90,"output_tokens":1}}}"#;
const TEXT: &str =
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;

fn over(reason: &str) -> String {
    format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}"}},"usage":{{"output_tokens":15}}}}"#
    )
}

const USED: &str = r#"{"input_tokens":100,"input_tokens_details":{"cached_tokens":90,"cache_write_tokens":0},"output_tokens":15,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":115}"#;

#[test]
fn a_message_becomes_events_and_a_response() {
    let stream = [
        START,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"ping"}"#,
        TEXT,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" \u00e9😀\n"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        &over("end_turn"),
        STOP,
    ];
    let mut expected = Vec::from(begun());
    expected.extend(told(0, "completed", &["Hello", r" \u00e9😀\n"]));
    let output = message(0, "completed", &part(r"Hello \u00e9😀\n"));
    expected.push(("response.completed", response("completed", NEITHER, &output, USED)));
    let out = translated(&CLAUDE, &stream);
    assert_eq!(out, numbered(&expected));
    // Who reads our events reads what the provider has said.
    let read = report(Dialect::OpenAi, Framing::Events, &out);
    assert_eq!((read.standing, read.usage.input, read.usage.output), (Standing::Final, 10, 15));
}

#[test]
fn calls_are_items_of_their_own() {
    let start = |index: u64, id: &str, name: &str| {
        format!(
            r#"{{"type":"content_block_start","index":{index},"content_block":{{"type":"tool_use","id":"{id}","name":"{name}","input":{{}}}}}}"#
        )
    };
    let json = |index: u64, json: &str| {
        format!(
            r#"{{"type":"content_block_delta","index":{index},"delta":{{"type":"input_json_delta","partial_json":"{json}"}}}}"#
        )
    };
    let stop = |index: u64| format!(r#"{{"type":"content_block_stop","index":{index}}}"#);
    let stream = [
        START.to_owned(),
        TEXT.to_owned(),
        stop(0),
        start(1, "t1", "w"),
        json(1, ""),
        json(1, r#"{\"a\": "#),
        json(1, "1.50}"),
        stop(1),
        start(2, "t2", "now"),
        stop(2),
        r#"{"type":"content_block_delta","index":3,"delta":{"type":"text_delta","text":"So."}}"#
            .to_owned(),
        over("tool_use"),
        STOP.to_owned(),
    ];
    let stream: Vec<&str> = stream.iter().map(String::as_str).collect();
    let (first, second) = (("t1", "w", ""), ("t2", "now", ""));
    let mut expected = Vec::from(begun());
    expected.extend(told(0, "completed", &["Hello"]));
    expected.extend(called(1, first, &[r#"{\"a\": "#, "1.50}"]));
    expected.extend(called(2, second, &["{}"]));
    expected.extend(told(3, "completed", &["So."]));
    let output = [
        message(0, "completed", &part("Hello")),
        call(1, "completed", first, r#"{\"a\": 1.50}"#),
        call(2, "completed", second, "{}"),
        message(3, "completed", &part("So.")),
    ];
    let output = output.join(",");
    expected.push(("response.completed", response("completed", NEITHER, &output, USED)));
    assert_eq!(translated(&CLAUDE, &stream), numbered(&expected));
}

#[test]
fn content_of_gemini_becomes_events() {
    let stream = [
        r#"{"candidates":[{"content":{"parts":[{"text":"hm","thought":true}]},"index":0}],"usageMetadata":{"promptTokenCount":41,"totalTokenCount":41}}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"Hello"}]},"index":0},{"content":{"parts":[{"text":"other"}]},"index":1}]}"#,
        r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"w","args":{"a":1}},"thoughtSignature":"s"}]},"index":0}]}"#,
        r#"{"candidates":[{"finishReason":"STOP","index":0},{"finishReason":"SAFETY","index":1}],"usageMetadata":{"promptTokenCount":41,"candidatesTokenCount":5,"thoughtsTokenCount":343,"totalTokenCount":389}}"#,
    ];
    let signed = r#","extra_content":{"google":{"thought_signature":"s"}}"#;
    let named = ("call_1_0_0", "w", signed);
    let mut expected = Vec::from(begun());
    expected.extend(told(0, "completed", &["Hello"]));
    expected.extend(called(1, named, &[r#"{\"a\":1}"#]));
    let said = message(0, "completed", &part("Hello"));
    let output = format!("{said},{}", call(1, "completed", named, r#"{\"a\":1}"#));
    let usage = r#"{"input_tokens":41,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"output_tokens":348,"output_tokens_details":{"reasoning_tokens":343},"total_tokens":389}"#;
    expected.push(("response.completed", response("completed", NEITHER, &output, usage)));
    assert_eq!(translated(&GEMINI, &stream), numbered(&expected));
}

#[test]
fn what_was_cut_short_is_incomplete_with_its_reason() {
    for (reason, told_as) in [("max_tokens", "max_output_tokens"), ("refusal", "content_filter")] {
        let mut expected = Vec::from(begun());
        expected.extend(told(0, "incomplete", &["Hello"]));
        let output = message(0, "incomplete", &part("Hello"));
        let details = format!(r#"{{"reason":"{told_as}"}}"#);
        let response = response("incomplete", ("null", &details), &output, USED);
        expected.push(("response.incomplete", response));
        assert_eq!(translated(&CLAUDE, &[START, TEXT, &over(reason), STOP]), numbered(&expected));
    }
    let blocked = r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"}}"#;
    let mut expected = Vec::from(begun());
    let details = r#"{"reason":"content_filter"}"#;
    let response = response("incomplete", ("null", details), "", "null");
    expected.push(("response.incomplete", response));
    assert_eq!(translated(&GEMINI, &[blocked]), numbered(&expected));
}

/// What is told of a failure.
fn failed(output: &str, code: &str, error: (&str, &str, &str)) -> [(&'static str, String); 2] {
    let (message, kind, word) = error;
    let told = format!(r#"{{"code":"{code}","message":"{message}"}}"#);
    let response = response("failed", (&told, "null"), output, "null");
    let quoted =
        |word: &str| if word.is_empty() { "null".to_owned() } else { format!("\"{word}\"") };
    let flat = if word.is_empty() { kind } else { word };
    let error = format!(
        r#""code":"{flat}","message":"{message}","param":null,"error":{{"message":"{message}","type":"{kind}","param":null,"code":{}}}"#,
        quoted(word)
    );
    [("response.failed", response), ("error", error)]
}

#[test]
fn a33_an_error_inside_a_stream_ends_it() {
    let error = r#"{"type":"error","error":{"type":"rate_limit_error","message":"Slow"}}"#;
    let mut expected = Vec::from(begun());
    let mut told_so_far = told(0, "", &["Hello"]);
    told_so_far.truncate(3);
    expected.extend(told_so_far);
    let output = message(0, "incomplete", &part("Hello"));
    expected.extend(failed(&output, "rate_limit_exceeded", ("Slow", "rate_limit_error", "")));
    assert_eq!(translated(&CLAUDE, &[START, TEXT, error, STOP]), numbered(&expected));
    let error = r#"{"error":{"code":503,"message":"Busy","status":"UNAVAILABLE"}}"#;
    let mut expected = Vec::from(begun());
    expected.extend(failed("", "server_error", ("Busy", "overloaded_error", "UNAVAILABLE")));
    assert_eq!(translated(&GEMINI, &[error]), numbered(&expected));
}

#[test]
fn a10_a_stream_that_is_cut_never_completes() {
    let cut = ("the answer of the provider was cut off", "api_error", "bad_gateway");
    let mut expected = Vec::from(begun());
    expected.extend(failed("", "server_error", cut));
    for stream in [&[][..], &[START]] {
        assert_eq!(translated(&CLAUDE, stream), numbered(&expected));
    }
    let whole = events(&[START, TEXT, &over("end_turn"), STOP]);
    for length in 0..whole.len() {
        let out = by(&CLAUDE, r#""stream":true"#, &whole.as_bytes()[..length], 5);
        let is_whole = length >= whole.len() - 2;
        assert_eq!(out.contains("event: response.completed"), is_whole, "{length}: {out}");
        assert_eq!(out.contains("event: response.failed"), !is_whole);
        assert!(!out.contains("[DONE]"));
    }
}

#[test]
fn a_call_that_goes_on_after_its_end_is_an_error() {
    let start = |index: u64| {
        format!(
            r#"{{"type":"content_block_start","index":{index},"content_block":{{"type":"tool_use","id":"t","name":"w","input":{{}}}}}}"#
        )
    };
    let json = r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#;
    let out = translated(&CLAUDE, &[START, &start(0), &start(1), json, &over("tool_use"), STOP]);
    assert!(out.contains("a call of the provider goes on after its end"), "{out}");
    assert!(out.contains("event: error\n") && !out.contains("response.completed"), "{out}");
}

#[test]
fn a22_what_is_kept_is_told_and_fails_where_there_is_no_room() {
    let delta = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"0123456789"}}"#;
    let (mut translating, mut out) =
        (responding(&CLAUDE, r#""stream":true"#).stream(STAMP), Vec::new());
    assert_eq!(translating.kept_bytes(), 0);
    translating.feed(events(&[START, delta, delta]).as_bytes(), &mut out);
    assert!((20..200).contains(&translating.kept_bytes()), "{}", translating.kept_bytes());
    translating.fail_for_room(&mut out);
    assert!(translating.is_over());
    let out = String::from_utf8(out).unwrap();
    assert!(
        out.contains("event: response.failed\n") && out.contains("too much in memory"),
        "{out}"
    );
}

#[test]
fn a22_what_is_kept_is_bounded() {
    let mut translating = responding(&CLAUDE, r#""stream":true"#).stream(STAMP);
    let piece = "x".repeat(64 * 1024);
    let delta = |kind: &str, field: &str| {
        format!(
            r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"{kind}","{field}":"{piece}"}}}}"#
        )
    };
    let start = r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"w","input":{}}}"#;
    let text = events(&[&delta("text_delta", "text")]);
    let stop = r#"{"type":"content_block_stop","index":0}"#;
    let json = events(&[start, &delta("input_json_delta", "partial_json"), stop]);
    let mut out = Vec::new();
    let mut fed = 0;
    while !translating.is_over() {
        out.clear();
        translating.feed(if fed % 2 == 0 { &text } else { &json }.as_bytes(), &mut out);
        fed += 1;
        assert!(fed <= KEPT_MAX_BYTES / piece.len() + 1, "{fed}");
    }
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("event: error\n"));
    assert!(out.contains(r#""message":"the answer of the provider is too long""#));
}

#[test]
fn the_last_event_has_the_cost_of_all() {
    let stream = events(&[START, TEXT, &over("end_turn"), STOP]);
    let rest =
        r#""stream":true,"tools":[{"type":"function","name":"usage","parameters":{"usage":{}}}]"#;
    for size in [1, 5, 4096] {
        let mut meter = Meter::new(Dialect::Anthropic, Framing::Events);
        let (mut translating, mut costs) =
            (responding(&CLAUDE, rest).stream(STAMP), CostStream::new());
        let mut out = Vec::new();
        for piece in stream.as_bytes().chunks(size) {
            let mut openai = Vec::new();
            meter.feed(piece);
            translating.feed(piece, &mut openai);
            costs.feed(&openai, &mut out, || {
                let is_final = meter.so_far().standing == Standing::Final;
                is_final.then(|| rigbox_types::Credits::from_micro(42).unwrap())
            });
        }
        costs.finish(&mut out);
        let out = String::from_utf8(out).unwrap();
        let usage = r#""total_tokens":115,"cost_micro":42,"cost_credits":0.000042}}}"#;
        assert!(out.ends_with(&format!("{usage}\n\n")), "{out}");
        assert_eq!(out.matches("cost_micro").count(), 1);
    }
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_give_the_same(parts in pieces(), size in 1_usize..9) {
        let (stream, rest) = (parts.concat(), r#""stream":true"#);
        for target in [CLAUDE, GEMINI] {
            let whole = by(&target, rest, &stream, stream.len());
            prop_assert_eq!(&by(&target, rest, &stream, size), &whole);
            let count = |kind: &str| whole.matches(&format!("event: {kind}\n")).count();
            // It begins and ends once, and every item that has begun in an answer that is whole ends.
            let ends = ["response.completed", "response.incomplete", "response.failed"];
            prop_assert_eq!(ends.map(count).iter().sum::<usize>(), 1);
            prop_assert_eq!((count("response.created"), count("response.in_progress")), (1, 1));
            prop_assert_eq!(count("error"), count("response.failed"));
            if count("error") == 0 {
                let items = ["response.output_item.added", "response.output_item.done"].map(count);
                prop_assert_eq!(items[0], items[1]);
            }
        }
    }
}

#[test]
fn lines_of_a_request_tear_no_event() {
    let written = concat!(
        "\"stream\":true,\n\"metadata\": {\r\n \"k\":\n\n \"v\\n\" },\n\"tools\": [\n{\"type\":\"function\",",
        "\"name\":\"f\",\"parameters\": {\n\n \"type\": \"object\"\r}}\n]"
    );
    let stream = events(&[START, &over("end_turn"), STOP]);
    let out = by(&CLAUDE, written, stream.as_bytes(), stream.len());
    let mut told = 0;
    for event in out.split_terminator("\n\n") {
        let data = event.lines().nth(1).unwrap().strip_prefix("data: ").unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        if let Some(response) = data.get("response") {
            assert_eq!(response["metadata"]["k"], "v\n");
            assert_eq!(response["tools"][0]["parameters"]["type"], "object");
            told += 1;
        }
        assert_eq!(event.lines().count(), 2, "{event}");
    }
    assert_eq!(told, 3, "{out}");
}
