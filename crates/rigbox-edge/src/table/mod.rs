//! What the edge serves at one moment: apps by host name, certificates, challenges, settings.
//! Invariant: a snapshot never changes; readers take one for as long as they need it, and one writer
//! (see [`Builder`]) puts the next in its place. What a look-up costs does not grow with the table.

mod app;
mod builder;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rigbox_types::{
    AppId, Revision,
    edge::{Challenge, EdgeCertificate, EdgeEvent, EdgeSettings, TicketKey},
};
use rustls::sign::CertifiedKey;

pub(crate) use app::{App, Place, Way};
pub(crate) use builder::{Applied, Builder};

use crate::shards::Shards;

/// The table at one moment.
#[derive(Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) settings: Option<Arc<EdgeSettings>>,
    /// By host name.
    names: Shards<Box<str>, Arc<App>>,
    apps: Shards<AppId, Arc<App>>,
    certificates: Shards<Box<str>, Arc<Certificate>>,
    /// By DNS name, of which one may begin with `*.`.
    certified: Shards<Box<str>, Arc<Certificate>>,
    challenges: Arc<Vec<Challenge>>,
    pub(crate) ticket_keys: Arc<Vec<TicketKey>>,
    pub(crate) revision: Option<Revision>,
}

/// A certificate as it was told, and ready for use.
pub(crate) struct Certificate {
    pub(crate) told: EdgeCertificate,
    pub(crate) key: Arc<CertifiedKey>,
}

impl Snapshot {
    /// The app that a host name leads to.
    pub(crate) fn app(&self, name: &str) -> Option<&Arc<App>> {
        self.names.get(name)
    }

    /// Whether a host name is the dashboard's.
    pub(crate) fn is_dashboard(&self, name: &str) -> bool {
        let host = self.settings.as_ref().and_then(|settings| settings.dashboard_host.as_deref());
        host == Some(name)
    }

    /// The certificate for a DNS name: one for the name itself, else a wildcard.
    pub(crate) fn certificate(&self, name: &str) -> Option<&Arc<Certificate>> {
        self.certified.get(name).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            let mut wildcard = String::with_capacity(parent.len() + 2);
            wildcard.push_str("*.");
            wildcard.push_str(parent);
            self.certified.get(wildcard.as_str())
        })
    }

    /// What to answer for an HTTP challenge.
    pub(crate) fn http_challenge(&self, name: &str, token: &str) -> Option<&str> {
        self.challenges.iter().find_map(|challenge| match challenge {
            Challenge::Http { name: of, token: its, key_authorization }
                if of == name && its == token =>
            {
                Some(key_authorization.as_str())
            }
            _ => None,
        })
    }

    /// The digest to answer for a TLS challenge.
    pub(crate) fn alpn_challenge(&self, name: &str) -> Option<&str> {
        self.challenges.iter().find_map(|challenge| match challenge {
            Challenge::TlsAlpn { name: of, digest } if of == name => Some(digest.as_str()),
            _ => None,
        })
    }

    /// Names and values of the TXT records to answer.
    pub(crate) fn dns_challenges(&self) -> impl Iterator<Item = (&str, &str)> {
        self.challenges.iter().filter_map(|challenge| match challenge {
            Challenge::Dns { name, value } => Some((name.as_str(), value.as_str())),
            Challenge::Http { .. } | Challenge::TlsAlpn { .. } => None,
        })
    }

    pub(crate) fn apps_len(&self) -> usize {
        self.apps.len()
    }

    pub(crate) fn certificates_len(&self) -> usize {
        self.certificates.len()
    }

    pub(crate) fn apps(&self) -> impl Iterator<Item = &Arc<App>> {
        self.apps.values()
    }

    /// Everything that was told and still holds, as it would be told again.
    pub(crate) fn events(&self) -> impl Iterator<Item = EdgeEvent> {
        let revision = self.revision.unwrap_or_default();
        let settings = self.settings.iter().map(|known| EdgeEvent::Settings((**known).clone()));
        let certificates = self
            .certificates
            .values()
            .map(|known| EdgeEvent::Certificate(Box::new(known.told.clone())));
        let routes = self
            .apps
            .values()
            .map(move |app| EdgeEvent::Route { revision, route: Box::new(app.route.clone()) });
        let keys = EdgeEvent::TicketKeys { keys: (*self.ticket_keys).clone() };
        let end = self.revision.map(|revision| EdgeEvent::Synced { revision });
        settings.chain([keys]).chain(certificates).chain(routes).chain(end)
    }
}
