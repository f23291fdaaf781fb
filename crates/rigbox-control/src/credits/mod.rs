//! AI credits: what an account has, its statement, and what the operator does with them.

mod app;
mod csv;
pub(crate) mod http;

pub(crate) use app::credits_of;
