//! Documents of the HTTP API, one file per resource.

pub mod accounts;
pub mod change;
pub mod error;
pub mod events;
pub mod exec;
pub mod files;
pub mod inside;
pub mod logs;
pub mod metrics;
pub mod ports;
pub mod service_specs;
pub mod services;
pub mod setup_scripts;
pub mod ssh_keys;
pub mod templates;
pub mod terminal;
pub mod workspaces;
