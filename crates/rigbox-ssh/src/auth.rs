//! How somebody is let in (RFC 4252): by a key alone.
//! Invariants: only a verified signature counts, for the user, the service and the connection that it
//! names; requests are bounded; a stranger cannot tell what exists.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::{
    directory::{Attempt, Directory, Menu, Target, Unavailable, Verdict},
    error::SshError,
    key::{HostKey, PublicKey, SIGNATURES},
    msg::{self, reason},
    transport::{Incoming, Outgoing},
    wire::{Put as _, Reader},
};

/// Most requests of one connection: agents offer a dozen keys, each named and then signed with.
const REQUESTS_MAX: u32 = 64;
/// Most signatures that are verified, which costs us more than it costs who sends them.
const SIGNATURES_MAX: u32 = 6;
/// Longest user name.
const USER_MAX: usize = 255;
/// How long it takes to say no to somebody who has proved a key, whatever was looked up for it.
const REFUSAL: Duration = Duration::from_millis(300);
const SERVICE: &[u8] = b"ssh-connection";

/// What a client asks for.
struct Request<'a> {
    user: &'a str,
    how: How<'a>,
}

enum How<'a> {
    /// What else there is, or a way that we do not have.
    Other,
    /// A key, and its signature, if it was signed with.
    Key { algorithm: &'a str, key: PublicKey, signature: Option<&'a [u8]> },
}

impl<'a> Request<'a> {
    fn read(message: &'a [u8]) -> Result<Self, SshError> {
        let mut reader = Reader::new(message);
        if reader.u8()? != msg::USERAUTH_REQUEST {
            return Err(SshError::Malformed("something else before being let in"));
        }
        let (user, service, method) = (reader.text()?, reader.string()?, reader.string()?);
        if user.len() > USER_MAX {
            return Err(SshError::Malformed("a user name is too long"));
        }
        if service != SERVICE {
            return Err(SshError::Malformed("a service that is not there"));
        }
        if method != b"publickey" {
            return Ok(Self { user, how: How::Other });
        }
        let is_signed = reader.bool()?;
        let (algorithm, key) = (reader.text()?, reader.string()?);
        let signature = if is_signed { Some(reader.string()?) } else { None };
        reader.end()?;
        if !SIGNATURES.split(',').any(|known| known == algorithm) {
            return Ok(Self { user, how: How::Other });
        }
        let how = How::Key { algorithm, key: PublicKey::new(key)?, signature };
        Ok(Self { user, how })
    }
}

/// Who was let in, and where to. The client does not know it yet.
pub(crate) struct LetIn {
    pub(crate) attempt: Attempt,
    pub(crate) key: PublicKey,
    pub(crate) to: To,
}

/// Where somebody was let in to.
pub(crate) enum To {
    /// A workspace, with the key for which it has a certificate.
    Workspace(Box<Target>, HostKey),
    Menu(Menu),
}

/// Lets somebody in who may. Nobody else gets further than here.
pub(crate) async fn authenticate(
    incoming: &mut Incoming,
    directory: &dyn Directory,
    from: std::net::SocketAddr,
) -> Result<LetIn, SshError> {
    let out = incoming.outgoing();
    let mut asked = Reader::new(incoming.next().await?);
    if (asked.u8()?, asked.string()?) != (msg::SERVICE_REQUEST, b"ssh-userauth".as_slice()) {
        return Err(SshError::Malformed("something else before being let in"));
    }
    let mut accept = vec![msg::SERVICE_ACCEPT];
    accept.put_string(b"ssh-userauth");
    out.send(&accept, true).await?;
    let mut signatures = 0;
    // What was asked about last: a key is named first, and then signed with.
    let mut known: Option<(String, PublicKey)> = None;
    let mut told: Option<String> = None;
    for _ in 0..REQUESTS_MAX {
        let message = incoming.next().await?.to_vec();
        let request = Request::read(&message)?;
        let attempt = Attempt { user: request.user.to_owned(), from };
        let How::Key { algorithm, key, signature } = request.how else {
            refuse(&out).await?;
            continue;
        };
        // Some clients sign with each key that they have: one that is nobody's is not verified.
        if known.as_ref().is_none_or(|(user, known)| *user != attempt.user || *known != key) {
            match directory.is_known(&attempt, &key).await {
                Ok(true) => known = Some((attempt.user.clone(), key.clone())),
                Ok(false) => {
                    refuse(&out).await?;
                    continue;
                }
                Err(Unavailable) => return away(&out).await,
            }
        }
        let Some(signature) = signature else {
            let mut good = vec![msg::USERAUTH_PK_OK];
            good.put_string(algorithm.as_bytes());
            good.put_string(key.blob());
            out.send(&good, true).await?;
            continue;
        };
        signatures += 1;
        let until = Instant::now() + REFUSAL;
        let signed = signed(incoming.session_id(), &message, signature);
        if key.verify(algorithm, &signed, signature).is_ok() {
            let session = HostKey::generate()?;
            match directory.enter(&attempt, &key, session.public()).await {
                Ok(Verdict::Target(target)) => {
                    return Ok(LetIn { attempt, key, to: To::Workspace(target, session) });
                }
                Ok(Verdict::Menu(menu)) => {
                    return Ok(LetIn { attempt, key, to: To::Menu(menu) });
                }
                // Another key of theirs may open it.
                Ok(Verdict::Refused(why)) if told.as_ref() != Some(&why) => {
                    banner(&out, &why).await?;
                    told = Some(why);
                }
                Ok(Verdict::Refused(_)) => {}
                Ok(Verdict::Unknown) => {}
                Err(Unavailable) => return away(&out).await,
            }
        }
        sleep_until(until).await;
        if signatures >= SIGNATURES_MAX {
            break;
        }
        refuse(&out).await?;
    }
    out.disconnect(reason::NO_MORE_AUTH_METHODS, "too many attempts").await?;
    Err(SshError::NotLetIn)
}

/// What is signed: the connection, and the request up to the signature.
fn signed(session: &[u8], message: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(session.len() + message.len());
    out.put_string(session);
    let end = message.len().saturating_sub(signature.len() + 4);
    out.extend_from_slice(message.get(..end).unwrap_or_default());
    out
}

async fn refuse(out: &Outgoing) -> Result<(), SshError> {
    let mut message = vec![msg::USERAUTH_FAILURE];
    message.put_names(&["publickey"]);
    message.push(0);
    out.send(&message, true).await
}

async fn away<T>(out: &Outgoing) -> Result<T, SshError> {
    let text = "the platform cannot say who you are now: try again in a moment";
    banner(out, text).await?;
    out.disconnect(reason::SERVICE_NOT_AVAILABLE, text).await?;
    Err(SshError::NotLetIn)
}

/// Shows a text to somebody who is not let in yet.
pub(crate) async fn banner(out: &Outgoing, text: &str) -> Result<(), SshError> {
    let mut message = vec![msg::USERAUTH_BANNER];
    message.put_string(format!("{text}\r\n").as_bytes());
    message.put_string(b"");
    out.send(&message, true).await
}

#[cfg(test)]
pub(crate) fn read_without_harm(message: &[u8]) {
    drop(Request::read(message));
}
