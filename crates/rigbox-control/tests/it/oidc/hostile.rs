//! What a provider looks like that does what no good one does: answers at the wire, each set by the
//! test.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::stream;
use http::{StatusCode, header};
use rigbox_control::{OidcProvider, OidcSettings};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What a path answers.
#[derive(Clone)]
pub(crate) enum Reply {
    /// A document.
    Json(Value),
    /// A status and nothing else.
    Status(u16),
    /// Another place.
    Redirect(String),
    /// A gigabyte.
    Huge,
    /// A byte now and then, for ever.
    Slow,
}

#[derive(Default)]
struct Wire {
    replies: BTreeMap<String, Reply>,
    asked: Vec<String>,
    /// Bytes of bodies that somebody has taken.
    sent: usize,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Hostile {
    pub(crate) issuer: String,
    wire: Arc<Mutex<Wire>>,
    pub(crate) key: Arc<Key>,
}

/// A key of P-256, by which ID tokens are signed.
pub(crate) struct Key {
    pair: EcdsaKeyPair,
    pub(crate) kid: String,
}

impl Key {
    pub(crate) fn new(kid: &str) -> Self {
        let (random, how) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(how, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(how, pkcs8.as_ref(), &random).unwrap();
        Self { pair, kid: kid.to_owned() }
    }

    /// As a key set has it.
    pub(crate) fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "use": "sig", "kid": self.kid })
    }

    /// A token with this header, signed with this key whatever the header says.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// A token for which the public key was taken as a shared secret.
    pub(crate) fn confuse(&self, claims: &Value) -> String {
        let message = message(&json!({ "alg": "HS256", "kid": self.kid }), claims);
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.pair.public_key().as_ref());
        let signature = hmac::sign(&key, message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

/// The signed part of a token.
pub(crate) fn message(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

impl Hostile {
    /// One that so far does nothing wrong.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let wire = Arc::new(Mutex::new(Wire::default()));
        let router = Router::new().fallback(answer).with_state(wire.clone());
        tokio::spawn(async move { axum_serve(listener, router).await });
        let hostile = Self { issuer, wire, key: Arc::new(Key::new("1")) };
        hostile.says("/.well-known/openid-configuration", Reply::Json(hostile.metadata()));
        hostile.says("/jwks", Reply::Json(json!({ "keys": [hostile.key.jwk()] })));
        hostile
    }

    pub(crate) fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.issuer);
        json!({
            "issuer": self.issuer, "authorization_endpoint": at("/auth"),
            "token_endpoint": at("/token"), "jwks_uri": at("/jwks"),
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256", "HS256", "none"],
        })
    }

    pub(crate) fn settings(&self) -> OidcProvider {
        let settings = json!({
            "issuer": self.issuer, "client_id": "rigbox", "create_accounts": true,
            "allowed_domains": ["*"],
        });
        let settings: OidcSettings = serde_json::from_value(settings).unwrap();
        OidcProvider {
            name: "evil".to_owned(),
            settings,
            client_secret: Some("s".to_owned().into()),
            authorities: None,
        }
    }

    /// Sets what a path answers.
    pub(crate) fn says(&self, path: &str, reply: Reply) {
        self.wire.lock().unwrap().replies.insert(path.to_owned(), reply);
    }

    /// Sets which ID token comes for a code.
    pub(crate) fn gives(&self, id_token: &str) {
        let tokens =
            json!({ "access_token": "access", "token_type": "Bearer", "id_token": id_token });
        self.says("/token", Reply::Json(tokens));
    }

    /// How often a path was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.wire.lock().unwrap().asked.iter().filter(|asked| *asked == path).count()
    }

    /// Bytes of bodies that somebody has taken.
    pub(crate) fn sent(&self) -> usize {
        self.wire.lock().unwrap().sent
    }

    /// Good claims for this nonce, with some of them set to others; null takes one out.
    pub(crate) fn claims(&self, nonce: &str, changes: &Value) -> Value {
        let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
        let mut claims = json!({
            "iss": self.issuer, "sub": "eve-1", "aud": "rigbox", "exp": now + 300, "iat": now,
            "nonce": nonce, "email": "eve@example.com", "email_verified": true,
        });
        for (name, value) in changes.as_object().unwrap() {
            let members = claims.as_object_mut().unwrap();
            match value {
                Value::Null => members.remove(name),
                value => members.insert(name.clone(), value.clone()),
            };
        }
        claims
    }
}

async fn axum_serve(listener: TcpListener, router: Router) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let io = hyper_util::rt::TokioIo::new(stream);
            // Whoever is fed too much goes away in the middle.
            drop(hyper::server::conn::http1::Builder::new().serve_connection(io, service).await);
        });
    }
}

async fn answer(State(wire): State<Arc<Mutex<Wire>>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let reply = {
        let mut wire = wire.lock().unwrap();
        wire.asked.push(path.clone());
        wire.replies.get(&path).cloned().unwrap_or(Reply::Status(404))
    };
    match reply {
        Reply::Json(value) => axum::Json(value).into_response(),
        Reply::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Reply::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Reply::Huge => {
            let chunk = Bytes::from_static(&[b' '; 16 * 1024]);
            let chunks = stream::unfold(0_usize, move |sent| {
                let (chunk, wire) = (chunk.clone(), wire.clone());
                async move {
                    wire.lock().unwrap().sent += chunk.len();
                    (sent < 1 << 30).then_some((Ok::<_, Infallible>(chunk), sent + 16 * 1024))
                }
            });
            Body::from_stream(chunks).into_response()
        }
        Reply::Slow => {
            let drops = stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                Some((Ok::<_, Infallible>(Bytes::from_static(b" ")), ()))
            });
            Body::from_stream(drops).into_response()
        }
    }
}
