//! `rig shell`: a terminal of a workspace in this terminal.
//! Invariant: however it ends, the terminal here is as it was before.
//! A connection that breaks is made again, to the same shell, a bounded number of times. Enter,
//! then `~.`, leaves a shell that does not answer.

mod escape;

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use rigbox_types::{
    api::{
        terminal::{TerminalNotice, TerminalRequest},
        workspaces::Vm,
    },
    guest::ExecExit,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error as SocketError, Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::{exec::ended, find_workspace};
use crate::{
    cli::ShellArgs,
    client::{ClientError, Path, Upgraded},
    error::{CommandError, CommandResult, io_reason},
    input,
    session::{Session, Verb, explain},
    terminal::{self, ModeGuard},
};
use escape::{Escape, Typed};

/// How often a broken connection is made again, without any output in between, before the shell is
/// given up.
const ATTACH_TRIES: u32 = 12;
/// Before the first and every following try; doubled each time up to the second.
const ATTACH_PAUSE: Duration = Duration::from_millis(250);
const ATTACH_PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long a farewell may take.
const FAREWELL_LIMIT: Duration = Duration::from_secs(2);
/// Code of a terminal that may be attached to again.
const UNAVAILABLE: &str = "unavailable";
/// Between two signs of life.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// Silence after which the connection counts as broken: three signs of life.
const SILENCE_MAX: Duration = Duration::from_secs(45);

type Socket = WebSocketStream<Upgraded>;

/// Opens a terminal and stays in it.
pub(super) async fn run(session: &Session, args: &ShellArgs) -> CommandResult {
    if !terminal::is_interactive() {
        let typed = args.target.typed();
        return Err(CommandError::usage("a shell needs a terminal here too")
            .hint(format!("rig exec {typed} -- bash -c 'COMMAND'")));
    }
    let vm = find_workspace(session, args.target.typed()).await?;
    session.output.progress(format!("opening a terminal in {}", vm.name));
    let socket = open(session, &vm, None, 0).await;
    let socket = socket.map_err(|error| explain(error, Verb::Enter, vm.name.as_str()))?;
    let signals = Signals::listen()?;
    let input = input::stdin_chunks()?;
    let (escape, id, seen, breaks) = Default::default();
    let mut shell = Shell { session, vm: &vm, input, signals, escape, id, seen, breaks };
    let mode = ModeGuard::raw()?;
    session.output.set_raw(true);
    let end = shell.stay(socket).await;
    drop(mode);
    session.output.set_raw(false);
    match end? {
        Some(exit) => ended(&session.output, exit),
        None => {
            session.output.notice(format!("left {}", vm.name));
            Ok(())
        }
    }
}

/// Opens a terminal: a new shell, or one of which `seen` bytes of output have been shown.
async fn open(
    session: &Session,
    vm: &Vm,
    shell: Option<&str>,
    seen: u64,
) -> Result<Socket, ClientError> {
    let size = terminal::size();
    let path = Path::absolute("/api/ws/terminal")
        .segment(vm.id.as_str())
        .query("cols", size.cols.to_string())
        .query("rows", size.rows.to_string())
        .query_some("session", shell)
        .query_some("after", shell.map(|_| seen.to_string()));
    session.client.web_socket(path).await
}

struct Signals {
    window: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> CommandResult<Self> {
        let listen =
            |kind| signal(kind).map_err(|error| CommandError::file("listen for signals", &error));
        Ok(Self {
            window: listen(SignalKind::window_change())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }
}

/// How a connection to a shell ended.
enum End {
    /// The shell ended.
    Exit(ExecExit),
    /// The server ended the terminal, and says why.
    Refused(CommandError),
    /// The connection broke.
    Lost(String),
    /// Whoever sits here has left.
    Left,
}

struct Shell<'a> {
    session: &'a Session,
    vm: &'a Vm,
    input: mpsc::Receiver<Vec<u8>>,
    signals: Signals,
    escape: Escape,
    /// Names the shell for another connection.
    id: Option<String>,
    /// Bytes of its output that were shown.
    seen: u64,
    /// Tries to connect again since the last output.
    breaks: u32,
}

impl Shell<'_> {
    /// Stays until the shell ends (its exit) or is left (none).
    async fn stay(&mut self, mut socket: Socket) -> CommandResult<Option<ExecExit>> {
        loop {
            match self.talk(&mut socket).await? {
                End::Exit(exit) => return Ok(Some(exit)),
                End::Refused(error) => return Err(error),
                End::Left => {
                    // Tells the server, if it still listens, that nobody will come back.
                    let farewell = CloseFrame { code: CloseCode::Normal, reason: "".into() };
                    drop(timeout(FAREWELL_LIMIT, socket.close(Some(farewell))).await);
                    return Ok(None);
                }
                End::Lost(reason) => match self.attach(&reason).await? {
                    Some(again) => socket = again,
                    None => return Ok(None),
                },
            }
        }
    }

    /// Carries bytes until something ends it.
    async fn talk(&mut self, socket: &mut Socket) -> CommandResult<End> {
        let mut pings = interval(PING_INTERVAL);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            let message = tokio::select! {
                received = socket.next() => {
                    heard = Instant::now();
                    match self.receive(received)? {
                        Some(end) => return Ok(end),
                        None => continue,
                    }
                }
                chunk = self.input.recv() => match chunk.map(|chunk| self.escape.typed(&chunk)) {
                    None | Some(Typed::Leave) => return Ok(End::Left),
                    Some(Typed::Send(bytes)) if bytes.is_empty() => continue,
                    Some(Typed::Send(bytes)) => Message::binary(bytes),
                },
                _ = self.signals.window.recv() => resize(),
                _ = self.signals.terminate.recv() => return Ok(End::Left),
                _ = self.signals.hang_up.recv() => return Ok(End::Left),
                _ = pings.tick() => {
                    if heard.elapsed() > SILENCE_MAX {
                        return Ok(End::Lost("no sign of life".to_owned()));
                    }
                    Message::Ping(Vec::new().into())
                }
            };
            match timeout(SILENCE_MAX, socket.send(message)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Ok(End::Lost(reason(&error))),
                Err(_) => return Ok(End::Lost("it takes no input".to_owned())),
            }
        }
    }

    fn receive(
        &mut self,
        received: Option<Result<Message, SocketError>>,
    ) -> CommandResult<Option<End>> {
        let text = match received {
            None => return Ok(Some(End::Lost("it was closed".to_owned()))),
            Some(Err(error)) => return Ok(Some(End::Lost(reason(&error)))),
            Some(Ok(Message::Close(frame))) => {
                let reason = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                let reason = if reason.is_empty() { "it was closed".to_owned() } else { reason };
                return Ok(Some(End::Lost(reason)));
            }
            Some(Ok(Message::Binary(bytes))) => {
                self.session.output.bytes(&bytes)?;
                let length = u64::try_from(bytes.len()).unwrap_or_default();
                self.seen = self.seen.saturating_add(length);
                self.breaks = 0;
                return Ok(None);
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => return Ok(None),
            Some(Ok(Message::Text(text))) => text,
        };
        match serde_json::from_str(text.as_str()) {
            Ok(TerminalNotice::Session(id)) => {
                self.id = Some(id);
                Ok(None)
            }
            Ok(TerminalNotice::Exit(exit)) => Ok(Some(End::Exit(exit))),
            // The way to the shell broke further on; the shell may be there still.
            Ok(TerminalNotice::Error(error)) if error.code == UNAVAILABLE && self.id.is_some() => {
                Ok(Some(End::Lost(error.message)))
            }
            Ok(TerminalNotice::Error(error)) => {
                let told = CommandError::failed(error.message).coded(error.code);
                Ok(Some(End::Refused(told.hint(format!("rig workspace show {}", self.vm.name)))))
            }
            // A newer server may have more to say.
            Err(_) => Ok(None),
        }
    }

    /// Connects to the same shell again; none when whoever sits here gives up.
    async fn attach(&mut self, reason: &str) -> CommandResult<Option<Socket>> {
        let name = &self.vm.name;
        let lost = format!("the connection to {name} broke: {reason}");
        let Some(id) = self.id.clone() else {
            return Err(CommandError::failed(lost).hint(format!("rig shell {name}")));
        };
        self.session.output.notice(format!("{lost}; connecting again (Ctrl-C gives up)"));
        let mut pause = ATTACH_PAUSE;
        while self.breaks < ATTACH_TRIES {
            self.breaks += 1;
            if self.gives_up(pause).await {
                return Ok(None);
            }
            pause = pause.saturating_mul(2).min(ATTACH_PAUSE_MAX);
            match open(self.session, self.vm, Some(&id), self.seen).await {
                Ok(socket) => {
                    self.session.output.notice("connected again");
                    return Ok(Some(socket));
                }
                Err(error) if error.is_passing() => {}
                Err(error) => return Err(explain(error, Verb::Enter, name.as_str())),
            }
        }
        Err(CommandError::failed(format!("{lost}, and could not be made again"))
            .coded("connection_lost")
            .hint(format!("rig workspace show {name}")))
    }

    /// Waits, unless Ctrl-C, the escape or a signal comes first.
    async fn gives_up(&mut self, pause: Duration) -> bool {
        let mut passed = std::pin::pin!(sleep(pause));
        loop {
            tokio::select! {
                () = &mut passed => return false,
                _ = self.signals.terminate.recv() => return true,
                _ = self.signals.hang_up.recv() => return true,
                chunk = self.input.recv() => match chunk {
                    None => return true,
                    Some(chunk) if chunk.contains(&INTERRUPT) => return true,
                    Some(chunk) => {
                        if matches!(self.escape.typed(&chunk), Typed::Leave) {
                            return true;
                        }
                    }
                },
            }
        }
    }
}

/// Why a connection broke, for people.
fn reason(error: &SocketError) -> String {
    match error {
        SocketError::Io(error) => io_reason(error),
        // Nearly always: an end without a farewell.
        SocketError::Protocol(_) | SocketError::ConnectionClosed | SocketError::AlreadyClosed => {
            "it was cut".to_owned()
        }
        other => other.to_string(),
    }
}

/// Ctrl-C as a character.
const INTERRUPT: u8 = 0x03;

fn resize() -> Message {
    let request = TerminalRequest::Resize(terminal::size());
    Message::text(serde_json::to_string(&request).expect("two numbers serialise"))
}
