//! What the agent says of itself.

use rigbox_types::guest::Hello;

use super::{Guest, clock, setup};

pub(crate) fn hello(guest: &Guest) -> Hello {
    let progress = guest.setup.progress();
    Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: guest.boot_id.clone(),
        ready: progress.ready,
        system: *guest.system.borrow(),
        uptime_ms: clock::uptime_ms(),
        workspace: progress.workspace,
        setup_state: progress.state,
        setup: progress.results,
        ssh_host_key: setup::ssh_host_key(&guest.root),
    }
}
