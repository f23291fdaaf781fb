//! Carries one terminal: WebSocket messages to frames and back, with backpressure both ways.
//!
//! ```text
//! client ── binary ──> Stdin (within the guest's credit) ──> guest
//! client ── {resize} ─> Resize                            ──> guest
//! client <─ binary ──  Stdout, Stderr                     <── guest
//! client <─ {session}, {exit}, {error}                    <── Started, Exit, Error
//! ```
//!
//! Invariant: at most a few messages and one frame are held per direction. A WebSocket that breaks
//! leaves the shell running; the shell's end ends the WebSocket.

use std::{sync::OnceLock, time::Duration};

use axum::extract::ws::{Message, WebSocket, close_code};
use bytes::Bytes;
use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rigbox_types::{
    api::terminal::{TerminalError, TerminalNotice, TerminalRequest},
    guest::{
        TtySize,
        frame::{Frame, FrameDecoder, STDIN_WINDOW_BYTES},
    },
};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf},
    sync::{Semaphore, mpsc},
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::http::is_session;
use crate::access_control::{GONE, Permit};

/// How often a silent client is asked whether it is there.
const PING: Duration = Duration::from_secs(30);
/// A client that says nothing for this long, not even to a ping, is gone.
const CLIENT_SILENCE: Duration = Duration::from_secs(90);
/// How long a client may take to accept a message before it is held to be gone.
const CLIENT_SEND: Duration = Duration::from_secs(60);
/// Standard input goes in pieces, so that a resize never waits behind a long paste.
const STDIN_PIECE_BYTES: usize = 16 * 1024;
const READ_BYTES: usize = 64 * 1024;
/// Largest size of a terminal that is believed.
const SIDE_MAX: u16 = 1_000;

const UNREADABLE: &str = "the workspace said something unreadable";

/// Messages that may wait for the client; each is at most one frame.
const OUTBOX: usize = 2;

/// Where messages to the client go. One task writes them, in their order.
type Client = mpsc::Sender<Message>;

/// A shell in the guest.
pub(super) struct Shell {
    /// Carries its frames.
    pub(super) stream: Upgraded,
    /// What it is told before anything else.
    pub(super) first: Option<Frame>,
}

/// How a terminal ended.
enum End {
    /// The client is done with the shell.
    Done,
    /// The shell lives on, or has ended by itself.
    Left,
    /// The shell lives on, and the client is told why it is cut off.
    Cut(&'static str),
}

/// Runs until one side ends, or the process or the client's permit does. Gives the session whose
/// client is done with it.
pub(super) async fn run(
    socket: WebSocket,
    shell: Shell,
    (shutdown, permit): (CancellationToken, Permit),
) -> Option<String> {
    let (sink, messages) = socket.split();
    let (client, outbox) = mpsc::channel(OUTBOX);
    let (from_guest, mut to_guest) = tokio::io::split(TokioIo::new(shell.stream));
    if let Some(frame) = &shell.first {
        write(&mut to_guest, frame).await?;
    }
    let down = Down { client: client.clone(), credit: Semaphore::new(0), session: OnceLock::new() };
    let deliver = deliver(sink, outbox);
    tokio::pin!(deliver);
    let end = tokio::select! {
        () = down.run(from_guest) => End::Left,
        end = up(messages, to_guest, &down.credit) => end,
        () = ping(&client) => End::Left,
        () = &mut deliver => return None,
        () = shutdown.cancelled() => {
            End::Cut("the platform restarts; attach again with this session")
        }
        () = permit.ended().cancelled() => End::Cut(GONE),
    };
    if let End::Cut(why) = end {
        tokio::select! {
            () = broke(&client, why) => {}
            () = &mut deliver => return None,
        }
    }
    drop(client);
    let Down { session, client, .. } = down;
    drop(client);
    // What was said last still goes out, and the end of the WebSocket after it.
    if timeout(CLIENT_SEND, deliver).await.is_err() {
        tracing::debug!("a terminal's client did not take the end");
    }
    match end {
        End::Done => session.into_inner(),
        End::Left | End::Cut(_) => None,
    }
}

/// Writes messages until there are no more or the client takes none.
async fn deliver(mut sink: SplitSink<WebSocket, Message>, mut outbox: mpsc::Receiver<Message>) {
    while let Some(message) = outbox.recv().await {
        match timeout(CLIENT_SEND, sink.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
    if sink.close().await.is_err() {
        tracing::debug!("a terminal's client was gone before the end");
    }
}

/// From the guest to the client.
struct Down {
    client: Client,
    /// How much standard input the guest takes.
    credit: Semaphore,
    session: OnceLock<String>,
}

impl Down {
    async fn run(&self, mut guest: ReadHalf<TokioIo<Upgraded>>) {
        let mut decoder = FrameDecoder::default();
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let read = match guest.read(&mut buffer).await {
                Ok(0) | Err(_) => {
                    return broke(&self.client, "the connection to the workspace ended").await;
                }
                Ok(read) => read,
            };
            decoder.push(buffer.get(..read).unwrap_or_default());
            if self.frames(&mut decoder).await.is_none() {
                return;
            }
        }
    }

    /// Hands on the frames that are whole; none once there is nothing more to do.
    async fn frames(&self, decoder: &mut FrameDecoder) -> Option<()> {
        loop {
            match decoder.next_frame() {
                Ok(None) => return Some(()),
                Ok(Some(frame)) => self.frame(frame).await?,
                Err(error) => {
                    tracing::info!(%error, "a guest broke the form of frames");
                    broke(&self.client, UNREADABLE).await;
                    return None;
                }
            }
        }
    }

    async fn frame(&self, frame: Frame) -> Option<()> {
        match frame {
            Frame::Stdout(bytes) | Frame::Stderr(bytes) => {
                send(&self.client, Message::Binary(Bytes::from(bytes))).await
            }
            Frame::Started(started) if is_session(&started.id) => {
                // A second one would be a lie: the first one counts.
                let session = self.session.get_or_init(|| started.id).clone();
                notify(&self.client, &TerminalNotice::Session(session)).await
            }
            Frame::Credit(bytes) => {
                let window = usize::try_from(STDIN_WINDOW_BYTES).unwrap_or(usize::MAX);
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                // A guest cannot make us believe in more than its window.
                let room = window.saturating_sub(self.credit.available_permits());
                self.credit.add_permits(bytes.min(room));
                Some(())
            }
            // What fell out of the replay buffer is older than what is shown.
            Frame::Lost(_) => Some(()),
            Frame::Exit(exit) => {
                notify(&self.client, &TerminalNotice::Exit(exit)).await?;
                None
            }
            Frame::Error(message) => {
                broke(&self.client, &message.chars().take(1_024).collect::<String>()).await;
                None
            }
            Frame::Started(_)
            | Frame::Stdin(_)
            | Frame::StdinEnd
            | Frame::Resize(_)
            | Frame::Signal(_) => {
                broke(&self.client, UNREADABLE).await;
                None
            }
        }
    }
}

/// From the client to the guest.
async fn up(
    mut messages: SplitStream<WebSocket>,
    mut guest: WriteHalf<TokioIo<Upgraded>>,
    credit: &Semaphore,
) -> End {
    loop {
        let message = match timeout(CLIENT_SILENCE, messages.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(_)) | None) | Err(_) => return End::Left,
        };
        let written = match message {
            Message::Binary(bytes) => input(&mut guest, &bytes, credit).await,
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(TerminalRequest::Resize(size)) => {
                    write(&mut guest, &Frame::Resize(bounded(size))).await
                }
                // A newer client may say more than is known here.
                Err(_) => Some(()),
            },
            Message::Ping(_) | Message::Pong(_) => Some(()),
            Message::Close(Some(frame)) if frame.code == close_code::NORMAL => return End::Done,
            Message::Close(_) => return End::Left,
        };
        if written.is_none() {
            return End::Left;
        }
    }
}

fn bounded(size: TtySize) -> TtySize {
    TtySize { cols: size.cols.clamp(1, SIDE_MAX), rows: size.rows.clamp(1, SIDE_MAX) }
}

async fn input(
    guest: &mut WriteHalf<TokioIo<Upgraded>>,
    bytes: &[u8],
    credit: &Semaphore,
) -> Option<()> {
    for piece in bytes.chunks(STDIN_PIECE_BYTES) {
        let wanted = u32::try_from(piece.len()).ok()?;
        credit.acquire_many(wanted).await.ok()?.forget();
        write(guest, &Frame::Stdin(piece.to_vec())).await?;
    }
    Some(())
}

async fn write(guest: &mut WriteHalf<TokioIo<Upgraded>>, frame: &Frame) -> Option<()> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    guest.write_all(&bytes).await.ok()?;
    guest.flush().await.ok()
}

async fn ping(client: &Client) {
    let mut ticks = interval(PING);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if send(client, Message::Ping(Bytes::new())).await.is_none() {
            return;
        }
    }
}

async fn broke(client: &Client, message: &str) {
    let error = TerminalError { code: "unavailable".to_owned(), message: message.to_owned() };
    notify(client, &TerminalNotice::Error(error)).await;
}

async fn notify<T: Serialize>(client: &Client, notice: &T) -> Option<()> {
    let text = serde_json::to_string(notice).ok()?;
    send(client, Message::Text(text.into())).await
}

async fn send(client: &Client, message: Message) -> Option<()> {
    client.send(message).await.ok()
}
