//! OpenAI's Responses API. Every event has a number; the last one has the whole response.

use serde_json::{Value, json};

use super::{Events, Refusal, chat::put, chat::tier};
use crate::{
    behaviour::Reporting,
    ledger::Counts,
    plan::{Beat, Block, Moment, Plan, Progress, Served, Stop},
};

/// How far a response is, where it is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    InProgress,
    Over,
    Failed,
}

/// The whole response.
pub(super) fn whole(plan: &Plan) -> Value {
    let counts = (plan.behaviour.usage != Reporting::Missing).then_some(plan.counts);
    response(plan, State::Over, counts)
}

/// A step of its stream.
pub(super) fn render(plan: &Plan, at: (Beat, Progress), events: &mut Events) -> bool {
    let (beat, progress) = at;
    match beat {
        Beat::Start => {
            let counts = plan.reported(Reporting::Late, (Moment::First, progress));
            let response = response(plan, State::InProgress, counts);
            events.numbered("response.created", json!({ "response": response }));
            events.numbered("response.in_progress", json!({ "response": response }));
        }
        Beat::Open(index) => open(plan, index, events),
        Beat::Piece(index, piece) => {
            said(plan, (index, piece), events);
            let counts = plan.reported(Reporting::Late, (Moment::Middle, progress));
            if let Some(counts) = counts {
                let response = response(plan, State::InProgress, Some(counts));
                events.numbered("response.in_progress", json!({ "response": response }));
            }
        }
        Beat::Close(index) => close(plan, index, events),
        Beat::End(_) => {
            let counts = plan.reported(Reporting::Late, (Moment::Last, progress));
            let response = response(plan, State::Over, counts);
            let name = match plan.stop {
                Stop::Limit => "response.incomplete",
                Stop::End | Stop::Tool => "response.completed",
            };
            if !plan.behaviour.no_done {
                events.numbered(name, json!({ "response": response }));
            }
            return false;
        }
    }
    true
}

/// An error inside a stream: its event, and the response that has failed.
pub(super) fn render_failure(plan: &Plan, events: &mut Events) {
    let message = Refusal::new(plan.call.provider, 500, None).message;
    let error = json!({ "code": "server_error", "message": message, "param": null });
    events.numbered("error", error);
    let response = response(plan, State::Failed, None);
    events.numbered("response.failed", json!({ "response": response }));
}

fn open(plan: &Plan, index: usize, events: &mut Events) {
    let Some(block) = plan.blocks.get(index) else { return };
    let item = item(plan, (index, block), State::InProgress);
    events.numbered("response.output_item.added", json!({ "output_index": index, "item": item }));
    let id = item_id(plan, (index, block));
    match block {
        Block::Text(_) => {
            let part =
                json!({ "type": "output_text", "text": "", "annotations": [], "logprobs": [] });
            let event = json!({
                "item_id": id, "output_index": index, "content_index": 0, "part": part,
            });
            events.numbered("response.content_part.added", event);
        }
        Block::Thinking(_) => {
            let event = json!({
                "item_id": id, "output_index": index, "summary_index": 0,
                "part": { "type": "summary_text", "text": "" },
            });
            events.numbered("response.reasoning_summary_part.added", event);
        }
        Block::Served(served) => {
            for name in steps(*served) {
                events.numbered(name, json!({ "item_id": id, "output_index": index }));
            }
        }
        Block::Audio(_) | Block::Tool { .. } => {}
    }
}

fn said(plan: &Plan, at: (usize, u32), events: &mut Events) {
    let (index, piece) = at;
    let Some(block) = plan.blocks.get(index) else { return };
    let mut event = json!({ "item_id": item_id(plan, (index, block)), "output_index": index });
    let (name, delta) = match block {
        Block::Text(pieces) | Block::Audio(pieces) => {
            put(&mut event, "content_index", Some(0.into()));
            put(&mut event, "logprobs", Some(json!([])));
            ("response.output_text.delta", pieces.piece(piece))
        }
        Block::Thinking(pieces) => {
            put(&mut event, "summary_index", Some(0.into()));
            ("response.reasoning_summary_text.delta", pieces.piece(piece))
        }
        Block::Tool { arguments, .. } => {
            ("response.function_call_arguments.delta", arguments.piece(piece))
        }
        Block::Served(_) => return,
    };
    put(&mut event, "delta", Some(delta.into()));
    events.numbered(name, event);
}

fn close(plan: &Plan, index: usize, events: &mut Events) {
    let Some(block) = plan.blocks.get(index) else { return };
    let id = item_id(plan, (index, block));
    match block {
        Block::Text(pieces) | Block::Audio(pieces) => {
            let event = json!({
                "item_id": id, "output_index": index, "content_index": 0, "text": pieces.text,
                "logprobs": [],
            });
            events.numbered("response.output_text.done", event);
            let event = json!({
                "item_id": id, "output_index": index, "content_index": 0,
                "part": text_part(&pieces.text),
            });
            events.numbered("response.content_part.done", event);
        }
        Block::Thinking(pieces) => {
            let event = json!({
                "item_id": id, "output_index": index, "summary_index": 0, "text": pieces.text,
            });
            events.numbered("response.reasoning_summary_text.done", event);
            let event = json!({
                "item_id": id, "output_index": index, "summary_index": 0,
                "part": { "type": "summary_text", "text": pieces.text },
            });
            events.numbered("response.reasoning_summary_part.done", event);
        }
        Block::Tool { name, arguments } => {
            let event = json!({
                "item_id": id, "output_index": index, "name": name, "arguments": arguments.text,
            });
            events.numbered("response.function_call_arguments.done", event);
        }
        Block::Served(_) => {}
    }
    let item = item(plan, (index, block), State::Over);
    events.numbered("response.output_item.done", json!({ "output_index": index, "item": item }));
}

/// What is told of a tool of OpenAI's own while it is used.
const fn steps(served: Served) -> [&'static str; 3] {
    match served {
        Served::Web => [
            "response.web_search_call.in_progress",
            "response.web_search_call.searching",
            "response.web_search_call.completed",
        ],
        Served::File => [
            "response.file_search_call.in_progress",
            "response.file_search_call.searching",
            "response.file_search_call.completed",
        ],
        Served::Code => [
            "response.code_interpreter_call.in_progress",
            "response.code_interpreter_call.interpreting",
            "response.code_interpreter_call.completed",
        ],
    }
}

fn item_id(plan: &Plan, at: (usize, &Block)) -> String {
    let prefix = match at.1 {
        Block::Thinking(_) => "rs_",
        Block::Text(_) | Block::Audio(_) => "msg_",
        Block::Tool { .. } => "fc_",
        Block::Served(Served::Web) => "ws_",
        Block::Served(Served::File) => "fs_",
        Block::Served(Served::Code) => "ci_",
    };
    format!("{}{:02x}", plan.id(prefix), at.0)
}

/// An item of the output, empty while it is under way.
fn item(plan: &Plan, at: (usize, &Block), state: State) -> Value {
    let id = item_id(plan, at);
    let is_over = state == State::Over;
    let status = if is_over { "completed" } else { "in_progress" };
    match at.1 {
        Block::Thinking(pieces) => {
            let summary = json!([{ "type": "summary_text", "text": pieces.text }]);
            let summary = if is_over { summary } else { json!([]) };
            json!({ "id": id, "type": "reasoning", "summary": summary })
        }
        Block::Text(pieces) | Block::Audio(pieces) => {
            let content = if is_over { json!([text_part(&pieces.text)]) } else { json!([]) };
            json!({
                "id": id, "type": "message", "status": status, "role": "assistant",
                "content": content,
            })
        }
        Block::Tool { name, arguments } => json!({
            "id": id, "type": "function_call", "status": status, "call_id": plan.id("call_"),
            "name": name, "arguments": if is_over { arguments.text.as_str() } else { "" },
        }),
        Block::Served(Served::Web) => json!({
            "id": id, "type": "web_search_call", "status": status,
            "action": { "type": "search", "query": "a query", "queries": ["a query"] },
        }),
        Block::Served(Served::File) => json!({
            "id": id, "type": "file_search_call", "status": status, "queries": ["a query"],
            "results": null,
        }),
        Block::Served(Served::Code) => json!({
            "id": id, "type": "code_interpreter_call", "status": status, "code": "1 + 1",
            "container_id": format!("{}{:02x}", plan.id("cntr_"), at.0), "outputs": null,
        }),
    }
}

fn text_part(text: &str) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
}

fn response(plan: &Plan, state: State, counts: Option<Counts>) -> Value {
    let (status, error) = match (state, plan.stop) {
        (State::InProgress, _) => ("in_progress", Value::Null),
        (State::Failed, _) => {
            ("failed", json!({ "code": "server_error", "message": "The model failed." }))
        }
        (State::Over, Stop::Limit) => ("incomplete", Value::Null),
        (State::Over, Stop::End | Stop::Tool) => ("completed", Value::Null),
    };
    let output: Vec<Value> = match state {
        State::Over => plan.blocks.iter().enumerate().map(|at| item(plan, at, state)).collect(),
        State::InProgress | State::Failed => Vec::new(),
    };
    let incomplete = (status == "incomplete").then(|| json!({ "reason": "max_output_tokens" }));
    json!({
        "id": plan.answer_id(), "object": "response", "created_at": plan.created,
        "status": status, "background": false, "error": error,
        "incomplete_details": incomplete, "instructions": null,
        "max_output_tokens": plan.call.limit, "max_tool_calls": null, "model": plan.call.model,
        "output": output, "parallel_tool_calls": true, "previous_response_id": null,
        "prompt_cache_key": null, "reasoning": { "effort": null, "summary": null },
        "safety_identifier": null, "service_tier": tier(plan), "store": true,
        "temperature": 1.0, "text": { "format": { "type": "text" }, "verbosity": "medium" },
        "tool_choice": "auto", "tools": [], "top_logprobs": 0, "top_p": 1.0,
        "truncation": "disabled", "usage": counts.map(|counts| usage(&counts)), "user": null,
        "metadata": {},
    })
}

fn usage(counts: &Counts) -> Value {
    json!({
        "input_tokens": counts.read(),
        "input_tokens_details": {
            "cached_tokens": counts.cached, "cache_write_tokens": counts.written(),
        },
        "output_tokens": counts.made(),
        "output_tokens_details": { "reasoning_tokens": counts.reasoning },
        "total_tokens": counts.read().saturating_add(counts.made()),
    })
}
