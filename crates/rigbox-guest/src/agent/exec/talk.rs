//! Talks frames with whoever is attached to a command.

use std::time::Duration;

use rigbox_types::guest::frame::{Frame, FrameDecoder};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tracing::debug;

use super::{
    Attached,
    replay::{Item, Source},
    session::Session,
};

/// Read at once.
const READ_BYTES: usize = 32 * 1024;

/// Longest that is read from a side that has left.
const REST_MAX: Duration = Duration::from_secs(5);

/// How telling ended.
enum Told {
    /// The end of the command was told.
    Exit,
    /// The other side does not listen any more.
    Gone,
}

/// Carries frames until the command or the stream ends.
pub(crate) async fn talk(attached: Attached, stream: impl AsyncRead + AsyncWrite) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let ended = {
        let listening = listen(&attached.session, &mut reader);
        let telling = tell(&attached, &mut writer);
        tokio::pin!(listening);
        tokio::select! {
            ended = &mut listening => ended,
            told = telling => match told {
                Ok(Told::Exit) => Ok(()),
                // What the other side has typed before it left is still on its way.
                Ok(Told::Gone) => {
                    tokio::time::timeout(REST_MAX, listening).await.unwrap_or(Ok(()))
                }
                Err(reason) => Err(reason),
            },
        }
    };
    if let Err(reason) = ended {
        debug!(reason, "exec stream cut");
        let mut bytes = Vec::new();
        Frame::Error(reason.to_owned()).encode(&mut bytes);
        // The other side may be gone already; then there is nobody to tell.
        let _untold = writer.write_all(&bytes).await;
    }
    let _gone = writer.shutdown().await;
}

/// Takes frames in until the other side is gone.
async fn listen(
    session: &Session,
    reader: &mut (impl AsyncRead + Unpin),
) -> Result<(), &'static str> {
    let mut decoder = FrameDecoder::default();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        // A stream that is cut is a client that has left.
        let count = reader.read(&mut buffer).await.unwrap_or_default();
        if count == 0 {
            return Ok(());
        }
        decoder.push(buffer.get(..count).unwrap_or_default());
        while let Some(frame) = decoder.next_frame().map_err(|_| "malformed frame")? {
            match frame {
                Frame::Stdin(bytes) => {
                    session.input.push(&bytes).map_err(|_| "more input than there was credit")?;
                }
                Frame::StdinEnd => session.input.end(),
                Frame::Resize(size) => session.resize(size),
                Frame::Signal(number) => session.signal(number),
                _ => return Err("a frame that only the workspace sends"),
            }
        }
    }
}

/// Sends frames until the command has ended.
async fn tell(
    attached: &Attached,
    writer: &mut (impl AsyncWrite + Unpin),
) -> Result<Told, &'static str> {
    attached.session.input.attach();
    let mut next = Frame::Started(attached.session.started());
    // The first credit follows the start.
    attached.session.output.input_taken();
    loop {
        let mut bytes = Vec::new();
        next.encode(&mut bytes);
        if writer.write_all(&bytes).await.is_err() {
            return Ok(Told::Gone);
        }
        if matches!(next, Frame::Exit(_)) {
            attached.forget();
            return Ok(Told::Exit);
        }
        next = match attached.next().await {
            Item::Lost(bytes) => Frame::Lost(bytes),
            Item::Output(Source::Stdout, bytes) => Frame::Stdout(bytes),
            Item::Output(Source::Stderr, bytes) => Frame::Stderr(bytes),
            Item::InputTaken => Frame::Credit(attached.session.input.grant()),
            Item::Exit(exit) => Frame::Exit(exit),
            Item::Replaced => return Err("another client has attached"),
        };
    }
}
