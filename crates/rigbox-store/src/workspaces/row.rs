//! One workspace as it is kept.

use std::{collections::BTreeMap, fmt};

use rigbox_types::{
    AccountId, Desired, Failure, Generation, HostId, ImageName, Observed, RegionName, Revision,
    ServiceSpecId, SetupScriptId, Status, TemplateId, Timestamp, WorkspaceId, WorkspaceName,
    api::{ai::AiMode, workspaces::Idle},
    host::{Egress, Resources, Sequence, SetupResult},
    state::{self, Freshness},
};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

use crate::{StoreError, row::Columns};

/// The columns, with the one for the environment as given.
macro_rules! columns {
    ($env:literal) => {
        concat!(
            "id, account_id, name, region, host_id, image, template, created_at, updated_at, \
             revision, generation, desired, restart_generation, retry_generation, force, vcpus, \
             memory_mib, disk_mib, egress_mode, egress_hosts, egress_cidrs, idle_mode, \
             idle_after_s, setup_scripts, service_specs, creation_attempts, creation_started_at, \
             observed, observed_generation, sequence_incarnation, sequence_count, failure, \
             ready_at, setup, observed_at, (SELECT public_key FROM ssh_host_keys \
             WHERE workspace_id = workspaces.id) AS ssh_host_key, \
             (SELECT mode FROM ai_workspaces WHERE workspace_id = workspaces.id) AS ai_mode, ",
            $env
        )
    };
}
pub(crate) use columns;

/// One workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceRow {
    /// Its id.
    pub id: WorkspaceId,
    /// Who owns it.
    pub account: AccountId,
    /// Its name.
    pub name: WorkspaceName,
    /// Where it runs.
    pub region: RegionName,
    /// The host that has it.
    pub host: HostId,
    /// What its disk is cloned from.
    pub image: ImageName,
    /// What it was made from.
    pub template: Option<TemplateId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When either side last changed.
    pub updated_at: Timestamp,
    /// Position of the last change of the desired side.
    pub revision: Revision,
    /// Counts changes of the desired side.
    pub generation: Generation,
    /// What should be.
    pub wanted: Wanted,
    /// What the host last saw.
    pub seen: Seen,
    /// What its SSH server is known by, as `ssh-ed25519 AAAA…`: the first key that was seen, whatever
    /// the guest says later. None before its first boot with an agent that says it.
    pub ssh_host_key: Option<String>,
    /// Who pays for its AI calls; none where its account says it.
    pub ai_mode: Option<AiMode>,
}

/// The desired side: what an edit may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What should be.
    pub desired: Desired,
    /// A VM booted for an older generation is booted again.
    pub restart_generation: Generation,
    /// A failure seen before this generation is forgotten. Every request about the life of the
    /// workspace raises it: until the host has seen it, what was seen before is no answer.
    pub retry_generation: Generation,
    /// Removal goes on past steps that fail.
    pub force: bool,
    /// Its size.
    pub resources: Resources,
    /// What it may reach.
    pub egress: Egress,
    /// When it sleeps.
    pub idle: Idle,
    /// Its environment; none in rows of lists.
    pub env: Option<EnvVars>,
    /// Attached scripts.
    pub setup_scripts: Vec<SetupScriptId>,
    /// Attached services.
    pub service_specs: Vec<ServiceSpecId>,
    /// How often its making was tried.
    pub creation_attempts: u32,
    /// When its making began.
    pub creation_started_at: Option<Timestamp>,
}

/// The observed side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What the host saw.
    pub observed: Observed,
    /// The generation that it had acted on.
    pub generation: Generation,
    /// Orders observations.
    pub sequence: Sequence,
    /// The last failure.
    pub failure: Option<Failure>,
    /// When the guest last said that it is ready.
    pub ready_at: Option<Timestamp>,
    /// How the setup scripts of the last boot went.
    pub setup: Vec<SetupResult>,
    /// When the host saw it; none before its first word.
    pub observed_at: Option<Timestamp>,
}

/// The environment of a workspace. May hold users' secrets: `Debug` shows only the names.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EnvVars(pub BTreeMap<String, String>);

impl fmt::Debug for EnvVars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl WorkspaceRow {
    /// Whether the host has acted on the newest request about the life of the workspace. Other
    /// changes (environment, scripts, keys) have generations too, but a workspace that runs keeps
    /// running while its host takes note of them.
    #[must_use]
    pub fn freshness(&self) -> Freshness {
        let asked = self.wanted.restart_generation.max(self.wanted.retry_generation);
        if self.seen.generation >= asked { Freshness::Current } else { Freshness::Behind }
    }

    /// What users read.
    #[must_use]
    pub fn status(&self) -> Status {
        state::status(self.wanted.desired, self.seen.observed, self.freshness())
    }
}

/// Reads a row selected with [`columns`].
pub(crate) fn read(row: &AnyRow) -> Result<WorkspaceRow, StoreError> {
    let columns = Columns::of("workspaces", row);
    Ok(WorkspaceRow {
        id: columns.parsed("id")?,
        account: columns.parsed("account_id")?,
        name: columns.parsed("name")?,
        region: columns.parsed("region")?,
        host: columns.parsed("host_id")?,
        image: columns.parsed("image")?,
        template: columns.parsed_optional("template")?,
        created_at: columns.moment("created_at")?,
        updated_at: columns.moment("updated_at")?,
        revision: Revision(columns.number("revision")?),
        generation: Generation(columns.number("generation")?),
        wanted: wanted(&columns)?,
        seen: seen(&columns)?,
        ssh_host_key: columns.raw("ssh_host_key")?,
        ai_mode: columns.word_optional("ai_mode")?,
    })
}

fn wanted(columns: &Columns<'_>) -> Result<Wanted, StoreError> {
    Ok(Wanted {
        desired: columns.word("desired")?,
        restart_generation: Generation(columns.number("restart_generation")?),
        retry_generation: Generation(columns.number("retry_generation")?),
        force: columns.flag("force")?,
        resources: Resources {
            vcpus: columns.number("vcpus")?,
            memory_mib: columns.number("memory_mib")?,
            disk_mib: columns.number("disk_mib")?,
        },
        egress: Egress {
            mode: columns.word("egress_mode")?,
            hosts: columns.json("egress_hosts")?,
            cidrs: columns.json("egress_cidrs")?,
        },
        idle: Idle {
            mode: columns.word("idle_mode")?,
            after_seconds: columns.number_optional("idle_after_s")?,
        },
        env: columns.json_optional("env")?,
        setup_scripts: columns.json("setup_scripts")?,
        service_specs: columns.json("service_specs")?,
        creation_attempts: columns.number("creation_attempts")?,
        creation_started_at: columns.moment_optional("creation_started_at")?,
    })
}

fn seen(columns: &Columns<'_>) -> Result<Seen, StoreError> {
    Ok(Seen {
        observed: columns.word("observed")?,
        generation: Generation(columns.number("observed_generation")?),
        sequence: Sequence {
            incarnation: columns.number("sequence_incarnation")?,
            count: columns.number("sequence_count")?,
        },
        failure: columns.json_optional("failure")?,
        ready_at: columns.moment_optional("ready_at")?,
        setup: columns.json("setup")?,
        observed_at: columns.moment_optional("observed_at")?,
    })
}
