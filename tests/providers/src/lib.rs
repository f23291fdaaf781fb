//! The AI providers, simulated at the wire: OpenAI, Anthropic, Gemini, OpenRouter and Brave, each below
//! a prefix of one address (`/openai`, `/anthropic`, `/google`, `/openrouter`, `/brave`).
//! Owns what was asked (`requests`) and what the real provider would have charged for it (`billed`),
//! which is made from the counts that an answer was to have, never read back from the answer.
//! Invariants: everything kept is bounded; an answer depends on the request and the behaviour alone,
//! except for its id and its time; no request panics.
//! Does not know our code, so that the two cannot be wrong together; does not think, and does not look
//! at what it is asked beyond shape, length and directives.

mod behaviour;
mod call;
mod directive;
mod example;
mod gzip;
mod ledger;
mod plan;
mod server;
mod speak;
mod tls;
mod wire;

pub mod sdk;

pub use behaviour::{Behaviour, Bill, Failure, Reporting};
pub use ledger::{Billed, Counts, Credential, Ended, Request, Totals};
pub use server::{Options, Providers, StartError};
pub use speak::Provider;
pub use tls::Tls;

/// Largest request body that is read.
const BODY_MAX_BYTES: usize = 64 * 1024 * 1024;
