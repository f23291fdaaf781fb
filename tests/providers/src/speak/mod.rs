//! How each provider speaks: whole answers, events of a stream, refusals. The shapes are those of the
//! public references (OpenAI's OpenAPI document, the vendors' SDKs), and `tests/` has the SDKs read them.
//! Does not write to a connection and knows no time.

mod chat;
mod contents;
mod messages;
mod refusal;
mod responses;
mod small;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use refusal::{Refusal, refuse};

use crate::{
    call::Endpoint,
    plan::{Beat, Plan, Progress},
};

/// Who is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Chat completions, completions, responses, embeddings, models.
    OpenAi,
    /// Messages, their counting, models.
    Anthropic,
    /// Gemini: contents, embeddings, counting, models.
    Google,
    /// OpenAI's shapes, and what it costs.
    OpenRouter,
    /// Search on the web.
    Brave,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::OpenAi, Self::Anthropic, Self::Google, Self::OpenRouter, Self::Brave];

    /// What its paths begin with.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::OpenAi => "/openai",
            Self::Anthropic => "/anthropic",
            Self::Google => "/google",
            Self::OpenRouter => "/openrouter",
            Self::Brave => "/brave",
        }
    }
}

/// One event of a stream, or one item of Gemini's array.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) name: Option<&'static str>,
    pub(crate) data: String,
}

/// Events that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) queue: VecDeque<Event>,
    /// OpenAI's responses number theirs.
    sequence: u64,
}

impl Events {
    fn plain(&mut self, data: &Value) {
        self.queue.push_back(Event { name: None, data: data.to_string() });
    }

    fn named(&mut self, name: &'static str, data: &Value) {
        self.queue.push_back(Event { name: Some(name), data: data.to_string() });
    }

    fn numbered(&mut self, name: &'static str, mut data: Value) {
        if let Value::Object(fields) = &mut data {
            fields.insert("type".to_owned(), name.into());
            fields.insert("sequence_number".to_owned(), self.sequence.into());
        }
        self.sequence += 1;
        self.named(name, &data);
    }
}

/// The answer as one document.
pub(crate) fn whole(plan: &Plan) -> Value {
    match plan.call.endpoint {
        Endpoint::Chat => chat::whole(plan),
        Endpoint::Completions => chat::whole_text(plan),
        Endpoint::Responses => responses::whole(plan),
        Endpoint::Messages => messages::whole(plan),
        Endpoint::Generate | Endpoint::StreamGenerate => contents::whole(plan),
        Endpoint::Embeddings
        | Endpoint::Models
        | Endpoint::CountMessages
        | Endpoint::Embed
        | Endpoint::BatchEmbed
        | Endpoint::CountContents
        | Endpoint::Search => small::whole(plan),
    }
}

/// Adds the events of one step of a stream. False when there is nothing after it.
pub(crate) fn render(plan: &Plan, at: (Beat, Progress), events: &mut Events) -> bool {
    match plan.call.endpoint {
        Endpoint::Completions => chat::render_text(plan, at, events),
        Endpoint::Responses => responses::render(plan, at, events),
        Endpoint::Messages => messages::render(plan, at, events),
        Endpoint::StreamGenerate => contents::render(plan, at, events),
        _ => chat::render(plan, at, events),
    }
}

/// Adds the event of an error inside a stream.
pub(crate) fn render_failure(plan: &Plan, events: &mut Events) {
    match plan.call.endpoint {
        Endpoint::Responses => responses::render_failure(plan, events),
        Endpoint::Messages => {
            let refusal = Refusal::new(plan.call.provider, 529, None);
            events.named("error", &refusal.body(plan.number));
        }
        Endpoint::StreamGenerate => {
            events.plain(&Refusal::new(plan.call.provider, 503, None).body(plan.number));
        }
        _ => chat::render_failure(plan, events),
    }
}
