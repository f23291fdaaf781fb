//! Workspaces: what users ask to be, as changes of the desired side. Hosts make it so.

mod app;
mod create;

pub(crate) mod events;
pub(crate) mod http;
pub(crate) mod jobs;
mod rules;
pub(crate) mod view;

pub(crate) use create::{check_known, unknown_region};
