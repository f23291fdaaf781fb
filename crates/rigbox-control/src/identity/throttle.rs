//! In which buckets a guess counts.
//! Invariants: a guesser makes nobody wait who signs in from a browser that has signed in before;
//! buckets are counted by what was typed, whether such an account exists or not; there are at most
//! [`BUCKETS`] of a kind, so that no guesser fills a disk.

use std::{net::IpAddr, time::Duration};

use rigbox_store::{
    api_keys::KeyHasher,
    throttles::{Attempt, Bucket, FORGET_AFTER, Patience},
};
use rigbox_types::AccountId;

use super::visitor::Device;
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

/// Tries of somebody's password from anywhere.
const OF_ACCOUNT: Patience = Patience { free: 5, longest: Duration::from_secs(300) };
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
    (device, from): (Option<&Device>, Option<IpAddr>),
) -> Buckets {
    let own = match device {
        Some(device) => bucket(hasher, "device", &device.nonce, OF_DEVICE),
        None => bucket(hasher, "account", typed, OF_ACCOUNT),
    };
    // A browser that is known does not answer for its neighbours.
    let address = from.filter(|_| device.is_none()).map(|from| of_address(hasher, from));
    std::iter::once(own).chain(address).collect()
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
    (account, device): (AccountId, Option<&Device>),
) -> Buckets {
    vec![match (is_recovery, device) {
        (true, _) => bucket(hasher, "recovery", &account.to_string(), OF_ACCOUNT),
        (false, Some(device)) => bucket(hasher, "device-factor", &device.nonce, OF_DEVICE),
        (false, None) => bucket(hasher, "second-factor", &account.to_string(), OF_ACCOUNT),
    }]
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
