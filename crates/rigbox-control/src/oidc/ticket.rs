//! What a browser carries for us between two requests: signed, so that it comes back as it was.
//! Invariants: a ticket is good for the one use that it was made for and for [`LIFE`]; it is no
//! credential, since what it leads to needs a provider's word or a session as well.
//! Does not make tickets serve once (see `rigbox_store::tickets`).

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rigbox_store::api_keys::KeyHasher;
use rigbox_types::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use subtle::ConstantTimeEq as _;

/// How long somebody may take at the provider. Shorter than used tickets are remembered.
pub(super) const LIFE: Duration = Duration::from_secs(600);
const _: () = assert!(LIFE.as_secs() < rigbox_store::tickets::REMEMBERED.as_secs());

/// Longest ticket: with a path to go on to, and what a provider says of a person.
const MAX_LEN: usize = 3_584;

/// What tickets are for. Each use has its own signature.
pub(super) trait Use: Serialize + DeserializeOwned {
    /// Its name, without NUL.
    const NAME: &'static str;
}

#[derive(Serialize, Deserialize)]
struct Dated<T> {
    at: i64,
    what: T,
}

/// Makes one; none where what it says is too long.
pub(super) fn sign<T: Use>(key: &KeyHasher, what: T, now: Timestamp) -> Option<String> {
    let text = serde_json::to_vec(&Dated { at: now.as_micros(), what }).ok()?;
    let text = URL_SAFE_NO_PAD.encode(text);
    let ticket = format!("{text}.{}", URL_SAFE_NO_PAD.encode(key.tag(T::NAME, &text)));
    (ticket.len() <= MAX_LEN).then_some(ticket)
}

/// Reads one that is genuine and young.
pub(super) fn read<T: Use>(key: &KeyHasher, ticket: &str, now: Timestamp) -> Option<T> {
    if ticket.len() > MAX_LEN {
        return None;
    }
    let (text, tag) = ticket.split_once('.')?;
    let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
    if !bool::from(tag.ct_eq(&key.tag(T::NAME, text))) {
        return None;
    }
    let dated: Dated<T> = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let age = now.as_micros().saturating_sub(dated.at);
    let life = i64::try_from(LIFE.as_micros()).unwrap_or(i64::MAX);
    (age <= life).then_some(dated.what)
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct One(String);
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Other(String);

    impl Use for One {
        const NAME: &'static str = "one";
    }
    impl Use for Other {
        const NAME: &'static str = "other";
    }

    fn key(dir: &tempfile::TempDir, name: &str) -> KeyHasher {
        let path = Utf8Path::from_path(dir.path()).unwrap().join(name);
        KeyHasher::load_or_create(&path).unwrap()
    }

    #[test]
    fn a_ticket_comes_back_as_it_was_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, other) = (key(&dir, "a"), key(&dir, "b"));
        let at = |s: i64| Timestamp::from_micros(1_800_000_000_000_000 + s * 1_000_000);
        let ticket = sign(&ours, One("x".to_owned()), at(0)).unwrap();
        assert_eq!(read(&ours, &ticket, at(600)), Some(One("x".to_owned())));
        assert_eq!(read::<One>(&ours, &ticket, at(601)), None);
        assert_eq!(read::<Other>(&ours, &ticket, at(0)), None);
        assert_eq!(read::<One>(&other, &ticket, at(0)), None);
        for n in 0..ticket.len() {
            let mut bytes = ticket.clone().into_bytes();
            bytes[n] = if bytes[n] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            // The last sign of base64 has bits that mean nothing, and must then be zero.
            assert_eq!(read::<One>(&ours, &changed, at(0)), None, "{n}");
        }
        for text in ["", ".", "a.b", &"a".repeat(10_000)] {
            assert_eq!(read::<One>(&ours, text, at(0)), None);
        }
        assert_eq!(sign(&ours, One("x".repeat(4_000)), at(0)), None);
    }
}
