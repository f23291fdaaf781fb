//! What the host asks of the guest as a whole: set-up, time, shutdown.

use serde::{Deserialize, Serialize};

use super::Hello;
use crate::{Timestamp, WorkspaceId, host::GuestSetup};

/// `PUT /setup`. Sent after every boot and whenever `guest` changes; applying it again is harmless.
/// Units and scripts are touched only by the first one of a boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupRequest {
    /// Which workspace this guest is. Another one than the disk remembers means a copied disk:
    /// machine id, SSH host keys and random seed are made anew.
    pub workspace: WorkspaceId,
    /// The time now.
    pub now: Timestamp,
    /// What to set up.
    pub guest: GuestSetup,
}

/// Answer of `PUT /setup`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupReport {
    /// The guest afterwards.
    pub hello: Hello,
    /// What could not be applied, one sentence each; the rest was.
    pub problems: Vec<String>,
}

/// What an agent may add to its report. It is part of each disk's image, and so may be older than
/// the host: one that adds nothing has none of the features.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupAnswer {
    /// How it went.
    #[serde(flatten)]
    pub report: SetupReport,
    /// What the agent has learned since the first ones.
    #[serde(default)]
    pub features: Vec<AgentFeature>,
}

impl SetupAnswer {
    /// Whether the first set-up of a boot has left the file system as it was, although its disk
    /// may be larger.
    #[must_use]
    pub fn is_disk_left(&self) -> bool {
        let is_about_disk = |problem: &String| problem.starts_with(DISK_PROBLEM);
        !self.features.contains(&AgentFeature::DiskGrow)
            || self.report.problems.iter().any(is_about_disk)
    }
}

/// Something that not every agent can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentFeature {
    /// Its first set-up of a boot makes the file system as large as the disk.
    DiskGrow,
    /// Of an agent that is newer than its host.
    #[serde(other)]
    Unknown,
}

/// What the problem of a file system begins with that could not be made as large as its disk.
pub const DISK_PROBLEM: &str = "the size of the disk";

/// `PUT /time`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeRequest {
    /// The time now.
    pub now: Timestamp,
}

/// `POST /shutdown`. Answered before anything is ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShutdownRequest {
    /// Which way to end.
    pub kind: ShutdownKind,
}

/// Which way the guest ends. A VMM that exits only on a reset needs `Reboot`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShutdownKind {
    /// Power off.
    Poweroff,
    /// Reset.
    Reboot,
}

/// Least and most bytes of `POST /reseed`: a full key of the kernel's generator, and what the
/// kernel takes at once.
pub const RESEED_MIN_BYTES: usize = 32;
/// See [`RESEED_MIN_BYTES`].
pub const RESEED_MAX_BYTES: usize = 512;

/// Longest that one setup script may run, in seconds; the guest ends it then.
pub const SCRIPT_MAX_S: u64 = 2 * 3600;

/// Largest `PUT /setup`, in bytes: 32 scripts of 256 KiB, 256 variables of 32 KiB, keys and units,
/// with room for JSON's escapes.
pub const SETUP_MAX_BYTES: usize = 32 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(features: &serde_json::Value, problems: &[&str]) -> SetupAnswer {
        let mut answer = json!({
            "hello": {
                "version": "0", "boot_id": "x", "uptime_ms": 0, "workspace": null, "ready": true,
                "setup_state": "running", "system": "unknown", "setup": [],
            },
            "problems": problems,
        });
        if !features.is_null() {
            answer["features"] = features.clone();
        }
        serde_json::from_value(answer).unwrap()
    }

    #[test]
    fn a_disk_is_left_by_an_agent_that_is_too_old_and_by_one_that_fails() {
        assert!(answer(&json!(null), &[]).is_disk_left());
        assert!(answer(&json!(["of_tomorrow"]), &[]).is_disk_left());
        let able = json!(["of_tomorrow", "disk_grow"]);
        assert!(!answer(&able, &["the clock: Operation not permitted"]).is_disk_left());
        assert!(answer(&able, &["the size of the disk: No space left"]).is_disk_left());
    }

    #[test]
    fn an_agent_that_is_too_old_has_said_nothing_of_its_host_key() {
        assert_eq!(answer(&json!(null), &[]).report.hello.ssh_host_key, None);
    }

    #[test]
    fn an_older_host_reads_the_answer_of_a_newer_agent() {
        let answer = answer(&json!(["disk_grow"]), &["the clock"]);
        let text = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<SetupReport>(&text).unwrap(), answer.report);
        assert_eq!(serde_json::from_str::<SetupAnswer>(&text).unwrap(), answer);
    }
}
