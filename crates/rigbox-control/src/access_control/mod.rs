//! Who may reach what: roles on accounts and workspaces, tags, questions, profiles of request rates,
//! and what is open while somebody may.
//! Invariants: every decision is `types::authz`'s, here are only its facts; nobody gives or takes a
//! role that they do not have the right to; what is taken away is refused from the next request on,
//! and what is open on the strength of it ends within seconds.

mod bindings;
mod facts;
pub(crate) mod http;
mod people;
mod permits;
mod simulate;
pub(crate) mod throttle;

pub(crate) use facts::{Thing, of_account, of_app, of_workspace, role_on_app, thing};
pub(crate) use permits::{GONE, Permit, Permits, may_by_path, watch};
