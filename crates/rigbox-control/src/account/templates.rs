//! The templates of this version. A template's sizes are a new workspace's defaults, and the least
//! it may have. Pure.

use rigbox_types::{
    ImageName, TemplateId,
    api::{
        services::{LogSource, LogSourceType},
        templates::WorkspaceTemplate,
    },
};

/// The unit of the agent, in every image that has systemd: setup scripts run under it, too.
const AGENT_UNIT: &str = "rigbox-guest.service";

const TINY: &str = "tiny";

/// One row: id, name, description, memory, vCPUs, disk. The image has the template's name.
struct Row(&'static str, &'static str, &'static str, u32, u8, u32);

/// The default first. Memory is what the image boots in with room to work. A disk is never smaller
/// than the image's own (`size_mib` of its recipe: base 2,048, dev 6,144, tiny 48), because it is a
/// clone of it, and has room for data.
const ROWS: &[Row] = &[
    Row(
        "base",
        "Debian 12",
        "Debian with systemd, SSH, git, Python, Node.js and a compiler.",
        512,
        1,
        4_096,
    ),
    Row(
        "dev",
        "Debian 12 for development",
        "Base with more compilers and debuggers.",
        1_024,
        1,
        8_192,
    ),
    Row(TINY, "Tiny", "BusyBox, bash and the agent: the smallest workspace.", 128, 1, 512),
];

/// All of them.
pub(crate) fn all() -> Vec<WorkspaceTemplate> {
    ROWS.iter().map(template).collect()
}

/// The one with this id.
pub(crate) fn find(id: &TemplateId) -> Option<WorkspaceTemplate> {
    ROWS.iter().find(|row| row.0 == id.as_str()).map(template)
}

/// The one whose image this is.
pub(crate) fn of_image(image: &ImageName) -> Option<WorkspaceTemplate> {
    all().into_iter().find(|template| template.image == *image)
}

/// What a workspace is when its maker says nothing.
pub(crate) fn default() -> WorkspaceTemplate {
    ROWS.first().map(template).expect("the list above has rows")
}

fn template(row: &Row) -> WorkspaceTemplate {
    let Row(id, name, description, ram_mb, vcpu_count, disk_size_mb) = *row;
    WorkspaceTemplate {
        id: id.parse().expect("ids above are labels: a test reads them all"),
        image: id.parse().expect("ids above are labels: a test reads them all"),
        name: name.to_owned(),
        description: description.to_owned(),
        category: "system".to_owned(),
        icon: "debian".to_owned(),
        ram_mb,
        vcpu_count,
        disk_size_mb,
        default_log_sources: log_sources(id),
    }
}

/// The tiny image has no systemd and no journal.
fn log_sources(id: &str) -> Vec<LogSource> {
    if id == TINY {
        return Vec::new();
    }
    vec![LogSource {
        source_type: LogSourceType::SystemdUnit,
        source_ref: AGENT_UNIT.to_owned(),
        display_name: Some("Agent".to_owned()),
        is_primary: true,
    }]
}

#[cfg(test)]
mod tests {
    use rigbox_types::limits::{DISK_MIN_MB, RAM_MIN_MB};

    use super::*;

    #[test]
    fn every_template_can_be_made() {
        for template in all() {
            assert!(template.ram_mb >= RAM_MIN_MB, "{}", template.id);
            assert!(template.disk_size_mb >= DISK_MIN_MB, "{}", template.id);
            assert_eq!(find(&template.id), Some(template.clone()));
            assert_eq!(of_image(&template.image), Some(template));
        }
        assert_eq!(default().id.as_str(), "base");
    }
}
