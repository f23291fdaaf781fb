//! `rig exec`: a command in a workspace. Its output is ours, byte by byte, and its exit code too.
//! It runs over a stream of frames, which takes input as it comes, signals and a terminal. Programs
//! read the frames as the API's lines of events.

mod text;

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _},
    time::Duration,
};

use http::{Method, Response};
use hyper::body::Incoming;
use rigbox_types::{
    api::workspaces::Vm,
    guest::{
        EXEC_UPGRADE, ExecEvent, ExecExit, ExecRequest,
        frame::{Frame, FrameDecoder},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf},
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::{Instant, sleep_until},
};

use self::text::Texts;
use super::find_workspace;
use crate::{
    cli::ExecArgs,
    client::{Call, Lines, Upgraded},
    error::{CommandError, CommandResult},
    input,
    output::Output,
    session::{Session, Verb, explain, workspace_path},
    terminal::{self, ModeGuard},
};

/// Bytes of one read of the stream.
const READ_BYTES: usize = 64 * 1024;
/// What a shell shows for a command that was ended because its time was over (as `timeout` does).
const TIMED_OUT: u8 = 124;
/// How long the command may take to end once we were told to.
const TERMINATE_PATIENCE: Duration = Duration::from_secs(2);
/// What a shell adds to the number of the signal that ended a command.
const SIGNALLED: u8 = 128;

/// Runs a command.
pub(super) async fn run(session: &Session, args: ExecArgs) -> CommandResult {
    if args.tty && !terminal::is_interactive() {
        return Err(CommandError::usage("--tty needs a terminal here too"));
    }
    if args.tty && !session.output.is_human() {
        return Err(CommandError::usage("--tty is for people: leave out --output"));
    }
    let env = input::variables(&args.env, &[]).await?;
    let vm = find_workspace(session, args.target.typed()).await?;
    let takes_stdin = args.tty || (!args.no_stdin && !io::stdin().is_terminal());
    let request = request(&args, env);
    request.check().map_err(|refusal| CommandError::usage(refusal.to_string()))?;
    let enter = |error| explain(error, Verb::Enter, vm.name.as_str());
    let call = Call::new(Method::POST, workspace_path(&vm.id).then("/exec"))
        .json(&request)?
        .upgrade(EXEC_UPGRADE);
    session.output.progress("");
    match session.client.upgraded(&call).await.map_err(enter)? {
        Ok(stream) => Talk::begin(session, &vm, stream, takes_stdin, args.tty)?.end().await,
        // Something between us and the server does not let connections become others.
        Err(_) if takes_stdin => {
            Err(CommandError::failed("the way to the server carries no standard input")
                .hint(format!("rig exec {} --no-stdin -- COMMAND", vm.name)))
        }
        Err(response) => lines(session, &vm, response).await,
    }
}

fn request(args: &ExecArgs, env: BTreeMap<String, String>) -> ExecRequest {
    ExecRequest {
        command: args.command.clone(),
        cwd: args.cwd.clone(),
        env,
        user: args.user.clone(),
        stdin: None,
        timeout_s: args.timeout,
        stream: true,
        tty: args.tty.then(terminal::size),
        detach: false,
    }
}

/// Reads the API's lines of events.
async fn lines(session: &Session, vm: &Vm, response: Response<Incoming>) -> CommandResult {
    let mut lines = Lines::new(&session.client, response);
    while let Some(line) = lines.next().await? {
        if line.is_empty() {
            continue;
        }
        let event: ExecEvent = serde_json::from_str(&line)
            .map_err(|error| session.client.unexpected(error.to_string()))?;
        let is_error = matches!(event, ExecEvent::Error { .. });
        if !session.output.is_human() && !is_error {
            session.output.record(&event)?;
        }
        match event {
            ExecEvent::Stdout { data } if session.output.is_human() => {
                session.output.bytes(data.as_bytes())?;
            }
            ExecEvent::Stderr { data } if session.output.is_human() => {
                session.output.bytes_err(data.as_bytes())?;
            }
            ExecEvent::Exit(exit) => return ended(&session.output, exit),
            ExecEvent::Error { message } => return Err(CommandError::failed(message)),
            ExecEvent::Started(_) | ExecEvent::Stdout { .. } | ExecEvent::Stderr { .. } => {}
        }
    }
    Err(cut(vm))
}

fn cut(vm: &Vm) -> CommandError {
    CommandError::failed(format!("the connection to {} ended before the command did", vm.name))
        .coded("connection_lost")
        .hint(format!("rig workspace show {}", vm.name))
}

/// Ends as the command did.
pub(super) fn ended(output: &Output, exit: ExecExit) -> CommandResult {
    let code = match exit {
        ExecExit { timed_out: true, .. } => {
            output.notice("the command was ended because its time was over");
            TIMED_OUT
        }
        ExecExit { exit_code: Some(0), .. } => return Ok(()),
        ExecExit { exit_code: Some(code), .. } => u8::try_from(code & 0xff).unwrap_or(1),
        ExecExit { signal: Some(signal), .. } => {
            u8::try_from(signal).unwrap_or_default().saturating_add(SIGNALLED)
        }
        ExecExit { .. } => 1,
    };
    Err(CommandError::silent(code))
}

/// A command that runs, and everything that may happen meanwhile.
struct Talk<'a> {
    session: &'a Session,
    vm: &'a Vm,
    reader: ReadHalf<Upgraded>,
    writer: WriteHalf<Upgraded>,
    decoder: FrameDecoder,
    texts: Texts,
    input: Option<mpsc::Receiver<Vec<u8>>>,
    /// Input that was read and may not be sent yet.
    held: Vec<u8>,
    /// How much may be sent.
    credit: usize,
    signals: Signals,
    mode: Option<ModeGuard>,
}

/// Signals that are passed on.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    window: Signal,
    /// How often the user has asked for the end.
    asked: u32,
    /// When we end without the command.
    patience: Option<Instant>,
}

impl Signals {
    fn listen() -> CommandResult<Self> {
        let listen =
            |kind| signal(kind).map_err(|error| CommandError::file("listen for signals", &error));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            window: listen(SignalKind::window_change())?,
            asked: 0,
            patience: None,
        })
    }
}

impl<'a> Talk<'a> {
    fn begin(
        session: &'a Session,
        vm: &'a Vm,
        stream: Upgraded,
        takes_stdin: bool,
        tty: bool,
    ) -> CommandResult<Self> {
        let (reader, writer) = tokio::io::split(stream);
        let input = if takes_stdin { Some(input::stdin_chunks()?) } else { None };
        let signals = Signals::listen()?;
        let mode = if tty { Some(ModeGuard::raw()?) } else { None };
        session.output.set_raw(tty);
        let (decoder, texts, held) = Default::default();
        let credit = 0;
        Ok(Self { session, vm, reader, writer, decoder, texts, input, held, credit, signals, mode })
    }

    /// Carries bytes and signals until the command ends.
    async fn end(mut self) -> CommandResult {
        let result = self.carry().await;
        self.mode = None;
        self.session.output.set_raw(false);
        match result? {
            Some(exit) => ended(&self.session.output, exit),
            None => Err(cut(self.vm)),
        }
    }

    async fn carry(&mut self) -> CommandResult<Option<ExecExit>> {
        if self.input.is_none() {
            self.send(&Frame::StdinEnd).await;
        }
        let mut buffer = vec![0_u8; READ_BYTES];
        loop {
            let may_read = self.held.is_empty();
            tokio::select! {
                read = self.reader.read(&mut buffer) => match read {
                    Ok(0) | Err(_) => return Ok(None),
                    Ok(length) => {
                        self.decoder.push(buffer.get(..length).unwrap_or_default());
                        if let Some(exit) = self.take_frames()? {
                            return Ok(Some(exit));
                        }
                        self.send_held().await;
                    }
                },
                chunk = next(&mut self.input), if may_read => match chunk {
                    Some(chunk) => {
                        self.held = chunk;
                        self.send_held().await;
                    }
                    None => {
                        self.input = None;
                        self.send(&Frame::StdinEnd).await;
                    }
                },
                _ = self.signals.interrupt.recv() => self.pass(INTERRUPT).await?,
                _ = self.signals.terminate.recv() => {
                    self.pass(TERMINATE).await?;
                    // Whoever ends us does not wait for long (`timeout`, a service manager).
                    self.signals.patience = Some(Instant::now() + TERMINATE_PATIENCE);
                }
                () = until(self.signals.patience) => {
                    return Err(CommandError::silent(SIGNALLED.saturating_add(TERMINATE)));
                }
                _ = self.signals.window.recv() => {
                    if self.mode.is_some() {
                        self.send(&Frame::Resize(terminal::size())).await;
                    }
                }
            }
        }
    }

    /// Acts on what has arrived; the exit is the last of it.
    fn take_frames(&mut self) -> CommandResult<Option<ExecExit>> {
        loop {
            let frame = self.decoder.next_frame().map_err(|error| {
                CommandError::from(self.session.client.unexpected(error.to_string()))
            })?;
            let Some(frame) = frame else { return Ok(None) };
            self.write(&frame)?;
            match frame {
                Frame::Credit(bytes) => {
                    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                    self.credit = self.credit.saturating_add(bytes);
                }
                Frame::Lost(bytes) => {
                    let lost = format!("{bytes} bytes of output were lost");
                    self.session.output.warning(lost, None);
                }
                Frame::Exit(exit) => return Ok(Some(exit)),
                Frame::Error(message) => return Err(CommandError::failed(message)),
                Frame::Started(_)
                | Frame::Stdout(_)
                | Frame::Stderr(_)
                | Frame::Stdin(_)
                | Frame::StdinEnd
                | Frame::Resize(_)
                | Frame::Signal(_) => {}
            }
        }
    }

    /// Writes what a frame says about the command: its bytes for people, events for programs.
    fn write(&mut self, frame: &Frame) -> CommandResult {
        let output = &self.session.output;
        if output.is_human() {
            return match frame {
                Frame::Stdout(bytes) => output.bytes(bytes),
                Frame::Stderr(bytes) => output.bytes_err(bytes),
                _ => Ok(()),
            };
        }
        for event in self.texts.events(frame) {
            output.record(&event)?;
        }
        Ok(())
    }

    async fn send_held(&mut self) {
        let length = self.held.len().min(self.credit);
        if length > 0 {
            self.credit = self.credit.saturating_sub(length);
            let rest = self.held.split_off(length);
            let frame = Frame::Stdin(std::mem::replace(&mut self.held, rest));
            self.send(&frame).await;
        }
    }

    /// The first signal goes to the command, the second ends us.
    async fn pass(&mut self, number: u8) -> CommandResult {
        self.signals.asked += 1;
        if self.signals.asked > 1 {
            return Err(CommandError::silent(SIGNALLED.saturating_add(number)));
        }
        self.send(&Frame::Signal(number)).await;
        Ok(())
    }

    /// A stream that cannot be written to will end on the reading side, which tells why.
    async fn send(&mut self, frame: &Frame) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        let sent = self.writer.write_all(&bytes).await;
        if sent.is_ok() {
            self.writer.flush().await.unwrap_or_default();
        }
    }
}

/// The next chunk of input, or none at its end; never, where there is no input.
async fn next(input: &mut Option<mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match input {
        Some(input) => input.recv().await,
        None => std::future::pending().await,
    }
}

/// Waits until then, if that is ever.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// SIGINT and SIGTERM as Linux numbers them.
const INTERRUPT: u8 = 2;
const TERMINATE: u8 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_command() {
        let output = Output::from_env();
        let check = |exit: ExecExit, expected: Option<u8>| {
            assert_eq!(ended(&output, exit).err().map(|error| error.exit.code()), expected);
        };
        let code = |code| ExecExit { exit_code: Some(code), ..ExecExit::default() };
        check(code(0), None);
        check(code(7), Some(7));
        check(code(256 + 3), Some(3));
        check(ExecExit { signal: Some(9), ..ExecExit::default() }, Some(137));
        check(ExecExit { signal: Some(15), timed_out: true, exit_code: None }, Some(124));
        check(ExecExit::default(), Some(1));
    }
}
