//! Chat completions and completions, of OpenAI and of OpenRouter.
//! Invariants: OpenAI tells the counts of a stream only when asked to, in an event without choices;
//! OpenRouter always does, with what it has cost, and shows what a model thinks, which OpenAI does not.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Events, Provider, Refusal};
use crate::{
    behaviour::Reporting,
    ledger::Counts,
    plan::{Beat, Block, Moment, Plan, Progress, Stop},
};

/// The whole of a chat completion.
pub(super) fn whole(plan: &Plan) -> Value {
    let choices: Vec<Value> = (0..plan.call.choices)
        .map(|index| {
            let mut choice = json!({
                "index": index, "message": message(plan), "logprobs": null,
                "finish_reason": finish(plan),
            });
            put(&mut choice, "native_finish_reason", router(plan).then(|| finish(plan).into()));
            choice
        })
        .collect();
    let mut document = base(plan, "chat.completion", choices);
    put(&mut document, "service_tier", Some(tier(plan).into()));
    put(&mut document, "usage", whole_usage(plan));
    document
}

/// The whole of a completion.
pub(super) fn whole_text(plan: &Plan) -> Value {
    let choices = (0..plan.call.choices)
        .map(|index| {
            json!({
                "index": index, "text": plan.text(), "logprobs": null,
                "finish_reason": finish(plan),
            })
        })
        .collect();
    let mut document = base(plan, "text_completion", choices);
    put(&mut document, "usage", whole_usage(plan));
    document
}

/// A step of a chat completion's stream.
pub(super) fn render(plan: &Plan, at: (Beat, Progress), events: &mut Events) -> bool {
    let (beat, progress) = at;
    let first = beat == Beat::Start;
    let moment = (if first { Moment::First } else { Moment::Middle }, progress);
    let mut say = |delta: Value, finish: Option<&str>| {
        for index in 0..plan.call.choices {
            let mut choice = json!({
                "index": index, "delta": delta, "logprobs": null, "finish_reason": finish,
            });
            put(&mut choice, "native_finish_reason", router(plan).then(|| finish.into()));
            events.plain(&chunk(plan, "chat.completion.chunk", (vec![choice], moment)));
        }
    };
    match beat {
        Beat::Start => say(json!({ "role": "assistant", "content": "", "refusal": null }), None),
        Beat::Open(index) => {
            if let Some(Block::Tool { name, .. }) = plan.blocks.get(index) {
                let function = json!({ "name": name, "arguments": "" });
                let call = json!({
                    "index": 0, "id": plan.id("call_"), "type": "function", "function": function,
                });
                say(json!({ "tool_calls": [call] }), None);
            }
        }
        Beat::Piece(index, piece) => match plan.blocks.get(index) {
            Some(Block::Text(pieces)) => say(json!({ "content": pieces.piece(piece) }), None),
            Some(Block::Thinking(pieces)) if router(plan) => {
                let text = pieces.piece(piece);
                let details = json!([{ "type": "reasoning.text", "text": text, "index": 0 }]);
                say(
                    json!({ "content": "", "reasoning": text, "reasoning_details": details }),
                    None,
                );
            }
            Some(Block::Audio(pieces)) => {
                let text = pieces.piece(piece);
                let audio = json!({
                    "id": plan.id("audio_"), "transcript": text, "data": STANDARD.encode(text),
                });
                say(json!({ "audio": audio }), None);
            }
            Some(Block::Tool { arguments, .. }) => {
                let function = json!({ "arguments": arguments.piece(piece) });
                say(json!({ "tool_calls": [{ "index": 0, "function": function }] }), None);
            }
            Some(Block::Thinking(_) | Block::Served(_)) | None => {}
        },
        Beat::Close(_) => {}
        Beat::End(0) => say(json!({}), Some(finish(plan))),
        Beat::End(number) => return render_end(plan, (number, "chat.completion.chunk"), events),
    }
    true
}

/// A step of a completion's stream.
pub(super) fn render_text(plan: &Plan, at: (Beat, Progress), events: &mut Events) -> bool {
    let (beat, progress) = at;
    let (text, finish) = match beat {
        Beat::Piece(index, piece) => match plan.blocks.get(index) {
            Some(Block::Text(pieces)) => (pieces.piece(piece), None),
            _ => return true,
        },
        Beat::End(0) => ("", Some(finish(plan))),
        Beat::End(number) => return render_end(plan, (number, "text_completion"), events),
        Beat::Start | Beat::Open(_) | Beat::Close(_) => return true,
    };
    let moment = (if progress.shown <= 1 { Moment::First } else { Moment::Middle }, progress);
    for index in 0..plan.call.choices {
        let choice =
            json!({ "index": index, "text": text, "logprobs": null, "finish_reason": finish });
        events.plain(&chunk(plan, "text_completion", (vec![choice], moment)));
    }
    true
}

/// What comes after the last choice: the counts, and the end.
fn render_end(plan: &Plan, at: (u32, &str), events: &mut Events) -> bool {
    let (number, object) = at;
    if number == 1 {
        let tells = plan.call.wants_usage
            || router(plan)
            || !matches!(plan.behaviour.usage, Reporting::Usual | Reporting::Late);
        let last = (Moment::Last, Progress::default());
        if tells && plan.reported(Reporting::Late, last).is_some() {
            // OpenRouter's has a choice, without words.
            let choice = json!({
                "index": 0, "delta": { "role": "assistant", "content": "" },
                "finish_reason": null, "native_finish_reason": null,
            });
            let choices = if router(plan) { vec![choice] } else { Vec::new() };
            events.plain(&chunk(plan, object, (choices, last)));
        }
        return true;
    }
    if !plan.behaviour.no_done {
        let data = "[DONE]".to_owned();
        events.queue.push_back(super::Event { name: None, data });
    }
    false
}

/// An error inside a stream.
pub(super) fn render_failure(plan: &Plan, events: &mut Events) {
    let refusal = Refusal::new(plan.call.provider, 500, None);
    let Value::Object(mut body) = refusal.body(plan.number) else { return };
    if router(plan) {
        let choice = json!({ "index": 0, "delta": { "content": "" }, "finish_reason": "error" });
        let mut document = base(plan, "chat.completion.chunk", vec![choice]);
        put(&mut document, "error", body.remove("error"));
        events.plain(&document);
    } else {
        events.plain(&Value::Object(body));
    }
}

fn chunk(plan: &Plan, object: &str, with: (Vec<Value>, (Moment, Progress))) -> Value {
    let (choices, moment) = with;
    let mut document = base(plan, object, choices);
    let counts = plan.reported(Reporting::Late, moment);
    let usage = counts.map(|counts| usage(plan, &counts));
    // A client that has asked finds the field in every event.
    let empty = (plan.call.wants_usage && !router(plan)).then_some(Value::Null);
    put(&mut document, "usage", usage.or(empty));
    if object != "text_completion" && !router(plan) {
        put(&mut document, "service_tier", Some(tier(plan).into()));
    }
    document
}

fn base(plan: &Plan, object: &str, choices: Vec<Value>) -> Value {
    let mut document = json!({
        "id": plan.answer_id(), "object": object, "created": plan.created,
        "model": plan.call.model, "choices": choices, "system_fingerprint": "fp_simulator",
    });
    put(&mut document, "provider", router(plan).then(|| "Simulator".into()));
    document
}

fn message(plan: &Plan) -> Value {
    let mut message = json!({
        "role": "assistant", "content": null, "refusal": null, "annotations": [],
    });
    for block in &plan.blocks {
        match block {
            Block::Text(pieces) => put(&mut message, "content", Some(pieces.text.as_str().into())),
            Block::Thinking(pieces) => {
                let text = router(plan).then(|| pieces.text.as_str().into());
                put(&mut message, "reasoning", text);
            }
            Block::Audio(pieces) => {
                let audio = json!({
                    "id": plan.id("audio_"), "transcript": pieces.text,
                    "data": STANDARD.encode(&pieces.text), "expires_at": plan.created + 3_600,
                });
                put(&mut message, "audio", Some(audio));
            }
            Block::Tool { name, arguments } => {
                let function = json!({ "name": name, "arguments": arguments.text });
                let call =
                    json!({ "id": plan.id("call_"), "type": "function", "function": function });
                put(&mut message, "tool_calls", Some(json!([call])));
            }
            Block::Served(_) => {
                let citation = json!({
                    "start_index": 0, "end_index": 1, "title": "A page",
                    "url": "https://example.com/",
                });
                let annotation = json!({ "type": "url_citation", "url_citation": citation });
                put(&mut message, "annotations", Some(json!([annotation])));
            }
        }
    }
    message
}

fn whole_usage(plan: &Plan) -> Option<Value> {
    (plan.behaviour.usage != Reporting::Missing).then(|| usage(plan, &plan.counts))
}

/// What both count as read contains what was cached; what both count as written, the reasoning.
pub(super) fn usage(plan: &Plan, counts: &Counts) -> Value {
    let mut usage = json!({
        "prompt_tokens": counts.read(),
        "completion_tokens": counts.made(),
        "total_tokens": counts.read().saturating_add(counts.made()),
        "prompt_tokens_details": {
            "cached_tokens": counts.cached, "cache_write_tokens": counts.written(),
            "audio_tokens": counts.audio_input,
        },
        "completion_tokens_details": {
            "reasoning_tokens": counts.reasoning, "audio_tokens": counts.audio_output,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    });
    if counts.image_output > 0
        && let Some(details) = usage.get_mut("completion_tokens_details")
    {
        put(details, "image_tokens", Some(counts.image_output.into()));
    }
    if router(plan) {
        put_cost(plan, &mut usage);
    }
    usage
}

/// What OpenRouter says of money.
pub(super) fn put_cost(plan: &Plan, usage: &mut Value) {
    let behaviour = &plan.behaviour;
    put(usage, "cost", Some(behaviour.cost.unwrap_or(0.0).into()));
    put(usage, "is_byok", Some(behaviour.upstream_cost.is_some().into()));
    let upstream = json!({ "upstream_inference_cost": behaviour.upstream_cost });
    put(usage, "cost_details", Some(upstream));
    if plan.counts.web_searches > 0 {
        let searches = json!({ "web_search_requests": plan.counts.web_searches });
        put(usage, "server_tool_use", Some(searches));
    }
}

fn finish(plan: &Plan) -> &str {
    plan.behaviour.stop.as_deref().unwrap_or(match plan.stop {
        Stop::End => "stop",
        Stop::Limit => "length",
        Stop::Tool => "tool_calls",
    })
}

/// The tier that served.
pub(super) fn tier(plan: &Plan) -> &str {
    plan.tier.as_deref().unwrap_or("default")
}

fn router(plan: &Plan) -> bool {
    plan.call.provider == Provider::OpenRouter
}

/// Sets a field, if there is something to set.
pub(super) fn put(document: &mut Value, name: &str, value: Option<Value>) {
    if let (Value::Object(fields), Some(value)) = (document, value) {
        fields.insert(name.to_owned(), value);
    }
}
