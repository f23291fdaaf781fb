//! Gemini's contents. Every event of a stream has the counts so far; what was thought is outside of
//! what the candidates have.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Events, chat::put};
use crate::{
    behaviour::Reporting,
    ledger::Counts,
    plan::{Beat, Block, Moment, Plan, Progress, Stop},
};

/// Seals what was thought. Opaque to clients.
const SIGNATURE: &str = "c2ltdWxhdG9y";

/// The whole answer.
pub(super) fn whole(plan: &Plan) -> Value {
    let parts: Vec<Value> =
        plan.blocks.iter().filter_map(|block| part(block, None)).chain(image(plan)).collect();
    let counts = (plan.behaviour.usage != Reporting::Missing).then_some(plan.counts);
    response(plan, (&parts, true), counts)
}

/// A step of a stream.
pub(super) fn render(plan: &Plan, at: (Beat, Progress), events: &mut Events) -> bool {
    let (beat, progress) = at;
    let is_first = progress.thought.saturating_add(progress.shown) <= 1;
    let moment = if is_first { Moment::First } else { Moment::Middle };
    let (said, moment) = match beat {
        Beat::Piece(index, piece) => match plan.blocks.get(index) {
            Some(Block::Tool { .. } | Block::Served(_)) | None => return true,
            Some(block) => (part(block, Some(piece)), moment),
        },
        // A call is one part, when all of it is there.
        Beat::Close(index) => match plan.blocks.get(index) {
            Some(block @ Block::Tool { .. }) => (part(block, None), moment),
            _ => return true,
        },
        Beat::End(_) if plan.behaviour.no_done => return false,
        Beat::End(_) => (image(plan).or_else(|| Some(json!({ "text": "" }))), Moment::Last),
        Beat::Start | Beat::Open(_) => return true,
    };
    let is_last = moment == Moment::Last;
    let parts: Vec<Value> = said.into_iter().collect();
    let counts = plan.reported(Reporting::Cumulative, (moment, progress));
    events.plain(&response(plan, (&parts, is_last), counts));
    !is_last
}

fn part(block: &Block, piece: Option<u32>) -> Option<Value> {
    let text = |pieces: &crate::plan::Pieces| match piece {
        Some(index) => pieces.piece(index).to_owned(),
        None => pieces.text.clone(),
    };
    match block {
        Block::Thinking(pieces) => Some(json!({ "text": text(pieces), "thought": true })),
        Block::Text(pieces) => Some(json!({ "text": text(pieces) })),
        Block::Audio(pieces) => {
            let data = STANDARD.encode(text(pieces));
            Some(json!({ "inlineData": { "mimeType": "audio/L16;rate=24000", "data": data } }))
        }
        Block::Tool { name, arguments } => {
            let args: Value = serde_json::from_str(&arguments.text).unwrap_or_default();
            let call = json!({ "name": name, "args": args, "id": "call_sim" });
            Some(json!({ "functionCall": call, "thoughtSignature": SIGNATURE }))
        }
        Block::Served(_) => None,
    }
}

/// The image that an answer with tokens of images has: the head of a PNG.
fn image(plan: &Plan) -> Option<Value> {
    let data = STANDARD.encode(b"\x89PNG\r\n\x1a\n");
    (plan.counts.image_output > 0)
        .then(|| json!({ "inlineData": { "mimeType": "image/png", "data": data } }))
}

fn response(plan: &Plan, with: (&[Value], bool), counts: Option<Counts>) -> Value {
    let (parts, is_last) = with;
    let candidates: Vec<Value> = (0..plan.call.choices)
        .map(|index| {
            let content = json!({ "parts": parts, "role": "model" });
            let mut candidate = json!({ "content": content, "index": index });
            if is_last {
                put(&mut candidate, "finishReason", Some(stop(plan).into()));
                put(&mut candidate, "groundingMetadata", grounding(plan));
            }
            candidate
        })
        .collect();
    let mut document = json!({
        "candidates": candidates, "modelVersion": plan.call.model,
        "responseId": plan.answer_id(),
    });
    put(&mut document, "usageMetadata", counts.map(|counts| usage(plan, &counts)));
    document
}

fn grounding(plan: &Plan) -> Option<Value> {
    let searches = plan.counts.web_searches;
    (searches > 0).then(|| {
        let queries: Vec<String> = (1..=searches.min(64)).map(|at| format!("query {at}")).collect();
        let web = json!({ "uri": "https://example.com/", "title": "A page" });
        json!({ "webSearchQueries": queries, "groundingChunks": [{ "web": web }] })
    })
}

fn usage(plan: &Plan, counts: &Counts) -> Value {
    let prompt = counts.read().saturating_sub(counts.tool_input);
    let candidates = counts.made().saturating_sub(counts.reasoning);
    let total = counts.read().saturating_add(counts.made());
    let modal = |all: u64, kinds: &[(&str, u64)]| {
        let others: u64 = kinds.iter().map(|(_, tokens)| tokens).sum();
        let text = ("TEXT", all.saturating_sub(others));
        let kinds = std::iter::once(text).chain(kinds.iter().copied());
        let kinds = kinds.filter(|(_, tokens)| *tokens > 0);
        kinds.map(|(kind, tokens)| json!({ "modality": kind, "tokenCount": tokens })).collect()
    };
    let prompt_details: Vec<Value> = modal(prompt, &[("AUDIO", counts.audio_input)]);
    let mut usage = json!({
        "promptTokenCount": prompt, "totalTokenCount": total,
        "promptTokensDetails": prompt_details,
    });
    // Gemini leaves out what is nothing.
    let some = |tokens: u64| (tokens > 0).then(|| Value::from(tokens));
    put(&mut usage, "candidatesTokenCount", some(candidates));
    put(&mut usage, "thoughtsTokenCount", some(counts.reasoning));
    put(&mut usage, "cachedContentTokenCount", some(counts.cached));
    put(&mut usage, "toolUsePromptTokenCount", some(counts.tool_input));
    if counts.audio_output > 0 || counts.image_output > 0 {
        let kinds = [("AUDIO", counts.audio_output), ("IMAGE", counts.image_output)];
        put(&mut usage, "candidatesTokensDetails", Some(modal(candidates, &kinds).into()));
    }
    if counts.cached > 0 {
        put(&mut usage, "cacheTokensDetails", Some(modal(counts.cached, &[]).into()));
    }
    put(&mut usage, "serviceTier", plan.tier.as_deref().map(Value::from));
    usage
}

fn stop(plan: &Plan) -> &str {
    plan.behaviour.stop.as_deref().unwrap_or(match plan.stop {
        Stop::End | Stop::Tool => "STOP",
        Stop::Limit => "MAX_TOKENS",
    })
}
