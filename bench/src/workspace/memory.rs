//! Memory of the platform's processes and of VMMs.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::world::World;
use crate::{
    procfs,
    rows::{Rows, name},
};

/// Every process of the platform.
pub(crate) const ROLES: [&str; 3] = ["up", "control", "host"];

/// After a change, until what it needed only for a moment is given back.
const SETTLE: Duration = Duration::from_secs(1);

/// What there is at the time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    /// That many workspaces run.
    Running(u64),
    /// None runs, and there are that many records.
    Records(u64),
}

/// Memory of each of the platform's processes.
///
/// # Errors
/// When one does not run.
pub(super) async fn platform(world: &World, rows: &mut Rows, of: Of) -> Result<()> {
    sleep(SETTLE).await;
    let (pss, rss, n) = match of {
        Of::Running(n) => (name::PLATFORM_PSS, name::PLATFORM_RSS, n),
        Of::Records(n) => (name::RECORDS_PSS, name::RECORDS_RSS, n),
    };
    for role in ROLES {
        let memory = procfs::memory(world.role(role)?)?;
        rows.size(pss, role, n, memory.pss);
        rows.size(rss, role, n, memory.rss);
    }
    Ok(())
}

/// Memory of a VMM among `n` that run.
///
/// # Errors
/// When it has ended.
pub(super) async fn vmm(rows: &mut Rows, side: &str, n: u64, pids: &[u32]) -> Result<()> {
    sleep(SETTLE).await;
    for &pid in pids {
        let (memory, guest) = (procfs::memory(pid)?, procfs::guest_memory(pid)?);
        rows.size(name::VMM_PSS, side, n, memory.pss);
        rows.size(name::VMM_GUEST, side, n, guest);
        rows.size(name::VMM_BEYOND, side, n, memory.pss.saturating_sub(guest));
    }
    Ok(())
}
