//! The gateway's end of the one channel of a menu (RFC 4254, section 5).
//! Invariants: nothing is sent beyond the client's window and largest packet; what waits to be sent, what
//! was typed ahead and what is kept for the workspace is bounded.

use crate::{
    error::SshError,
    msg,
    transport::Outgoing,
    wire::{Put as _, Reader},
};

/// Our number of the channel: the one that OpenSSH gives to the first one, which it is to become.
pub(super) const NUMBER: u32 = 0;
/// How much may be typed ahead.
pub(super) const WINDOW: u32 = 4 * 1024;
/// The largest packet that we take: OpenSSH's own, and so the workspace's.
pub(super) const PACKET: u32 = 32 * 1024;
/// Most bytes that wait to be sent.
const WAITING_MAX: usize = 256 * 1024;
/// Most bytes of requests that are kept for the workspace.
const KEPT_MAX: usize = 32 * 1024;
/// Bytes of a message before its name.
const BEFORE_NAME: usize = 1 + 4 + 4;

pub(super) struct Channel {
    /// The client's number of it.
    pub(super) peer: u32,
    /// How much we may send, and how much of it at once.
    pub(super) window: u32,
    pub(super) packet: u32,
    /// How much the client may still send.
    pub(super) granted: u32,
    waiting: Vec<u8>,
    complaint: Vec<u8>,
    pub(super) ahead: Vec<u8>,
    /// Whether the client has said that no more comes.
    pub(super) says_no_more: bool,
    /// Requests for the workspace, as they are.
    kept: Vec<Vec<u8>>,
    size: Option<Vec<u8>>,
    shell: Option<Vec<u8>>,
    has_terminal: bool,
}

impl Channel {
    pub(super) fn new(peer: u32, window: u32, packet: u32) -> Self {
        Self {
            peer,
            window,
            packet,
            granted: WINDOW,
            waiting: Vec::new(),
            complaint: Vec::new(),
            ahead: Vec::new(),
            says_no_more: false,
            kept: Vec::new(),
            size: None,
            shell: None,
            has_terminal: false,
        }
    }

    pub(super) fn confirmation(&self) -> Vec<u8> {
        let mut out = self.message(msg::CHANNEL_OPEN_CONFIRMATION);
        out.put_u32(NUMBER);
        out.put_u32(WINDOW);
        out.put_u32(PACKET);
        out
    }

    pub(super) fn reply(&self, is_good: bool) -> Vec<u8> {
        self.message(if is_good { msg::CHANNEL_SUCCESS } else { msg::CHANNEL_FAILURE })
    }

    pub(super) fn has_terminal(&self) -> bool {
        self.has_terminal
    }

    pub(super) fn has_begun(&self) -> bool {
        self.shell.is_some()
    }

    /// Keeps a request for the workspace, if there is room.
    pub(super) fn keep(&mut self, message: &[u8], name: &[u8]) -> bool {
        let kept: usize = self.kept.iter().map(Vec::len).sum();
        if self.has_begun() || kept + message.len() > KEPT_MAX {
            return false;
        }
        self.has_terminal = self.has_terminal || name == b"pty-req";
        self.kept.push(unanswered(message, name));
        true
    }

    /// Keeps the size that the terminal has now.
    pub(super) fn resized(&mut self, message: &[u8], name: &[u8]) -> bool {
        if message.len() <= KEPT_MAX {
            self.size = Some(unanswered(message, name));
        }
        true
    }

    /// Whether a shell or command begins, which it does once.
    pub(super) fn begin(&mut self, message: &[u8], name: &[u8]) -> bool {
        if self.has_begun() || message.len() > KEPT_MAX {
            return false;
        }
        self.shell = Some(unanswered(message, name));
        true
    }

    /// All requests in the order that the workspace needs.
    pub(super) fn requests(&self) -> impl Iterator<Item = &[u8]> {
        self.kept.iter().chain(&self.size).chain(&self.shell).map(Vec::as_slice)
    }

    /// The client grants more.
    pub(super) fn may_send(&mut self, more: u32) {
        self.window = self.window.saturating_add(more);
    }

    /// The client has sent so much, and may soon send more.
    pub(super) async fn took(&mut self, bytes: usize, out: &Outgoing) -> Result<(), SshError> {
        let bytes = u32::try_from(bytes).ok().and_then(|bytes| self.granted.checked_sub(bytes));
        self.granted = bytes.ok_or(SshError::Malformed("more than the window allows"))?;
        let room = WINDOW.saturating_sub(u32::try_from(self.ahead.len()).unwrap_or(WINDOW));
        let more = room.saturating_sub(self.granted);
        if more < WINDOW / 2 {
            return Ok(());
        }
        self.granted += more;
        let mut adjust = self.message(msg::CHANNEL_WINDOW_ADJUST);
        adjust.put_u32(more);
        out.answer(adjust).await
    }

    /// Keeps what is typed ahead; the window bounds it.
    pub(super) fn ahead(&mut self, keys: &[u8]) {
        self.ahead.extend_from_slice(keys);
    }

    pub(super) fn take_ahead(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.ahead)
    }

    /// Says something as soon as there is room. Who types without reading is not answered for ever.
    pub(super) fn say(&mut self, text: &str) {
        if self.waiting.len() + text.len() <= WAITING_MAX {
            self.waiting.extend_from_slice(text.as_bytes());
        }
    }

    /// Says something on standard error, after everything else.
    pub(super) fn complain(&mut self, text: &str) {
        self.complaint.extend_from_slice(text.as_bytes());
    }

    pub(super) fn is_drained(&self) -> bool {
        self.waiting.is_empty() && self.complaint.is_empty()
    }

    /// Nothing is of use to the client any more.
    pub(super) fn abandon(&mut self) {
        self.waiting.clear();
        self.complaint.clear();
    }

    /// Sends what there is room for.
    pub(super) async fn pump(&mut self, out: &Outgoing) -> Result<(), SshError> {
        const STANDARD_ERROR: u32 = 1;
        while !self.is_drained() && self.window.min(self.packet) > 0 {
            let room = usize::try_from(self.window.min(self.packet).min(PACKET)).unwrap_or(0);
            let is_error = self.waiting.is_empty();
            let from = if is_error { &mut self.complaint } else { &mut self.waiting };
            let text: Vec<u8> = from.drain(..room.min(from.len())).collect();
            self.window -= u32::try_from(text.len()).unwrap_or(self.window);
            let kind = if is_error { msg::CHANNEL_EXTENDED_DATA } else { msg::CHANNEL_DATA };
            let mut message = self.message(kind);
            if is_error {
                message.put_u32(STANDARD_ERROR);
            }
            message.put_string(&text);
            out.answer(message).await?;
        }
        Ok(())
    }

    /// Says how it ended, and that it did.
    pub(super) async fn end(&self, out: &Outgoing, code: u32) -> Result<(), SshError> {
        if self.has_begun() {
            let mut status = self.message(msg::CHANNEL_REQUEST);
            status.put_string(b"exit-status");
            status.push(0);
            status.put_u32(code);
            out.answer(status).await?;
            out.answer(self.message(msg::CHANNEL_EOF)).await?;
        }
        out.answer(self.message(msg::CHANNEL_CLOSE)).await
    }

    /// The beginning of a message about this channel, for the client.
    pub(super) fn message(&self, kind: u8) -> Vec<u8> {
        let mut out = vec![kind];
        out.put_u32(self.peer);
        out
    }
}

/// A request that wants no answer: the client has had one.
fn unanswered(message: &[u8], name: &[u8]) -> Vec<u8> {
    let mut out = message.to_vec();
    if let Some(wants_reply) = out.get_mut(BEFORE_NAME + name.len()) {
        *wants_reply = 0;
    }
    out
}

/// How much a message of the workspace lets the client send on our channel, if that is what it says.
pub(super) fn grant(message: &[u8], channel: &Channel) -> Option<u32> {
    let mut reader = Reader::new(message);
    let is_ours =
        reader.u8().ok()? == msg::CHANNEL_WINDOW_ADJUST && reader.u32().ok()? == channel.peer;
    is_ours.then(|| reader.u32().ok()).flatten()
}
