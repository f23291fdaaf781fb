//! Anthropic's messages. What was read contains nothing cached; the counts of a stream are told at its
//! start and again, cumulative, at its end.

use serde_json::{Value, json};

use super::{Events, chat::put};
use crate::{
    behaviour::Reporting,
    ledger::Counts,
    plan::{Beat, Block, Moment, Plan, Progress, Served, Stop},
};

/// Seals what was thought. Opaque to clients.
const SIGNATURE: &str = "c2ltdWxhdG9y";

/// The whole message.
pub(super) fn whole(plan: &Plan) -> Value {
    let content: Vec<Value> = plan
        .blocks
        .iter()
        .enumerate()
        .flat_map(|(index, block)| parts(plan, index, block))
        .collect();
    let mut message = message(plan, content, Some(stop(plan)));
    let counts = (plan.behaviour.usage != Reporting::Missing).then(|| usage(plan, &plan.counts));
    put(&mut message, "usage", counts);
    message
}

/// A step of its stream.
pub(super) fn render(plan: &Plan, at: (Beat, Progress), events: &mut Events) -> bool {
    let (beat, progress) = at;
    match beat {
        Beat::Start => {
            let mut message = message(plan, Vec::new(), None);
            put(&mut message, "usage", first_usage(plan, progress));
            events.named("message_start", &json!({ "type": "message_start", "message": message }));
        }
        Beat::Open(index) => {
            open(plan, index, events);
            if index == 0 {
                events.named("ping", &json!({ "type": "ping" }));
            }
        }
        Beat::Piece(index, piece) => {
            said(plan, (index, piece), events);
            if let Some(counts) = plan.reported(Reporting::Late, (Moment::Middle, progress)) {
                events.named("message_delta", &delta(None, Some(usage(plan, &counts))));
            }
        }
        Beat::Close(index) => close(plan, index, events),
        Beat::End(0) => {
            let counts = plan.reported(Reporting::Late, (Moment::Last, progress));
            let usage = counts.map(|counts| last_usage(plan, &counts));
            events.named("message_delta", &delta(Some(stop(plan)), usage));
        }
        Beat::End(_) => {
            if !plan.behaviour.no_done {
                events.named("message_stop", &json!({ "type": "message_stop" }));
            }
            return false;
        }
    }
    true
}

fn message(plan: &Plan, content: Vec<Value>, stop: Option<&str>) -> Value {
    json!({
        "id": plan.answer_id(), "type": "message", "role": "assistant", "model": plan.call.model,
        "content": content, "stop_reason": stop, "stop_sequence": null, "stop_details": null,
    })
}

fn delta(stop: Option<&str>, usage: Option<Value>) -> Value {
    let delta = json!({ "stop_reason": stop, "stop_sequence": null, "stop_details": null });
    let mut event = json!({ "type": "message_delta", "delta": delta });
    put(&mut event, "usage", usage);
    event
}

/// The content that a block is. A search has its result after it.
fn parts(plan: &Plan, index: usize, block: &Block) -> Vec<Value> {
    match block {
        Block::Thinking(pieces) => {
            vec![json!({ "type": "thinking", "thinking": pieces.text, "signature": SIGNATURE })]
        }
        Block::Text(pieces) | Block::Audio(pieces) => {
            vec![json!({ "type": "text", "text": pieces.text, "citations": null })]
        }
        Block::Tool { name, arguments } => {
            let input: Value = serde_json::from_str(&arguments.text).unwrap_or_default();
            let id = plan.id("toolu_");
            vec![json!({ "type": "tool_use", "id": id, "name": name, "input": input })]
        }
        Block::Served(Served::Web) => {
            let id = format!("{}{index:02x}", plan.id("srvtoolu_"));
            let found = json!({
                "type": "web_search_result", "title": "A page", "url": "https://example.com/",
                "encrypted_content": SIGNATURE, "page_age": null,
            });
            vec![
                json!({
                    "type": "server_tool_use", "id": id, "name": "web_search",
                    "input": { "query": "a query" },
                }),
                json!({ "type": "web_search_tool_result", "tool_use_id": id, "content": [found] }),
            ]
        }
        Block::Served(Served::File | Served::Code) => Vec::new(),
    }
}

/// The place of a block among the content, searches being two.
fn place(plan: &Plan, index: usize) -> usize {
    let before = plan.blocks.iter().take(index).enumerate();
    before.map(|(index, block)| parts(plan, index, block).len()).sum()
}

fn open(plan: &Plan, index: usize, events: &mut Events) {
    let Some(block) = plan.blocks.get(index) else { return };
    let at = place(plan, index);
    let empty = match block {
        Block::Thinking(_) => json!({ "type": "thinking", "thinking": "", "signature": "" }),
        Block::Text(_) | Block::Audio(_) => json!({ "type": "text", "text": "" }),
        Block::Tool { name, .. } => {
            json!({ "type": "tool_use", "id": plan.id("toolu_"), "name": name, "input": {} })
        }
        Block::Served(_) => {
            for (next, part) in parts(plan, index, block).into_iter().enumerate() {
                begin(at + next, part, events);
                end(at + next, events);
            }
            return;
        }
    };
    begin(at, empty, events);
}

fn begin(at: usize, part: Value, events: &mut Events) {
    let event = json!({ "type": "content_block_start", "index": at, "content_block": part });
    events.named("content_block_start", &event);
}

fn end(at: usize, events: &mut Events) {
    events.named("content_block_stop", &json!({ "type": "content_block_stop", "index": at }));
}

fn said(plan: &Plan, at: (usize, u32), events: &mut Events) {
    let (index, piece) = at;
    let delta = match plan.blocks.get(index) {
        Some(Block::Thinking(pieces)) => {
            json!({ "type": "thinking_delta", "thinking": pieces.piece(piece) })
        }
        Some(Block::Text(pieces) | Block::Audio(pieces)) => {
            json!({ "type": "text_delta", "text": pieces.piece(piece) })
        }
        Some(Block::Tool { arguments, .. }) => {
            json!({ "type": "input_json_delta", "partial_json": arguments.piece(piece) })
        }
        Some(Block::Served(_)) | None => return,
    };
    say(place(plan, index), &delta, events);
}

fn say(at: usize, delta: &Value, events: &mut Events) {
    let event = json!({ "type": "content_block_delta", "index": at, "delta": delta });
    events.named("content_block_delta", &event);
}

fn close(plan: &Plan, index: usize, events: &mut Events) {
    let at = place(plan, index);
    match plan.blocks.get(index) {
        Some(Block::Thinking(_)) => {
            say(at, &json!({ "type": "signature_delta", "signature": SIGNATURE }), events);
        }
        Some(Block::Text(_) | Block::Audio(_) | Block::Tool { .. }) => {}
        Some(Block::Served(_)) | None => return,
    }
    end(at, events);
}

/// What the start of a stream says: what was read, and that writing has begun.
fn first_usage(plan: &Plan, progress: Progress) -> Option<Value> {
    let none = Counts::default();
    let counts = match plan.behaviour.usage {
        Reporting::Missing => return None,
        Reporting::Usual => {
            Counts { output: plan.counts.made().min(1), reasoning: 0, ..plan.counts }
        }
        Reporting::InclusiveFirst => Counts { input: plan.counts.read(), ..none },
        Reporting::Late => none,
        Reporting::Early | Reporting::Repeated | Reporting::Cumulative => {
            plan.reported(Reporting::Late, (Moment::First, progress)).unwrap_or(none)
        }
    };
    let mut usage = usage(plan, &counts);
    // Searches are counted when they were made.
    if plan.behaviour.usage == Reporting::Usual {
        put(&mut usage, "server_tool_use", Some(Value::Null));
    }
    Some(usage)
}

/// The last counts do not tell for how long something is cached, nor the tier.
fn last_usage(plan: &Plan, counts: &Counts) -> Value {
    let mut usage = usage(plan, counts);
    if plan.behaviour.usage == Reporting::Usual
        && let Value::Object(fields) = &mut usage
    {
        for name in ["cache_creation", "service_tier", "inference_geo"] {
            fields.remove(name);
        }
    }
    usage
}

fn usage(plan: &Plan, counts: &Counts) -> Value {
    let has_served = counts.web_searches > 0 || counts.web_fetches > 0;
    let served = has_served.then(|| {
        json!({
            "web_search_requests": counts.web_searches, "web_fetch_requests": counts.web_fetches,
        })
    });
    let input = counts.input.saturating_add(counts.audio_input).saturating_add(counts.tool_input);
    json!({
        "input_tokens": input,
        "cache_creation_input_tokens": counts.written(),
        "cache_read_input_tokens": counts.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": counts.cache_write_5m,
            "ephemeral_1h_input_tokens": counts.cache_write_1h,
        },
        "output_tokens": counts.made(),
        "output_tokens_details": { "thinking_tokens": counts.reasoning },
        "server_tool_use": served,
        "service_tier": plan.tier.as_deref().unwrap_or("standard"),
        "inference_geo": "global",
    })
}

fn stop(plan: &Plan) -> &str {
    plan.behaviour.stop.as_deref().unwrap_or(match plan.stop {
        Stop::End => "end_turn",
        Stop::Limit => "max_tokens",
        Stop::Tool => "tool_use",
    })
}
