use proptest::prelude::*;

use super::*;

/// A stream of these events, as the provider writes it.
pub(crate) fn events(data: &[&str]) -> String {
    data.iter().map(|data| format!("data: {data}\n\n")).collect()
}

/// The report on an answer, which is the same for whatever pieces it comes in.
pub(crate) fn report(dialect: Dialect, framing: Framing, answer: &str) -> Report {
    let read = |size: usize| {
        let mut meter = Meter::new(dialect, framing);
        answer.as_bytes().chunks(size).for_each(|piece| meter.feed(piece));
        meter.finish()
    };
    let whole = read(answer.len().max(1));
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(read(size), whole, "by {size}: {answer}");
    }
    whole
}

fn anthropic(data: &[&str]) -> Report {
    report(Dialect::Anthropic, Framing::Events, &events(data))
}

fn openai(data: &[&str]) -> Report {
    report(Dialect::OpenAi, Framing::Events, &events(data))
}

fn gemini(data: &[&str]) -> Report {
    report(Dialect::Gemini, Framing::Events, &events(data))
}

const STOP: &str = r#"{"type":"message_stop"}"#;

#[test]
fn a01_counts_of_a_delta_are_not_added_to_those_of_the_start() {
    let report = anthropic(&[
        r#"{"type":"message_start","message":{"id":"m","usage":{"input_tokens":9,"cache_read_input_tokens":1,"output_tokens":1}}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello"}}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"cache_read_input_tokens":1,"output_tokens":15}}"#,
        STOP,
    ]);
    let usage = report.usage;
    assert_eq!((usage.input_tokens(), usage.cache_read, usage.output), (10, 1, 15));
    assert_eq!((report.standing, report.ending), (Standing::Final, Ending::Whole));
    assert_eq!(report.shown_bytes, 5);
}

#[test]
fn a07_anthropics_thoughts_are_part_of_what_was_written() {
    let thought = |written: u64, thinking: u64| {
        let details = format!(r#""output_tokens_details":{{"thinking_tokens":{thinking}}}"#);
        let usage = format!(r#""usage":{{"input_tokens":9,"output_tokens":{written},{details}}}"#);
        let usages = [
            report(Dialect::Anthropic, Framing::Json, &format!("{{{usage}}}")),
            anthropic(&[
                r#"{"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1}}}"#,
                &format!(r#"{{"type":"message_delta",{usage}}}"#),
                STOP,
            ]),
        ]
        .map(|report| (report.usage.output, report.usage.reasoning));
        assert_eq!(usages[0], usages[1]);
        usages[0]
    };
    assert_eq!(thought(500, 420), (80, 420));
    assert_eq!(thought(500, 0), (500, 0));
    // Not more than all.
    assert_eq!(thought(500, 501), (0, 500));
}

#[test]
fn a02_counts_that_only_a_delta_has_are_not_lost() {
    let usage = anthropic(&[
        r#"{"type":"message_start","message":{"usage":{"input_tokens":0,"output_tokens":0}}}"#,
        r#"{"type":"message_delta","delta":{},"usage":{"input_tokens":4522,"cache_creation_input_tokens":4511,"output_tokens":5}}"#,
        STOP,
    ])
    .usage;
    assert_eq!(usage.input_tokens() + usage.output_tokens(), 9038);
    assert_eq!((usage.input, usage.cache_write_5m, usage.output), (4522, 4511, 5));
}

#[test]
fn a03_the_last_explicit_count_wins() {
    let usage = anthropic(&[
        r#"{"type":"message_start","message":{"usage":{"input_tokens":8834,"cache_read_input_tokens":0,"output_tokens":0}}}"#,
        r#"{"type":"message_delta","usage":{"input_tokens":18,"cache_read_input_tokens":8831,"output_tokens":7}}"#,
    ])
    .usage;
    assert_eq!((usage.input, usage.cache_read, usage.output), (18, 8831, 7));
}

#[test]
fn a03_zeros_of_a_delta_do_not_undo_the_start() {
    let usage = anthropic(&[
        r#"{"type":"message_start","message":{"usage":{"input_tokens":500,"cache_read_input_tokens":40,"output_tokens":2}}}"#,
        r#"{"type":"message_delta","usage":{"input_tokens":0,"cache_read_input_tokens":0,"output_tokens":9}}"#,
        STOP,
    ])
    .usage;
    assert_eq!((usage.input, usage.cache_read, usage.output), (500, 40, 9));
}

#[test]
fn a04_the_two_conventions_of_cached_tokens_are_kept_apart() {
    let message = r#"{"type":"message","content":[{"type":"text","text":"x"}],"usage":{"input_tokens":3,"cache_creation_input_tokens":12304,"cache_read_input_tokens":0,"output_tokens":550}}"#;
    let usage = report(Dialect::Anthropic, Framing::Json, message).usage;
    assert_eq!((usage.input, usage.cache_write_5m, usage.output), (3, 12304, 550));
    let chat = r#"{"choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":900}}}"#;
    let usage = report(Dialect::OpenAi, Framing::Json, chat).usage;
    assert_eq!((usage.input, usage.cache_read, usage.output), (100, 900, 5));
}

#[test]
fn what_is_known_so_far_is_final_once_the_provider_says_so() {
    let mut meter = Meter::new(Dialect::Anthropic, Framing::Events);
    let start =
        r#"{"type":"message_start","message":{"usage":{"input_tokens":9,"output_tokens":1}}}"#;
    let delta = r#"{"type":"message_delta","usage":{"output_tokens":15}}"#;
    assert_eq!(meter.so_far().standing, Standing::Nothing);
    meter.feed(events(&[start]).as_bytes());
    assert_eq!((meter.so_far().standing, meter.is_final()), (Standing::SoFar, false));
    let delta = events(&[delta]);
    let (most, rest) = delta.split_at(delta.len() - 1);
    meter.feed(most.as_bytes());
    assert!(!meter.is_final(), "an event that has not ended may say more");
    meter.feed(rest.as_bytes());
    assert!(meter.is_final());
    let so_far = meter.so_far();
    assert_eq!((so_far.standing, so_far.usage.output), (Standing::Final, 15));
    meter.feed(events(&[STOP]).as_bytes());
    assert_eq!(meter.so_far(), meter.finish());
}

#[test]
fn a05_cached_tokens_are_read_in_streams_too() {
    let usage = openai(&[
        r#"{"choices":[{"delta":{"content":"x"}}],"usage":null}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":9000,"completion_tokens":10,"total_tokens":9010,"prompt_tokens_details":{"cached_tokens":8800,"audio_tokens":0}}}"#,
        "[DONE]",
    ])
    .usage;
    assert_eq!((usage.input, usage.cache_read), (200, 8800));
}

#[test]
fn a06_writes_for_an_hour_are_told_from_those_for_minutes() {
    let usage = anthropic(&[
        r#"{"type":"message_start","message":{"usage":{"input_tokens":1,"cache_creation_input_tokens":300,"cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":200},"output_tokens":1}}}"#,
        r#"{"type":"message_delta","usage":{"output_tokens":2}}"#,
    ])
    .usage;
    assert_eq!((usage.cache_write_5m, usage.cache_write_1h), (100, 200));
}

#[test]
fn a07_metadata_that_every_event_repeats_is_not_added_up_and_thoughts_are_outside() {
    let first = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":41,"thoughtsTokenCount":300,"totalTokenCount":341}}"#;
    let last = r#"{"candidates":[{"content":{"parts":[{"text":"b"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":41,"candidatesTokenCount":5,"thoughtsTokenCount":343,"totalTokenCount":389}}"#;
    let stream = gemini(&[first, last]);
    let usage = stream.usage;
    assert_eq!((usage.input, usage.output, usage.reasoning), (41, 5, 343));
    assert_eq!(usage.input_tokens() + usage.output_tokens(), 389);
    assert_eq!((stream.standing, stream.ending), (Standing::Final, Ending::Whole));
    let array = report(Dialect::Gemini, Framing::Json, &format!("[{first}\n,\r\n{last}]"));
    assert_eq!(array, stream);
    let cut = gemini(&[first]);
    assert_eq!((cut.standing, cut.ending), (Standing::SoFar, Ending::Cut));
}

#[test]
fn a07_what_only_the_total_has_is_charged_as_written() {
    let usage = gemini(&[
        r#"{"candidates":[{"finishReason":"MAX_TOKENS"}],"usageMetadata":{"promptTokenCount":10,"totalTokenCount":110}}"#,
    ])
    .usage;
    assert_eq!((usage.input, usage.output), (10, 100));
    let usage = openai(&[
        r#"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":95}}"#,
    ])
    .usage;
    assert_eq!((usage.input, usage.output), (10, 85));
}

#[test]
fn a08_a_stream_without_usage_says_so() {
    let report = openai(&[
        r#"{"choices":[{"delta":{"content":"abc"},"finish_reason":null}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{\"a\":1}"}}]},"finish_reason":"stop"}]}"#,
        "[DONE]",
    ]);
    assert_eq!((report.standing, report.ending), (Standing::Nothing, Ending::Whole));
    assert_eq!(report.shown_bytes, 3 + 9);
}

#[test]
fn a09_hidden_reasoning_is_a_class_of_its_own() {
    let usage = openai(&[
        r#"{"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":1000,"completion_tokens_details":{"reasoning_tokens":960}}}"#,
    ])
    .usage;
    assert_eq!((usage.output, usage.reasoning), (40, 960));
}

#[test]
fn a10_a_stream_that_is_cut_is_known_to_be() {
    let report = anthropic(&[
        r#"{"type":"message_start","message":{"usage":{"input_tokens":100,"output_tokens":1}}}"#,
        r#"{"type":"content_block_delta","delta":{"text":"twelve bytes"}}"#,
    ]);
    assert_eq!((report.standing, report.ending), (Standing::SoFar, Ending::Cut));
    assert_eq!((report.usage.input, report.shown_bytes), (100, 12));
    let cut = r#"{"choices":[{"message":{"content":"abc"#;
    let report = super::tests::report(Dialect::OpenAi, Framing::Json, cut);
    assert_eq!((report.standing, report.ending), (Standing::Nothing, Ending::Cut));
}

#[test]
fn a11_the_usage_of_the_responses_api_is_found() {
    let stream = openai(&[
        r#"{"type":"response.created","response":{"usage":null,"service_tier":"auto"}}"#,
        r#"{"type":"response.output_text.delta","delta":"hello"}"#,
        r#"{"type":"response.output_item.done","item":{"type":"web_search_call","id":"w"}}"#,
        r#"{"type":"response.completed","response":{"service_tier":"flex","error":null,"output":[{"type":"web_search_call"},{"type":"web_search_call"},{"type":"message","content":[{"type":"output_text","text":"hello"}]}],"usage":{"input_tokens":75,"input_tokens_details":{"cached_tokens":25},"output_tokens":1186,"output_tokens_details":{"reasoning_tokens":1024},"total_tokens":1261}}}"#,
    ]);
    let usage = stream.usage;
    assert_eq!((usage.input, usage.cache_read), (50, 25));
    assert_eq!((usage.output, usage.reasoning), (162, 1024));
    assert_eq!(usage.web_searches, 2);
    assert_eq!(stream.tier.as_deref(), Some("flex"));
    assert_eq!((stream.standing, stream.ending), (Standing::Final, Ending::Whole));
    assert_eq!(stream.shown_bytes, 5);
    let failed = openai(&[
        r#"{"type":"response.failed","response":{"error":{"code":"server_error"},"usage":{"input_tokens":5,"output_tokens":1}}}"#,
    ]);
    assert_eq!((failed.standing, failed.ending), (Standing::Final, Ending::Failed));
}

#[test]
fn a19_the_tier_of_the_answer_is_read() {
    for (answer, dialect, tier) in [
        (r#"{"service_tier":"priority","usage":{}}"#, Dialect::OpenAi, Some("priority")),
        (
            r#"{"usage":{"input_tokens":1,"service_tier":"batch"}}"#,
            Dialect::Anthropic,
            Some("batch"),
        ),
        (r#"{"usage":{"input_tokens":1,"speed":"fast"}}"#, Dialect::Anthropic, Some("fast")),
        (r#"{"usageMetadata":{"trafficType":"ON_DEMAND"}}"#, Dialect::Gemini, Some("ON_DEMAND")),
        (r#"{"service_tier":null}"#, Dialect::OpenAi, None),
        (r#"{"service_tier":7}"#, Dialect::OpenAi, None),
    ] {
        assert_eq!(report(dialect, Framing::Json, answer).tier.as_deref(), tier, "{answer}");
    }
}

#[test]
fn a20_searches_of_the_provider_are_counted() {
    let usage = anthropic(&[
        r#"{"type":"message_start","message":{"usage":{"input_tokens":1,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","content_block":{"type":"server_tool_use","name":"web_search"}}"#,
        r#"{"type":"message_delta","usage":{"output_tokens":2,"server_tool_use":{"web_search_requests":3}}}"#,
    ])
    .usage;
    assert_eq!(usage.web_searches, 3);
    // Where it is cut before it tells, those that had begun count.
    let cut = anthropic(&[
        r#"{"type":"content_block_start","content_block":{"type":"server_tool_use","name":"web_search"}}"#,
        r#"{"type":"content_block_start","content_block":{"type":"tool_use","name":"web_search"}}"#,
    ]);
    assert_eq!(cut.usage.web_searches, 1);
    let grounded = r#"{"candidates":[{"groundingMetadata":{"webSearchQueries":["a","b"]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1}}"#;
    assert_eq!(gemini(&[grounded, grounded]).usage.web_searches, 2);
}

#[test]
fn a33_an_error_inside_a_stream_is_no_success() {
    let report = anthropic(&[
        r#"{"type":"message_start","message":{"usage":{"input_tokens":7,"output_tokens":1}}}"#,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
    ]);
    assert_eq!((report.standing, report.ending), (Standing::SoFar, Ending::Failed));
    assert_eq!(report.usage.input, 7);
    assert_eq!(openai(&[r#"{"error":{"message":"x"}}"#, "[DONE]"]).ending, Ending::Failed);
    assert_eq!(openai(&[r#"{"error":"x"}"#]).ending, Ending::Failed);
    assert_eq!(openai(&[r#"{"error":null}"#, "[DONE]"]).ending, Ending::Whole);
    assert_eq!(gemini(&[r#"{"error":{"code":503}}"#]).ending, Ending::Failed);
}

#[test]
fn the_cost_of_openrouter_is_read_to_the_picodollar() {
    let cost = |usage: &str| {
        let answer = format!(r#"{{"choices":[],"usage":{usage}}}"#);
        report(Dialect::OpenAi, Framing::Json, &answer).cost.map(Cost::pico)
    };
    let tokens = r#""prompt_tokens":194,"completion_tokens":2"#;
    for (rest, pico) in [
        ("", None),
        (r#","cost":0.95"#, Some(950_000_000_000)),
        (r#","cost":1.5e-05"#, Some(15_000_000)),
        (
            r#","cost":0.01,"is_byok":false,"cost_details":{"upstream_inference_cost":19}"#,
            Some(10_000_000_000),
        ),
        (
            r#","cost":0.01,"is_byok":true,"cost_details":{"upstream_inference_cost":0.19}"#,
            Some(200_000_000_000),
        ),
        (r#","cost":-1"#, None),
        (r#","cost":"free""#, None),
    ] {
        assert_eq!(cost(&format!("{{{tokens}{rest}}}")), pico, "{rest}");
    }
}

#[test]
fn embeddings_and_completions_are_read() {
    let vector = "0.1,".repeat(10_000);
    let body = format!(
        r#"{{"data":[{{"embedding":[{vector}0.2]}}],"usage":{{"prompt_tokens":8,"total_tokens":8}}}}"#
    );
    let report = report(Dialect::OpenAi, Framing::Json, &body);
    assert_eq!((report.usage.input, report.usage.output_tokens()), (8, 0));
    assert_eq!(report.standing, Standing::Final);
    let text =
        super::tests::report(Dialect::OpenAi, Framing::Json, r#"{"choices":[{"text":"ab"}]}"#);
    assert_eq!(text.shown_bytes, 2);
}

#[test]
fn usage_in_what_a_model_writes_is_no_usage() {
    let text = r#"{"choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":0}","usage":{"prompt_tokens":1}}}],"usage":{"prompt_tokens":50,"completion_tokens":6}}"#;
    assert_eq!(report(Dialect::OpenAi, Framing::Json, text).usage.input, 50);
    let tool = r#"{"content":[{"type":"tool_use","input":{"usage":{"input_tokens":1}}}],"usage":{"input_tokens":50,"output_tokens":6}}"#;
    assert_eq!(report(Dialect::Anthropic, Framing::Json, tool).usage.input, 50);
}

#[test]
fn numbers_that_are_no_counts_are_not_there() {
    for number in ["-5", "1.5", "1e9", "99999999999999999999", "1000000001", "\"5\"", "null", "[5]"]
    {
        let body = format!(r#"{{"usage":{{"prompt_tokens":{number},"completion_tokens":3}}}}"#);
        let report = report(Dialect::OpenAi, Framing::Json, &body);
        assert_eq!((report.usage.input, report.usage.output), (0, 3), "{number}");
    }
}

#[test]
fn a_usage_of_nothing_does_not_undo_one_of_something() {
    let usage = openai(&[
        r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0}}"#,
        "[DONE]",
    ])
    .usage;
    assert_eq!((usage.input, usage.output), (7, 3));
}

#[test]
fn parts_that_are_more_than_their_sum_cost_no_less() {
    let body = r#"{"usage":{"prompt_tokens":5,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":50},"completion_tokens_details":{"reasoning_tokens":60}}}"#;
    let usage = report(Dialect::OpenAi, Framing::Json, body).usage;
    assert_eq!((usage.input, usage.cache_read, usage.output, usage.reasoning), (0, 50, 0, 60));
}

#[test]
fn audio_and_images_are_classes_of_their_own() {
    let usage = gemini(&[
        r#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":30,"promptTokensDetails":[{"modality":"TEXT","tokenCount":40},{"modality":"AUDIO","tokenCount":60}],"cacheTokensDetails":[{"modality":"AUDIO","tokenCount":10}],"candidatesTokenCount":1300,"candidatesTokensDetails":[{"tokenCount":1290,"modality":"IMAGE"}]}}"#,
    ])
    .usage;
    assert_eq!((usage.input, usage.cache_read, usage.audio_input), (20, 30, 50));
    assert_eq!((usage.output, usage.image_output), (10, 1290));
}

#[test]
fn compaction_within_a_call_is_paid_for() {
    let usage = anthropic(&[
        r#"{"type":"message_delta","usage":{"input_tokens":23000,"output_tokens":1000,"iterations":[{"type":"compaction","input_tokens":180000,"output_tokens":3500},{"type":"message","input_tokens":23000,"output_tokens":1000}]}}"#,
    ])
    .usage;
    assert_eq!((usage.input, usage.output), (203_000, 4_500));
}

#[test]
fn the_framing_is_the_answers_own() {
    for (kind, framing) in [
        ("text/event-stream", Framing::Events),
        ("Text/Event-Stream; charset=utf-8", Framing::Events),
        ("application/json", Framing::Json),
        ("", Framing::Json),
    ] {
        assert_eq!(Framing::of(kind), framing, "{kind}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_meter_panic_and_pieces_change_nothing(
        parts in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..8),
                prop::sample::select(vec![
                    "data: ", "\n\n", "\r\n", "{\"usage\":{", "\"prompt_tokens\":1", "}}", "[", "]",
                    "\"message\":{\"usage\":{\"input_tokens\":5", "\"usageMetadata\":{", ",",
                    "\"promptTokenCount\":9", "\"error\":", "{\"type\":\"message_delta\",", "[DONE]",
                ])
                .prop_map(|part| part.as_bytes().to_vec()),
            ],
            0..24,
        ),
        size in 1_usize..6,
    ) {
        let bytes = parts.concat();
        for dialect in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini, Dialect::Brave] {
            for framing in [Framing::Events, Framing::Json] {
                let (mut whole, mut pieces) =
                    (Meter::new(dialect, framing), Meter::new(dialect, framing));
                whole.feed(&bytes);
                bytes.chunks(size).for_each(|piece| pieces.feed(piece));
                prop_assert_eq!(whole.finish(), pieces.finish());
            }
        }
    }
}

#[test]
fn an_error_within_an_answer_says_whose_fault_it_is() {
    for (dialect, event, is_refusal) in [
        (Dialect::OpenAi, r#"{"error":{"type":"server_error","code":null}}"#, false),
        (Dialect::OpenAi, r#"{"error":{"type":"invalid_request_error","code":null}}"#, true),
        (Dialect::OpenAi, r#"{"error":{"message":"m","code":429}}"#, true),
        (Dialect::OpenAi, r#"{"error":{"message":"m","code":502}}"#, false),
        (Dialect::OpenAi, r#"{"type":"error","code":"rate_limit_exceeded"}"#, true),
        (
            Dialect::OpenAi,
            r#"{"type":"response.failed","response":{"error":{"code":"server_error"}}}"#,
            false,
        ),
        (
            Dialect::OpenAi,
            r#"{"type":"response.failed","response":{"error":{"code":"invalid_prompt"}}}"#,
            true,
        ),
        (Dialect::Anthropic, r#"{"type":"error","error":{"type":"overloaded_error"}}"#, false),
        (Dialect::Anthropic, r#"{"type":"error","error":{"type":"rate_limit_error"}}"#, true),
        (Dialect::Gemini, r#"{"error":{"code":503,"status":"UNAVAILABLE"}}"#, false),
        (Dialect::Gemini, r#"{"error":{"status":"RESOURCE_EXHAUSTED"}}"#, true),
    ] {
        let report = report(dialect, Framing::Events, &events(&[event]));
        assert_eq!((report.ending, report.is_refusal), (Ending::Failed, is_refusal), "{event}");
    }
}
