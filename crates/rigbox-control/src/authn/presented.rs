//! What a request brings to be known by: an API key or a session's token in a header, or a session's
//! token in a cookie.
//! Invariants: a header goes before a cookie; of two of a kind neither counts; where the API is
//! reached over TLS only a cookie counts that no other host and no plain connection can have set.

use ::http::{HeaderMap, header};
use rigbox_store::sessions::Carrier;
use rigbox_types::api::error::ErrorCode;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::{ApiKey, SessionToken, wrong};
use crate::{
    error::{ApiError, ApiResult},
    identity::cookies::Cookies,
};

/// See the module.
pub(crate) enum Presented {
    /// An API key, in a header.
    Key(ApiKey),
    /// A session's token.
    Session(SessionToken, Carrier),
}

impl Presented {
    /// Reads the headers of a request.
    pub(crate) fn read(headers: &HeaderMap, cookies: &Cookies) -> ApiResult<Self> {
        if headers.contains_key(header::AUTHORIZATION) {
            return bearer(headers);
        }
        let Some(token) = cookies.session(headers) else { return Err(missing()) };
        let token = token.parse().map_err(|_| ended())?;
        Ok(Self::Session(token, Carrier::Cookie))
    }

    /// The whole secret.
    pub(super) fn text(&self) -> &SecretString {
        match self {
            Self::Key(key) => key.text(),
            Self::Session(token, _) => token.text(),
        }
    }

    /// Whether a browser sends it by itself.
    pub(crate) fn is_cookie(&self) -> bool {
        matches!(self, Self::Session(_, Carrier::Cookie))
    }

    /// What it is remembered by. It has 256 random bits: how far a lookup of its digest comes tells
    /// nothing about it.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        if self.is_cookie() {
            // The same token in a header is something else, and opens nothing.
            digest.update("cookie ");
        }
        digest.update(self.text().expose_secret().as_bytes());
        digest.finalize().into()
    }
}

/// What a header brings.
pub(super) fn bearer(headers: &HeaderMap) -> ApiResult<Presented> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or_else(missing)?;
    if values.next().is_some() {
        return Err(wrong());
    }
    let text = value.to_str().map_err(|_| wrong())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing());
    }
    let token = token.trim();
    if SessionToken::is_meant(token) {
        let token = token.parse().map_err(|_| ended())?;
        return Ok(Presented::Session(token, Carrier::Bearer));
    }
    token.parse().map(Presented::Key).map_err(|_| wrong())
}

fn missing() -> ApiError {
    let text = "credentials are missing: send the header 'Authorization: Bearer rb_…'";
    ApiError::new(ErrorCode::Unauthenticated, text)
}

/// The session is over, or never was.
pub(super) fn ended() -> ApiError {
    let text = "this session is not valid any more: sign in again";
    ApiError::new(ErrorCode::Unauthenticated, text)
}
