//! The AI proxy: calls of workspaces to providers of models, with a key that no workspace has, each paid
//! for once.
//!
//! ```text
//! host's relay ──HTTP/2──> who · plan · hold · journal ──> provider
//!                  <────── metered, as it comes <─────────────┘
//!                              └── end: journal, then ledger
//! ```
//!
//! Runs in the control zone, as a process of its own: it holds providers' keys and writes the ledger.
//! Invariants: a call is written down before it is sent and charged once, whatever dies in between; nothing
//! of what is asked or answered is kept or logged; a key goes to its own provider and nowhere else;
//! whatever a guest or a provider sends is bounded.
//! Does not know prices or forms of answers (`rigbox-ai` does), and does not decide who may use AI
//! (control does, and the database says it at each call).

mod answer;
mod call;
mod caller;
mod free;
mod hang_up;
mod journal;
mod metrics;
mod models;
mod places;
mod plan;
mod provider;
mod proxy;
mod purse;
mod refusal;
mod run;
mod settling;
mod subject;

pub use provider::{KeyScheme, ProviderConfig, ProviderError, ProviderSettings, Speaks};
pub use run::{Config, Prices, RunError, run};
