//! The host's side of vsock: a unix socket where `CONNECT <port>` opens a stream to the guest.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use crate::guest::Guest;

/// The socket, bound when it is configured. Dropping it closes the socket and leaves its file.
pub(crate) struct Backend {
    listener: Arc<UnixListener>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Set at the start. Until then, and until its driver is up, nobody answers.
    guest: OnceLock<Arc<Guest>>,
    streams: Mutex<Vec<UnixStream>>,
}

impl Backend {
    /// Binds, or tells Firecracker's words.
    pub(crate) fn bind(path: &str) -> Result<Self, String> {
        let listener = UnixListener::bind(path).map_err(|error| {
            let text = match error.raw_os_error() {
                // Firecracker has its own names for some.
                Some(98) => "Address in use (os error 98)".to_owned(),
                _ => error.to_string(),
            };
            format!("Error binding to the host-side Unix socket: {text}")
        })?;
        let backend = Self { listener: Arc::new(listener), shared: Arc::default() };
        let (listener, shared) = (Arc::clone(&backend.listener), Arc::clone(&backend.shared));
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.serve(stream));
            }
        });
        Ok(backend)
    }

    /// The guest begins to boot.
    pub(crate) fn start(&self, guest: &Arc<Guest>) {
        self.shared.guest.set(Arc::clone(guest)).ok();
    }

    /// Cuts every open stream, as a snapshot does. Who listens in the guest goes on listening.
    pub(crate) fn cut(&self) {
        let Ok(mut streams) = self.shared.streams.lock() else { return };
        for stream in streams.drain(..) {
            stream.shutdown(std::net::Shutdown::Both).ok();
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // Wakes the thread that accepts, which then ends.
        rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both).ok();
    }
}

impl Shared {
    fn serve(&self, stream: UnixStream) {
        let Ok(copy) = stream.try_clone() else { return };
        if let (Ok(mut streams), Ok(kept)) = (self.streams.lock(), stream.try_clone()) {
            streams.push(kept);
        }
        self.connect(stream, BufReader::new(copy));
    }

    fn connect(&self, mut stream: UnixStream, mut reader: BufReader<UnixStream>) {
        let mut line = String::new();
        if reader.read_line(&mut line).is_err() {
            return;
        }
        let port = line.strip_prefix("CONNECT ").and_then(|port| port.trim_end().parse().ok());
        // Garbage: closed without a word.
        let Some(port): Option<u32> = port else { return };
        // No driver: no answer at all, not even a closed connection.
        let Some(guest) = self.guest.get() else { return park(reader) };
        if !guest.wait_until_up() {
            return park(reader);
        }
        // Nobody listens: closed without a word.
        if port != AGENT_PORT {
            return;
        }
        let host_port = HOST_PORT.fetch_add(1, Ordering::Relaxed);
        if stream.write_all(format!("OK {host_port}\n").as_bytes()).is_ok() {
            guest.talk(stream, reader);
        }
    }
}

/// Waits until the client gives up.
fn park(mut reader: BufReader<UnixStream>) {
    let mut ignored = String::new();
    while reader.read_line(&mut ignored).is_ok_and(|count| count > 0) {
        ignored.clear();
    }
}

static HOST_PORT: AtomicU32 = AtomicU32::new(1_073_741_824);
const AGENT_PORT: u32 = 1024;
