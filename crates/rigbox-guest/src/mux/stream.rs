//! One stream of a multiplexed line, as a socket. Dropping it resets what is not finished.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use rigbox_types::guest::mux::{OUTBOX_SOFT_BYTES, PAYLOAD_MAX_BYTES, StreamId};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Shared, State};

/// Bytes that are kept in one piece: as many as a packet has at most.
const CHUNK_BYTES: usize = PAYLOAD_MAX_BYTES;

/// What has arrived for a stream and who waits for it.
#[derive(Default)]
pub(crate) struct Slot {
    chunks: VecDeque<Vec<u8>>,
    /// Taken out of the first chunk.
    taken: usize,
    opened: bool,
    finished: bool,
    reset: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Slot {
    pub(super) fn open(&mut self) {
        self.opened = true;
        self.wake_reader();
    }

    /// Small packets share a chunk: what a stream holds is its window in memory, too.
    pub(super) fn receive(&mut self, mut bytes: Vec<u8>) {
        let fits = |last: &&mut Vec<u8>| last.len().saturating_add(bytes.len()) <= CHUNK_BYTES;
        match self.chunks.back_mut().filter(fits) {
            Some(last) => last.append(&mut bytes),
            None => self.chunks.push_back(bytes),
        }
        self.wake_reader();
    }

    pub(super) fn finish(&mut self) {
        self.finished = true;
        self.wake_reader();
    }

    /// What has arrived can still be read: a peer that has sent all and goes away loses nothing.
    pub(super) fn reset(&mut self) {
        self.reset = true;
        self.wake();
    }

    pub(super) fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    pub(super) fn wake(&mut self) {
        self.wake_reader();
        self.wake_writer();
    }

    fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    /// Moves bytes out; says how many.
    fn take(&mut self, into: &mut ReadBuf<'_>) -> usize {
        let before = into.remaining();
        while let Some(chunk) = self.chunks.front() {
            let rest = chunk.get(self.taken..).unwrap_or_default();
            let count = rest.len().min(into.remaining());
            into.put_slice(rest.get(..count).unwrap_or_default());
            if count < rest.len() {
                self.taken = self.taken.saturating_add(count);
                break;
            }
            self.chunks.pop_front();
            self.taken = 0;
        }
        before.saturating_sub(into.remaining())
    }
}

/// One stream.
pub(crate) struct MuxStream {
    id: StreamId,
    session: u64,
    /// None once there is nothing to reset.
    shared: Option<Arc<Shared>>,
}

impl MuxStream {
    pub(super) fn new(id: StreamId, session: u64, shared: Arc<Shared>) -> Self {
        Self { id, session, shared: Some(shared) }
    }

    /// Forgets the stream without touching the line.
    pub(super) fn defuse(mut self) {
        self.shared = None;
    }

    /// Its number, for the answer to `CONNECT`.
    pub(crate) fn id(&self) -> StreamId {
        self.id
    }

    /// Waits until the peer has taken the stream; an error when it refuses.
    pub(crate) async fn opened(&mut self) -> io::Result<()> {
        std::future::poll_fn(|context| {
            self.with(|state, id| {
                let slot = state.slots.get_mut(&id).ok_or(io::ErrorKind::ConnectionRefused)?;
                if slot.opened {
                    return Ok(Poll::Ready(()));
                }
                if slot.reset {
                    return Err(io::ErrorKind::ConnectionRefused);
                }
                slot.reader = Some(context.waker().clone());
                Ok(Poll::Pending)
            })
            .map_or_else(|kind| Poll::Ready(Err(kind.into())), |poll| poll.map(Ok))
        })
        .await
    }

    /// Acts on the state of this stream, unless its session is over.
    fn with<T>(
        &self,
        act: impl FnOnce(&mut State, StreamId) -> Result<T, io::ErrorKind>,
    ) -> Result<T, io::ErrorKind> {
        let shared = self.shared.as_ref().ok_or(io::ErrorKind::ConnectionReset)?;
        let mut state = shared.lock();
        if state.session != self.session {
            return Err(io::ErrorKind::ConnectionReset);
        }
        act(&mut state, self.id)
    }

    fn changed(&self) {
        if let Some(shared) = &self.shared {
            shared.changed();
        }
    }
}

impl AsyncRead for MuxStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let taken = self.with(|state, id| {
            let slot = state.slots.get_mut(&id).ok_or(io::ErrorKind::ConnectionReset)?;
            let count = slot.take(into);
            if count == 0 && !slot.finished && into.remaining() > 0 {
                if slot.reset {
                    return Err(io::ErrorKind::ConnectionReset);
                }
                slot.reader = Some(context.waker().clone());
                return Ok(Poll::Pending);
            }
            state.mux.credit(id, count);
            Ok(Poll::Ready(count))
        });
        match taken {
            Ok(Poll::Ready(count)) => {
                if count > 0 {
                    self.changed();
                }
                Poll::Ready(Ok(()))
            }
            Ok(Poll::Pending) => Poll::Pending,
            Err(kind) => Poll::Ready(Err(kind.into())),
        }
    }
}

impl AsyncWrite for MuxStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = self.with(|state, id| {
            let sent = state.mux.send(id, from).map_err(|_| io::ErrorKind::BrokenPipe)?;
            if sent == 0 && !from.is_empty() {
                if state.mux.output().len() >= OUTBOX_SOFT_BYTES {
                    state.block(context.waker());
                }
                if let Some(slot) = state.slots.get_mut(&id) {
                    slot.writer = Some(context.waker().clone());
                }
                return Ok(Poll::Pending);
            }
            Ok(Poll::Ready(sent))
        });
        match sent {
            Ok(Poll::Ready(count)) => {
                self.changed();
                Poll::Ready(Ok(count))
            }
            Ok(Poll::Pending) => Poll::Pending,
            Err(kind) => Poll::Ready(Err(kind.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let finished = self.with(|state, id| {
            state.mux.finish(id);
            Ok(())
        });
        self.changed();
        Poll::Ready(finished.map_err(io::Error::from))
    }
}

impl Drop for MuxStream {
    fn drop(&mut self) {
        // A session that is over has already forgotten the stream.
        let _over = self.with(|state, id| {
            state.slots.remove(&id);
            state.mux.reset(id);
            Ok(())
        });
        self.changed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_packets_take_no_more_room_than_a_few_large_ones() {
        let mut slot = Slot::default();
        let sent: Vec<u8> = (0..=255).cycle().take(65_536).collect();
        for byte in &sent {
            slot.receive(vec![*byte]);
        }
        assert_eq!(slot.chunks.len(), 4);
        let mut got = vec![0; sent.len()];
        let mut into = ReadBuf::new(&mut got);
        assert_eq!(slot.take(&mut into), sent.len());
        assert_eq!(got, sent);
    }
}
