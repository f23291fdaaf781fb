//! The menu of somebody's workspaces: the gateway answers one session itself, until one is chosen and
//! the session goes on in the workspace.
//! Invariants: one channel, and what is kept of it is bounded; nothing is handed over before the
//! workspace has granted what the client may send already.
//! Does not decide what is in the menu, nor who may enter (see [`crate::Directory`]).
//!
//! ```text
//! no channel -- open --> being set up -- shell, terminal --> choosing -- chosen --> handed over
//!                        |                                   |    ^
//!                        | shell or command, no terminal     |    | cannot be entered: says why
//!                        +--> list, exit code, closed <-- leaves --+
//! ```

mod channel;
mod handover;
mod screen;

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use self::{
    channel::Channel,
    screen::{Key, Line, Screen},
};
use crate::{
    directory::Menu,
    error::SshError,
    msg,
    transport::{Incoming, Outgoing},
    wire::{Put as _, Reader},
};

/// How long somebody may look at the menu without a key.
const IDLE: Duration = Duration::from_secs(10 * 60);
/// Reason of a channel that is not opened (RFC 4254, section 5.1).
const PROHIBITED: u32 = 1;
const REFUSED: &str = "the menu has one session: ssh to a workspace by its name for more";

/// What somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A workspace, by what it is ssh'ed to as.
    Enter(String),
    /// To leave.
    Leave,
}

/// The menu, and who looks at it.
pub(crate) struct Lobby<'m> {
    menu: &'m Menu,
    out: Arc<Outgoing>,
    channel: Option<Channel>,
    line: Line,
    wish: Option<Wish>,
    exit_code: u32,
}

impl<'m> Lobby<'m> {
    pub(crate) fn new(menu: &'m Menu, out: Arc<Outgoing>) -> Self {
        Self { menu, out, channel: None, line: Line::default(), wish: None, exit_code: 0 }
    }

    /// Waits until something is wanted, and all that was said before is there.
    pub(crate) async fn wish(&mut self, client: &mut Incoming) -> Result<Wish, SshError> {
        loop {
            if let Some(channel) = &mut self.channel {
                channel.pump(&self.out).await?;
                if channel.is_drained()
                    && let Some(wish) = self.wish.take()
                {
                    return Ok(wish);
                }
            }
            let next = timeout(IDLE, client.next()).await;
            let message = next.map_err(|_| SshError::TooSlow("a choice"))??;
            self.hear(message).await?;
        }
    }

    /// Says why the wish cannot be had, and asks again.
    pub(crate) fn cannot(&mut self, why: &str) {
        let text = Screen { menu: self.menu, has_terminal: true }.cannot(why);
        if let Some(channel) = &mut self.channel {
            channel.say(&text);
        }
        let ahead = self.channel.as_mut().map(Channel::take_ahead).unwrap_or_default();
        self.typed(&ahead);
        if self.channel.as_ref().is_some_and(|channel| channel.says_no_more) {
            self.wish.get_or_insert(Wish::Leave);
        }
    }

    /// Connects the session to a workspace. Once this has begun there is no way back to the menu, but for
    /// [`SshError::Elsewhere`].
    pub(crate) async fn hand_over(&self, guest: &mut Incoming) -> Result<(), SshError> {
        let channel = self.channel.as_ref().ok_or(SshError::Closed)?;
        handover::hand_over(channel, guest, &self.out).await
    }

    /// Ends the session, and waits for the client to leave: one that is told more than its end takes
    /// that for a failure.
    pub(crate) async fn leave(&mut self, client: &mut Incoming) -> Result<(), SshError> {
        if let Some(channel) = &self.channel {
            channel.end(&self.out, self.exit_code).await?;
        }
        loop {
            client.next().await?;
        }
    }

    async fn hear(&mut self, message: &[u8]) -> Result<(), SshError> {
        let mut reader = Reader::new(message);
        let kind = reader.u8()?;
        match kind {
            msg::GLOBAL_REQUEST => {
                reader.string()?;
                if reader.bool()? {
                    self.out.answer(vec![msg::REQUEST_FAILURE]).await?;
                }
                return Ok(());
            }
            msg::CHANNEL_OPEN => return self.open(reader).await,
            // Somebody who is in asks again: silently ignored (RFC 4252, section 5.3).
            msg::USERAUTH_REQUEST => return Ok(()),
            _ => {}
        }
        let number = reader.u32()?;
        let Some(channel) = self.channel.as_mut().filter(|_| number == channel::NUMBER) else {
            return Err(SshError::Malformed("a channel that is not there"));
        };
        match kind {
            msg::CHANNEL_WINDOW_ADJUST => channel.may_send(reader.u32()?),
            msg::CHANNEL_DATA => {
                let data = reader.string()?;
                channel.took(data.len(), &self.out).await?;
                self.typed(data);
            }
            msg::CHANNEL_EXTENDED_DATA => {
                reader.u32()?;
                channel.took(reader.string()?.len(), &self.out).await?;
            }
            msg::CHANNEL_REQUEST => self.request(message, reader).await?,
            // Who has chosen and says no more goes to the workspace, which is told so.
            msg::CHANNEL_EOF => {
                channel.says_no_more = true;
                self.wish.get_or_insert(Wish::Leave);
            }
            msg::CHANNEL_CLOSE => {
                channel.abandon();
                self.wish = Some(Wish::Leave);
            }
            _ => return Err(SshError::Malformed("something else in the menu")),
        }
        Ok(())
    }

    async fn open(&mut self, mut reader: Reader<'_>) -> Result<(), SshError> {
        let kind = reader.string()?;
        let (peer, window, packet) = (reader.u32()?, reader.u32()?, reader.u32()?);
        if kind == b"session" && self.channel.is_none() {
            let channel = Channel::new(peer, window, packet);
            self.out.answer(channel.confirmation()).await?;
            self.channel = Some(channel);
            return Ok(());
        }
        let mut refusal = vec![msg::CHANNEL_OPEN_FAILURE];
        refusal.put_u32(peer);
        refusal.put_u32(PROHIBITED);
        refusal.put_string(REFUSED.as_bytes());
        refusal.put_string(b"");
        self.out.answer(refusal).await
    }

    async fn request(&mut self, message: &[u8], mut reader: Reader<'_>) -> Result<(), SshError> {
        let (name, wants_reply) = (reader.string()?, reader.bool()?);
        let Some(channel) = &mut self.channel else { return Ok(()) };
        let is_good = match name {
            b"pty-req" | b"env" | b"auth-agent-req@openssh.com" => channel.keep(message, name),
            b"window-change" => channel.resized(message, name),
            b"shell" | b"exec" if channel.begin(message, name) => {
                let command = if name == b"exec" { reader.string()? } else { b"" };
                self.begin(command);
                true
            }
            _ => false,
        };
        if !wants_reply {
            return Ok(());
        }
        let Some(channel) = &self.channel else { return Ok(()) };
        self.out.answer(channel.reply(is_good)).await
    }

    /// Shows the menu, or the list where nobody could choose.
    fn begin(&mut self, command: &[u8]) {
        let Some(channel) = &mut self.channel else { return };
        let chooses = channel.has_terminal() && command.is_empty();
        let screen = Screen { menu: self.menu, has_terminal: channel.has_terminal() };
        if command.is_empty() {
            channel.say(&screen.list(chooses));
        } else {
            // What a command writes is for a program: `scp` to a name that is none reads it as its protocol.
            self.exit_code = 1;
            channel.complain(&screen.list(chooses));
            channel.complain(&screen.hint());
        }
        if !chooses {
            self.wish = Some(Wish::Leave);
        }
    }

    /// What was typed: up to a choice it is for us, and what follows for the workspace.
    fn typed(&mut self, keys: &[u8]) {
        let Some(channel) = self.channel.as_mut().filter(|channel| channel.has_begun()) else {
            return;
        };
        let screen = Screen { menu: self.menu, has_terminal: channel.has_terminal() };
        for (at, key) in keys.iter().enumerate() {
            if self.wish.is_some() {
                channel.ahead(keys.get(at..).unwrap_or_default());
                break;
            }
            match self.line.key(*key) {
                Key::Echo(text) => channel.say(text),
                Key::Leave => {
                    channel.say("\r\n");
                    self.wish = Some(Wish::Leave);
                }
                Key::Done(line) => match screen.chosen(&line) {
                    Ok(Some(entry)) => {
                        channel.say(&screen.entering(entry));
                        self.wish = Some(Wish::Enter(entry.user.clone()));
                    }
                    Ok(None) => {
                        channel.say("\r\n");
                        self.wish = Some(Wish::Leave);
                    }
                    Err(why) => channel.say(&screen.cannot(&why)),
                },
            }
        }
    }
}

#[cfg(test)]
pub(crate) fn read_without_harm(message: &[u8]) {
    let mut channel = Channel::new(0, 100, 100);
    channel.keep(message, b"pty-req");
    channel.resized(message, b"window-change");
    channel.begin(message, b"shell");
}
