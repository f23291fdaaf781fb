//! Apps: ports of workspaces that are published under a name.
//! Invariants: a request that changes how an app is served is answered after the edges that follow have
//! put it into effect, or says that they have not in time; what listens is found out by trying.
//! Does not serve visitors (see `edges` for what those that do are told).

pub(crate) mod act;
mod app;
mod dns;
mod domain;
pub(crate) mod expose;
mod guest;
pub(crate) mod health;
pub(crate) mod http;
pub(crate) mod inside;
pub(crate) mod links;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod requests;
pub(crate) mod view;

pub(crate) use domain::app_domain_verify;
