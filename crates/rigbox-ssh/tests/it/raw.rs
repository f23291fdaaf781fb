//! A client of our own over a bare connection, which does what no good client does. X25519, AES-256-GCM
//! and Ed25519 alone.

use std::{io, net::SocketAddr, ops::Deref};

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral},
    digest::{Context, SHA256},
    rand::SystemRandom,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::world::within;

pub(crate) const VERSION: &[u8] = b"SSH-2.0-Raw";
const TAG: usize = 16;

/// A message, as it is put together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message(Vec<u8>);

pub(crate) fn message(kind: u8) -> Message {
    Message(vec![kind])
}

impl Message {
    pub(crate) fn byte(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(crate) fn number(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn bytes(mut self, value: &[u8]) -> Self {
        self.0.extend_from_slice(value);
        self
    }

    pub(crate) fn string(self, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.number(value.len().try_into().unwrap()).bytes(value)
    }

    /// A positive integer.
    fn integer(self, value: &[u8]) -> Self {
        let zeros = value.iter().take_while(|byte| **byte == 0).count();
        let value = &value[zeros..];
        let sign: &[u8] =
            if value.first().is_some_and(|first| first & 0x80 != 0) { &[0] } else { &[] };
        self.string([sign, value].concat())
    }
}

impl Deref for Message {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Somebody's key.
pub(crate) struct Key {
    pair: Ed25519KeyPair,
    pub(crate) public: Vec<u8>,
}

impl Key {
    pub(crate) fn new() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let public = Message::default().string("ssh-ed25519").string(pair.public_key()).0;
        Self { pair, public }
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        Message::default().string("ssh-ed25519").string(self.pair.sign(bytes)).0
    }

    /// A request to be let in that is signed for a session, with the key that it names.
    pub(crate) fn request(&self, session: &[u8], user: &str) -> Message {
        let request = self.named(user, true);
        let signed = Message::default().string(session).bytes(&request);
        request.string(self.sign(&signed))
    }

    /// The request without its signature.
    pub(crate) fn named(&self, user: &str, is_signed: bool) -> Message {
        ask(user, "publickey").byte(is_signed.into()).string("ssh-ed25519").string(&self.public)
    }
}

/// The beginning of any request to be let in.
pub(crate) fn ask(user: &str, method: &str) -> Message {
    message(50).string(user).string("ssh-connection").string(method)
}

/// What the client says it knows.
#[derive(Clone)]
pub(crate) struct Offer {
    pub(crate) kex: &'static str,
    pub(crate) host_key: &'static str,
    pub(crate) cipher: &'static str,
    pub(crate) compression: &'static str,
    pub(crate) guess_follows: bool,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            kex: "curve25519-sha256,ext-info-c,kex-strict-c-v00@openssh.com",
            host_key: "ssh-ed25519",
            cipher: "aes256-gcm@openssh.com",
            compression: "none",
            guess_follows: false,
        }
    }
}

impl Offer {
    /// What a server says.
    pub(crate) fn for_servers() -> Self {
        Self { kex: "curve25519-sha256,kex-strict-s-v00@openssh.com", ..Self::default() }
    }

    pub(crate) fn message(&self) -> Message {
        let mut out = message(20).bytes(&[7; 16]);
        let (cipher, compression) = (self.cipher, self.compression);
        for names in
            [self.kex, self.host_key, cipher, cipher, "", "", compression, compression, "", ""]
        {
            out = out.string(names);
        }
        out.byte(self.guess_follows.into()).number(0)
    }
}

struct Gcm {
    key: LessSafeKey,
    iv: [u8; 12],
}

impl Gcm {
    fn nonce(&mut self) -> Nonce {
        let nonce = Nonce::assume_unique_for_key(self.iv);
        let counter = u64::from_be_bytes(self.iv[4..].try_into().unwrap());
        self.iv[4..].copy_from_slice(&counter.wrapping_add(1).to_be_bytes());
        nonce
    }
}

/// The client. What it is told to do may fail as soon as the gateway has closed the connection.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    /// How many more bytes are sent before the connection is closed.
    pub(crate) budget: Option<usize>,
    pub(crate) sent: usize,
    pub(crate) session: Vec<u8>,
    server_version: Vec<u8>,
    sealing: Option<Gcm>,
    opening: Option<Gcm>,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sealing, opening) = (None, None);
        let (session, server_version) = (Vec::new(), Vec::new());
        Self { stream, budget: None, sent: 0, session, server_version, sealing, opening }
    }

    /// A connection with keys.
    pub(crate) async fn with_keys(address: SocketAddr) -> Self {
        let mut raw = Self::connect(address).await;
        raw.hello().await.unwrap();
        raw.exchange(&Offer::default()).await.unwrap();
        raw
    }

    /// A connection that waits for requests to be let in.
    pub(crate) async fn at_the_door(address: SocketAddr) -> Self {
        let mut raw = Self::with_keys(address).await;
        raw.knock().await.unwrap();
        raw
    }

    /// A connection that is let in.
    pub(crate) async fn inside(address: SocketAddr, key: &Key) -> Self {
        let mut raw = Self::at_the_door(address).await;
        assert_eq!(raw.enter(key, "work").await.unwrap(), [52]);
        raw
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = self.budget.map_or(bytes.len(), |left| left.min(bytes.len()));
        self.stream.write_all(&bytes[..length]).await?;
        self.sent += length;
        if let Some(left) = &mut self.budget {
            *left -= length;
            if length < bytes.len() {
                self.stream.shutdown().await?;
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Versions of both sides.
    pub(crate) async fn hello(&mut self) -> io::Result<()> {
        self.write(&[VERSION, b"\r\n"].concat()).await?;
        self.server_version = self.line().await?;
        assert!(self.server_version.starts_with(b"SSH-2.0-"), "{:?}", self.server_version);
        Ok(())
    }

    /// One line of what the server says before its keys.
    pub(crate) async fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(within("a line", self.stream.read_u8()).await?);
        }
        line.truncate(line.len() - 2);
        Ok(line)
    }

    /// The first exchange or a later one, begun by this side.
    pub(crate) async fn exchange(&mut self, offer: &Offer) -> io::Result<()> {
        let ours = offer.message();
        self.send(&ours).await?;
        let theirs = self.receive().await?;
        assert_eq!(theirs[0], 20, "{theirs:?}");
        self.agree(&ours, &theirs).await
    }

    /// Makes keys, both offers being there.
    pub(crate) async fn agree(&mut self, ours: &[u8], theirs: &[u8]) -> io::Result<()> {
        let random = SystemRandom::new();
        let private = EphemeralPrivateKey::generate(&X25519, &random).unwrap();
        let public = private.compute_public_key().unwrap();
        self.send(&message(30).string(&public)).await?;
        let reply = self.receive().await?;
        assert_eq!(reply[0], 31, "{reply:?}");
        let mut rest = &reply[1..];
        let (host_key, other, signature) = (take(&mut rest), take(&mut rest), take(&mut rest));
        let other_key = UnparsedPublicKey::new(&X25519, other);
        let shared = agree_ephemeral(private, &other_key, <[u8]>::to_vec).unwrap();
        let said = Message::default()
            .string(VERSION)
            .string(&self.server_version)
            .string(ours)
            .string(theirs)
            .string(host_key)
            .string(&public)
            .string(other)
            .integer(&shared);
        let hash = sha256(&[&said]);
        ring::signature::UnparsedPublicKey::new(&ED25519, &host_key[host_key.len() - 32..])
            .verify(&hash, &signature[signature.len() - 64..])
            .unwrap();
        if self.session.is_empty() {
            self.session = hash.clone();
        }
        self.send(&[21]).await?;
        let keys = (Message::default().integer(&shared), hash);
        self.sealing = Some(self.keys(&keys, b"CA"));
        let done = self.receive().await?;
        assert_eq!(done, [21]);
        self.opening = Some(self.keys(&keys, b"DB"));
        Ok(())
    }

    fn keys(&self, (shared, hash): &(Message, Vec<u8>), letters: &[u8; 2]) -> Gcm {
        let [key, iv] = letters.map(|letter| sha256(&[shared, hash, &[letter], &self.session]));
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
        Gcm { key, iv: iv[..12].try_into().unwrap() }
    }

    /// Asks for the service that lets somebody in.
    pub(crate) async fn knock(&mut self) -> io::Result<()> {
        self.send(&message(5).string("ssh-userauth")).await?;
        let answer = self.next().await?;
        assert_eq!(answer[0], 6, "{answer:?}");
        Ok(())
    }

    /// Asks to be let in with a key; the answer.
    pub(crate) async fn enter(&mut self, key: &Key, user: &str) -> io::Result<Vec<u8>> {
        let request = key.request(&self.session, user);
        self.send(&request).await?;
        self.next().await
    }

    /// A packet around a message, sealed if there are keys.
    pub(crate) fn packet(&mut self, message: &[u8]) -> Vec<u8> {
        let (block, counted) = if self.sealing.is_some() { (16, 1) } else { (8, 5) };
        let body = padded(message, block, counted);
        self.sealed(u32::try_from(body.len()).unwrap(), body)
    }

    /// A packet before there are keys.
    pub(crate) fn clear(message: &[u8]) -> Vec<u8> {
        let body = padded(message, 8, 5);
        [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat()
    }

    /// A packet with any length and contents.
    pub(crate) fn sealed(&mut self, length: u32, mut body: Vec<u8>) -> Vec<u8> {
        let length = length.to_be_bytes();
        if let Some(gcm) = &mut self.sealing {
            let nonce = gcm.nonce();
            gcm.key.seal_in_place_append_tag(nonce, Aad::from(length), &mut body).unwrap();
        }
        [&length[..], &body].concat()
    }

    pub(crate) async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let packet = self.packet(message);
        self.write(&packet).await
    }

    /// The next message, whatever it is.
    pub(crate) async fn receive(&mut self) -> io::Result<Vec<u8>> {
        within("a message", self.read()).await
    }

    async fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).await?;
        let tag = if self.opening.is_some() { TAG } else { 0 };
        let mut body = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap() + tag];
        self.stream.read_exact(&mut body).await?;
        if let Some(gcm) = &mut self.opening {
            let nonce = gcm.nonce();
            gcm.key.open_in_place(nonce, Aad::from(length), &mut body).unwrap();
            body.truncate(body.len() - TAG);
        }
        let padding = usize::from(body[0]);
        Ok(body[1..body.len() - padding].to_vec())
    }

    /// The next message that is not the transport's own.
    pub(crate) async fn next(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let message = self.receive().await?;
            if ![2, 3, 4, 7].contains(&message[0]) {
                return Ok(message);
            }
        }
    }

    /// What the gateway still says until it closes the connection, which it has to.
    pub(crate) async fn rest(&mut self) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        while let Ok(message) = self.receive().await {
            messages.push(message);
        }
        messages
    }

    /// That the gateway closes the connection, whatever it says before.
    pub(crate) async fn is_closed(&mut self) {
        let mut buffer = [0; 4096];
        let close = async { while matches!(self.stream.read(&mut buffer).await, Ok(1..)) {} };
        within("the end of the connection", close).await;
    }
}

/// Takes a string off the front.
pub(crate) fn take<'m>(rest: &mut &'m [u8]) -> &'m [u8] {
    let length = usize::try_from(number(rest)).unwrap();
    let (taken, after) = rest.split_at(length);
    *rest = after;
    taken
}

/// Takes a number off the front.
pub(crate) fn number(rest: &mut &[u8]) -> u32 {
    let (taken, after) = rest.split_first_chunk::<4>().unwrap();
    *rest = after;
    u32::from_be_bytes(*taken)
}

fn padded(message: &[u8], block: usize, counted: usize) -> Vec<u8> {
    let mut padding = block - (message.len() + counted) % block;
    if padding < 4 {
        padding += block;
    }
    [&[u8::try_from(padding).unwrap()], message, &vec![0; padding]].concat()
}

fn sha256(parts: &[&[u8]]) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().to_vec()
}
