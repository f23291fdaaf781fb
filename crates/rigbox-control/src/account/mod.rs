//! The account and the installation: limits, settings, regions, capacity, templates, flags,
//! dashboard.

mod app;
pub(crate) mod http;
pub(crate) mod settings;
pub(crate) mod templates;

pub(crate) use app::{limits_of, regions};
