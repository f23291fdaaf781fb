//! Who is at the other end, as far as a request says it: for the record, for people to know their
//! sessions again, and to tell a browser that was here before from a stranger's.
//! Invariant: a browser is known by a cookie that this installation has signed, for one account.

use std::{convert::Infallible, net::IpAddr, net::SocketAddr, sync::Arc};

use ::http::{HeaderMap, header, request::Parts};
use axum::extract::{ConnectInfo, FromRequestParts};
use rigbox_store::{audit::NewEntry, sessions::Epoch};
use rigbox_types::{AccountId, api::audit::AuditStage};
use subtle::ConstantTimeEq as _;

use crate::{
    authn::{Authenticator, hex},
    control::Control,
    http::entry::RequestId,
    rates::network,
    source::{NoRandom, random},
};

/// Longest name of a program that is kept.
const USER_AGENT_MAX_LEN: usize = 200;
const USE: &str = "device";

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// The request's id.
    pub(crate) request_id: String,
    /// Where it comes from.
    pub(crate) address: Option<IpAddr>,
    /// The program's name for itself.
    pub(crate) user_agent: Option<String>,
    /// What the browser is known by, if it has signed in here before.
    device: Option<Device>,
}

/// A browser in which somebody has signed in before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    account: AccountId,
    /// What was ended since then is not known any more: whoever had a password once is a stranger
    /// after it was changed.
    epoch: String,
    pub(crate) nonce: String,
}

impl Visitor {
    fn read(parts: &Parts, authn: &Authenticator) -> Self {
        let id = parts.extensions.get::<RequestId>().map(RequestId::as_str);
        let from = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|from| from.0.ip());
        Self {
            request_id: id.unwrap_or_default().to_owned(),
            address: from,
            user_agent: user_agent(&parts.headers),
            device: Device::read(&parts.headers, authn),
        }
    }

    /// Somebody who is known by nothing but an address.
    #[cfg(test)]
    pub(crate) fn stranger(from: IpAddr) -> Self {
        Self { request_id: String::new(), address: Some(from), user_agent: None, device: None }
    }

    /// What counts as one address with where it comes from; all that have none are one.
    pub(crate) fn network(&self) -> String {
        self.address.map_or_else(|| "nowhere".to_owned(), |from| network(from).to_string())
    }

    /// What the browser is known by, if somebody has signed in to this account in it before.
    pub(crate) fn device_of(&self, account: AccountId, epoch: Epoch) -> Option<&Device> {
        let device = self.device.as_ref()?;
        (device.account == account && device.epoch == epoch.to_string()).then_some(device)
    }

    /// An entry of the record about what this visitor did.
    pub(crate) fn entry(&self, action: &str, account: Option<AccountId>, actor: &str) -> NewEntry {
        NewEntry {
            stage: AuditStage::Completed,
            request_id: self.request_id.clone(),
            action: action.to_owned(),
            account,
            actor: actor.to_owned(),
            address: self.address.map(|address| address.to_string()),
            target: "identity".to_owned(),
            status: Some(200),
            code: None,
        }
    }
}

impl Device {
    /// The cookie of a new one.
    pub(crate) fn cookie(
        (account, epoch): (AccountId, Epoch),
        authn: &Authenticator,
    ) -> Result<String, NoRandom> {
        let nonce = hex(&random::<16>()?);
        let text = format!("{account}.{epoch}.{nonce}");
        let tag = hex(&authn.hasher.tag(USE, &text));
        Ok(format!("{text}.{tag}"))
    }

    fn read(headers: &HeaderMap, authn: &Authenticator) -> Option<Self> {
        let (text, tag) = authn.cookies.device(headers)?.rsplit_once('.')?;
        let expected = hex(&authn.hasher.tag(USE, text));
        if !bool::from(expected.as_bytes().ct_eq(tag.as_bytes())) {
            return None;
        }
        let (account, rest) = text.split_once('.')?;
        let (epoch, nonce) = rest.split_once('.')?;
        let (epoch, nonce) = (epoch.to_owned(), nonce.to_owned());
        Some(Self { account: account.parse().ok()?, epoch, nonce })
    }
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?;
    let text: String = text.chars().take(USER_AGENT_MAX_LEN).collect();
    (!text.is_empty()).then_some(text)
}

impl FromRequestParts<Arc<Control>> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        control: &Arc<Control>,
    ) -> Result<Self, Infallible> {
        Ok(Self::read(parts, &control.authn))
    }
}
