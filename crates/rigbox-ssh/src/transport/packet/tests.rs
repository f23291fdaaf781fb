use std::{
    pin::Pin,
    task::{Context, Poll},
};

use proptest::prelude::*;
use tokio::io::ReadBuf;

use super::*;
use crate::transport::cipher::Cipher;

/// A stream that hands out its bytes in pieces.
struct Pieces {
    bytes: Vec<u8>,
    at: usize,
    sizes: Vec<usize>,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let size = self.sizes.pop().unwrap_or(usize::MAX).max(1);
        let end = (self.at + size.min(buffer.remaining())).min(self.bytes.len());
        buffer.put_slice(&self.bytes[self.at..end]);
        self.at = end;
        Poll::Ready(Ok(()))
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn keys(cipher: Option<Cipher>) -> (Sealing, Opening) {
    cipher.map_or((Sealing::Clear, Opening::Clear), |cipher| {
        let (key, iv) = cipher.sizes();
        let (key, iv) = (vec![7; key], vec![9; iv]);
        (cipher.seal_with(&key, &iv).unwrap(), cipher.open_with(&key, &iv).unwrap())
    })
}

/// What messages look like on the wire.
fn sealed(cipher: Option<Cipher>, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = PacketWriter::new(&mut bytes);
    writer.key = keys(cipher).0;
    for message in messages {
        writer.queue(message).unwrap();
    }
    run(writer.flush()).unwrap();
    bytes
}

/// The messages that are read until the first error, and that error.
fn read(
    cipher: Option<Cipher>,
    bytes: &[u8],
    sizes: &[usize],
    begun: usize,
) -> (Vec<Vec<u8>>, SshError) {
    let (early, late) = bytes.split_at(begun.min(bytes.len()));
    let pieces = Pieces { bytes: late.to_vec(), at: 0, sizes: sizes.to_vec() };
    let mut reader = PacketReader::new(pieces, BytesMut::from(early));
    (reader.key, reader.limit) = (keys(cipher).1, SESSIONS_PACKET);
    let mut messages = Vec::new();
    loop {
        match run(reader.advance()) {
            Ok(()) => messages.push(reader.payload().to_vec()),
            Err(error) => return (messages, error),
        }
        assert!(reader.buffer.capacity() <= SESSIONS_PACKET + 2 * READ);
    }
}

fn ciphers() -> impl Strategy<Value = Option<Cipher>> {
    prop_oneof![
        Just(None),
        Just(Some(Cipher::Aes256Gcm)),
        Just(Some(Cipher::Aes128Gcm)),
        Just(Some(Cipher::ChaCha20Poly1305)),
    ]
}

fn messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let short = prop::collection::vec(any::<u8>(), 1..100);
    let long = (1_usize..70_000).prop_map(|length| vec![3; length]);
    prop::collection::vec(prop_oneof![4 => short, 1 => long], 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_in_any_pieces(
        cipher in ciphers(),
        messages in messages(),
        sizes in prop::collection::vec(1_usize..5_000, 0..40),
        begun in 0_usize..300,
    ) {
        let bytes = sealed(cipher, &messages);
        let (got, end) = read(cipher, &bytes, &sizes, begun);
        prop_assert!(matches!(end, SshError::Closed), "{end}");
        prop_assert!(got == messages);
    }

    #[test]
    fn what_was_changed_or_cut_is_never_handed_out(
        cipher in ciphers().prop_filter("sealed", Option::is_some),
        messages in messages(),
        at in any::<prop::sample::Index>(),
        change in 1_u8..,
        cut in any::<bool>(),
    ) {
        let mut bytes = sealed(cipher, &messages);
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= change;
        }
        let (got, _) = read(cipher, &bytes, &[], 0);
        prop_assert!(got.len() < messages.len());
        prop_assert!(got[..] == messages[..got.len()]);
    }

    #[test]
    fn noise_is_read_without_harm(
        cipher in ciphers(),
        bytes in prop::collection::vec(any::<u8>(), 0..2_000),
        small in any::<bool>(),
        sizes in prop::collection::vec(1_usize..50, 0..40),
    ) {
        let mut bytes = bytes;
        // Lengths that look like some.
        if let (true, Some(length)) = (small, bytes.first_chunk_mut::<3>()) {
            *length = [0, 0, 0];
        }
        let (got, _) = read(cipher, &bytes, &sizes, 0);
        prop_assert!(cipher.is_none() || got.is_empty());
    }
}

#[test]
fn somebody_idle_costs_no_more_than_a_key_press() {
    let message = vec![vec![1; 60_000]; 5];
    let bytes = sealed(None, &message);
    let mut reader = PacketReader::new(&bytes[..], BytesMut::new());
    reader.allowance = None;
    reader.limit = SESSIONS_PACKET;
    for _ in 0..message.len() {
        run(reader.advance()).unwrap();
    }
    assert!(matches!(run(reader.advance()), Err(SshError::Closed)));
    assert!(reader.buffer.capacity() <= READ);
    // Then somebody types.
    let typed = sealed(None, &[vec![1; 20]]);
    let mut reader = PacketReader::new(&typed[..], BytesMut::new());
    run(reader.advance()).unwrap();
    assert!(run(reader.advance()).is_err());
    assert!(reader.buffer.capacity() <= KEEP);
}
