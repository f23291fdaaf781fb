//! Templates: what a new workspace is when its maker does not say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ImageName, TemplateId, api::services::LogSource};

/// `GET /templates`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TemplatesResponse {
    /// The default one first.
    pub templates: Vec<WorkspaceTemplate>,
}

/// One template. Its sizes are what a workspace gets when none are asked for, and the least it
/// may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceTemplate {
    /// Its id.
    pub id: TemplateId,
    /// For people.
    pub name: String,
    /// For people.
    pub description: String,
    /// What kind of template it is.
    pub category: String,
    /// Name of a picture.
    pub icon: String,
    /// What the disk is cloned from.
    pub image: ImageName,
    /// Memory in MiB.
    pub ram_mb: u32,
    /// Virtual CPUs.
    pub vcpu_count: u8,
    /// Disk in MiB.
    pub disk_size_mb: u32,
    /// Where its logs are.
    pub default_log_sources: Vec<LogSource>,
}
