//! What is charged where nobody says all that was used.

use super::*;
use crate::usage::{Meter, Standing};

#[test]
fn a09_a_model_that_may_hide_what_it_writes_is_charged_for_the_time() {
    let stream = events(&[r#"{"choices":[{"delta":{"content":"nine byte"}}]}"#]);
    let cut = report(Dialect::OpenAi, Framing::Events, &stream);
    let bill = settle(&chat(GPT), &cut, streamed(2_000));
    assert_eq!((bill.basis, bill.usage.output), (Basis::Estimated, 3 + 600));
    // No more than the request allowed.
    assert_eq!(settle(&chat(GPT), &cut, streamed(3_600_000)).usage.output, 1_000);
    assert_eq!(settle(&chat(("openai", "gpt-4.1")), &cut, streamed(2_000)).usage.output, 3);
    // An answer that comes as a whole was written in all of the time.
    let whole =
        report(Dialect::OpenAi, Framing::Json, r#"{"choices":[{"message":{"content":"nine byte"#);
    let course = Course { hidden_ms: 2_000, is_stream: false };
    assert_eq!(settle(&chat(("openai", "gpt-4.1")), &whole, course).usage.output, 600);
    // Each of the answers is written at that rate.
    let four = r#"{"max_tokens":1000,"n":4,"messages":[]}"#;
    let four = estimate(Operation::ChatCompletion, GPT, four).unwrap();
    assert_eq!(settle(&four, &cut, streamed(2_000)).usage.output, 3 + 2_400);
}

#[test]
fn a10_a_stream_that_is_cut_is_not_free_and_costs_no_more_than_was_held() {
    let start =
        r#"{"type":"message_start","message":{"usage":{"input_tokens":700,"output_tokens":1}}}"#;
    let text =
        format!(r#"{{"type":"content_block_delta","delta":{{"text":"{}"}}}}"#, "x".repeat(300));
    let held = message(OPUS);
    let cut = report(Dialect::Anthropic, Framing::Events, &events(&[start, &text]));
    let bill = settle(&held, &cut, streamed(0));
    assert_eq!((bill.basis, bill.usage.input, bill.usage.output), (Basis::Estimated, 700, 100));
    assert_eq!(bill.credits.micro(), 700 * 500 + 100 * 2_500);
    assert!(bill.credits <= held.hold);
}

#[test]
fn a10_what_a_provider_has_searched_for_is_paid_although_its_usage_is_not_told() {
    let tools = r#"{"max_tokens":1000,"tools":[{"type":"web_search_20250305","name":"web_search","max_uses":5}]}"#;
    let held = estimate(Operation::Message, OPUS, tools).unwrap();
    let searched = [
        r#"{"type":"message_start","message":{"usage":{"input_tokens":2679,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","content_block":{"type":"server_tool_use","name":"web_search"}}"#,
    ];
    let cut = report(Dialect::Anthropic, Framing::Events, &events(&searched));
    let bill = settle(&held, &cut, streamed(0));
    // Read once more, with what was found: the documented example reports 10,682.
    assert_eq!((bill.usage.input, bill.usage.web_searches), (2 * 2_679 + 8_000, 1));
    // A page is as long as it was seen to be.
    let tools = r#"{"max_tokens":1000,"tools":[{"type":"web_fetch_20250910","name":"web_fetch","max_uses":5}]}"#;
    let fetching = estimate(Operation::Message, OPUS, tools).unwrap();
    let begun = r#"{"type":"content_block_start","content_block":{"type":"server_tool_use","name":"web_fetch"}}"#;
    let page = format!(
        r#"{{"type":"content_block_start","content_block":{{"type":"web_fetch_tool_result","content":{{"type":"web_fetch_result","content":{{"type":"document","source":{{"type":"text","data":"{}"}}}}}}}}}}"#,
        "x".repeat(90_000)
    );
    let fetched =
        report(Dialect::Anthropic, Framing::Events, &events(&[searched[0], begun, &page]));
    let bill = settle(&fetching, &fetched, streamed(0));
    assert_eq!((bill.usage.input, bill.usage.web_fetches), (2 * 2_679 + 30_000, 1));
    // OpenAI tells nothing before its end.
    let tools = r#"{"max_output_tokens":1000,"input":"hello","tools":[{"type":"web_search"}]}"#;
    let held = estimate(Operation::Response, ("openai", "gpt-5-mini"), tools).unwrap();
    let searched = r#"{"type":"response.output_item.done","item":{"type":"web_search_call","action":{"type":"search"}}}"#;
    let opened = r#"{"type":"response.output_item.done","item":{"action":{"type":"open_page"},"type":"web_search_call"}}"#;
    let cut = report(Dialect::OpenAi, Framing::Events, &events(&[searched, opened]));
    let usage = settle(&held, &cut, streamed(0)).usage;
    let once = held.likely_input_tokens;
    assert_eq!((usage.input_tokens(), usage.web_searches), (3 * once + 3 * 8_000, 1));
    // No more than may be read.
    let many = Report { tool_calls: u64::MAX, ..cut };
    assert_eq!(settle(&held, &many, streamed(0)).usage.input_tokens(), held.input_tokens);
}

#[test]
fn a10_an_answer_of_many_is_not_over_with_the_first_of_them() {
    let body = r#"{"generationConfig":{"candidateCount":2}}"#;
    let held = estimate(Operation::Generate, GEMINI, body).unwrap();
    let ended = |index: u64| {
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"x"}}]}},"finishReason":"STOP","index":{index}}}],"usageMetadata":{{"promptTokenCount":5,"candidatesTokenCount":9}}}}"#
        )
    };
    let read = |stream: &[&str], is_over: bool| {
        let mut meter = Meter::new(Dialect::Gemini, Framing::Events).of_answers(held.answers);
        meter.feed(events(stream).as_bytes());
        if is_over {
            meter.ended();
        }
        meter.finish().standing
    };
    let (first, second) = (ended(0), ended(1));
    assert_eq!(read(&[&first], false), Standing::SoFar);
    assert_eq!(read(&[&first, &first], false), Standing::SoFar);
    assert_eq!(read(&[&first, &second], false), Standing::Final);
    // Fewer came than were asked for.
    assert_eq!(read(&[&first], true), Standing::Final);
}

#[test]
fn a11_images_and_audio_are_not_free_where_their_usage_is_missing() {
    const IMAGE: (&str, &str) = ("google", "gemini-2.5-flash-image");
    let pixels = "A".repeat(30_000);
    let image = |usage: &str| {
        let part = format!(r#"{{"inlineData":{{"mimeType":"image/png","data":"{pixels}"}}}}"#);
        let event = format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"six by"}},{part}]}}}}]{usage}}}"#
        );
        report(Dialect::Gemini, Framing::Events, &events(&[&event]))
    };
    let held = content(IMAGE);
    // At the dearest of the classes that a text is not in, whichever of them that is.
    let as_media = |bill: &Bill| bill.usage.audio_output + bill.usage.image_output;
    let bill = settle(&held, &image(""), streamed(0));
    assert_eq!((bill.basis, bill.usage.output, as_media(&bill)), (Basis::Estimated, 2, 10_000));
    assert!(bill.credits.micro() > 10_000 * 3_000 && bill.credits <= held.hold);
    // What is reported of it so far is known.
    let usage = r#","usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":1290,"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":1290}]}"#;
    let bill = settle(&held, &image(usage), streamed(0));
    assert_eq!((bill.usage.output, bill.usage.image_output), (0, 1_290));
    // Nothing could be read: all that may have been written.
    let bill = settle(&held, &Report::default(), streamed(0));
    assert_eq!((bill.basis, as_media(&bill)), (Basis::Estimated, 32_768));
    assert!(bill.credits <= held.hold);
    // A failure in the middle of an image is one after something was shown.
    let failed = Report { media_bytes: 3, ending: Ending::Failed, ..Report::default() };
    assert_eq!(settle(&held, &failed, streamed(0)).basis, Basis::Estimated);

    let speaking = model(r#"rates = { input = "1", output = "2", audio_output = "20" }"#).unwrap();
    let request = Request::read(Operation::ChatCompletion, b"{}").unwrap();
    let held = Estimate::of(&request, &speaking).unwrap();
    let audio = r#"{"choices":[{"delta":{"audio":{"data":"AAAAAAAAA","transcript":"hey"}}}]}"#;
    let audio = report(Dialect::OpenAi, Framing::Events, &events(&[audio]));
    assert_eq!((audio.shown_bytes, audio.audio_bytes), (3, 9));
    let bill = settle(&held, &audio, streamed(0));
    assert_eq!((bill.usage.output, as_media(&bill)), (1, 1));
    // A second of it in the largest format: some hundreds, and not all that it may write.
    let second = Report { audio_bytes: 64_000, ..audio };
    assert_eq!(as_media(&settle(&held, &second, streamed(0))), 320);
    // Of a model without such a price they cost what a text does.
    let drawn =
        r#"{"choices":[{"delta":{"images":[{"image_url":{"url":"data:image/png;base64,"}}]}}]}"#;
    let drawn = report(Dialect::OpenAi, Framing::Events, &events(&[drawn]));
    assert_eq!(settle(&chat(("openai", "gpt-4.1")), &drawn, streamed(0)).usage.output, 8);
}

#[test]
fn a11_no_usage_is_no_refund() {
    for (operation, of, body) in [
        (Operation::ChatCompletion, GPT, r#"{"max_tokens":1000,"messages":[{"content":"hello"}]}"#),
        (Operation::Response, GPT, r#"{"max_output_tokens":1000,"input":"hello hello"}"#),
        (Operation::Message, OPUS, r#"{"max_tokens":1000,"messages":[{"content":"hello"}]}"#),
        (Operation::Generate, GEMINI, r#"{"contents":[{"parts":[{"text":"hello"}]}]}"#),
        (Operation::Embed, ("google", "gemini-embedding-001"), r#"{"content":{"parts":[]}}"#),
    ] {
        let held = estimate(operation, of, body).unwrap();
        for framing in [Framing::Events, Framing::Json] {
            let nothing = report(operation.dialect(), framing, "");
            let bill = settle(&held, &nothing, streamed(10));
            assert_eq!(bill.basis, Basis::Estimated, "{body}");
            assert!(bill.credits.is_positive() && bill.credits <= held.hold, "{body}");
        }
    }
}
