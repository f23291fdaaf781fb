//! How a command line is let in: it asks for a pair of codes, shows the short one to a person, who
//! says yes or no in a browser, and gets an API key (RFC 8628).
//! Invariants: what the command line asks with is a secret of 256 bits, and no page shows it; the
//! short code opens nothing by itself; an API key is made when it is handed out, once, and kept as a
//! hash only.

use std::{str::FromStr, time::Duration};

use rigbox_store::{
    api_keys::KeyHash,
    device_codes::{
        Asked, Decision, DeviceCodeRow, NewDeviceCode, OF_NETWORK_MAX, REMEMBERED, REQUESTS_MAX,
    },
};
use rigbox_types::{
    AccountId, Timestamp,
    api::device::{DeviceSessionResponse, DeviceStatus, DeviceStatusResponse},
    limits::{API_KEYS_MAX_COUNT, TITLE_MAX_LEN},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::visitor::Visitor;
use crate::{
    authn::hex,
    control::Control,
    error::{ApiError, ApiResult, TooFast},
    source::random,
};

/// How long a person has.
const LIFE: Duration = Duration::from_secs(600);
/// How often a command line may ask.
const INTERVAL_S: u32 = 3;
/// A command line's clock and ours, and the way between, differ by as much.
const EARLY: Duration = Duration::from_millis(500);
/// When to come again where too many wait.
const BUSY_RETRY_S: u32 = 60;

const START: &str = "rbd_";
const SECRET_BYTES: usize = 32;

/// Letters of the short code: no vowels, so that none is a word, and none that is taken for another.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Letters of a code: 34 bits, of which a guesser has minutes and few tries.
const LETTERS_LEN: usize = 8;

/// What a command line asks with.
pub(crate) struct DeviceSecret(SecretString);

/// What a person compares and types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserCode(String);

/// Text that is no code.
#[derive(Debug, thiserror::Error)]
#[error("not a code of a command line")]
pub(crate) struct InvalidCode;

impl FromStr for DeviceSecret {
    type Err = InvalidCode;

    fn from_str(text: &str) -> Result<Self, InvalidCode> {
        let rest = text.strip_prefix(START).ok_or(InvalidCode)?;
        let digits = rest.len() == 2 * SECRET_BYTES && rest.bytes().all(|b| b.is_ascii_hexdigit());
        if digits { Ok(Self(text.to_owned().into())) } else { Err(InvalidCode) }
    }
}

impl FromStr for UserCode {
    type Err = InvalidCode;

    /// However it is typed: in small letters, with spaces, without the hyphen.
    fn from_str(text: &str) -> Result<Self, InvalidCode> {
        let letters = text.chars().filter(|c| !c.is_whitespace() && *c != '-');
        let letters: String =
            letters.take(LETTERS_LEN + 1).map(|c| c.to_ascii_uppercase()).collect();
        let known = letters.bytes().all(|byte| LETTERS.contains(&byte));
        if letters.len() == LETTERS_LEN && known { Ok(Self(letters)) } else { Err(InvalidCode) }
    }
}

impl UserCode {
    fn new() -> ApiResult<Self> {
        let mut letters = String::with_capacity(LETTERS_LEN);
        while letters.len() < LETTERS_LEN {
            let [byte] = random::<1>().map_err(ApiError::internal)?;
            // Of 256 values the last 16 would make some letters likelier.
            if let Some(letter) =
                (byte < 240).then(|| LETTERS.get(usize::from(byte) % 20)).flatten()
            {
                letters.push(char::from(*letter));
            }
        }
        Ok(Self(letters))
    }

    /// As it is shown.
    pub(crate) fn shown(&self) -> String {
        let (first, second) = self.0.split_at_checked(LETTERS_LEN / 2).unwrap_or_default();
        format!("{first}-{second}")
    }

    pub(crate) fn hash(&self, control: &Control) -> KeyHash {
        control.authn.hasher.hash(&format!("device {}", self.0).into())
    }
}

/// Begins: makes a pair of codes.
pub(crate) async fn begin(
    control: &Control,
    visitor: &Visitor,
) -> ApiResult<DeviceSessionResponse> {
    let secret = hex(&random::<SECRET_BYTES>().map_err(ApiError::internal)?);
    let secret = SecretString::from(format!("{START}{secret}"));
    let user_code = UserCode::new()?;
    let new = NewDeviceCode {
        secret: control.authn.hasher.hash(&secret),
        user_code: user_code.hash(control),
        address: visitor.address.map(|address| address.to_string()),
        network: visitor.network(),
        user_agent: visitor.user_agent.clone(),
        expires_at: later(control.store.now(), LIFE),
    };
    match control.store.device_codes().insert(&new).await? {
        Asked::Kept => {}
        Asked::TooManyOfNetwork { retry_after_s } => {
            let facts = TooFast {
                class: "device",
                limit: OF_NETWORK_MAX,
                window_s: seconds(LIFE + REMEMBERED),
                retry_after_s,
            };
            let text = format!(
                "{OF_NETWORK_MAX} command lines of this network have asked to be let in within \
                 the hour; come again in {retry_after_s} s, or sign in with an API key"
            );
            return Err(facts.refusal(text));
        }
        Asked::TooMany => {
            let text = format!(
                "{REQUESTS_MAX} command lines wait for somebody to let them in; come again in \
                 {BUSY_RETRY_S} s, or sign in with an API key"
            );
            let facts = json!({ "class": "device", "limit": REQUESTS_MAX, "used": REQUESTS_MAX });
            return Err(ApiError::unavailable(text, BUSY_RETRY_S).adding(facts));
        }
    }
    let base = control.config.api_url.trim_end_matches('/');
    let user_code = user_code.shown();
    Ok(DeviceSessionResponse {
        code: secret.expose_secret().to_owned(),
        url: format!("{base}/device?code={user_code}"),
        user_code,
        expires_in_s: seconds(LIFE),
        poll_interval_s: INTERVAL_S,
    })
}

/// What has become of it. The first answer after a yes has an API key.
pub(crate) async fn poll(
    control: &Control,
    secret: &DeviceSecret,
) -> ApiResult<DeviceStatusResponse> {
    let hash = control.authn.hasher.hash(&secret.0);
    let found = control.store.device_codes().poll(&hash).await?;
    let row = found.ok_or_else(|| ApiError::not_found("code"))?;
    let now = control.store.now();
    let interval = Duration::from_secs(INTERVAL_S.into()) - EARLY;
    if row.polled_at.is_some_and(|at| later(at, interval) > now) {
        let facts = TooFast {
            class: "device_poll",
            limit: 1,
            window_s: INTERVAL_S,
            retry_after_s: INTERVAL_S,
        };
        return Err(facts.refusal(format!("slow down: ask every {INTERVAL_S} s")));
    }
    let over = row.expires_at <= now;
    match (row.decision, row.account) {
        (Decision::Denied, _) => Ok(status(DeviceStatus::Denied)),
        (Decision::Approved, Some(account)) if row.delivered_at.is_some() || !over => {
            approved(control, &hash, (account, &row)).await
        }
        (Decision::Approved | Decision::Pending, _) if over => Ok(status(DeviceStatus::Expired)),
        (Decision::Approved | Decision::Pending, _) => Ok(status(DeviceStatus::Pending)),
    }
}

/// Makes the API key, unless that was done.
async fn approved(
    control: &Control,
    secret: &KeyHash,
    (account, row): (AccountId, &DeviceCodeRow),
) -> ApiResult<DeviceStatusResponse> {
    let person = control.store.passwords().get(account).await?;
    if person.disabled_at.is_some() {
        return Ok(status(DeviceStatus::Denied));
    }
    let (key, new) = control.authn.new_key(account, &key_name(row))?;

    let delivered =
        control.store.device_codes().deliver(secret, (&new, API_KEYS_MAX_COUNT)).await?;
    if delivered {
        tracing::info!(%account, api_key = %new.id, "API key made for a command line");
    }
    Ok(DeviceStatusResponse {
        status: DeviceStatus::Approved,
        api_key: delivered.then(|| key.text().expose_secret().to_owned()),
        api_key_id: delivered.then_some(new.id),
        user_email: person.email,
    })
}

/// The name of a command line's key, by which its owner knows it again.
fn key_name(row: &DeviceCodeRow) -> String {
    let from = row.address.as_deref().unwrap_or("somewhere");
    let program = row.user_agent.as_deref().unwrap_or("a command line");
    let name: String =
        format!("{program} from {from}").chars().filter(|c| !c.is_control()).collect();
    // Visible ASCII: as many bytes.
    name.chars().take(TITLE_MAX_LEN).collect()
}

fn status(status: DeviceStatus) -> DeviceStatusResponse {
    DeviceStatusResponse { status, api_key: None, api_key_id: None, user_email: None }
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

fn later(moment: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(moment.as_micros().saturating_add(by))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_however_it_is_typed() {
        let code: UserCode = "BCDF-GHJK".parse().unwrap();
        for text in ["bcdfghjk", " bcdf ghjk ", "B-C-D-F-G-H-J-K"] {
            assert_eq!(text.parse::<UserCode>().unwrap(), code, "{text}");
        }
        assert_eq!(code.shown(), "BCDF-GHJK");
        for text in ["", "BCDF-GHJ", "BCDF-GHJKL", "ACDF-GHJK", "BCDF-GHJ1", "ßCDF-GHJK"] {
            assert!(text.parse::<UserCode>().is_err(), "{text}");
        }
        assert!(UserCode::new().unwrap().shown().parse::<UserCode>().is_ok());
    }
}
