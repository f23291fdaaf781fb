//! Compares records with reality, repairs what is nobody's, and counts the difference.
//! Invariants: only names of this instance are touched; a disk is never removed, only reported;
//! a process is ended only if it is ours by what `process` knows.
//! The difference should read zero: a step removes what it made.

use std::{collections::BTreeSet, sync::atomic::Ordering};

use rigbox_types::WorkspaceId;
use rigbox_vmm::ProcessId;

use crate::{
    Layout, durable,
    host::Host,
    metrics::count,
    net::{host_table, pool},
    process::Ours,
    salvage,
    table::View,
    task::blocking,
    trouble::StepError,
};

/// What a sweep found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Findings {
    /// One sentence each.
    pub(crate) all: Vec<String>,
    /// How many of them were repaired.
    pub(crate) repaired: u64,
}

impl Findings {
    fn add(&mut self, what: String, repaired: Result<(), StepError>) {
        match repaired {
            Ok(()) => {
                tracing::warn!(%what, "sweep: found and repaired");
                self.repaired += 1;
            }
            Err(error) => tracing::error!(%what, error = %error.chain(), "sweep: found, stays"),
        }
        self.all.push(what);
    }

    fn report(&mut self, what: String) {
        tracing::warn!(%what, "sweep: found, left alone");
        self.all.push(what);
    }
}

/// Sweeps once and moves the metrics.
pub(crate) async fn sweep(host: &Host) -> Findings {
    // Looked at before and after: what is made in between is in neither or in both.
    let before = host.table.views();
    let mut findings = Findings::default();
    processes(host, &before, &mut findings).await;
    namespaces(host, &mut findings).await;
    cgroups(host, &before, &mut findings).await;
    disks(host, &before, &mut findings);
    run_dirs(host, &before, &mut findings).await;
    jails(host, &before, &mut findings).await;
    table(host, &mut findings).await;
    let orphans = host.table.views().iter().filter(|(_, view)| view.is_orphan).count();
    let metrics = &host.metrics;
    count(&metrics.sweeps_total);
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    metrics.drift.store(number(findings.all.len()), Ordering::Relaxed);
    metrics.orphans.store(number(orphans), Ordering::Relaxed);
    metrics.repairs_total.fetch_add(findings.repaired, Ordering::Relaxed);
    findings
}

async fn processes(host: &Host, known: &[(WorkspaceId, View)], findings: &mut Findings) {
    let ours = Ours::new(&host.layout, host.config.network.first_uid);
    for (pid, name) in strangers(&ours, known) {
        let Ok(process) = ProcessId::of(pid) else { continue };
        // Asked again, now that its identity is known: its number may be another's by now.
        if ours.workspace(pid).as_ref() != Some(&name) {
            continue;
        }
        // Asked again: it may belong to a workspace that came since.
        if host.table.views().iter().any(|(id, _)| id.as_str() == name) {
            continue;
        }
        let ended = process.kill().await.map_err(|error| {
            let code = rigbox_types::failure::FailureCode::HostError;
            StepError::caused(code, "process not ended", error)
        });
        findings.add(format!("process {pid} of {name}, which has no record"), ended);
    }
}

/// Processes that are ours, of workspaces that are not in the table.
fn strangers(ours: &Ours, known: &[(WorkspaceId, View)]) -> Vec<(u32, String)> {
    let known: BTreeSet<&str> = known.iter().map(|(id, _)| id.as_str()).collect();
    ours.all().into_iter().filter(|(_, name)| !known.contains(name.as_str())).collect()
}

async fn namespaces(host: &Host, findings: &mut Findings) {
    let missing = host.pool.drop_missing();
    for _ in 0..missing {
        findings.report("a namespace of the pool is gone".to_owned());
    }
    match host.pool.strays() {
        Ok(strays) => {
            for slot in strays {
                let what = format!("namespace of slot {slot}, which is nobody's");
                match host.pool.remove_stray(slot).await {
                    Ok(true) => findings.add(what, Ok(())),
                    Ok(false) => {}
                    Err(error) => findings.add(what, Err(error.into())),
                }
            }
        }
        Err(error) => findings.report(format!("namespaces cannot be listed: {error}")),
    }
}

async fn cgroups(host: &Host, known: &[(WorkspaceId, View)], findings: &mut Findings) {
    let names = match host.cgroups.names() {
        Ok(names) => names,
        Err(error) => return findings.report(StepError::from(error).chain()),
    };
    for name in names {
        let is_known =
            |views: &[(WorkspaceId, View)]| views.iter().any(|(id, _)| id.as_str() == name);
        if is_known(known) || is_known(&host.table.views()) {
            continue;
        }
        let (cgroups, gone) = (host.cgroups.clone(), name.clone());
        let removed = blocking(move || cgroups.remove(&gone)).await.map_err(StepError::from);
        findings.add(format!("cgroup of {name}, which has no record"), removed);
    }
}

fn disks(host: &Host, known: &[(WorkspaceId, View)], findings: &mut Findings) {
    let files = match host.disks.files() {
        Ok(files) => files,
        Err(error) => return findings.report(format!("disks cannot be listed: {error}")),
    };
    for (path, workspace) in files {
        let is_known = |views: &[(WorkspaceId, View)]| {
            views.iter().any(|(id, _)| Some(id) == workspace.as_ref())
        };
        if is_known(known) || is_known(&host.table.views()) || !path.exists() {
            continue;
        }
        // A disk is somebody's work: nothing but an assignment removes it.
        findings.report(format!("disk {path}, which has no record"));
    }
}

async fn run_dirs(host: &Host, known: &[(WorkspaceId, View)], findings: &mut Findings) {
    let Ok(entries) = host.layout.vm_runs_dir().read_dir_utf8() else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_known =
            |views: &[(WorkspaceId, View)]| views.iter().any(|(id, _)| id.as_str() == name);
        if is_known(known) || is_known(&host.table.views()) {
            continue;
        }
        let path = entry.path().to_owned();
        let removed = blocking(move || durable::remove_dir(&path)).await.map_err(|error| {
            let code = rigbox_types::failure::FailureCode::HostError;
            StepError::caused(code, "directory not removed", error)
        });
        findings.add(format!("run directory of {name}, which has no record"), removed);
    }
}

async fn jails(host: &Host, known: &[(WorkspaceId, View)], findings: &mut Findings) {
    let jails = match salvage::jails(&host.layout) {
        Ok(jails) => jails,
        Err(error) => return findings.report(format!("jails cannot be listed: {error}")),
    };
    for (path, workspace) in jails {
        let is_known = |views: &[(WorkspaceId, View)]| views.iter().any(|(id, _)| *id == workspace);
        if is_known(known) || is_known(&host.table.views()) {
            continue;
        }
        let removed = blocking(move || durable::remove_dir(&path)).await.map_err(|error| {
            let code = rigbox_types::failure::FailureCode::HostError;
            StepError::caused(code, "directory not removed", error)
        });
        findings.add(format!("jail of {workspace}, which has no record"), removed);
    }
}

async fn table(host: &Host, findings: &mut Findings) {
    match host_table::is_there(&host.layout).await {
        Ok(true) => {}
        Ok(false) => {
            let made = host_table::make(&host.layout).await.map_err(StepError::from);
            findings.add("the host's nft table was gone".to_owned(), made);
        }
        Err(error) => findings.report(StepError::from(error).chain()),
    }
}

/// What of an instance is there, for `sweep` on the command line and after `down`.
pub(crate) async fn leftovers(layout: &Layout, first_uid: u32) -> Vec<String> {
    let mut all = Vec::new();
    for (pid, name) in Ours::new(layout, first_uid).all() {
        all.push(format!("process {pid} of {name}"));
    }
    for slot in pool::there(layout).unwrap_or_default() {
        all.push(format!("namespace {}", layout.netns(slot)));
    }
    match host_table::is_there(layout).await {
        Ok(true) => all.push(format!("nft table {}", layout.nft_table())),
        Ok(false) => {}
        Err(error) => all.push(StepError::from(error).chain()),
    }
    let parent = crate::cgroup::Cgroups::open(layout.cgroup(), None);
    match parent.map(|cgroups| cgroups.is_there()) {
        Ok(true) => all.push(format!("cgroup {}", layout.cgroup())),
        Ok(false) => {}
        Err(error) => all.push(StepError::from(error).chain()),
    }
    if crate::disk::is_mounted(layout).unwrap_or(true) {
        all.push(format!("mount {}", layout.pool_dir()));
    }
    all
}
