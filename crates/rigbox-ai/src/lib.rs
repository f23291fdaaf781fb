//! The pure part of the AI proxy: which provider a request is for, what it may cost, and, from the
//! answer as it passes, what it has cost; and the vault, which has the keys of owners.
//!
//! ```text
//! request ── route ──> provider and path      (headers: what goes on, and with which key)
//!    └────── estimate ──> worst case ── hold ──┐
//! answer ─── usage ────> report ── settle ──> charge
//! ```
//! Where the provider speaks another shape than the caller, `translate` stands on both ways.
//!
//! Invariants: what guests and providers send is hostile: memory is bounded, nothing recurses, nothing
//! panics; money is whole picodollars until it is rounded up, once, to micro-credits; what has no price
//! is refused, never free. Nothing of a prompt or an answer outlives its call.
//! Does not open connections, read clocks, write to the ledger or log; what has to do with files and rows is
//! in `vault` alone.

pub mod estimate;
mod json;
pub mod money;
pub mod prices;
pub mod route;
pub mod settle;
mod sse;
pub mod translate;
pub mod usage;
pub mod vault;
