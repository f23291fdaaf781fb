//! Documents of the HTTP API, one file per resource. Those that the agent in a workspace answers and
//! the API hands on (exec, files, logs, ports) are in [`guest`](crate::guest).

pub mod access;
pub mod accounts;
pub mod ai;
pub mod api_keys;
pub mod app_logs;
pub mod app_metrics;
pub mod app_requests;
pub mod apps;
pub mod audit;
pub mod change;
pub mod credits;
pub mod device;
pub mod error;
pub mod events;
pub mod inside;
pub mod jobs;
pub mod metrics;
pub mod service_specs;
pub mod services;
pub mod sessions;
pub mod setup_scripts;
pub mod ssh_keys;
pub mod templates;
pub mod terminal;
pub mod users;
pub mod workspaces;
