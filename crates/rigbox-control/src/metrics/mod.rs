//! What workspaces used over time: guests are asked about once a minute, and what was kept is shown
//! as series and summaries.
//! Invariant: a guest that does not answer holds up no other.

mod collect;
pub(crate) mod http;
pub(crate) mod series;

pub(crate) use collect::run;
