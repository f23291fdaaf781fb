//! Streams that come over a serial line.

use std::{fs, io, path::PathBuf, time::Duration};

use rigbox_types::guest::{AGENT_PORT, SERIAL_PORT_NAME};
use tokio::net::UnixListener;
use tracing::{debug, info, warn};

use super::vport::VirtioPort;
use crate::{
    agent::{Guest, exchange, root::Root},
    mux::{Connection, Incoming},
};

/// Between looks for a port that is not there yet: its driver may be a module that udev loads.
const PORT_PAUSE: Duration = Duration::from_millis(100);

/// After this many looks they become rare: this VM has vsock instead.
const PORT_LOOKS: u32 = 300;
const PORT_PAUSE_LONG: Duration = Duration::from_secs(10);

/// After a failure of the line.
const LINE_PAUSE: Duration = Duration::from_millis(500);

/// Serves the virtio-serial port of the VM for ever.
pub(super) async fn serve_port(guest: Guest) -> io::Result<()> {
    let (connection, incoming) = Connection::guest(AGENT_PORT);
    tokio::spawn(take(guest.clone(), incoming));
    loop {
        let device = find(&guest.root).await;
        if let Err(error) = serve_device(&connection, &device).await {
            warn!(device = %device.display(), %error, "serial port lost");
        }
        connection.line_down();
        tokio::time::sleep(LINE_PAUSE).await;
    }
}

async fn serve_device(connection: &Connection, device: &std::path::Path) -> io::Result<()> {
    let port = VirtioPort::open(device)?;
    info!(device = %device.display(), "listening on the serial port");
    // Whatever host is there hears that this agent knows nothing of former streams.
    connection.line_up()?;
    loop {
        connection.drive(&port).await?;
        connection.line_down();
        debug!("no host on the serial port");
        port.host_is_there().await;
    }
}

/// Serves a test's socket like the serial port of a VM: one host at a time, the agent stays.
pub(super) async fn serve_socket(guest: Guest, listener: UnixListener) -> io::Result<()> {
    let (connection, incoming) = Connection::guest(AGENT_PORT);
    tokio::spawn(take(guest, incoming));
    loop {
        let (line, _) = listener.accept().await?;
        connection.line_up()?;
        if let Err(error) = connection.drive(&line).await {
            debug!(%error, "line lost");
        }
        connection.line_down();
    }
}

/// Serves every stream in a task of its own; the multiplexer limits how many there are.
async fn take(guest: Guest, mut incoming: Incoming) {
    while let Some(stream) = incoming.recv().await {
        tokio::spawn(exchange::serve(guest.clone(), stream));
    }
}

/// Waits for the port and says which device it is.
async fn find(root: &Root) -> PathBuf {
    let mut looks: u32 = 0;
    loop {
        if let Some(device) = look(root) {
            return device;
        }
        looks = looks.saturating_add(1);
        let pause = if looks < PORT_LOOKS { PORT_PAUSE } else { PORT_PAUSE_LONG };
        tokio::time::sleep(pause).await;
    }
}

/// The device of our port by its name; without udev there is no link with the name.
fn look(root: &Root) -> Option<PathBuf> {
    let ports = fs::read_dir(root.path("/sys/class/virtio-ports")).ok()?;
    let port = ports.filter_map(Result::ok).find(|port| {
        let name = fs::read_to_string(port.path().join("name"));
        name.is_ok_and(|name| name.trim() == SERIAL_PORT_NAME)
    })?;
    Some(root.path("/dev").join(port.file_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path().to_owned());
        assert_eq!(look(&root), None);
        for (device, name) in [("vport0p1", "org.other\n"), ("vport1p2", "rigbox.agent.0\n")] {
            root.write(&format!("/sys/class/virtio-ports/{device}/name"), name.as_bytes(), 0o644)
                .unwrap();
        }
        assert_eq!(look(&root), Some(folder.path().join("dev/vport1p2")));
    }
}
