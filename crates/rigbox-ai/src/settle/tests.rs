mod estimated;

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::{
    estimate::{Estimate, Request, tests::estimate},
    prices::tests::{embedded, model},
    route::Operation,
    usage::{
        Dialect, Framing,
        tests::{events, report},
    },
};

const CLAUDE_37: (&str, &str) = ("anthropic", "claude-3-7-sonnet-20250219");
const OPUS: (&str, &str) = ("anthropic", "claude-opus-4-6");
const GPT: (&str, &str) = ("openai", "gpt-5.4");
const GEMINI: (&str, &str) = ("google", "gemini-2.5-pro");

/// So long, and shown as it was written.
fn streamed(hidden_ms: u64) -> Course {
    Course { hidden_ms, is_stream: true }
}

fn message(of: (&str, &str)) -> Estimate {
    estimate(Operation::Message, of, r#"{"max_tokens":64000}"#).unwrap()
}

fn chat(of: (&str, &str)) -> Estimate {
    estimate(Operation::ChatCompletion, of, r#"{"max_tokens":1000,"messages":[]}"#).unwrap()
}

fn content(of: (&str, &str)) -> Estimate {
    estimate(Operation::Generate, of, "{}").unwrap()
}

/// What an answer of one document costs in micro-credits, reported in full.
fn micro(estimate: &Estimate, answer: &str) -> i64 {
    let report = report(estimate.operation.dialect(), Framing::Json, answer);
    // What these answers report is not what their requests were held for.
    let mut estimate = estimate.clone();
    estimate.hold = Credits::MAX;
    let bill = settle(&estimate, &report, streamed(0));
    assert_eq!(bill.basis, Basis::Reported, "{answer}");
    let sum = bill.lines.iter().map(|line| line.price.times(line.count).pico()).sum::<u128>();
    assert_eq!(sum, bill.cost.pico(), "{answer}");
    bill.credits.micro()
}

#[test]
fn a04_a_written_cache_is_charged_once() {
    let answer = r#"{"usage":{"input_tokens":3,"cache_creation_input_tokens":12304,"cache_read_input_tokens":0,"output_tokens":550}}"#;
    // $0.054399.
    assert_eq!(micro(&message(CLAUDE_37), answer), 5_439_900);
}

#[test]
fn a05_cached_tokens_cost_what_cached_ones_do() {
    let answer = |cached| {
        format!(
            r#"{{"usage":{{"prompt_tokens":100000,"completion_tokens":0,"prompt_tokens_details":{{"cached_tokens":{cached}}}}}}}"#
        )
    };
    // $2.50 and $0.25 for a million.
    assert_eq!(micro(&chat(GPT), &answer(0)), 25_000_000);
    assert_eq!(micro(&chat(GPT), &answer(100_000)), 2_500_000);
}

#[test]
fn a06_a_cache_for_an_hour_costs_more() {
    let answer = |minutes, hour| {
        format!(
            r#"{{"usage":{{"input_tokens":0,"output_tokens":0,"cache_creation_input_tokens":1000000,"cache_creation":{{"ephemeral_5m_input_tokens":{minutes},"ephemeral_1h_input_tokens":{hour}}}}}}}"#
        )
    };
    // $6.25 and $10.
    assert_eq!(micro(&message(OPUS), &answer(1_000_000, 0)), 625_000_000);
    assert_eq!(micro(&message(OPUS), &answer(0, 1_000_000)), 1_000_000_000);
}

#[test]
fn a07_thoughts_are_charged_as_written() {
    let answer = r#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":41,"candidatesTokenCount":5,"thoughtsTokenCount":343,"totalTokenCount":389}}"#;
    // 41 at $1.25, 348 at $10.
    assert_eq!(micro(&content(GEMINI), answer), 41 * 125 + 348 * 1_000);
}

#[test]
fn a18_all_of_a_long_call_costs_more_and_cached_tokens_make_it_long() {
    let gemini = |prompt, cached| {
        let answer = format!(
            r#"{{"usageMetadata":{{"promptTokenCount":{prompt},"cachedContentTokenCount":{cached},"candidatesTokenCount":1000}}}}"#
        );
        micro(&content(GEMINI), &answer)
    };
    assert_eq!(gemini(200_000, 0), 200_000 * 125 + 1_000 * 1_000);
    assert_eq!(gemini(200_001, 0), 200_001 * 250 + 1_000 * 1_500);
    // $0.25 a million for what is cached; only one token is not.
    assert_eq!(gemini(200_001, 200_000), 250 + 200_000 * 25 + 1_000 * 1_500);
    let gpt = |prompt| {
        let answer = format!(r#"{{"usage":{{"prompt_tokens":{prompt},"completion_tokens":10}}}}"#);
        micro(&chat(GPT), &answer)
    };
    assert_eq!(gpt(272_000), 272_000 * 250 + 10 * 1_500);
    assert_eq!(gpt(272_001), 272_001 * 500 + 10 * 2_250);
}

#[test]
fn a19_the_tier_of_the_answer_decides() {
    let answer = |tier: &str| {
        format!(
            r#"{{"service_tier":"{tier}","usage":{{"prompt_tokens":1000,"completion_tokens":0}}}}"#
        )
    };
    for (tier, expected) in
        [("default", 250_000), ("flex", 125_000), ("priority", 500_000), ("unheard-of", 500_000)]
    {
        assert_eq!(micro(&chat(GPT), &answer(tier)), expected, "{tier}");
    }
    let unknown = report(Dialect::OpenAi, Framing::Json, &answer("unheard-of"));
    assert!(settle(&chat(GPT), &unknown, streamed(0)).tier_is_unknown);
}

#[test]
fn a19_an_answer_without_a_tier_costs_what_was_held_with() {
    let chat = |tier: &str| {
        let body = format!(r#"{{"max_tokens":1000,"service_tier":"{tier}","messages":[]}}"#);
        estimate(Operation::ChatCompletion, GPT, &body).unwrap()
    };
    let answer = r#"{"usage":{"prompt_tokens":1000,"completion_tokens":0}}"#;
    let whole = report(Dialect::OpenAi, Framing::Json, answer);
    let text = format!(r#"{{"choices":[{{"delta":{{"content":"{}"}}}}]}}"#, "x".repeat(300));
    let cut = report(Dialect::OpenAi, Framing::Events, &events(&[&text]));
    let prices = |tier: &str| {
        let held = chat(tier);
        let bill = settle(&held, &cut, streamed(0));
        let written = bill.lines.iter().find(|line| line.what == "output").unwrap();
        (settle(&held, &whole, streamed(0)).credits.micro(), written.price.pico())
    };
    // It may have been answered as standard.
    assert_eq!(prices("flex"), (250_000, 15_000_000));
    assert_eq!(prices("auto"), (250_000, 15_000_000));
    assert_eq!(prices("priority"), (500_000, 30_000_000));
    let fast = r#"{"max_tokens":100,"speed":"fast","messages":[]}"#;
    let fast = estimate(Operation::Message, OPUS, fast).unwrap();
    let bill = settle(&fast, &Report::default(), streamed(1_000));
    assert!(
        bill.lines.iter().any(|line| (line.what, line.price.pico()) == ("output", 150_000_000))
    );
}

#[test]
fn a06_what_is_estimated_as_read_costs_what_was_held_for_it() {
    let read = |operation, of, body: &str| {
        let held = estimate(operation, of, body).unwrap();
        let bill = settle(&held, &Report::default(), streamed(0));
        let line = *bill.lines.first().unwrap();
        assert_eq!(line.count, held.likely_input_tokens);
        (line.what, line.price.pico())
    };
    let cached = |ttl: &str| {
        let control = format!(r#"{{"type":"ephemeral","ttl":"{ttl}"}}"#);
        format!(r#"{{"max_tokens":9,"system":[{{"text":"x","cache_control":{control}}}]}}"#)
    };
    let message = |body: &str| read(Operation::Message, OPUS, body);
    assert_eq!(message(r#"{"max_tokens":9}"#), ("input", 5_000_000));
    assert_eq!(message(&cached("5m")), ("cache_write_5m", 6_250_000));
    assert_eq!(message(&cached("1h")), ("cache_write_1h", 10_000_000));
    let newest = read(Operation::ChatCompletion, ("openai", "gpt-5.6"), r#"{"messages":[]}"#);
    assert_eq!(newest, ("cache_write_5m", 6_250_000));
    let heard = r#"{"contents":[{"parts":[{"inlineData":{"mimeType":"audio/mp3","data":"x"}}]}]}"#;
    let heard = read(Operation::Generate, ("google", "gemini-2.5-flash"), heard);
    assert_eq!(heard, ("audio_input", 1_000_000));
}

#[test]
fn a20_searches_are_charged_beside_tokens() {
    let answer = r#"{"usage":{"input_tokens":105,"output_tokens":6,"server_tool_use":{"web_search_requests":2}}}"#;
    assert_eq!(micro(&message(OPUS), answer), 105 * 500 + 6 * 2_500 + 2_000_000);
    let grounded = |queries: &str| {
        format!(
            r#"{{"candidates":[{{"finishReason":"STOP","groundingMetadata":{{"webSearchQueries":[{queries}]}}}}],"usageMetadata":{{"promptTokenCount":0,"candidatesTokenCount":0}}}}"#
        )
    };
    let newer = content(("google", "gemini-3.1-pro-preview"));
    assert_eq!(micro(&newer, &grounded(r#""a","b","c""#)), 3 * 1_400_000);
    // Older ones are paid by the call.
    assert_eq!(micro(&content(GEMINI), &grounded(r#""a","b","c""#)), 3_500_000);
    let brave = Estimate::of_call(Operation::WebSearch, &embedded("brave", "web/search")).unwrap();
    assert_eq!(micro(&brave, r#"{"web":{"results":[]}}"#), 500_000);
}

#[test]
fn a32_a_charge_is_rounded_up_once() {
    let nano = chat(("openai", "gpt-5-nano"));
    let answer = |cached| {
        format!(
            r#"{{"usage":{{"prompt_tokens":{cached},"completion_tokens":0,"prompt_tokens_details":{{"cached_tokens":{cached}}}}}}}"#
        )
    };
    // $0.005 a million: half a micro-credit each.
    assert_eq!(micro(&nano, &answer(1)), 1);
    assert_eq!(micro(&nano, &answer(2)), 1);
    assert_eq!(micro(&nano, &answer(3)), 2);
    assert_eq!(micro(&nano, &answer(1_000_000)), 500_000);
}

#[test]
fn a20_a_chat_that_is_to_search_has_searched() {
    let row = model("rates = { input = \"1\", output = \"2\" }\nfees = { web_search = \"0.01\" }\nsearches_max = 1\nsearch_unit = \"call\"").unwrap();
    let request =
        Request::read(Operation::ChatCompletion, br#"{"web_search_options":{}}"#).unwrap();
    let held = Estimate::of(&request, &row).unwrap();
    let answer = r#"{"usage":{"prompt_tokens":10,"completion_tokens":1}}"#;
    assert_eq!(micro(&held, answer), 10 * 100 + 200 + 1_000_000);
}

#[test]
fn a12_only_what_may_have_been_worked_on_is_settled() {
    assert!(Attempt::Answered.is_settled() && Attempt::Silent.is_settled());
    assert!(!Attempt::NotSent.is_settled());
    for status in [400, 401, 404, 408, 429, 500, 501, 503, 529] {
        assert!(!Attempt::Refused(status).is_settled(), "{status}");
    }
    // Whoever stands before the provider does not know whether it has gone on.
    for status in [502, 504, 524] {
        assert!(Attempt::Refused(status).is_settled(), "{status}");
    }
    // A part and what took its place are two answers, each with a charge of its own, of which the
    // second one does not depend on the first.
    let start =
        r#"{"type":"message_start","message":{"usage":{"input_tokens":10,"output_tokens":1}}}"#;
    let part = report(Dialect::Anthropic, Framing::Events, &events(&[start]));
    let whole = report(
        Dialect::Anthropic,
        Framing::Json,
        r#"{"usage":{"input_tokens":10,"output_tokens":5}}"#,
    );
    let bills =
        [&part, &whole].map(|report| settle(&message(OPUS), report, streamed(0)).credits.micro());
    assert_eq!(bills, [10 * 500 + 2_500, 10 * 500 + 5 * 2_500]);
}

#[test]
fn a17_tokens_of_a_class_without_a_price_are_not_free() {
    let plain = model(r#"rates = { input = "1", output = "2" }"#).unwrap();
    let request = Request::read(Operation::ChatCompletion, b"{}").unwrap();
    let held = Estimate::of(&request, &plain).unwrap();
    let answer = r#"{"usage":{"prompt_tokens":30,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":10,"audio_tokens":10},"completion_tokens_details":{"reasoning_tokens":5,"audio_tokens":5}}}"#;
    assert_eq!(micro(&held, answer), 30 * 100 + 20 * 200);
}

#[test]
fn a23_only_what_surely_was_not_billed_is_sent_again() {
    for (attempt, again) in [
        (Attempt::NotSent, true),
        (Attempt::Refused(429), true),
        (Attempt::Refused(503), true),
        (Attempt::Refused(529), true),
        (Attempt::Refused(500), false),
        (Attempt::Refused(502), false),
        (Attempt::Refused(504), false),
        (Attempt::Refused(524), false),
        (Attempt::Refused(400), false),
        (Attempt::Silent, false),
        (Attempt::Answered, false),
    ] {
        assert_eq!(attempt.may_be_repeated(1), again, "{attempt:?}");
        assert!(!attempt.may_be_repeated(ATTEMPTS_MAX), "{attempt:?}");
    }
}

#[test]
fn a24_the_cost_that_a_trusted_provider_tells_is_charged_instead_of_rates() {
    let answer = r#"{"usage":{"prompt_tokens":100,"completion_tokens":100,"cost":0.0123}}"#;
    let trusting =
        model("cost_is_reported = true\nrates = { input = \"1\", output = \"2\" }").unwrap();
    let request = Request::read(Operation::ChatCompletion, b"{}").unwrap();
    let mut held = Estimate::of(&request, &trusting).unwrap();
    held.hold = Credits::MAX;
    let told = report(Dialect::OpenAi, Framing::Json, answer);
    let bill = settle(&held, &told, streamed(0));
    assert_eq!((bill.basis, bill.credits.micro()), (Basis::ProviderCost, 1_230_000));
    // Others are not believed.
    assert_eq!(micro(&chat(GPT), answer), 100 * 250 + 100 * 1_500);
    let silent = report(
        Dialect::OpenAi,
        Framing::Json,
        r#"{"usage":{"prompt_tokens":9,"completion_tokens":0}}"#,
    );
    assert_eq!(settle(&held, &silent, streamed(0)).credits.micro(), 900);
}

#[test]
fn a33_an_error_before_anything_was_shown_costs_nothing_and_one_after_that_what_was_used() {
    let error = r#"{"type":"error","error":{"type":"overloaded_error"}}"#;
    let first = report(Dialect::Anthropic, Framing::Events, &events(&[error]));
    let bill = settle(&message(OPUS), &first, streamed(5_000));
    assert_eq!((bill.basis, bill.credits), (Basis::Failed, Credits::ZERO));
    let start =
        r#"{"type":"message_start","message":{"usage":{"input_tokens":10,"output_tokens":1}}}"#;
    let later = report(Dialect::Anthropic, Framing::Events, &events(&[start, error]));
    let bill = settle(&message(OPUS), &later, streamed(0));
    assert_eq!((bill.basis, bill.credits.micro()), (Basis::Estimated, 10 * 500 + 2_500));
}

#[test]
fn more_than_can_be_true_is_charged_as_held() {
    let dear = model(r#"rates = { input = "10000", output = "10000" }"#).unwrap();
    let request = Request::read(Operation::ChatCompletion, b"{}").unwrap();
    let held = Estimate::of(&request, &dear).unwrap();
    let answer = r#"{"usage":{"prompt_tokens":1000000000,"completion_tokens":1000000000}}"#;
    let bill = settle(&held, &report(Dialect::OpenAi, Framing::Json, answer), streamed(0));
    assert_eq!((bill.basis, bill.credits), (Basis::Estimated, held.hold));
    assert!(bill.is_not_believed && bill.lines.is_empty());
}

#[test]
fn what_is_estimated_is_not_more_than_twice_the_hold() {
    let start =
        r#"{"type":"message_start","message":{"usage":{"input_tokens":800000,"output_tokens":1}}}"#;
    let cut = report(Dialect::Anthropic, Framing::Events, &events(&[start]));
    let held = message(OPUS);
    let bill = settle(&held, &cut, streamed(0));
    assert_eq!((bill.basis, bill.credits), (Basis::Estimated, held.hold));
}

#[test]
fn what_a_provider_reports_is_charged_also_beyond_the_hold_but_not_what_no_model_can_do() {
    let rows = "cost_is_reported = true\nrates = { input = \"1\", output = \"2\" }";
    let request = Request::read(Operation::ChatCompletion, b"{}").unwrap();
    let held = Estimate::of(&request, &model(rows).unwrap()).unwrap();
    // Of all that may be written at $2 a million, and next to nothing that is read.
    assert_eq!(held.hold.micro(), 1_026 * 100 + 1_000 * 200);
    let settled =
        |answer: &str| settle(&held, &report(Dialect::OpenAi, Framing::Json, answer), streamed(0));
    let used = |tokens: u64| {
        settled(&format!(r#"{{"usage":{{"prompt_tokens":0,"completion_tokens":{tokens}}}}}"#))
    };
    let told = |usd: &str| {
        settled(&format!(r#"{{"usage":{{"prompt_tokens":0,"completion_tokens":1,"cost":{usd}}}}}"#))
    };
    for (bill, basis, micro) in [
        (used(2_097_152), Basis::Reported, 419_430_400),
        (told("4.1"), Basis::ProviderCost, 410_000_000),
    ] {
        assert_eq!((bill.basis, bill.credits.micro(), bill.is_not_believed), (basis, micro, false));
    }
    for bill in [used(2_097_153), told("4.2"), told("1000")] {
        assert_eq!((bill.basis, bill.credits), (Basis::Estimated, held.hold));
        assert!(bill.is_not_believed && bill.lines.is_empty());
        assert!(bill.usage.output > 0);
    }
}

/// Requests whose answers are made up, and whether something is written to a cache for them.
static HELD: LazyLock<Vec<(Estimate, bool)>> = LazyLock::new(|| {
    let cached = r#"{"max_tokens":5000,"system":[{"cache_control":{"ttl":"1h"}}],"messages":[]}"#;
    let text = "x".repeat(250_000);
    let long = format!(r#"{{"contents":[{{"parts":[{{"text":"{text}"}}]}}]}}"#);
    vec![
        (message(OPUS), false),
        (estimate(Operation::Message, OPUS, cached).unwrap(), true),
        (chat(GPT), true),
        (content(GEMINI), true),
        (estimate(Operation::Generate, GEMINI, &long).unwrap(), true),
        (content(("google", "gemini-2.5-flash-image")), true),
    ]
});

proptest! {
    #[test]
    fn a_charge_is_never_more_than_what_was_held(
        which in 0_usize..6,
        parts in prop::array::uniform8(0_u64..=1_000),
        shown in 0_u64..1_000_000,
        hidden_ms in 0_u64..10_000_000,
        standing in 0_u8..3,
    ) {
        let (held, caches) = &HELD[which];
        let [input, read, short, hour, output, reasoning, audio, image] = parts;
        // Shares of the bound, in whatever classes.
        let share = |bound: u64, part: u64, parts: u64| bound / 1_000 / parts * part;
        let bound = |part| share(held.input_tokens, part, 4);
        let written = |part| share(held.output_tokens, part, 4);
        let usage = Usage {
            input: bound(input),
            cache_read: bound(read),
            cache_write_5m: if *caches { bound(short) } else { 0 },
            cache_write_1h: if *caches { bound(hour) } else { 0 },
            output: written(output),
            reasoning: written(reasoning),
            audio_output: written(audio),
            image_output: written(image),
            ..Usage::default()
        };
        let standing = match standing {
            0 => Standing::Nothing,
            1 => Standing::SoFar,
            _ => Standing::Final,
        };
        let usage = if standing == Standing::Nothing { Usage::default() } else { usage };
        let report = Report { usage, standing, shown_bytes: shown, ..Report::default() };
        let bill = settle(held, &report, Course { hidden_ms, is_stream: false });
        prop_assert!(bill.credits <= held.hold, "{:?}", bill);
    }
}
