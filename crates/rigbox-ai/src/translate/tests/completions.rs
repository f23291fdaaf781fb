use super::*;

fn body(target: &Target<'_>, rest: &str) -> Result<String, TranslateError> {
    let translated = request(Operation::Completion, chat(rest).as_bytes(), target)?;
    Ok(String::from_utf8(translated.body).unwrap())
}

#[test]
fn a_prompt_becomes_the_message_of_a_user() {
    let claude = r#"{"model":"claude-x","max_tokens":4096,"messages":[{"role":"user","content":[{"type":"text","text":"a\u00e9"}]}]}"#;
    let gemini = r#"{"contents":[{"role":"user","parts":[{"text":"a\u00e9"}]}],"generationConfig":{"maxOutputTokens":4096}}"#;
    for prompt in [r#""prompt":"a\u00e9""#, r#""prompt":["a\u00e9"]"#] {
        assert_eq!(body(&CLAUDE, prompt).unwrap(), claude);
        assert_eq!(body(&GEMINI, prompt).unwrap(), gemini);
    }
    let settings = r#""prompt":"a","max_tokens":7,"temperature":0.50,"top_p":0.9,"stop":["x"],"user":"u","stream":true,"suffix":"","echo":false,"logprobs":null,"best_of":1,"n":1,"logit_bias":{}"#;
    let claude = r#"{"model":"claude-x","max_tokens":7,"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}],"temperature":0.50,"top_p":0.9,"stop_sequences":["x"],"metadata":{"user_id":"u"},"stream":true}"#;
    assert_eq!(body(&CLAUDE, settings).unwrap(), claude);
    let seeded = body(&GEMINI, r#""prompt":"a","seed":3,"n":2"#).unwrap();
    assert!(seeded.contains(r#""candidateCount":2,"seed":3"#), "{seeded}");
}

#[test]
fn what_a_completion_can_not_have_is_refused_by_its_name() {
    for (rest, field) in [
        (r#""max_tokens":1"#, "prompt"),
        (r#""prompt":"""#, "prompt"),
        (r#""prompt":["a","b"]"#, "prompt"),
        (r#""prompt":[]"#, "prompt"),
        (r#""prompt":[1,2]"#, "prompt"),
        (r#""prompt":[[1,2]]"#, "prompt"),
        (r#""prompt":"a","suffix":"b""#, "suffix"),
        (r#""prompt":"a","echo":true"#, "echo"),
        (r#""prompt":"a","logprobs":0"#, "logprobs"),
        (r#""prompt":"a","best_of":2"#, "best_of"),
        (r#""prompt":"a","messages":[]"#, "messages"),
        (r#""prompt":"a","logit_bias":{"1":1}"#, "logit_bias"),
    ] {
        for target in [CLAUDE, GEMINI] {
            assert_eq!(body(&target, rest).unwrap_err().field(), Some(field), "{rest}");
        }
    }
    for (rest, field) in
        [(r#""n":2"#, "n"), (r#""seed":1"#, "seed"), (r#""temperature":1.5"#, "temperature")]
    {
        let rest = format!(r#""prompt":"a",{rest}"#);
        assert_eq!(body(&CLAUDE, &rest).unwrap_err().field(), Some(field), "{rest}");
    }
}

#[test]
fn an_answer_becomes_a_text_that_goes_on() {
    let message = r#"{"content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"\u00e9"},{"type":"text","text":"b"}],"stop_reason":"max_tokens","usage":{"input_tokens":3,"output_tokens":5}}"#;
    let answer = completing(&CLAUDE, r#""n":1"#).whole(200, message.as_bytes(), STAMP);
    let expected = r#"{"id":"cmpl-1","object":"text_completion","created":1700000000,"model":"x/y","choices":[{"text":"\u00e9b","index":0,"logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8,"prompt_tokens_details":{"cached_tokens":0}}}"#;
    assert_eq!((answer.status, String::from_utf8(answer.body).unwrap().as_str()), (200, expected));
    let response = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"},{"finishReason":"SAFETY","index":1}]}"#;
    let answer = completing(&GEMINI, r#""n":2"#).whole(200, response.as_bytes(), STAMP);
    let choices = r#""choices":[{"text":"a","index":0,"logprobs":null,"finish_reason":"stop"},{"text":"","index":1,"logprobs":null,"finish_reason":"content_filter"}]"#;
    let body = String::from_utf8(answer.body).unwrap();
    assert!(body.contains(choices) && !body.contains("usage"), "{body}");
}

#[test]
fn a_stream_becomes_chunks_of_a_text() {
    let stream = crate::usage::tests::events(&[
        r#"{"type":"message_start","message":{"usage":{"input_tokens":10,"output_tokens":1}}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\u00e9"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15}}"#,
        r#"{"type":"message_stop"}"#,
    ]);
    let chunk = |choices: &str, usage: &str| {
        format!(
            "data: {{\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"created\":1700000000,\"model\":\"x/y\",\"choices\":[{choices}]{usage}}}\n\n"
        )
    };
    let text = r#"{"text":"a\u00e9","index":0,"logprobs":null,"finish_reason":null}"#;
    let end = r#"{"text":"","index":0,"logprobs":null,"finish_reason":"stop"}"#;
    let usage = r#","usage":{"prompt_tokens":10,"completion_tokens":15,"total_tokens":25,"prompt_tokens_details":{"cached_tokens":0}}"#;
    let null = r#","usage":null"#;
    let with = [chunk(text, null), chunk(end, null), chunk("", usage)].concat();
    let without = [chunk(text, ""), chunk(end, "")].concat();
    for (rest, expected) in [
        (r#""stream":true,"stream_options":{"include_usage":true}"#, with),
        (r#""stream":true"#, without),
    ] {
        for size in 1..=stream.len() {
            let (mut translating, mut out) = (completing(&CLAUDE, rest).stream(STAMP), Vec::new());
            stream.as_bytes().chunks(size).for_each(|piece| translating.feed(piece, &mut out));
            translating.finish(&mut out);
            let out = String::from_utf8(out).unwrap();
            assert_eq!(out, format!("{expected}data: [DONE]\n\n"), "{size}");
        }
        let cut = &stream.as_bytes()[..stream.len() - 20];
        let (mut translating, mut out) = (completing(&CLAUDE, rest).stream(STAMP), Vec::new());
        translating.feed(cut, &mut out);
        translating.finish(&mut out);
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("\"error\"") && !out.contains("[DONE]"), "{out}");
    }
}
