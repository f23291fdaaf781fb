//! The account and the installation: limits, regions, capacity, templates, flags, dashboard.

mod app;
pub(crate) mod http;
pub(crate) mod templates;

pub(crate) use app::limits_of;
