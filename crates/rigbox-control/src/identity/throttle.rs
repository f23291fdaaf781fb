//! In which buckets a guess counts.
//! Invariants: a guesser makes nobody wait for long who signs in from another network, and nobody at
//! all who does so from a browser that has signed in before; buckets are counted by what was typed,
//! whether such an account exists or not; there are at most [`BUCKETS`] of a kind, so that no guesser
//! fills a disk.

use std::{net::IpAddr, time::Duration};

use rigbox_store::{
    api_keys::KeyHasher,
    throttles::{Attempt, Bucket, FORGET_AFTER, Patience},
};
use rigbox_types::AccountId;

use super::visitor::{Device, Visitor};
use crate::{
    authn::hex,
    control::Control,
    error::{ApiResult, TooFast},
    rates::network,
};

/// Hex digits of a bucket's name: a million buckets of each kind, 60 MB of disk at the very worst.
/// Two people share one with a chance of one in a million.
const DIGITS: usize = 5;

/// What a refusal says was counted.
const CLASS: &str = "sign_in";

/// Tries of somebody's secret from one network.
const OF_ACCOUNT: Patience = Patience { free: 5, longest: Duration::from_secs(300) };
/// The same from anywhere: of many networks that guess together. Its owner waits behind them, so not
/// for long, and what is guessed at is far too long for as many guesses.
const FROM_ANYWHERE: Patience = Patience { free: 100, longest: Duration::from_secs(10) };
/// The same of a code that has six digits only, by who has shown the password. Whoever has none of
/// the known browsers at hand while they guess has recovery codes.
const OF_FACTOR_FROM_ANYWHERE: Patience = Patience { free: 30, longest: Duration::from_secs(60) };
/// The same in a browser that has signed in before.
const OF_DEVICE: Patience = Patience { free: 10, longest: Duration::from_secs(300) };
/// Wrong passwords of anybody from one address.
const OF_ADDRESS: Patience = Patience { free: 50, longest: Duration::from_secs(900) };

/// Buckets that one attempt counts in.
pub(crate) type Buckets = Vec<(Bucket, Patience)>;

/// Of a password for what was typed as an address.
pub(crate) fn of_password(
    hasher: &KeyHasher,
    typed: &str,
    (device, visitor): (Option<&Device>, &Visitor),
) -> Buckets {
    if let Some(device) = device {
        // A browser that is known does not answer for its neighbours.
        return vec![bucket(hasher, "device", &device.nonce, OF_DEVICE)];
    }
    let of_network = visitor.address.map(|from| of_address(hasher, from));
    let of_account = by_network(hasher, ("account", typed), (visitor, FROM_ANYWHERE));
    of_account.into_iter().chain(of_network).collect()
}

/// Of something that somebody who is known guesses about an account.
pub(crate) fn of_account(hasher: &KeyHasher, what: &str, account: AccountId) -> Buckets {
    vec![bucket(hasher, what, &account.to_string(), OF_ACCOUNT)]
}

/// Of the code of a command line, by somebody who is signed in. A code of one's own does not make
/// guesses at others forgotten.
pub(crate) fn of_device_code(hasher: &KeyHasher, account: AccountId) -> Buckets {
    let (mut bucket, patience) = bucket(hasher, "device-code", &account.to_string(), OF_ACCOUNT);
    bucket.cleared = false;
    vec![(bucket, patience)]
}

/// Of the second factor of an account, once the password was shown. Whoever knows the password and
/// guesses makes nobody wait who signs in from a known browser, or with a recovery code.
pub(crate) fn of_second_factor(
    hasher: &KeyHasher,
    is_recovery: bool,
    (account, device, visitor): (AccountId, Option<&Device>, &Visitor),
) -> Buckets {
    let account = account.to_string();
    match (is_recovery, device) {
        (true, _) => by_network(hasher, ("recovery", &account), (visitor, FROM_ANYWHERE)),
        (false, Some(device)) => vec![bucket(hasher, "device-factor", &device.nonce, OF_DEVICE)],
        (false, None) => {
            let of = ("second-factor", account.as_str());
            by_network(hasher, of, (visitor, OF_FACTOR_FROM_ANYWHERE))
        }
    }
}

/// A tight bucket of who guesses from one network, and a wide one of all.
fn by_network(
    hasher: &KeyHasher,
    (kind, of): (&str, &str),
    (visitor, from_anywhere): (&Visitor, Patience),
) -> Buckets {
    // A network's name has no space, so that no other pair is spelled like this one.
    let pair = format!("{} {of}", visitor.network());
    vec![
        bucket(hasher, &format!("{kind}-from"), &pair, OF_ACCOUNT),
        bucket(hasher, kind, of, from_anywhere),
    ]
}

/// Of something that is guessed from an address.
pub(crate) fn of_address(hasher: &KeyHasher, from: IpAddr) -> (Bucket, Patience) {
    let (mut bucket, patience) = bucket(hasher, "address", &network(from).to_string(), OF_ADDRESS);
    // Signing in as oneself does not make one's guesses at others forgotten.
    bucket.cleared = false;
    (bucket, patience)
}

fn bucket(hasher: &KeyHasher, kind: &str, of: &str, patience: Patience) -> (Bucket, Patience) {
    let hash = hex(&hasher.tag("throttle", &format!("{kind} {of}")));
    let name = format!("{kind}:{}", hash.get(..DIGITS).unwrap_or_default());
    (Bucket { name, cleared: true }, patience)
}

/// Lets an attempt through, or says when to come again.
pub(crate) async fn attempt(control: &Control, buckets: &Buckets) -> ApiResult<()> {
    match control.store.throttles().attempt(buckets).await? {
        Attempt::Admitted => Ok(()),
        Attempt::TooSoon { retry_after_s, free } => {
            let facts = TooFast {
                class: CLASS,
                limit: free,
                window_s: u32::try_from(FORGET_AFTER.as_secs()).unwrap_or(u32::MAX),
                retry_after_s,
            };
            let text = format!("too many wrong tries; come again in {retry_after_s} s");
            Err(facts.refusal(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;

    fn names(hasher: &KeyHasher, typed: &str, from: &str) -> Vec<(String, Patience)> {
        let visitor = Visitor::stranger(from.parse().unwrap());
        let buckets = of_password(hasher, typed, (None, &visitor));
        buckets.into_iter().map(|(bucket, patience)| (bucket.name, patience)).collect()
    }

    #[test]
    fn whoever_guesses_elsewhere_shares_only_what_is_wide() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("hashing.key");
        let hasher = KeyHasher::load_or_create(&path).unwrap();
        let names = |typed, from| names(&hasher, typed, from);
        let ann = names("ann@example.com", "2001:db8::1");
        assert_eq!(ann, names("ann@example.com", "2001:db8::2"), "one line is one network");
        let elsewhere = names("ann@example.com", "2001:db8:0:1::1");
        let shared: Vec<_> = ann.iter().filter(|bucket| elsewhere.contains(bucket)).collect();
        let [(name, patience)] = shared.as_slice() else { panic!("{shared:?}") };
        assert!(name.starts_with("account:"), "{name}");
        assert!(patience.free >= 100 && patience.longest <= Duration::from_secs(10));
        // Of somebody else it is the address alone.
        let bob = names("bob@example.com", "2001:db8::1");
        let shared: Vec<_> = ann.iter().filter(|bucket| bob.contains(bucket)).collect();
        let [(name, _)] = shared.as_slice() else { panic!("{shared:?}") };
        assert!(name.starts_with("address:"), "{name}");
    }
}
