//! Talks to the suite's guest, a line at a time.

use std::time::Duration;

use rigbox_vmm::AgentChannel;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    time::{sleep, timeout},
};

pub(crate) struct Guest(BufReader<UnixStream>);

impl Guest {
    /// Connects to the guest's agent; waits until it is there.
    pub(crate) async fn connect(channel: &AgentChannel) -> Self {
        let stream = match channel {
            AgentChannel::Serial { socket } => UnixStream::connect(socket).await.unwrap(),
            AgentChannel::Vsock { uds } => {
                timeout(PATIENCE, connect_hybrid(uds.as_str())).await.unwrap()
            }
        };
        Self(BufReader::new(stream))
    }

    /// One line there, one line back.
    pub(crate) async fn ask(&mut self, line: &str) -> String {
        self.say(line).await;
        let mut answer = String::new();
        timeout(PATIENCE, self.0.read_line(&mut answer))
            .await
            .unwrap_or_else(|_| panic!("the guest does not answer to {line}"))
            .unwrap();
        answer.trim_end().to_owned()
    }

    /// One line there.
    pub(crate) async fn say(&mut self, line: &str) {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// Whether an answer comes within `limit`.
    pub(crate) async fn is_silent_for(&mut self, limit: Duration) -> bool {
        let mut answer = String::new();
        timeout(limit, self.0.read_line(&mut answer)).await.is_err()
    }
}

/// As Firecracker wants it: silence until the guest's driver is up, a closed connection until
/// somebody listens.
async fn connect_hybrid(uds: &str) -> UnixStream {
    loop {
        let mut stream = UnixStream::connect(uds).await.unwrap();
        stream.write_all(b"CONNECT 1024\n").await.unwrap();
        let mut answer = String::new();
        let mut reader = BufReader::new(&mut stream);
        let read = timeout(Duration::from_millis(500), reader.read_line(&mut answer)).await;
        if matches!(read, Ok(Ok(_))) && answer.starts_with("OK ") {
            return stream;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// A boot under emulation on a busy machine takes up to 20 s.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
