//! Providers: where each one is, how it is spoken to, with which key, and whether it works at the moment.
//! Invariants: an address and a key come from the operator's configuration alone; a key is sent to its own
//! provider's address and nowhere else; no redirect is followed.
//! Does not know prices.

mod breaker;
mod connect;

use std::collections::BTreeMap;

use axum::body::Body;
use camino::Utf8PathBuf;
use http::{Request, Response, Uri, uri::PathAndQuery};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client as Pool, Error as PoolError},
    rt::{TokioExecutor, TokioTimer},
};
use rigbox_ai::{prices::ProviderName, route::headers::Scheme, usage::Dialect};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

pub(crate) use self::breaker::{Admitted, Verdict};
use self::{breaker::Breaker, connect::Connector};

/// Connections to one provider that are kept for the next call.
const IDLE_MAX: usize = 256;

/// How long they are kept: less than providers keep them.
const IDLE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// How a provider speaks, as the configuration has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaks {
    /// As `OpenAI`, and everybody who copies it.
    Openai,
    /// As Anthropic.
    Anthropic,
    /// As Google's Gemini.
    Gemini,
    /// As Brave's search.
    Brave,
}

impl Speaks {
    fn dialect(self) -> Dialect {
        match self {
            Self::Openai => Dialect::OpenAi,
            Self::Anthropic => Dialect::Anthropic,
            Self::Gemini => Dialect::Gemini,
            Self::Brave => Dialect::Brave,
        }
    }
}

/// How a provider wants its key, as the configuration has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyScheme {
    /// `Authorization: Bearer …`.
    Bearer,
    /// `x-api-key`.
    XApiKey,
    /// `x-goog-api-key`.
    XGoogApiKey,
    /// `X-Subscription-Token`.
    XSubscriptionToken,
    /// None.
    None,
}

impl KeyScheme {
    fn scheme(self) -> Scheme {
        match self {
            Self::Bearer => Scheme::Bearer,
            Self::XApiKey => Scheme::ApiKey,
            Self::XGoogApiKey => Scheme::Google,
            Self::XSubscriptionToken => Scheme::Subscription,
            Self::None => Scheme::Open,
        }
    }
}

/// A provider, as the operator configures it. Those that everybody knows need a key alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderSettings {
    /// Where it is, such as `https://api.openai.com`; paths of its API are appended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// File with the platform's key; without one it is there for owners' own keys alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<Utf8PathBuf>,
    /// How it speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speaks: Option<Speaks>,
    /// How it wants its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_scheme: Option<KeyScheme>,
    /// File with the authorities that its certificate is trusted by, instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<Utf8PathBuf>,
}

/// A provider with what its files hold.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    /// Its name: what slugs begin with, and what prices are by.
    pub name: ProviderName,
    /// The operator's settings.
    pub settings: ProviderSettings,
    /// The platform's key.
    pub key: Option<SecretString>,
    /// Authorities in PEM.
    pub authorities: Option<Vec<u8>>,
}

/// What is known of a provider without being told: name, address, dialect, scheme.
type WellKnown = (&'static str, &'static str, Speaks, KeyScheme);

const WELL_KNOWN: [WellKnown; 5] = [
    ("anthropic", "https://api.anthropic.com", Speaks::Anthropic, KeyScheme::XApiKey),
    ("brave", "https://api.search.brave.com", Speaks::Brave, KeyScheme::XSubscriptionToken),
    ("google", "https://generativelanguage.googleapis.com", Speaks::Gemini, KeyScheme::XGoogApiKey),
    ("openai", "https://api.openai.com", Speaks::Openai, KeyScheme::Bearer),
    ("openrouter", "https://openrouter.ai/api", Speaks::Openai, KeyScheme::Bearer),
];

/// What is wrong with a provider's configuration.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Something must be said that is not known.
    #[error(
        "ai.providers.{name}.{field}: must be given for a provider that is not one of the well-known"
    )]
    Missing {
        /// Whose.
        name: ProviderName,
        /// What.
        field: &'static str,
    },
    /// No address.
    #[error("ai.providers.{name}.base_url: {url:?} must be an http or https address without query")]
    Url {
        /// Whose.
        name: ProviderName,
        /// What was there.
        url: String,
    },
    /// No authorities.
    #[error("ai.providers.{name}.ca_file: {why}")]
    Authorities {
        /// Whose.
        name: ProviderName,
        /// Why.
        why: String,
    },
}

/// See the module.
pub(crate) struct Provider {
    pub(crate) name: ProviderName,
    pub(crate) dialect: Dialect,
    pub(crate) scheme: Scheme,
    pub(crate) key: Option<SecretString>,
    pub(crate) breaker: Breaker,
    base: Uri,
    prefix: String,
    pool: Pool<Connector, Body>,
}

impl Provider {
    pub(crate) fn new(config: &ProviderConfig) -> Result<Self, ProviderError> {
        let ProviderConfig { name, settings, key, authorities } = config;
        let known = WELL_KNOWN.iter().find(|known| known.0 == name.as_str());
        let missing = |field| ProviderError::Missing { name: name.clone(), field };
        let url = settings.base_url.as_deref().or_else(|| known.map(|it| it.1));
        let url = url.ok_or_else(|| missing("base_url"))?;
        let speaks = settings.speaks.or_else(|| known.map(|it| it.2)).unwrap_or(Speaks::Openai);
        let scheme =
            settings.key_scheme.or_else(|| known.map(|it| it.3)).unwrap_or(KeyScheme::Bearer);
        let wrong = || ProviderError::Url { name: name.clone(), url: url.to_owned() };
        let base: Uri = url.trim_end_matches('/').parse().map_err(|_| wrong())?;
        let is_http = matches!(base.scheme_str(), Some("http" | "https"));
        let has_user = base.authority().is_none_or(|authority| authority.as_str().contains('@'));
        if !is_http || has_user || base.query().is_some() {
            return Err(wrong());
        }
        let prefix = base.path().trim_end_matches('/').to_owned();
        let connector = Connector::new(&base, authorities.as_deref())
            .map_err(|why| ProviderError::Authorities { name: name.clone(), why })?;
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(connector);
        Ok(Self {
            name: name.clone(),
            dialect: speaks.dialect(),
            scheme: scheme.scheme(),
            key: key.clone(),
            breaker: Breaker::default(),
            base,
            prefix,
            pool,
        })
    }

    /// Where a path of its API is; none where that makes no address.
    pub(crate) fn uri(&self, path: &str, query: Option<&str>) -> Option<Uri> {
        let mut whole = format!("{}{path}", self.prefix);
        if let Some(query) = query {
            whole.push('?');
            whole.push_str(query);
        }
        let mut parts = self.base.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(whole).ok()?);
        Uri::from_parts(parts).ok()
    }

    /// Sends a request once. What was surely not sent on a connection that had just been closed is sent
    /// again by the pool.
    pub(crate) async fn send(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, PoolError> {
        self.pool.request(request).await
    }
}

/// All providers, by name.
pub(crate) type Providers = BTreeMap<ProviderName, Provider>;

/// Makes all providers: those of the configuration, and those that are well-known, to which owners may have
/// keys of their own.
pub(crate) fn all(configs: &[ProviderConfig]) -> Result<Providers, ProviderError> {
    let mut all = Providers::new();
    for (name, ..) in WELL_KNOWN {
        let Ok(name) = name.parse::<ProviderName>() else { continue };
        let (settings, key, authorities) = (ProviderSettings::default(), None, None);
        let bare = ProviderConfig { name: name.clone(), settings, key, authorities };
        let config = configs.iter().find(|config| config.name == name).unwrap_or(&bare);
        all.insert(name, Provider::new(config)?);
    }
    for config in configs {
        if !all.contains_key(&config.name) {
            all.insert(config.name.clone(), Provider::new(config)?);
        }
    }
    Ok(all)
}
