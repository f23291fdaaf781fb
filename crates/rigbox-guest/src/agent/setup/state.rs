//! How far the set-up of this boot is, kept in `/run/rigbox` so that an agent that is started
//! again goes on where the former one was.

use std::io;

use rigbox_types::{
    WorkspaceId,
    guest::SetupState,
    host::{AssignedScript, SetupResult},
};
use serde::{Deserialize, Serialize};

use crate::agent::root::Root;

const FILE: &str = "/run/rigbox/setup.json";

/// The set-up of one boot.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    boot_id: String,
    pub(crate) ready: bool,
    pub(crate) workspace: Option<WorkspaceId>,
    pub(crate) state: SetupState,
    pub(crate) results: Vec<SetupResult>,
    pub(super) pending: Option<Pending>,
}

/// What is still to be done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pending {
    /// The first of them runs.
    pub(super) scripts: Vec<AssignedScript>,
    /// systemd has to be told of changed units before that.
    pub(super) reload: bool,
    /// Units to start after them.
    pub(super) services: Vec<String>,
}

impl Progress {
    /// What a former agent of this boot has left; nothing after another boot.
    pub(super) fn load(root: &Root, boot_id: &str) -> Self {
        let kept: Option<Self> =
            root.read(FILE).ok().and_then(|text| serde_json::from_str(&text).ok());
        kept.filter(|progress| progress.boot_id == boot_id)
            .unwrap_or_else(|| Self { boot_id: boot_id.to_owned(), ..Self::default() })
    }

    pub(super) fn save(&self, root: &Root) -> io::Result<()> {
        let bytes = serde_json::to_vec(self)?;
        // Scripts may hold secrets of the user.
        root.write(FILE, &bytes, 0o600).map(drop)
    }
}
