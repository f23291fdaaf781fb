//! The gateway as a client of a workspace's own SSH server.
//! Invariant: the server is the one that is known, by its key; the certificate is for this session
//! alone, so that nothing which a client shows is of use to the workspace.

use crate::{
    directory::Target,
    error::SshError,
    key::HostKey,
    msg,
    transport::{self, Incoming, Renewal, Role},
    wire::{Put as _, Reader},
};

/// What kind of certificate the gateway shows.
const CERTIFICATE: &[u8] = b"ssh-ed25519-cert-v01@openssh.com";

/// Enters a workspace.
pub(crate) async fn enter(
    target: Target,
    session: &HostKey,
    renewal: Renewal,
) -> Result<Incoming, SshError> {
    let role = Role::Client(target.host_key);
    let mut incoming = transport::open(target.stream, role, renewal).await?;
    let out = incoming.outgoing();
    let mut ask = vec![msg::SERVICE_REQUEST];
    ask.put_string(b"ssh-userauth");
    out.send(&ask, true).await?;
    let mut answer = Reader::new(incoming.next().await?);
    if answer.u8()? != msg::SERVICE_ACCEPT {
        return Err(SshError::Malformed("the workspace's server lets nobody in"));
    }
    let mut ask = vec![msg::USERAUTH_REQUEST];
    ask.put_string(target.user.as_bytes());
    ask.put_string(b"ssh-connection");
    ask.put_string(b"publickey");
    ask.push(1);
    ask.put_string(CERTIFICATE);
    ask.put_string(&target.certificate);
    let mut signed = Vec::new();
    signed.put_string(incoming.session_id());
    signed.extend_from_slice(&ask);
    ask.put_string(&session.sign(&signed));
    out.send(&ask, true).await?;
    loop {
        incoming.next().await?;
        match incoming.kind() {
            // The workspace's own greeting is for who logs in there, which is us.
            msg::USERAUTH_BANNER => {}
            msg::USERAUTH_SUCCESS => break,
            msg::USERAUTH_FAILURE => return Err(SshError::Refused),
            _ => return Err(SshError::Malformed("the workspace's server answers something else")),
        }
    }
    incoming.trust();
    Ok(incoming)
}
