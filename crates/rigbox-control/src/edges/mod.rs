//! The control side of edges: what they are told, what they have put into effect, whom the visitors of
//! apps are, and what they count.
//! Invariants: an edge learns of everything that changes how an app is served, in the order of
//! revisions; a secret of a visitor is compared here, as a keyed hash, and goes no further; whatever is
//! kept here in memory is bounded and can be lost.
//! Does not serve visitors and does not decide who may visit: `types::authz` does.

mod admission;
mod connected;
mod exchange;
pub(crate) mod http;
mod requests;
pub(crate) mod route;
mod traffic;
mod watch;

pub(crate) use admission::facts;
pub(crate) use connected::Edges;
pub(crate) use exchange::{TRANSFER_LIFE_S, new_secret};
pub(crate) use requests::RequestsKept;
pub(crate) use route::dial_address;
pub(crate) use traffic::{MinuteOf, TrafficKept, sum, within_ms};
