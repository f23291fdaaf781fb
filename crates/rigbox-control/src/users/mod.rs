//! Accounts and plans, for the operator: make, list, show, change, disable.

mod app;
pub(crate) mod http;
pub(crate) mod plans;
