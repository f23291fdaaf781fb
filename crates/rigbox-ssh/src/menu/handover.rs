//! Connects the channel of a menu to the workspace, so that both ends agree on it: its numbers, its
//! windows and what was asked for. Afterwards everything is carried as it is.

use super::channel::{Channel, NUMBER, PACKET, grant};
use crate::{
    error::SshError,
    msg,
    relay::carry_down,
    transport::{Incoming, Outgoing},
    wire::{Put as _, Reader},
};

/// Until the workspace has granted all that the client may send already. What the client sends meanwhile
/// waits in its connection.
pub(super) async fn hand_over(
    channel: &Channel,
    guest: &mut Incoming,
    to_client: &Outgoing,
) -> Result<(), SshError> {
    let to_guest = guest.outgoing();
    let mut open = vec![msg::CHANNEL_OPEN];
    open.put_string(b"session");
    open.put_u32(channel.peer);
    open.put_u32(channel.window);
    open.put_u32(channel.packet);
    to_guest.answer(open).await?;
    let mut granted = confirmed(channel, guest, to_client).await?;
    for request in channel.requests() {
        to_guest.answer(request.to_vec()).await?;
    }
    let ahead = u32::try_from(channel.ahead.len()).unwrap_or(u32::MAX);
    let owed = u64::from(channel.granted) + u64::from(ahead);
    while granted < owed {
        guest.next().await?;
        match grant(guest.message(), channel) {
            Some(more) => granted += u64::from(more),
            None => carry_down((guest.message(), true), to_client, &to_guest).await?,
        }
    }
    if !channel.ahead.is_empty() {
        let mut typed = vec![msg::CHANNEL_DATA];
        typed.put_u32(NUMBER);
        typed.put_string(&channel.ahead);
        to_guest.answer(typed).await?;
    }
    if channel.says_no_more {
        let mut end = vec![msg::CHANNEL_EOF];
        end.put_u32(NUMBER);
        to_guest.answer(end).await?;
    }
    let mut adjust = channel.message(msg::CHANNEL_WINDOW_ADJUST);
    adjust.put_u32(u32::try_from(granted - owed).unwrap_or(u32::MAX));
    to_client.answer(adjust).await
}

/// How much the workspace lets the client send from the start.
async fn confirmed(
    channel: &Channel,
    guest: &mut Incoming,
    to_client: &Outgoing,
) -> Result<u64, SshError> {
    let to_guest = guest.outgoing();
    loop {
        guest.next().await?;
        let mut reader = Reader::new(guest.message());
        match reader.u8()? {
            msg::CHANNEL_OPEN_CONFIRMATION => {
                let (peer, number) = (reader.u32()?, reader.u32()?);
                let (window, packet) = (reader.u32()?, reader.u32()?);
                if (peer, number) != (channel.peer, NUMBER) || packet < PACKET {
                    return Err(SshError::Elsewhere);
                }
                return Ok(u64::from(window));
            }
            msg::CHANNEL_OPEN_FAILURE => return Err(SshError::Elsewhere),
            _ => carry_down((guest.message(), true), to_client, &to_guest).await?,
        }
    }
}
