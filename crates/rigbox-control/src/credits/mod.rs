//! AI credits: what an account has, its statement, and what the operator does with them.

mod app;
pub(crate) mod http;

pub(crate) use app::credits_of;
