//! One packet of the line: session tag, kind, stream, length, payload (all numbers big endian).
//! Does not know which packet may come when (see `machine`).

use super::{StreamId, cobs};

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 16;

/// Random bytes that tell a session from every other.
pub type Nonce = [u8; NONCE_BYTES];

/// Most bytes of a stream in one packet: four pages, which is what the guest's driver takes in
/// without waiting.
pub const PAYLOAD_MAX_BYTES: usize = 16 * 1024;

/// Version of everything in this module. Host and guest must have the same.
pub(super) const VERSION: u8 = 1;

const HEADER_BYTES: usize = 11;

/// Longest packet before byte stuffing.
pub(super) const PACKET_MAX_BYTES: usize = HEADER_BYTES + PAYLOAD_MAX_BYTES;

/// Tells the packets of one session from those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(u32);

impl Tag {
    /// The tag of packets that belong to no session.
    pub(super) const NONE: Self = Self(0);

    /// The tag of the session with this nonce.
    pub(super) fn of(nonce: &Nonce) -> Self {
        let [a, b, c, d, ..] = *nonce;
        Self(u32::from_be_bytes([a, b, c, d]).max(1))
    }
}

/// What a packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message<'a> {
    /// Guest: a new agent is here.
    Greeting,
    /// Host: a new session begins.
    Hello(Nonce),
    /// Guest: the session with this nonce has begun.
    Welcome(Nonce),
    /// Host: a new stream to a port of the agent.
    Open(StreamId, u32),
    /// Guest: the stream is taken.
    Opened(StreamId),
    /// Bytes of a stream.
    Data(StreamId, &'a [u8]),
    /// So many more bytes may be sent.
    Window(StreamId, u32),
    /// No more bytes come in this direction.
    Finish(StreamId),
    /// The stream is gone.
    Reset(StreamId),
}

mod kind {
    pub(super) const GREETING: u8 = 1;
    pub(super) const HELLO: u8 = 2;
    pub(super) const WELCOME: u8 = 3;
    pub(super) const OPEN: u8 = 4;
    pub(super) const OPENED: u8 = 5;
    pub(super) const DATA: u8 = 6;
    pub(super) const WINDOW: u8 = 7;
    pub(super) const FINISH: u8 = 8;
    pub(super) const RESET: u8 = 9;
}

/// Appends a packet to the line.
pub(super) fn encode(tag: Tag, message: Message<'_>, out: &mut Vec<u8>) {
    let number;
    let mut greeting = [VERSION; NONCE_BYTES + 1];
    let (kind, stream, payload): (u8, StreamId, &[u8]) = match message {
        Message::Greeting => (kind::GREETING, StreamId(0), &[VERSION]),
        Message::Hello(nonce) | Message::Welcome(nonce) => {
            for (place, byte) in greeting.iter_mut().skip(1).zip(nonce) {
                *place = byte;
            }
            let is_hello = matches!(message, Message::Hello(_));
            (if is_hello { kind::HELLO } else { kind::WELCOME }, StreamId(0), &greeting)
        }
        Message::Open(id, port) => {
            number = port.to_be_bytes();
            (kind::OPEN, id, &number)
        }
        Message::Opened(id) => (kind::OPENED, id, &[]),
        Message::Data(id, bytes) => (kind::DATA, id, bytes),
        Message::Window(id, bytes) => {
            number = bytes.to_be_bytes();
            (kind::WINDOW, id, &number)
        }
        Message::Finish(id) => (kind::FINISH, id, &[]),
        Message::Reset(id) => (kind::RESET, id, &[]),
    };
    let length = u16::try_from(payload.len()).expect("callers keep to PAYLOAD_MAX_BYTES");
    cobs::encode(
        &[&tag.0.to_be_bytes(), &[kind], &stream.0.to_be_bytes(), &length.to_be_bytes(), payload],
        out,
    );
}

/// Reads a packet; none when it is malformed, cut short, or of another version.
pub(super) fn decode(packet: &[u8]) -> Option<(Tag, Message<'_>)> {
    let (header, payload) = packet.split_first_chunk::<HEADER_BYTES>()?;
    let &[t0, t1, t2, t3, kind, s0, s1, s2, s3, l0, l1] = header;
    if usize::from(u16::from_be_bytes([l0, l1])) != payload.len() {
        return None;
    }
    let tag = Tag(u32::from_be_bytes([t0, t1, t2, t3]));
    let id = StreamId(u32::from_be_bytes([s0, s1, s2, s3]));
    let number = || payload.try_into().ok().map(u32::from_be_bytes);
    let nonce = || match payload.split_first() {
        Some((&VERSION, nonce)) => Nonce::try_from(nonce).ok(),
        _ => None,
    };
    let message = match kind {
        kind::GREETING if payload == [VERSION] => Message::Greeting,
        kind::HELLO => Message::Hello(nonce()?),
        kind::WELCOME => Message::Welcome(nonce()?),
        kind::OPEN => Message::Open(id, number()?),
        kind::OPENED if payload.is_empty() => Message::Opened(id),
        kind::DATA if payload.len() <= PAYLOAD_MAX_BYTES => Message::Data(id, payload),
        kind::WINDOW => Message::Window(id, number()?),
        kind::FINISH if payload.is_empty() => Message::Finish(id),
        kind::RESET if payload.is_empty() => Message::Reset(id),
        _ => return None,
    };
    Some((tag, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_read_back() {
        let nonce = [7; NONCE_BYTES];
        let id = StreamId(0x0102_0300);
        let bytes = [0; PAYLOAD_MAX_BYTES];
        for message in [
            Message::Greeting,
            Message::Hello(nonce),
            Message::Welcome(nonce),
            Message::Open(id, 1024),
            Message::Opened(id),
            Message::Data(id, &bytes),
            Message::Data(id, &[]),
            Message::Window(id, 65_536),
            Message::Finish(id),
            Message::Reset(id),
        ] {
            let mut line = Vec::new();
            encode(Tag::of(&nonce), message, &mut line);
            let packet = cobs::Decoder::default().next_packet(&mut &line[..]).unwrap();
            assert_eq!(decode(&packet), Some((Tag::of(&nonce), message)));
            assert_eq!(decode(&packet[..packet.len() - 1]), None, "cut short: {message:?}");
        }
    }
}
