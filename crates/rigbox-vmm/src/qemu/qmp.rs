//! Speaks QEMU's machine protocol: one JSON document a line, over a unix socket.
//! Invariants: a line, the events kept and every wait are bounded, because a VMM that its guest has
//! taken over may write anything. A connection serves one operation and is then closed; QEMU serves
//! one at a time and lets the next wait.
//! Does not know what the commands mean (see `driver` and `snapshot`).

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest},
    net::UnixStream,
    time::timeout,
};

use crate::VmmError;

/// A connection to a QEMU, ready for commands.
#[derive(Debug)]
pub(super) struct Qmp {
    path: Utf8PathBuf,
    stream: BufReader<UnixStream>,
    events: VecDeque<Event>,
}

/// A command that is sent as it is here.
#[derive(Debug, Serialize)]
#[serde(tag = "execute", content = "arguments", rename_all = "kebab-case")]
pub(super) enum Command<'a> {
    #[serde(rename = "qmp_capabilities")]
    QmpCapabilities,
    QueryStatus,
    Cont,
    Stop,
    #[serde(rename = "system_powerdown")]
    SystemPowerdown,
    Getfd {
        fdname: &'a str,
    },
    MigrateSetCapabilities {
        capabilities: &'a [MigrationCapability],
    },
    Migrate {
        uri: &'a str,
    },
    MigrateIncoming {
        uri: &'a str,
    },
}

/// A switch of migration.
#[derive(Debug, Serialize)]
pub(super) struct MigrationCapability {
    pub(super) capability: &'static str,
    pub(super) state: bool,
}

/// Answer to `query-status`.
#[derive(Debug, Deserialize)]
struct Status {
    status: RunState,
}

/// What the virtual machine does, as far as we tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RunState {
    Running,
    Paused,
    /// Paused, and a snapshot has been taken.
    Postmigrate,
    /// It waits for its first `cont`.
    Prelaunch,
    /// It waits for a snapshot, or reads one.
    Inmigrate,
    #[serde(other)]
    Other,
}

/// Something that QEMU tells unasked.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    pub(super) event: String,
    #[serde(default)]
    pub(super) data: Value,
}

impl Qmp {
    /// Connects and agrees on capabilities.
    pub(super) async fn connect(path: &Utf8Path) -> Result<Self, VmmError> {
        let greet = async {
            let stream = UnixStream::connect(path)
                .await
                .map_err(|source| VmmError::Control { path: path.to_owned(), source })?;
            let mut qmp = Self {
                path: path.to_owned(),
                stream: BufReader::new(stream),
                events: VecDeque::new(),
            };
            match qmp.read("greeting").await? {
                Message::Greeting { .. } => {}
                Message::Answer { .. } | Message::Error { .. } | Message::Event(_) => {
                    return Err(protocol("greeting", "it is not one"));
                }
            }
            Ok(qmp)
        };
        let mut qmp = bounded(greet, "QEMU's greeting", GREETING_TIMEOUT).await?;
        qmp.execute(&Command::QmpCapabilities).await?;
        Ok(qmp)
    }

    /// Sends a command whose answer says nothing.
    pub(super) async fn execute(&mut self, command: &Command<'_>) -> Result<(), VmmError> {
        self.answer(command, None).await.map(drop)
    }

    /// Asks what the virtual machine does.
    pub(super) async fn run_state(&mut self) -> Result<RunState, VmmError> {
        let answer = self.answer(&Command::QueryStatus, None).await?;
        serde_json::from_value::<Status>(answer)
            .map(|answer| answer.status)
            .map_err(|error| protocol("query-status", &error.to_string()))
    }

    /// Gives QEMU a descriptor under a name.
    pub(super) async fn pass_fd(&mut self, name: &str, fd: BorrowedFd<'_>) -> Result<(), VmmError> {
        self.answer(&Command::Getfd { fdname: name }, Some(fd)).await.map(drop)
    }

    /// The data of the next event of this name that `wanted` accepts. What came before is dropped.
    pub(super) async fn wait_for(
        &mut self,
        name: &'static str,
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, VmmError> {
        let wait = async {
            loop {
                while let Some(event) = self.events.pop_front() {
                    if event.event == name && wanted(&event.data) {
                        return Ok(event.data);
                    }
                }
                match self.read(name).await? {
                    Message::Event(event) => self.keep(event),
                    Message::Greeting { .. } | Message::Answer { .. } | Message::Error { .. } => {
                        return Err(protocol(name, "an answer that nobody asked for"));
                    }
                }
            }
        };
        bounded(wait, name, limit).await
    }

    async fn answer(
        &mut self,
        command: &Command<'_>,
        fd: Option<BorrowedFd<'_>>,
    ) -> Result<Value, VmmError> {
        let mut line = serde_json::to_vec(command)
            .map_err(|error| protocol("a command", &error.to_string()))?;
        line.push(b'\n');
        let name = command_name(command);
        let exchange = async {
            self.send(&line, fd)
                .await
                .map_err(|source| VmmError::Control { path: self.path.clone(), source })?;
            loop {
                match self.read(&name).await? {
                    Message::Answer { answer } => return Ok(answer),
                    Message::Event(event) => self.keep(event),
                    Message::Error { error } => {
                        return Err(VmmError::Refused {
                            request: name.clone(),
                            reason: error.desc,
                        });
                    }
                    Message::Greeting { .. } => return Err(protocol(&name, "a second greeting")),
                }
            }
        };
        bounded(exchange, "an answer of QEMU", COMMAND_TIMEOUT).await
    }

    async fn send(&mut self, line: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let stream = self.stream.get_mut();
        let Some(fd) = fd else { return stream.write_all(line).await };
        // The descriptor goes with the first byte; the rest is sent plainly.
        let (first, rest) = line.split_at(1.min(line.len()));
        stream.async_io(Interest::WRITABLE, || send_fd(stream.as_fd(), first, fd)).await?;
        stream.write_all(rest).await
    }

    async fn read(&mut self, request: &str) -> Result<Message, VmmError> {
        let mut line = Vec::new();
        let count = (&mut self.stream)
            .take(LINE_MAX_BYTES)
            .read_until(b'\n', &mut line)
            .await
            .map_err(|source| VmmError::Control { path: self.path.clone(), source })?;
        if count == 0 {
            return Err(VmmError::Ended { output: String::new() });
        }
        if line.last() != Some(&b'\n') {
            return Err(protocol(request, "a line is cut off or too long"));
        }
        serde_json::from_slice(&line).map_err(|error| protocol(request, &error.to_string()))
    }

    fn keep(&mut self, event: Event) {
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

/// One line from QEMU.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Message {
    Greeting {
        #[serde(rename = "QMP")]
        _greeting: Value,
    },
    Event(Event),
    Error {
        error: Refusal,
    },
    Answer {
        #[serde(rename = "return")]
        answer: Value,
    },
}

#[derive(Debug, Deserialize)]
struct Refusal {
    desc: String,
}

fn send_fd(socket: BorrowedFd<'_>, bytes: &[u8], fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("no room for a descriptor"));
    }
    let data = [io::IoSlice::new(bytes)];
    rustix::net::sendmsg(socket, &data, &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn command_name(command: &Command<'_>) -> String {
    let document = serde_json::to_value(command).unwrap_or_default();
    document.get("execute").and_then(Value::as_str).unwrap_or("a command").to_owned()
}

fn protocol(request: &str, reason: &str) -> VmmError {
    VmmError::Protocol { request: request.to_owned(), reason: reason.to_owned() }
}

async fn bounded<T>(
    work: impl Future<Output = Result<T, VmmError>>,
    what: &'static str,
    limit: Duration,
) -> Result<T, VmmError> {
    let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    timeout(limit, work).await.unwrap_or(Err(VmmError::TimedOut { what, limit_ms }))
}

/// A cold QEMU on a busy machine of two cores took 3 s to greet.
const GREETING_TIMEOUT: Duration = Duration::from_secs(30);
/// All commands here answer within milliseconds; `stop` and `cont` flush the disk first.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest answer we ask for has under 1 KiB.
const LINE_MAX_BYTES: u64 = 64 * 1024;
/// An operation waits for the last few.
const EVENTS_MAX: usize = 32;

#[cfg(test)]
mod tests;
