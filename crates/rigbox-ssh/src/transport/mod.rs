//! The transport layer of one connection (RFC 4253): packets that are sealed, and keys that are renewed.
//! Invariants: a message is handed out only after its packet was verified; while keys are renewed
//! nothing else is sent; messages keep their order; of the two connections of a session at most one
//! waits for an answer to a renewal that we began.
//! Does not know who is at the other end, nor what is said after the keys are there.

mod cipher;
mod kex;
mod negotiation;
mod packet;
mod renewal;

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::{Mutex, MutexGuard, Notify},
    time::timeout,
};

pub(crate) use self::renewal::Renewal;

use self::{
    kex::{Half, Said},
    negotiation::{Agreed, Offer, Side, offer},
    packet::{PacketReader, PacketWriter, SESSIONS_PACKET},
};
use crate::{
    error::SshError,
    key::{HostKey, PublicKey, SIGNATURES},
    msg,
    wire::{Put as _, Reader},
};

/// How we call ourselves.
const VERSION: &[u8] = b"SSH-2.0-Rigbox";
/// Longest line of a version (RFC 4253, section 4.2).
const VERSION_MAX: usize = 255;
/// Most bytes that a server may say before its version.
const GREETING_MAX: usize = 8 * 1024;
/// How long a renewal of keys may take once both sides have begun it.
const REKEY_TIMEOUT: Duration = Duration::from_secs(60);
/// Most bytes of answers that are kept until keys are renewed.
const HELD_MAX: usize = 64 * 1024;
/// The extension whose messages hide when something is typed (OpenSSH, PROTOCOL, section 1.10).
const PING: &str = "ping@openssh.com";

type Input = Box<dyn AsyncRead + Send + Unpin>;
type Output = Box<dyn AsyncWrite + Send + Unpin>;

/// Which end we are, with the key that makes the connection good.
#[derive(Clone)]
pub(crate) enum Role {
    /// We show this one.
    Server(Arc<HostKey>),
    /// The other side has to have this one.
    Client(PublicKey),
}

impl Role {
    fn side(&self) -> Side {
        match self {
            Self::Server(_) => Side::Server,
            Self::Client(_) => Side::Client,
        }
    }
}

/// What comes in.
pub(crate) struct Incoming {
    reader: PacketReader<Input>,
    out: Arc<Outgoing>,
    role: Role,
    their_version: Vec<u8>,
    /// Hash of the first exchange; none before it.
    session: Option<[u8; 32]>,
    strict: bool,
    renewal: Renewal,
}

/// What goes out.
pub(crate) struct Outgoing {
    side: Side,
    state: Mutex<Out>,
    renewed: Notify,
}

struct Out {
    writer: PacketWriter<Output>,
    renewal: Renewal,
    /// Our offer, from when it was sent until the other side's has come.
    offered: Option<Vec<u8>>,
    /// Answers that were given meanwhile.
    held: Vec<Vec<u8>>,
}

/// Takes a connection up: versions and first keys.
pub(crate) async fn open<S>(stream: S, role: Role, renewal: Renewal) -> Result<Incoming, SshError>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (input, output) = tokio::io::split(stream);
    let (mut input, mut output): (Input, Output) = (Box::new(input), Box::new(output));
    output.write_all(&[VERSION, b"\r\n"].concat()).await?;
    output.flush().await?;
    let mut buffer = BytesMut::new();
    let their_version = read_version(&mut input, &mut buffer, role.side()).await?;
    let (writer, side) = (PacketWriter::new(output), role.side());
    let out = Out { writer, renewal: renewal.clone(), offered: None, held: Vec::new() };
    let mut incoming = Incoming {
        reader: PacketReader::new(input, buffer),
        out: Arc::new(Outgoing { side, state: Mutex::new(out), renewed: Notify::new() }),
        role,
        their_version,
        session: None,
        strict: false,
        renewal,
    };
    incoming.out.state.lock().await.begin(side, true).await?;
    incoming.reader.advance().await?;
    let theirs = incoming.reader.payload().to_vec();
    incoming.exchange(theirs).await?;
    Ok(incoming)
}

async fn read_version(
    input: &mut Input,
    buffer: &mut BytesMut,
    ours: Side,
) -> Result<Vec<u8>, SshError> {
    let mut read = 0;
    loop {
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line = buffer.split_to(end + 1);
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.starts_with(b"SSH-") {
                let good = line.starts_with(b"SSH-2.0-") || line.starts_with(b"SSH-1.99-");
                let plain = line.iter().all(|byte| (b' '..=b'~').contains(byte));
                if !good || !plain || line.len() > VERSION_MAX {
                    return Err(SshError::Malformed("a version that is not SSH 2.0"));
                }
                return Ok(line.to_vec());
            }
            if ours == Side::Server {
                return Err(SshError::Malformed("a client begins with something else"));
            }
        }
        if buffer.len() > VERSION_MAX || read > GREETING_MAX {
            return Err(SshError::Malformed("a greeting is too long"));
        }
        match input.read_buf(buffer).await? {
            0 => return Err(SshError::Closed),
            more => read += more,
        }
    }
}

impl Incoming {
    /// Where answers go.
    pub(crate) fn outgoing(&self) -> Arc<Outgoing> {
        self.out.clone()
    }

    /// When its keys are renewed, for the other connection of the session.
    pub(crate) fn renewal(&self) -> Renewal {
        self.renewal.clone()
    }

    /// What is signed to show that somebody is on this connection and no other.
    pub(crate) fn session_id(&self) -> &[u8] {
        self.session.as_ref().map_or(&[], |hash| hash.as_slice())
    }

    /// From now on packets may have the size that sessions need.
    pub(crate) fn trust(&mut self) {
        self.reader.limit = SESSIONS_PACKET;
        self.reader.allowance = None;
    }

    /// Reads on until the other side ends, of which nothing is looked at: a connection that is closed
    /// with something unread may take with it what was sent last.
    pub(crate) async fn drain(&mut self) {
        self.reader.drain().await;
    }

    /// The next message that is not the transport's own. Giving up while it waits may break the
    /// connection: only to end it.
    pub(crate) async fn next(&mut self) -> Result<&[u8], SshError> {
        while !self.step().await? {}
        Ok(self.message())
    }

    /// Reads one packet; whether its message is not the transport's own, and is now
    /// [`Self::message`]. To give up while it waits, see [`Self::next`].
    pub(crate) async fn step(&mut self) -> Result<bool, SshError> {
        let is_trusted = self.reader.allowance.is_none();
        if is_trusted && self.renewal.is_due(self.reader.bytes, self.reader.packets) {
            let mut out = self.out.state.lock().await;
            if out.renew(self.role.side()).await? {
                // Asked for once; the exchange counts anew.
                (self.reader.bytes, self.reader.packets) = (0, 0);
                self.renewal.begins();
            }
        }
        self.reader.advance().await?;
        match self.kind() {
            msg::IGNORE | msg::DEBUG | msg::UNIMPLEMENTED | msg::EXT_INFO => Ok(false),
            msg::DISCONNECT => Err(disconnected(self.reader.payload())),
            // An exchange costs us more than it costs who asks for it.
            msg::KEXINIT if !is_trusted => {
                Err(SshError::Malformed("keys are renewed before being let in"))
            }
            msg::KEXINIT => {
                let theirs = self.reader.payload().to_vec();
                let exchange = timeout(REKEY_TIMEOUT, self.exchange(theirs)).await;
                exchange.map_err(|_| SshError::TooSlow("the renewal of keys"))??;
                Ok(false)
            }
            msg::NEWKEYS..50 => Err(SshError::Malformed("a key exchange out of turn")),
            msg::PING if is_trusted => {
                let mut pong = vec![msg::PONG];
                pong.extend_from_slice(self.message().get(1..).unwrap_or_default());
                self.out.answer(pong).await?;
                Ok(false)
            }
            kind if is_trusted && !(50..128).contains(&kind) => {
                let mut unknown = vec![msg::UNIMPLEMENTED];
                unknown.put_u32(self.reader.sequence.wrapping_sub(1));
                self.out.answer(unknown).await?;
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    /// The message of the packet that was read last.
    pub(crate) fn message(&self) -> &[u8] {
        self.reader.payload()
    }

    /// Whether another message is there without waiting.
    pub(crate) fn has_more(&self) -> bool {
        self.reader.has_more()
    }

    /// Its number.
    pub(crate) fn kind(&self) -> u8 {
        self.reader.payload().first().copied().unwrap_or_default()
    }

    /// Makes new keys, of the other side's offer.
    async fn exchange(&mut self, theirs: Vec<u8>) -> Result<(), SshError> {
        let out = self.out.clone();
        let mut out = out.state.lock().await;
        let (side, first) = (self.role.side(), self.session.is_none());
        out.begin(side, first).await?;
        let ours = out.offered.take().unwrap_or_default();
        let offer = Offer::read(&theirs)?;
        if first {
            self.strict = offer.is_strict(side);
        }
        let extensions = first && side == Side::Server && offer.wants_extensions();
        let agreed = offer.agree(side, self.strict)?;
        if agreed.skip_guess {
            self.of_exchange(first).await?;
        }
        let secret = match self.role.clone() {
            Role::Server(key) => {
                let half = Half::make()?;
                self.of_exchange(first).await?;
                let said = Said {
                    client_version: &self.their_version,
                    server_version: VERSION,
                    client_offer: &theirs,
                    server_offer: &ours,
                };
                let (reply, secret) = half.answer(&said, self.reader.payload(), &key)?;
                out.writer.queue(&reply)?;
                secret
            }
            Role::Client(known) => {
                let half = Half::make()?;
                out.writer.queue(&half.init())?;
                out.writer.flush().await?;
                self.of_exchange(first).await?;
                let said = Said {
                    client_version: VERSION,
                    server_version: &self.their_version,
                    client_offer: &ours,
                    server_offer: &theirs,
                };
                half.finish(&said, self.reader.payload(), &known)?
            }
        };
        let session = *self.session.get_or_insert(secret.hash);
        self.renew(&mut out, (&secret, &session), &agreed, first).await?;
        if extensions {
            out.writer.queue(&our_extensions())?;
        }
        for answer in std::mem::take(&mut out.held) {
            out.writer.queue(&answer)?;
        }
        out.writer.flush().await?;
        drop(out);
        self.out.renewed.notify_waiters();
        Ok(())
    }

    /// Both sides say that the new keys begin, and they do.
    async fn renew(
        &mut self,
        out: &mut Out,
        (secret, session): (&kex::Secret, &[u8; 32]),
        agreed: &Agreed,
        first: bool,
    ) -> Result<(), SshError> {
        let (opening, sealing) = secret.keys(session, agreed, self.role.side())?;
        out.writer.queue(&[msg::NEWKEYS])?;
        out.writer.key = sealing;
        (out.writer.bytes, out.writer.packets) = (0, 0);
        out.renewal.is_done();
        if self.strict {
            out.writer.sequence = 0;
        }
        out.writer.flush().await?;
        self.of_exchange(first).await?;
        if self.reader.payload() != [msg::NEWKEYS] {
            return Err(SshError::Malformed("a key exchange ends with something else"));
        }
        self.reader.key = opening;
        (self.reader.bytes, self.reader.packets) = (0, 0);
        self.renewal.begins();
        if self.strict {
            self.reader.sequence = 0;
        }
        Ok(())
    }

    /// The next message of an exchange that is under way.
    async fn of_exchange(&mut self, first: bool) -> Result<(), SshError> {
        loop {
            self.reader.advance().await?;
            match self.kind() {
                // Strict key exchange: nothing that could be cut out unseen.
                msg::IGNORE | msg::DEBUG | msg::UNIMPLEMENTED if !(self.strict && first) => {}
                msg::DISCONNECT => return Err(disconnected(self.reader.payload())),
                msg::NEWKEYS..50 => return Ok(()),
                _ => return Err(SshError::Malformed("a key exchange is interrupted")),
            }
        }
    }
}

impl Out {
    async fn begin(&mut self, side: Side, first: bool) -> Result<(), SshError> {
        if self.offered.is_none() {
            let ours = offer(side, first)?;
            self.writer.queue(&ours)?;
            self.writer.flush().await?;
            self.offered = Some(ours);
        }
        Ok(())
    }

    /// Begins a renewal of our own, where it is this connection's turn: while one waits for the other
    /// side's offer, what comes before that has to get through the other connection.
    async fn renew(&mut self, side: Side) -> Result<bool, SshError> {
        if self.offered.is_none() && !self.renewal.takes_turn() {
            return Ok(false);
        }
        self.begin(side, false).await?;
        // Asked for once; the exchange counts anew.
        self.writer.bytes = 0;
        self.renewal.begins();
        Ok(true)
    }
}

impl Outgoing {
    /// Sends a message once it may be sent. Without `at_once` it may wait for the next one. Waits for
    /// somebody who does not read, or not renew keys, as long as the connection is there: who is
    /// stopped with Ctrl-Z has not left.
    pub(crate) async fn send(&self, message: &[u8], at_once: bool) -> Result<(), SshError> {
        let mut out = self.ready().await;
        out.writer.queue(message)?;
        if at_once {
            out.writer.flush().await?;
        }
        // Not before somebody is let in.
        let of_session = message.first().copied().is_some_and(msg::of_connection);
        if of_session && out.renewal.is_due(out.writer.bytes, out.writer.packets) {
            out.renew(self.side).await?;
        }
        Ok(())
    }

    /// Answers the other side. For who reads what comes from there: does not wait for a renewal of
    /// keys, which would be waiting for oneself.
    pub(crate) async fn answer(&self, message: Vec<u8>) -> Result<(), SshError> {
        let mut out = self.state.lock().await;
        if out.offered.is_none() {
            out.writer.queue(&message)?;
            return out.writer.flush().await;
        }
        let held: usize = out.held.iter().map(Vec::len).sum();
        if held + message.len() > HELD_MAX {
            return Err(SshError::Malformed("too much is asked for while keys are renewed"));
        }
        out.held.push(message);
        Ok(())
    }

    /// Sends what waits for a next one that does not come.
    pub(crate) async fn flush(&self) -> Result<(), SshError> {
        self.state.lock().await.writer.flush().await
    }

    /// Ends the connection with a reason. What was sent before is delivered first.
    pub(crate) async fn disconnect(&self, reason: u32, why: &str) -> Result<(), SshError> {
        let mut message = vec![msg::DISCONNECT];
        message.put_u32(reason);
        message.put_string(why.as_bytes());
        message.put_string(b"");
        let mut out = self.state.lock().await;
        out.writer.queue(&message)?;
        out.writer.flush().await?;
        out.writer.shutdown().await
    }

    async fn ready(&self) -> MutexGuard<'_, Out> {
        loop {
            let renewed = self.renewed.notified();
            tokio::pin!(renewed);
            renewed.as_mut().enable();
            let out = self.state.lock().await;
            if out.offered.is_none() {
                return out;
            }
            drop(out);
            renewed.await;
        }
    }
}

/// What a client may sign with (RFC 8308, section 3.1).
fn our_extensions() -> Vec<u8> {
    let mut out = vec![msg::EXT_INFO];
    out.put_u32(2);
    out.put_string(b"server-sig-algs");
    out.put_string(SIGNATURES.as_bytes());
    out.put_string(PING.as_bytes());
    out.put_string(b"0");
    out
}

fn disconnected(payload: &[u8]) -> SshError {
    const TOLD: usize = 256;
    let mut reader = Reader::new(payload);
    let why = (|| {
        reader.u8()?;
        reader.u32()?;
        reader.string()
    })();
    let why = String::from_utf8_lossy(why.unwrap_or_default());
    SshError::Disconnected(why.chars().filter(|c| !c.is_control()).take(TOLD).collect())
}

#[cfg(test)]
pub(crate) fn read_without_harm(message: &[u8]) {
    drop(Offer::read(message).map(|offer| offer.agree(Side::Server, true)));
    disconnected(message);
}
