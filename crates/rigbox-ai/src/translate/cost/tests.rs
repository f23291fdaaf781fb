use proptest::prelude::*;

use super::*;

fn credits(micro: i64) -> Credits {
    Credits::from_micro(micro).unwrap()
}

fn put(body: &str, micro: i64) -> String {
    String::from_utf8(in_body(body.as_bytes().to_vec(), credits(micro))).unwrap()
}

#[test]
fn a_body_has_its_cost_and_every_other_byte() {
    for (body, expected) in [
        (
            r#"{"id":"x","usage":{"prompt_tokens":1, "d":{"a":2} } ,"z":[1.50]}"#,
            r#"{"id":"x","usage":{"prompt_tokens":1, "d":{"a":2} ,"cost_micro":1500000,"cost_credits":1.5} ,"z":[1.50]}"#,
        ),
        (r#"{"usage":{ }}"#, r#"{"usage":{ "cost_micro":1500000,"cost_credits":1.5}}"#),
    ] {
        assert_eq!(put(body, 1_500_000), expected);
    }
    let small = put(r#"{"usage":{"a":1}}"#, 25);
    assert_eq!(small, r#"{"usage":{"a":1,"cost_micro":25,"cost_credits":0.000025}}"#);
    let free = put(r#"{"usage":{"a":1}}"#, 0);
    assert_eq!(free, r#"{"usage":{"a":1,"cost_micro":0,"cost_credits":0}}"#);
    for other in [
        r#"{"id":"x"}"#,
        r#"{"usage":null}"#,
        r#"{"choices":[{"usage":{"a":1}}]}"#,
        r#"{"x":"\"usage\":{\"a\":1}"}"#,
        r#"{"usage":{"a":1}"#,
        "",
        "usage",
    ] {
        assert_eq!(put(other, 5), other);
    }
}

fn stream(bytes: &[u8], size: usize, cost: Option<i64>) -> Vec<u8> {
    let (mut costs, mut out) = (CostStream::new(), Vec::new());
    for piece in bytes.chunks(size.max(1)) {
        costs.feed(piece, &mut out, || cost.map(credits));
    }
    costs.finish(&mut out);
    out
}

#[test]
fn the_last_usage_of_a_stream_has_the_cost() {
    let text = r#"data: {"choices":[{"delta":{"content":"\"usage\":{}é"}}],"usage":null}"#;
    for end in ["\n", "\r\n", "\r"] {
        for (usage, with) in [
            (
                r#"data: {"choices":[],"usage":{"prompt_tokens":1},"x":2}"#,
                r#"data: {"choices":[],"usage":{"prompt_tokens":1,"cost_micro":7,"cost_credits":0.000007},"x":2}"#,
            ),
            (
                r#"data: {"type":"response.completed","response":{"usage":{"input_tokens":1}}}"#,
                r#"data: {"type":"response.completed","response":{"usage":{"input_tokens":1,"cost_micro":7,"cost_credits":0.000007}}}"#,
            ),
        ] {
            let all = |usage: &str| {
                [": hi", text, usage, "data: [DONE]"]
                    .map(|event| format!("{event}{end}{end}"))
                    .concat()
            };
            for size in 1..90 {
                let bytes = all(usage);
                assert_eq!(stream(bytes.as_bytes(), size, Some(7)), all(with).as_bytes(), "{size}");
                assert_eq!(stream(bytes.as_bytes(), size, None), bytes.as_bytes());
            }
        }
    }
}

#[test]
fn the_cost_is_asked_for_once_the_event_is_over() {
    let (mut costs, mut out) = (CostStream::new(), Vec::new());
    let mut asked = 0;
    let mut feed = |bytes: &str, out: &mut Vec<u8>| {
        costs.feed(bytes.as_bytes(), out, || {
            asked += 1;
            None
        });
        asked
    };
    assert_eq!(feed("data: {\"choices\":[],\"usage\":", &mut out), 0);
    // Only the usage is held back.
    assert!(out.ends_with(b"\"usage\":"));
    assert_eq!(feed("{\"prompt_tokens\":1}}\n", &mut out), 0);
    assert!(out.ends_with(b"\"usage\":"));
    assert_eq!(feed("\n", &mut out), 1);
    assert!(out.ends_with(b"\"usage\":{\"prompt_tokens\":1}}\n\n"));
    assert_eq!(feed("data: [DONE]\n\n", &mut out), 1);
    assert!(out.ends_with(b"[DONE]\n\n"));
}

#[test]
fn what_is_held_back_is_bounded() {
    let (mut costs, mut out) = (CostStream::new(), Vec::new());
    costs.feed(b"data: {\"usage\":{\"x\":\"", &mut out, || Some(credits(1)));
    costs.feed(&vec![b'x'; EVENT_MAX_BYTES], &mut out, || Some(credits(1)));
    assert!(costs.held.len() < EVENT_MAX_BYTES && out.len() >= EVENT_MAX_BYTES);
    costs.feed(b"\"}}\n\n", &mut out, || Some(credits(1)));
    costs.finish(&mut out);
    assert!(out.ends_with(b"xx\"}}\n\n"));
}

proptest! {
    #[test]
    fn bytes_without_a_known_cost_pass_unchanged_and_pieces_change_nothing(
        parts in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..6),
                prop::sample::select(vec![
                    "data: ", "\n\n", "\r\n", "{\"usage\":{", "\"a\":1", "}}", "}", "{", ",\"usage\":{}",
                    "{\"response\":", "\"", "null",
                ])
                .prop_map(|part| part.as_bytes().to_vec()),
            ],
            0..20,
        ),
        size in 1_usize..7,
    ) {
        let bytes = parts.concat();
        prop_assert_eq!(&stream(&bytes, size, None), &bytes);
        prop_assert_eq!(stream(&bytes, size, Some(3)), stream(&bytes, bytes.len(), Some(3)));
        drop(in_body(bytes, credits(3)));
    }
}
