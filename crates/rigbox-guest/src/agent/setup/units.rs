//! Units of the workspace: `rigbox-svc-<name>.service`. They are written at the first set-up of a
//! boot and started after the scripts; without systemd there are none.

use std::{fs, io, path::PathBuf};

use rigbox_types::{guest::services::UNIT_PREFIX, host::AssignedService, name::NAME_MAX_LEN};
use tracing::{info, warn};

use super::Problems;
use crate::agent::{Guest, program::Program, root::remove_if_there};

const FOLDER: &str = "/etc/systemd/system";

/// Largest unit file.
const UNIT_MAX_BYTES: usize = 256 * 1024;

/// Whether systemd has something to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Units {
    Same,
    Changed,
}

/// Makes the units of the folder those of the list; says what could not be made.
pub(super) fn install(guest: &Guest, services: &[AssignedService]) -> (Units, Vec<String>) {
    let mut problems = Problems::default();
    if !guest.root.exists(FOLDER) {
        return (Units::Same, problems.all);
    }
    let mut changed = false;
    let (known, refused): (Vec<_>, Vec<_>) = services.iter().partition(|service| is_sound(service));
    for service in refused {
        problems.all.push(format!("service {:?}: not a name or too large a unit", service.name));
    }
    for service in &known {
        let path = format!("{FOLDER}/{}", unit(&service.name));
        match guest.root.write(&path, service.unit.as_bytes(), 0o644) {
            Ok(written) => changed |= written,
            Err(error) => problems.all.push(format!("service {}: {error}", service.name)),
        }
    }
    for (unit, path) in ours(guest) {
        if !known.iter().any(|service| self::unit(&service.name) == unit) {
            problems.note(&unit, remove_if_there(&path));
            changed = true;
        }
    }
    (if changed { Units::Changed } else { Units::Same }, problems.all)
}

/// Tells systemd of changed units. It takes a second under emulation, so nobody waits for it who
/// does not need the units.
pub(super) async fn reload(guest: &Guest) {
    if let Err(error) = systemctl(guest, &["daemon-reload"]).await {
        warn!(%error, "systemd did not read the units");
    }
}

/// The units that start with the workspace.
pub(super) fn to_start(services: &[AssignedService]) -> Vec<String> {
    let enabled = services.iter().filter(|service| service.auto_enable && is_sound(service));
    enabled.map(|service| unit(&service.name)).collect()
}

/// Starts units, each by itself: one that fails keeps no other from starting.
pub(super) async fn start(guest: &Guest, units: &[String]) {
    for unit in units {
        match systemctl(guest, &["start", "--no-block", unit]).await {
            Ok(()) => info!(unit, "service started"),
            Err(error) => warn!(unit, %error, "service not started"),
        }
    }
}

fn unit(name: &str) -> String {
    format!("{UNIT_PREFIX}{name}.service")
}

fn is_sound(service: &AssignedService) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=NAME_MAX_LEN).contains(&service.name.len())
        && service.name.bytes().all(is_plain)
        && service.unit.len() <= UNIT_MAX_BYTES
}

/// The unit files of the folder that are ours.
pub(super) fn ours(guest: &Guest) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(guest.root.path(FOLDER)) else { return Vec::new() };
    let files = entries
        .filter_map(Result::ok)
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()));
    files.filter(|(name, _)| name.starts_with(UNIT_PREFIX) && name.ends_with(".service")).collect()
}

async fn systemctl(guest: &Guest, args: &[&str]) -> io::Result<()> {
    if !guest.root.is_real() || !guest.kernel.has_systemd() {
        return Ok(());
    }
    let output = Program::new("systemctl").args(args).run().await?;
    if output.is_success() { Ok(()) } else { Err(io::Error::other(output.stderr())) }
}
