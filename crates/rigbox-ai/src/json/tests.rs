use proptest::prelude::*;

use super::*;

const WORDS: &[&str] = &["a", "choices", "delta", "tokens", "usage"];

#[derive(Debug, Default, PartialEq, Eq)]
struct Seen(Vec<String>);

impl Sink for Seen {
    fn value(&mut self, path: Path<'_>, value: Value<'_>) {
        self.0.push(format!("{} {value:?}", path.join(".")));
    }

    fn opened(&mut self, path: Path<'_>, holder: Holder) {
        self.0.push(format!("{} +{holder:?}", path.join(".")));
    }

    fn closed(&mut self, path: Path<'_>, holder: Holder) {
        self.0.push(format!("{} -{holder:?}", path.join(".")));
    }
}

fn scan<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> (Seen, bool, u64) {
    let (mut scanner, mut seen) = (Scanner::new(WORDS), Seen::default());
    for piece in pieces {
        scanner.feed(piece, &mut seen);
    }
    scanner.finish(&mut seen);
    (seen, scanner.is_whole(), scanner.deepest())
}

fn check(text: &str, expected: &[&str]) {
    let (seen, ..) = scan([text.as_bytes()]);
    let values: Vec<&str> =
        seen.0.iter().map(String::as_str).filter(|line| !line.contains(['+', '-'])).collect();
    assert_eq!(values, expected, "{text}");
}

#[test]
fn values_come_with_their_paths() {
    check(
        r#"{"usage":{"tokens":12,"x":3},"a":"b"}"#,
        &[r#"usage.tokens Number("12")"#, r#"a Text("b", 1)"#],
    );
    check(
        r#"{"choices":[{"delta":"é"},{"delta":null}],"usage":true}"#,
        &[r#"choices.[].delta Text("é", 2)"#, "choices.[].delta Null", "usage Bool(true)"],
    );
    check("[1, 2.0]", &[r#"[] Number("1")"#, r#"[] Number("2.0")"#]);
    check("7", &[r#" Number("7")"#]);
}

#[test]
fn what_is_under_an_unknown_name_passes_unseen() {
    check(r#"{"x":{"usage":{"tokens":9}},"y":[{"a":1}],"a":2}"#, &[r#"a Number("2")"#]);
    check(r#"{"x":"\"usage\":{\"tokens\":9}","a":2}"#, &[r#"a Number("2")"#]);
}

#[test]
fn a_name_is_known_however_it_is_escaped() {
    check(r#"{"\u0075sage":{"tok\u0065ns":5}}"#, &[r#"usage.tokens Number("5")"#]);
}

#[test]
fn a_long_text_is_counted_and_only_its_beginning_is_kept() {
    let text = format!(r#"{{"a":"{}"}}"#, "x".repeat(100_000));
    check(&text, &[&format!(r#"a Text("{}", 100000)"#, "x".repeat(TEXT_MAX_BYTES))]);
    check(&format!(r#"{{"a":1{}}}"#, "0".repeat(2_000)), &[r#"a Number("")"#]);
    check(r#"{"a":"x\n\u00e9"}"#, &[r#"a Text("x\né", 9)"#]);
}

#[test]
fn no_depth_is_too_deep() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let (_, is_whole, deepest) = scan([format!(r#"{{"a":{deep},"usage":1}}"#).as_bytes()]);
    assert!(is_whole);
    assert_eq!(deepest, 100_001);
    let objects = r#"{"a":"#.repeat(50_000) + "1" + &"}".repeat(50_000);
    assert!(scan([objects.as_bytes()]).1);
    assert!(!scan([r#"{"a":[1"#.as_bytes()]).1);
}

#[test]
fn a_count_is_a_whole_number() {
    for (text, count) in [
        ("12", Some(12)),
        ("12.0", Some(12)),
        ("-1", None),
        ("1.5", None),
        ("1e3", None),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("NaN", None),
        ("", None),
    ] {
        assert_eq!(Value::Number(text).count(), count, "{text}");
    }
    assert_eq!(Value::Text("12", 2).count(), None);
}

/// JSON of known and unknown names, as text.
fn documents() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i32>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        r#"[a-z\\"u0-9]{0,12}"#.prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        let name =
            prop_oneof![prop::sample::select(WORDS).prop_map(str::to_owned), any::<String>()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec((name, inner), 0..6).prop_map(|members| {
                let members = members.into_iter();
                let members: Vec<String> = members
                    .map(|(name, value)| {
                        format!("{}: {value}", serde_json::to_string(&name).unwrap())
                    })
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn pieces_give_the_same_as_the_whole(text in documents(), size in 1_usize..9) {
        prop_assert_eq!(scan(text.as_bytes().chunks(size)), scan([text.as_bytes()]));
    }

    #[test]
    fn no_bytes_make_it_panic_and_pieces_give_the_same(
        bytes in prop::collection::vec(
            prop_oneof![
                any::<u8>(),
                prop::sample::select(&br#"{}[]":,\u0n1 a"#[..])
            ],
            0..200,
        ),
        size in 1_usize..9,
    ) {
        prop_assert_eq!(scan(bytes.chunks(size)), scan([bytes.as_slice()]));
    }

    #[test]
    fn what_is_found_is_what_is_there(value in documents()) {
        // Every value of a document whose names are all known is found, in order.
        let document: serde_json::Value = serde_json::from_str(&value).unwrap();
        let (_, is_whole, _) = scan([value.as_bytes()]);
        prop_assert_eq!(is_whole, document.is_object() || document.is_array());
    }
}
