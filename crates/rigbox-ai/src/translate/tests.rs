use proptest::prelude::*;

use super::*;

mod answers;
mod completions;
mod requests;
mod responses;

pub(crate) const STAMP: Stamp<'_> = Stamp { id: "chatcmpl-1", created: 1_700_000_000 };

pub(crate) const CLAUDE: Target<'_> =
    Target { dialect: Dialect::Anthropic, model: "claude-x", max_output: 4096 };

pub(crate) const GEMINI: Target<'_> =
    Target { dialect: Dialect::Gemini, model: "gemini-3-pro", max_output: 4096 };

/// A chat's body with these fields beside its model.
pub(crate) fn chat(rest: &str) -> String {
    format!(r#"{{"model":"x/y",{rest}}}"#)
}

/// What is needed for the answer of a chat.
pub(crate) fn answering(target: &Target<'_>, rest: &str) -> Answering {
    let body = chat(&format!(r#""messages":[{{"role":"user","content":"hi"}}],{rest}"#));
    request(Operation::ChatCompletion, body.as_bytes(), target).unwrap().answering
}

/// What is needed for the answer of a response.
pub(crate) fn responding(target: &Target<'_>, rest: &str) -> Answering {
    let body = chat(&format!(r#""input":"hi",{rest}"#));
    request(Operation::Response, body.as_bytes(), target).unwrap().answering
}

/// What is needed for the answer of a text that goes on.
pub(crate) fn completing(target: &Target<'_>, rest: &str) -> Answering {
    let body = chat(&format!(r#""prompt":"hi",{rest}"#));
    request(Operation::Completion, body.as_bytes(), target).unwrap().answering
}

#[test]
fn what_a_provider_has_not_names_the_way_out() {
    let error = request(Operation::Embedding, b"{}", &CLAUDE).unwrap_err();
    assert!(error.to_string().starts_with("/v1/embeddings"), "{error}");
    assert!(error.hint().starts_with("use a model for embeddings"), "{}", error.hint());
    assert_eq!(error.field(), Some("model"));
    // Who speaks as the caller does is not translated for, and others have no chats.
    for operation in [Operation::ChatCompletion, Operation::Response, Operation::Completion] {
        let target = Target { dialect: Dialect::OpenAi, ..CLAUDE };
        let error = request(operation, b"{}", &target).unwrap_err();
        assert!(matches!(error, TranslateError::NoOperation { .. }), "{error}");
    }
}

#[test]
fn a_model_that_is_not_named_is_a_default_and_called_as_the_provider_does() {
    let said = r#"{"content":[],"stop_reason":"end_turn"}"#;
    for (operation, rest) in [
        (Operation::ChatCompletion, r#""messages":[{"role":"user","content":"hi"}]"#),
        (Operation::Completion, r#""prompt":"hi""#),
        (Operation::Response, r#""input":"hi""#),
    ] {
        for (model, called) in
            [("", "claude-x"), (r#","model":null"#, "claude-x"), (r#","model":"m""#, "m")]
        {
            let body = format!("{{{rest}{model}}}");
            let translated = request(operation, body.as_bytes(), &CLAUDE).unwrap();
            let answer = translated.answering.whole(200, said.as_bytes(), STAMP).body;
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.contains(&format!(r#""model":"{called}""#)), "{answer}");
        }
        let body = format!(r#"{{{rest},"model":7}}"#);
        let error = request(operation, body.as_bytes(), &CLAUDE).unwrap_err();
        assert_eq!(error.field(), Some("model"));
    }
}

#[test]
fn the_path_is_made_of_what_was_checked() {
    let body = chat(r#""messages":[{"role":"user","content":"hi"}]"#);
    let to = |target: &Target<'_>, body: &str| {
        request(Operation::ChatCompletion, body.as_bytes(), target)
            .map(|it| (it.operation, it.path, it.query))
    };
    assert_eq!(to(&CLAUDE, &body).unwrap(), (Operation::Message, "/v1/messages".to_owned(), None));
    let path = "/v1beta/models/gemini-3-pro:generateContent".to_owned();
    assert_eq!(to(&GEMINI, &body).unwrap(), (Operation::Generate, path, None));
    let stream = chat(r#""messages":[{"role":"user","content":"hi"}],"stream":true"#);
    let path = "/v1beta/models/gemini-3-pro:streamGenerateContent".to_owned();
    assert_eq!(to(&GEMINI, &stream).unwrap(), (Operation::StreamGenerate, path, Some("alt=sse")));
    for model in ["", ".", "../x", "a/b", "a:b", "a?b", "é", &"x".repeat(129)] {
        let error = to(&Target { model, ..GEMINI }, &body).unwrap_err();
        assert_eq!(error.field(), Some("model"), "{model}");
    }
}

#[test]
fn a_stream_that_is_translated_has_its_cost() {
    use crate::{
        translate::cost::CostStream,
        usage::{Framing, Meter, Standing, tests::events},
    };

    let answering = answering(&CLAUDE, r#""stream":true,"stream_options":{"include_usage":true}"#);
    let stream = events(&[
        r#"{"type":"message_start","message":{"usage":{"input_tokens":9,"cache_creation_input_tokens":3,"output_tokens":1}}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15}}"#,
        r#"{"type":"message_stop"}"#,
    ]);
    for size in [1, 5, 4096] {
        let mut meter = Meter::new(Dialect::Anthropic, Framing::Events);
        let (mut translating, mut costs) = (answering.stream(STAMP), CostStream::new());
        let mut out = Vec::new();
        for piece in stream.as_bytes().chunks(size) {
            let mut openai = Vec::new();
            meter.feed(piece);
            translating.feed(piece, &mut openai);
            costs.feed(&openai, &mut out, || {
                let report = meter.so_far();
                // What the provider's own shape tells, of which OpenAI's has less.
                assert_eq!((report.usage.cache_write_5m, report.usage.output), (3, 15));
                let is_final = report.standing == Standing::Final;
                is_final.then(|| rigbox_types::Credits::from_micro(42).unwrap())
            });
        }
        let mut openai = Vec::new();
        translating.finish(&mut openai);
        costs.feed(&openai, &mut out, || None);
        costs.finish(&mut out);
        let out = String::from_utf8(out).unwrap();
        let usage = r#""prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":3},"cost_micro":42,"cost_credits":0.000042}}"#;
        assert!(out.ends_with(&format!("{usage}\n\ndata: [DONE]\n\n")), "{out}");
    }
}

#[test]
fn a_request_of_very_many_parts_is_refused() {
    let parts = |count: usize| vec![r#"{"type":"text","text":"x"}"#; count].join(",");
    let message = |count: usize| format!(r#"{{"role":"user","content":[{}]}}"#, parts(count));
    let members = |count: usize| -> String {
        (0..count).map(|index| format!(r#","a{index}":null"#)).collect()
    };
    for (messages, is_taken) in [
        (message(10_000), true),
        (message(10_001), false),
        (vec![message(10_000); 6].join(","), false),
        (format!(r#"{{"role":"user","content":"x"{}}}"#, members(1_000)), true),
        (format!(r#"{{"role":"user","content":"x"{}}}"#, members(1_024)), false),
    ] {
        let body = chat(&format!(r#""messages":[{messages}]"#));
        let translated = request(Operation::ChatCompletion, body.as_bytes(), &CLAUDE);
        assert_eq!(translated.is_ok(), is_taken, "{:?}", translated.err());
    }
}

proptest! {
    #[test]
    fn no_body_makes_a_translation_panic(
        parts in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"model\"", "\"x\"", "\"messages\"", "\"role\"", "\"user\"",
            "\"content\"", "\"tool_calls\"", "null", "1", "\"data:image/png;base64,\"", "\\u12", "\"",
            "{\"role\":\"user\",\"content\":\"x\"}", "\"model\":\"x\",\"messages\":[", "\"input\"", "\"prompt\"",
            "\"model\":\"x\",\"input\":[", "{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",",
            "\"arguments\":\"{}\"}", "\"tools\"", "\"text\"", "\"format\"",
        ]), 0..24),
        bytes in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        for body in [parts.concat().into_bytes(), bytes] {
            for target in [CLAUDE, GEMINI] {
                for operation in Operation::ALL {
                    drop(request(operation, &body, &target));
                }
                for answering in [
                    answering(&target, r#""n":1"#),
                    completing(&target, r#""n":1"#),
                    responding(&target, r#""store":false"#),
                ] {
                    for status in [200, 204, 400, 500] {
                        drop(answering.whole(status, &body, STAMP));
                    }
                }
            }
        }
    }
}
