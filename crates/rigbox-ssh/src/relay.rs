//! Carries the messages of a session between a client and a workspace's server.
//! Channels, requests, windows and the order of all are the two ends' own matter: they are carried as
//! they are, so that whatever both know works, and each end slows the other down as if there were nobody
//! between them. What is held here is one message each way.
//! Does not open, answer or number channels (the one of a menu was before, see `menu`).

use crate::{
    directory::{Attempt, Directory, Forward},
    error::SshError,
    msg,
    transport::{Incoming, Outgoing},
    wire::Reader,
};

/// Longest address that is noted.
const NOTED_MAX: usize = 256;

/// Carries until one of the two ends; how.
pub(crate) async fn relay(
    (client, guest): (&mut Incoming, &mut Incoming),
    directory: &dyn Directory,
    attempt: &Attempt,
) -> SshError {
    let (to_client, to_guest) = (client.outgoing(), guest.outgoing());
    tokio::select! {
        ended = up(client, &to_guest, (directory, attempt)) => ended,
        ended = down(guest, &to_client, &to_guest) => ended,
    }
    .err()
    .unwrap_or(SshError::Closed)
}

async fn up(
    client: &mut Incoming,
    to_guest: &Outgoing,
    (directory, attempt): (&dyn Directory, &Attempt),
) -> Result<(), SshError> {
    loop {
        if client.step().await? {
            match client.kind() {
                kind if msg::of_connection(kind) => {
                    if let Some(forward) = forward(client.message()) {
                        directory.forwards(attempt, &forward);
                    }
                    to_guest.send(client.message(), !client.has_more()).await?;
                    continue;
                }
                // RFC 4252, section 5.3: once somebody is let in, silently ignored.
                msg::USERAUTH_REQUEST => {}
                _ => return Err(SshError::Malformed("something else within a session")),
            }
        }
        if !client.has_more() {
            to_guest.flush().await?;
        }
    }
}

async fn down(
    guest: &mut Incoming,
    to_client: &Outgoing,
    to_guest: &Outgoing,
) -> Result<(), SshError> {
    loop {
        if guest.step().await? {
            carry_down((guest.message(), !guest.has_more()), to_client, to_guest).await?;
        } else if !guest.has_more() {
            to_client.flush().await?;
        }
    }
}

/// Carries one message of the workspace, at once or with the next one.
pub(crate) async fn carry_down(
    (message, at_once): (&[u8], bool),
    to_client: &Outgoing,
    to_guest: &Outgoing,
) -> Result<(), SshError> {
    match of_host_keys(message) {
        None if message.first().copied().is_some_and(msg::of_connection) => {
            return to_client.send(message, at_once).await;
        }
        None | Some(false) => {}
        Some(true) => to_guest.answer(vec![msg::REQUEST_FAILURE]).await?,
    }
    if at_once { to_client.flush().await } else { Ok(()) }
}

/// Whether the workspace's server tells its host keys, which are none of the gateway that the client has
/// come to; and whether it wants an answer.
fn of_host_keys(message: &[u8]) -> Option<bool> {
    let mut reader = Reader::new(message);
    if reader.u8().ok()? != msg::GLOBAL_REQUEST {
        return None;
    }
    let name = reader.string().ok()?;
    (name == b"hostkeys-00@openssh.com").then(|| reader.bool().unwrap_or_default())
}

/// What a message of the client wants to have forwarded.
fn forward(message: &[u8]) -> Option<Forward> {
    let mut reader = Reader::new(message);
    let kind = reader.u8().ok()?;
    if kind != msg::CHANNEL_OPEN && kind != msg::GLOBAL_REQUEST {
        return None;
    }
    let name = reader.string().ok()?;
    if kind == msg::GLOBAL_REQUEST {
        reader.bool().ok()?;
        return match name {
            b"tcpip-forward" => {
                let (host, port) = (noted(reader.string().ok()?), reader.u32().ok()?);
                Some(Forward::Listen(format!("{host}:{port}")))
            }
            b"streamlocal-forward@openssh.com" => {
                Some(Forward::Listen(noted(reader.string().ok()?)))
            }
            _ => None,
        };
    }
    // The channel's number, its window and its largest packet.
    for _ in 0..3 {
        reader.u32().ok()?;
    }
    match name {
        b"direct-tcpip" => {
            Some(Forward::Tcp { host: noted(reader.string().ok()?), port: reader.u32().ok()? })
        }
        b"direct-streamlocal@openssh.com" => Some(Forward::Socket(noted(reader.string().ok()?))),
        _ => None,
    }
}

fn noted(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.chars().filter(|c| !c.is_control()).take(NOTED_MAX).collect()
}

#[cfg(test)]
pub(crate) fn read_without_harm(message: &[u8]) {
    forward(message);
    of_host_keys(message);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Put as _;

    #[test]
    fn what_is_forwarded_is_read_of_the_message() {
        let mut open = vec![msg::CHANNEL_OPEN];
        open.put_string(b"direct-tcpip");
        for number in [0, 1, 2] {
            open.put_u32(number);
        }
        open.put_string(b"localhost\n");
        open.put_u32(80);
        let expected = Forward::Tcp { host: "localhost".to_owned(), port: 80 };
        assert_eq!(forward(&open), Some(expected));
        assert_eq!(forward(&open[..20]), None, "one that ends early is the server's to refuse");
        assert_eq!(forward(&[94, 0]), None, "data");
    }

    #[test]
    fn the_workspaces_host_keys_are_kept_from_the_client() {
        let mut told = vec![msg::GLOBAL_REQUEST];
        told.put_string(b"hostkeys-00@openssh.com");
        told.push(0);
        assert_eq!(of_host_keys(&told), Some(false));
        let mut other = vec![msg::GLOBAL_REQUEST];
        other.put_string(b"keepalive@openssh.com");
        other.push(1);
        assert_eq!(of_host_keys(&other), None);
    }
}
