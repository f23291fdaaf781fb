//! Documents of the HTTP API, one file per resource.

pub mod error;
pub mod service_specs;
pub mod setup_scripts;
pub mod workspaces;
