//! AI of accounts and workspaces: what their owners decide, the keys they bring, what was used, and what
//! guests are told of it.
//! Invariants: a key goes in and comes out only where its owner wants it in the workspace; keys are the
//! owner's alone to set, whatever role somebody else has; a switch counts from the next call on, because
//! the AI proxy asks the store at each; whoever has changed something is answered when the guests that run
//! know it, or after some seconds.
//! Makes no call (see `rigbox-ai`) and keeps nothing in memory.

mod app;
pub(crate) mod environment;
pub(crate) mod http;
pub(crate) mod inside;
mod told;
mod usage;

pub(crate) use app::mode_of;
