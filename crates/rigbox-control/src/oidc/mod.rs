//! Sign-in by providers of OpenID Connect: the authorization code flow, and whose account a person
//! gets.
//! Owns what is remembered of providers. Invariants: a person is an issuer's subject, whatever their
//! address becomes; nothing of a token is believed before its signature, and nothing is fetched from
//! where a token says; a provider that is slow, down or hostile costs a bounded wait and bounded
//! memory.
//! Does not make sessions (see `sign_in`).

mod account;
mod claims;
mod discovery;
mod error;
mod fetch;
mod flow;
mod jws;
mod kept;
mod keys;
mod settings;
mod ticket;
mod token;
mod url;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use rigbox_store::{Store, StoreError, api_keys::KeyHasher};
use rigbox_types::PlanName;
use secrecy::SecretString;

use self::{
    discovery::Metadata,
    fetch::{Fetcher, InvalidRoots},
    kept::Kept,
    keys::KeySet,
    url::{InvalidProviderUrl, ProviderUrl},
};

pub(crate) use account::Outcome;
pub(crate) use error::OidcError;
pub(crate) use flow::Arrived;
pub use settings::{InvalidSettings, OidcProvider, OidcSettings};

/// How long metadata are believed without another look.
const METADATA_AGE: Duration = Duration::from_secs(3_600);
/// How long they are believed where another look fails.
const METADATA_AGE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Why providers cannot be spoken to as they are configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// Its address.
    #[error("oidc.{name}.issuer")]
    Issuer {
        /// Which provider.
        name: String,
        /// Why.
        #[source]
        source: InvalidProviderUrl,
    },
    /// The plan of accounts that it makes.
    #[error("oidc.{name}.plan: there is no plan {plan}")]
    Plan {
        /// Which provider.
        name: String,
        /// Which plan.
        plan: PlanName,
    },
    /// The plans could not be looked at.
    #[error("look at the plans")]
    Store(#[from] StoreError),
    /// Its certificates.
    #[error("oidc.{name}.ca_file")]
    Roots {
        /// Which provider.
        name: String,
        /// Why.
        #[source]
        source: InvalidRoots,
    },
}

/// All providers.
pub(crate) struct Oidc {
    providers: BTreeMap<String, Provider>,
    key: KeyHasher,
    public_url: String,
}

/// One provider.
pub(crate) struct Provider {
    pub(super) name: String,
    settings: OidcSettings,
    issuer: ProviderUrl,
    secret: Option<SecretString>,
    fetcher: Fetcher,
    metadata: Kept<Metadata>,
    keys: KeySet,
}

impl Oidc {
    /// Speaks to nobody yet: a provider that is down keeps nobody from starting. `public_url` is
    /// where browsers reach us.
    pub(crate) fn new(
        providers: Vec<OidcProvider>,
        key: KeyHasher,
        public_url: &str,
    ) -> Result<Self, ProviderError> {
        let providers: Result<_, ProviderError> = providers
            .into_iter()
            .map(|given| Ok((given.name.clone(), Provider::new(given)?)))
            .collect();
        let public_url = public_url.trim_end_matches('/').to_owned();
        Ok(Self { providers: providers?, key, public_url })
    }

    /// Refuses a provider that would make accounts with a plan that there is not: nobody would learn
    /// of it before somebody is refused.
    pub(crate) async fn check_plans(&self, store: &Store) -> Result<(), ProviderError> {
        let plans = store.plans().list().await?;
        for Provider { name, settings, .. } in self.providers.values() {
            if settings.create_accounts && plans.iter().all(|plan| plan.name != settings.plan) {
                let (name, plan) = (name.clone(), settings.plan.clone());
                return Err(ProviderError::Plan { name, plan });
            }
        }
        Ok(())
    }

    /// Names of the providers, and what people know them by.
    pub(crate) fn buttons(&self) -> impl Iterator<Item = (&str, &str)> {
        self.providers.iter().map(|(name, provider)| (name.as_str(), provider.display_name()))
    }

    /// What people know the provider of this name by.
    pub(crate) fn display_name<'n>(&'n self, name: &'n str) -> &'n str {
        self.providers.get(name).map_or(name, Provider::display_name)
    }

    /// The name of a provider, if it is one.
    pub(crate) fn known(&self, name: &str) -> Option<&str> {
        self.providers.get_key_value(name).map(|(name, _)| name.as_str())
    }

    fn provider(&self, name: &str) -> Result<&Provider, OidcError> {
        self.providers.get(name).ok_or(OidcError::Unknown)
    }

    /// Where a provider sends browsers back to: an address of its own, so that no other provider's
    /// answer is taken for it.
    fn redirect(&self, name: &str) -> String {
        format!("{}/auth/oidc/{name}/callback", self.public_url)
    }
}

impl Provider {
    fn new(given: OidcProvider) -> Result<Self, ProviderError> {
        let OidcProvider { name, settings, client_secret, authorities } = given;
        let issuer = settings
            .issuer
            .parse()
            .map_err(|source| ProviderError::Issuer { name: name.clone(), source })?;
        let fetcher = Fetcher::new(authorities.as_deref())
            .map_err(|source| ProviderError::Roots { name: name.clone(), source })?;
        let (metadata, keys) = (Kept::new(), KeySet::new());
        Ok(Self { name, settings, issuer, secret: client_secret, fetcher, metadata, keys })
    }

    /// What people know it by.
    pub(crate) fn display_name(&self) -> &str {
        self.settings.display_name.as_deref().unwrap_or(&self.name)
    }

    async fn metadata(&self) -> Result<Arc<Metadata>, OidcError> {
        let fetch = discovery::fetch(&self.fetcher, &self.issuer);
        match self.metadata.younger(METADATA_AGE, fetch).await {
            Ok(metadata) => Ok(metadata),
            Err(error) => match self.metadata.known(METADATA_AGE_MAX) {
                Some(metadata) => {
                    let error = crate::error::chain(&error);
                    tracing::warn!(provider = self.name, error, "metadata were not renewed");
                    Ok(metadata)
                }
                None => Err(OidcError::Provider(error)),
            },
        }
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("name", &self.name).finish_non_exhaustive()
    }
}
