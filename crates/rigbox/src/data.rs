//! Makes the data directory of a platform what its roles expect: directories with their owners, the
//! tag, the id of this machine, and a configuration file to edit.
//! Invariant: doing it again changes nothing that is there.

use std::{fs, os::unix::fs::MetadataExt as _};

use anyhow::{Context, bail};
use rigbox_types::{HostId, id::RANDOM_LEN};

use crate::{
    config::{Config, DOCUMENTED},
    files,
    layout::Layout,
};

/// Characters of a tag: lower-case hexadecimal.
const TAG_LEN: usize = 4;

/// The first of the users that control processes become: far above what distributions, containers
/// and systemd give out, below the sign bit that some file systems choke on.
const CONTROL_UID_FIRST: u32 = 1_900_000_000;

/// From a control's user to its edge's.
const EDGE_UID_AFTER: u32 = 100_000;

/// From a control's user to its SSH gateway's.
const SSH_UID_AFTER: u32 = 200_000;

/// What is fixed for the life of a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Platform {
    /// What all its kernel objects carry.
    pub(crate) tag: String,
    /// This machine.
    pub(crate) host: HostId,
    /// The user that control becomes.
    pub(crate) control_uid: u32,
    /// The user that the edge becomes.
    pub(crate) edge_uid: u32,
    /// The user that the SSH gateway becomes.
    pub(crate) ssh_uid: u32,
}

/// Makes or completes the data directory.
///
/// # Errors
/// Names what could not be made or read.
pub(crate) fn prepare(layout: &Layout, config: &Config) -> anyhow::Result<Platform> {
    let tag = instance_tag(layout)?;
    let control_uid = control_uid(&tag, config)?;
    let edge_uid = config.edge.uid.unwrap_or_else(|| control_uid.saturating_add(EDGE_UID_AFTER));
    let ssh_uid = config.ssh.uid.unwrap_or_else(|| control_uid.saturating_add(SSH_UID_AFTER));
    check_way(layout, control_uid)?;
    let owners = [
        (layout.control(), control_uid),
        (layout.control_run(), control_uid),
        (layout.ai_proxy(), control_uid),
        (layout.ai_proxy_run(), control_uid),
        (layout.edge(), edge_uid),
        (layout.edge_run(), edge_uid),
        (layout.ssh_run(), ssh_uid),
    ];
    for (path, mode) in layout.folders() {
        let owner = owners.iter().find(|(folder, _)| *folder == path).map(|(_, owner)| *owner);
        files::folder(&path, mode, owner)?;
    }
    if files::read(&layout.config())?.is_none() {
        files::write(&layout.config(), commented().as_bytes(), files::PLAIN, None)?;
    }
    Ok(Platform { tag, host: host_id(layout)?, control_uid, edge_uid, ssh_uid })
}

/// What was fixed, of a platform that was prepared before; none where it was not.
///
/// # Errors
/// Where a file is damaged.
pub(crate) fn existing(layout: &Layout, config: &Config) -> anyhow::Result<Option<Platform>> {
    if files::read(&layout.instance())?.is_none() || files::read(&layout.host_id())?.is_none() {
        return Ok(None);
    }
    prepare(layout, config).map(Some)
}

/// Control is not root, so every directory above the data must let others pass.
fn check_way(layout: &Layout, control_uid: u32) -> anyhow::Result<()> {
    /// Mode bit of passing through for whoever is neither owner nor of the group.
    const OTHERS_PASS: u32 = 0o001;
    for folder in layout.data().ancestors().skip(1) {
        let metadata = fs::metadata(folder).with_context(|| format!("look at {folder}"))?;
        if metadata.mode() & OTHERS_PASS == 0 && metadata.uid() != control_uid {
            bail!(
                "control runs as a user of its own and cannot pass through {folder}\n\
                 hint: chmod o+x {folder}, or choose another directory: rigbox up --data DIR"
            );
        }
    }
    Ok(())
}

fn instance_tag(layout: &Layout) -> anyhow::Result<String> {
    let path = layout.instance();
    if let Some(text) = files::read(&path)? {
        let tag = text.trim().to_owned();
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if tag.len() != TAG_LEN || !tag.bytes().all(hex) {
            bail!("{path} does not hold the tag of a platform (4 lower-case hexadecimal digits)");
        }
        return Ok(tag);
    }
    files::folder(layout.data(), 0o711, None)?;
    let mut bytes = [0; TAG_LEN / 2];
    getrandom::fill(&mut bytes).context("random bytes for the platform's tag")?;
    let tag: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    // Another first start may have been quicker: then its tag is this platform's.
    if files::create(&path, tag.as_bytes(), files::PLAIN)? { Ok(tag) } else { instance_tag(layout) }
}

fn control_uid(tag: &str, config: &Config) -> anyhow::Result<u32> {
    if let Some(uid) = config.control.uid {
        return Ok(uid);
    }
    let number = u32::from_str_radix(tag, 16).context("the platform's tag as a number")?;
    Ok(CONTROL_UID_FIRST + number)
}

fn host_id(layout: &Layout) -> anyhow::Result<HostId> {
    let path = layout.host_id();
    if let Some(text) = files::read(&path)? {
        return text.trim().parse().with_context(|| format!("read {path}"));
    }
    let mut random = [0; RANDOM_LEN];
    getrandom::fill(&mut random).context("random bytes for this machine's id")?;
    let id = HostId::from_random(random);
    if files::create(&path, id.as_str().as_bytes(), files::PLAIN)? {
        Ok(id)
    } else {
        host_id(layout)
    }
}

/// The documented file with every value commented out, so that a later version's defaults apply to
/// whoever has not chosen.
fn commented() -> String {
    DOCUMENTED
        .lines()
        .map(|line| match line {
            "" => "\n".to_owned(),
            line if line.starts_with(['#', '[']) => format!("{line}\n"),
            line => format!("# {line}\n"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    /// The user that runs the test, because only root may give files away.
    fn config_of_this_user() -> Config {
        let mut config = Config::default();
        config.control.uid = Some(rustix::process::geteuid().as_raw());
        config.edge.uid = config.control.uid;
        config.ssh.uid = config.control.uid;
        config
    }

    #[test]
    fn a_second_start_finds_what_the_first_one_made() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join("data").to_str().unwrap().into()).unwrap();
        assert_eq!(existing(&layout, &config_of_this_user()).unwrap(), None);
        let first = prepare(&layout, &config_of_this_user()).unwrap();
        std::fs::write(layout.config(), "region = \"mine\"\n").unwrap();
        let second = prepare(&layout, &config_of_this_user()).unwrap();
        assert_eq!(first, second);
        assert_eq!(std::fs::read_to_string(layout.config()).unwrap(), "region = \"mine\"\n");
        assert_eq!(std::fs::metadata(layout.control()).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn the_file_to_edit_says_nothing_until_it_is_edited() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rigbox.toml");
        std::fs::write(&path, commented()).unwrap();
        let (read, _) = config::load(Some(path.to_str().unwrap().into()), &[]).unwrap();
        assert_eq!(read, Config::default());
    }

    #[test]
    fn a_damaged_tag_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().to_str().unwrap().into()).unwrap();
        std::fs::write(layout.instance(), "../x").unwrap();
        assert!(prepare(&layout, &Config::default()).is_err());
        assert_eq!(std::fs::read_to_string(layout.instance()).unwrap(), "../x");
    }
}
