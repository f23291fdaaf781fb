//! What a provider says of itself (OpenID Connect Discovery 1.0).
//! Invariant: metadata is believed only where its issuer is, to the letter, the one that the operator
//! has configured, and only where every address in it is encrypted.

use serde::Deserialize;

use super::{
    error::OidcError,
    fetch::{FetchError, Fetcher},
    jws::{ALGORITHMS, Algorithm},
    url::ProviderUrl,
};

/// Where it lies, below the issuer.
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// How a client shows the provider who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientAuth {
    /// HTTP basic authentication.
    Basic,
    /// In the form.
    Post,
}

/// What of the metadata is needed.
#[derive(Debug, Clone)]
pub(super) struct Metadata {
    pub(super) authorization: ProviderUrl,
    pub(super) token: ProviderUrl,
    pub(super) keys: ProviderUrl,
    pub(super) user_info: Option<ProviderUrl>,
    /// Those of ours that the provider signs with.
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) auth: Option<ClientAuth>,
    /// Whether every answer says whose it is (RFC 9207).
    pub(super) names_issuer: bool,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    id_token_signing_alg_values_supported: Option<Vec<String>>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// Asks for it.
pub(super) async fn fetch(fetcher: &Fetcher, issuer: &ProviderUrl) -> Result<Metadata, FetchError> {
    let place = format!("{}{WELL_KNOWN}", issuer.as_str().trim_end_matches('/'));
    let place: ProviderUrl = place.parse().map_err(|_| FetchError::Request)?;
    let answer = fetcher.get(&place, None).await?;
    if !answer.status.is_success() {
        return Err(FetchError::Status(answer.status));
    }
    read(answer.document()?, issuer).map_err(FetchError::Metadata)
}

fn read(document: Document, issuer: &ProviderUrl) -> Result<Metadata, &'static str> {
    if document.issuer != issuer.as_str() {
        return Err("issuer");
    }
    let url = |text: &str, field| text.parse::<ProviderUrl>().map_err(|_| field);
    let named = document.id_token_signing_alg_values_supported.unwrap_or_default();
    let algorithms: Vec<_> = ALGORITHMS
        .into_iter()
        .filter(|ours| named.iter().any(|theirs| Algorithm::named(theirs) == Some(*ours)))
        .collect();
    if algorithms.is_empty() {
        return Err("id_token_signing_alg_values_supported");
    }
    let methods = document.token_endpoint_auth_methods_supported;
    // Discovery 3: basic where nothing is said.
    let methods = methods.unwrap_or_else(|| vec!["client_secret_basic".to_owned()]);
    let has = |method: &str| methods.iter().any(|known| known == method);
    let auth = match (has("client_secret_basic"), has("client_secret_post")) {
        (true, _) => Some(ClientAuth::Basic),
        (false, true) => Some(ClientAuth::Post),
        (false, false) => None,
    };
    Ok(Metadata {
        authorization: url(&document.authorization_endpoint, "authorization_endpoint")?,
        token: url(&document.token_endpoint, "token_endpoint")?,
        keys: url(&document.jwks_uri, "jwks_uri")?,
        user_info: document
            .userinfo_endpoint
            .map(|text| url(&text, "userinfo_endpoint"))
            .transpose()?,
        algorithms,
        auth,
        names_issuer: document.authorization_response_iss_parameter_supported,
    })
}

impl Metadata {
    /// How to show who we are, with a secret.
    pub(super) fn client_auth(&self) -> Result<ClientAuth, OidcError> {
        let field = "token_endpoint_auth_methods_supported";
        self.auth.ok_or(OidcError::Provider(FetchError::Metadata(field)))
    }
}
