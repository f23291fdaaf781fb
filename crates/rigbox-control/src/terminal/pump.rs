//! Carries one terminal: WebSocket messages to frames and back, with backpressure both ways.
//!
//! ```text
//! client ── binary ──> Stdin (within the guest's credit) ──> guest
//! client ── {resize} ─> Resize                            ──> guest
//! client <─ binary ──  Stdout, Stderr                     <── guest
//! client <─ {session}, {exit}, {error}                    <── Started, Exit, Error
//! ```
//!
//! Invariant: at most one message and one frame are held per direction. Ending the WebSocket leaves
//! the shell running; the shell's end ends the WebSocket.

use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
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

/// Messages that may wait for the client; each is at most one frame.
const OUTBOX: usize = 2;

/// Where messages to the client go. One task writes them, in their order.
type Client = mpsc::Sender<Message>;

/// Runs until one side ends or the process does.
pub(super) async fn run(socket: WebSocket, guest: Upgraded, shutdown: CancellationToken) {
    let (sink, messages) = socket.split();
    let (client, outbox) = mpsc::channel(OUTBOX);
    let (from_guest, to_guest) = tokio::io::split(TokioIo::new(guest));
    let credit = Semaphore::new(0);
    let deliver = deliver(sink, outbox);
    tokio::pin!(deliver);
    tokio::select! {
        () = down(from_guest, &client, &credit) => {}
        () = up(messages, to_guest, &credit) => {}
        () = ping(&client) => {}
        () = &mut deliver => return,
        () = shutdown.cancelled() => {
            broke(&client, "the platform restarts; attach again with this session").await;
        }
    }
    drop(client);
    // What was said last still goes out, and the end of the WebSocket after it.
    if timeout(CLIENT_SEND, deliver).await.is_err() {
        tracing::debug!("a terminal's client did not take the end");
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
async fn down(mut guest: ReadHalf<TokioIo<Upgraded>>, client: &Client, credit: &Semaphore) {
    let mut decoder = FrameDecoder::default();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = match guest.read(&mut buffer).await {
            Ok(0) | Err(_) => return broke(client, "the connection to the workspace ended").await,
            Ok(read) => read,
        };
        decoder.push(buffer.get(..read).unwrap_or_default());
        loop {
            match decoder.next_frame() {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    if frame_down(frame, client, credit).await.is_none() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::info!(%error, "a guest broke the form of frames");
                    return broke(client, "the workspace said something unreadable").await;
                }
            }
        }
    }
}

/// Hands one frame on; none once there is nothing more to do.
async fn frame_down(frame: Frame, client: &Client, credit: &Semaphore) -> Option<()> {
    match frame {
        Frame::Stdout(bytes) | Frame::Stderr(bytes) => {
            send(client, Message::Binary(Bytes::from(bytes))).await
        }
        Frame::Started(started) => notify(client, &TerminalNotice::Session(started.id)).await,
        Frame::Credit(bytes) => {
            let window = usize::try_from(STDIN_WINDOW_BYTES).unwrap_or(usize::MAX);
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            // A guest cannot make us believe in more than its window.
            credit.add_permits(bytes.min(window.saturating_sub(credit.available_permits())));
            Some(())
        }
        // What fell out of the replay buffer is older than what is shown.
        Frame::Lost(_) => Some(()),
        Frame::Exit(exit) => {
            notify(client, &TerminalNotice::Exit(exit)).await?;
            None
        }
        Frame::Error(message) => {
            broke(client, &message.chars().take(1_024).collect::<String>()).await;
            None
        }
        Frame::Stdin(_) | Frame::StdinEnd | Frame::Resize(_) | Frame::Signal(_) => {
            broke(client, "the workspace said something unreadable").await;
            None
        }
    }
}

/// From the client to the guest.
async fn up(
    mut messages: SplitStream<WebSocket>,
    mut guest: WriteHalf<TokioIo<Upgraded>>,
    credit: &Semaphore,
) {
    loop {
        let message = match timeout(CLIENT_SILENCE, messages.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(_)) | None) | Err(_) => return,
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
            Message::Close(_) => return,
        };
        if written.is_none() {
            return;
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
