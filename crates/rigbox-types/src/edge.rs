//! What control and the edge tell each other: routes, certificates, and who a visitor is.
//! Invariant: the edge learns no more of an account than a request to one of its apps needs, and
//! decides with [`crate::authz::authorise`] alone.
//! Does not know how a request is carried.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, ApiKeyId, AppId, Email, Generation, KeyScopes, Revision, SessionId, Timestamp,
    WorkspaceId, access::Role, api::app_requests::AppRequest, authz::Standing,
};

/// Who may visit an app.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Its owner and whoever was given a role on it.
    #[default]
    Private,
    /// Anyone.
    Public,
    /// As private, and the people whose e-mail addresses it lists.
    Privileged,
}

/// One app as the edge has to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Which app.
    pub app: AppId,
    /// Host names that lead to it, in lower case, without port or last dot: its name under the
    /// platform's domain, then a custom domain that was verified.
    pub names: Vec<String>,
    /// The workspace that answers.
    pub workspace: WorkspaceId,
    /// Who owns the workspace.
    pub owner: AccountId,
    /// Grows with each boot of the workspace: connections to an older one are not used again.
    pub generation: Generation,
    /// Where to dial it, as `unix:/path` of the host's dial socket or `https://name:port`.
    /// None where it has no host yet.
    pub host: Option<String>,
    /// The port in the workspace.
    pub port: u16,
    /// Whether requests may pass.
    pub state: RouteState,
    /// Who may visit it.
    pub visibility: Visibility,
    /// Whom it is shown to where it is privileged.
    pub allowed_emails: Vec<Email>,
}

/// Whether requests to an app may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteState {
    /// They may.
    Serving,
    /// The app was stopped.
    AppStopped,
    /// Its workspace does not run.
    WorkspaceStopped,
}

/// A line of the stream that an edge follows. A new edge gets `Reset`, everything, `Synced`, then
/// changes; one that names a revision which is still known gets changes since then, `Synced`, changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum EdgeEvent {
    /// What was known is void; everything follows, up to `Synced`.
    Reset,
    /// How the edge is to serve, told first after `Reset` and again on change.
    Settings(EdgeSettings),
    /// An app is new or has changed.
    Route {
        /// Position in the stream.
        revision: Revision,
        /// The app as it is now.
        route: Box<Route>,
    },
    /// An app is gone: its names lead nowhere.
    Gone {
        /// Position in the stream.
        revision: Revision,
        /// Which app.
        app: AppId,
    },
    /// A certificate is new or replaces another for the same names.
    Certificate(Box<EdgeCertificate>),
    /// A certificate is not served any longer.
    CertificateGone {
        /// Its id.
        id: String,
    },
    /// Every challenge that an authority may ask the edge about now; replaces those before.
    Challenges {
        /// They.
        challenges: Vec<Challenge>,
    },
    /// Keys of session tickets, the first of which makes new ones; replaces those before.
    TicketKeys {
        /// They, newest first.
        keys: Vec<TicketKey>,
    },
    /// A credential ended or what an account may has changed: admissions are asked for again.
    Forget {
        /// Whose admissions; none for everybody's.
        account: Option<AccountId>,
        /// Acknowledged with this number, until the stream ends; 0 where nobody waits for it.
        #[serde(default)]
        mark: u64,
    },
    /// Everything up to here is told.
    Synced {
        /// Position in the stream.
        revision: Revision,
    },
    /// What has no revision (certificates, challenges, ticket keys) is told up to here: acknowledged
    /// with this number, until the stream ends.
    Mark {
        /// The number.
        mark: u64,
    },
    /// Fills silence.
    Heartbeat,
}

/// How the edge serves the platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeSettings {
    /// The domain under which apps have their names, such as `rigbox.localhost`.
    pub domain: String,
    /// The origin where people sign in, such as `https://rigbox.localhost:8443`: scheme, name, port.
    pub sign_in_origin: String,
    /// Host name of the sign-in origin when the edge serves it by handing requests to control.
    pub dashboard_host: Option<String>,
    /// The public HTTPS port, which goes into redirects; 443 is left out of them.
    pub https_port: u16,
}

/// A certificate and its key, as the edge serves it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeCertificate {
    /// Known by this.
    pub id: String,
    /// DNS names it is for; a name may begin with `*.`.
    pub names: Vec<String>,
    /// The chain, in PEM, leaf first.
    pub chain_pem: String,
    /// The private key, in PEM (PKCS #8). Not shown by `Debug`.
    pub key_pem: String,
    /// When it ends.
    pub not_after: Timestamp,
}

impl fmt::Debug for EdgeCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EdgeCertificate")
            .field("id", &self.id)
            .field("names", &self.names)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// What the edge answers an authority that checks who has a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Challenge {
    /// `http-01`: `GET /.well-known/acme-challenge/{token}` for `name`.
    Http {
        /// The name.
        name: String,
        /// Last part of the path.
        token: String,
        /// The answer.
        key_authorization: String,
    },
    /// `tls-alpn-01`: a handshake for `name` with the protocol `acme-tls/1`.
    TlsAlpn {
        /// The name.
        name: String,
        /// SHA-256 of the key authorization, in hexadecimal.
        digest: String,
    },
    /// `dns-01`: a TXT record.
    Dns {
        /// The whole name of the record, in lower case, without last dot.
        name: String,
        /// The record.
        value: String,
    },
}

/// A key that session tickets are sealed with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketKey {
    /// 32 random bytes, in hexadecimal. Not shown by `Debug`.
    pub secret: String,
    /// When it was made.
    pub created_at: Timestamp,
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKey").field("created_at", &self.created_at).finish_non_exhaustive()
    }
}

/// An edge has put everything up to a revision into effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeAck {
    /// Which edge: a name of its own choice, the same for one process.
    pub edge: String,
    /// Up to where.
    pub revision: Revision,
    /// The last mark of the stream; 0 before the first.
    #[serde(default)]
    pub mark: u64,
    /// The last mark of what was forgotten; 0 before the first.
    #[serde(default)]
    pub forgotten: u64,
}

/// What a visitor showed, of which control is to say whom it belongs to. The kinds of secret are
/// told apart so that one is not taken for another.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdmissionRequest {
    /// The app that is visited.
    pub app: AppId,
    /// What was shown.
    pub shown: Shown,
    /// Where the visitor's connection came from, for the audit record.
    pub from: String,
}

/// A visitor's credential.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "secret")]
pub enum Shown {
    /// An API key, in `X-Rigbox-Key`.
    Key(String),
    /// The cookie of this app, which [`Exchange`] gave.
    Cookie(String),
    /// The secret of a share link, from its address; answered with a cookie.
    Link(String),
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key(_) => "Key",
            Self::Cookie(_) => "Cookie",
            Self::Link(_) => "Link",
        })
    }
}

/// Whom a credential belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum Admission {
    /// It belongs to nobody, or to nobody any longer.
    Unknown,
    /// It is an account's.
    Account(Box<Visitor>),
    /// It is a link that somebody who may share the app has made: lets in, names nobody.
    Link {
        /// When the link, or the cookie that it gave, ends.
        expires_at: Timestamp,
    },
}

/// A visitor who is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visitor {
    /// The account.
    pub account: AccountId,
    /// Its e-mail address, if it has one.
    pub email: Option<Email>,
    /// Its standing on the platform.
    pub standing: Standing,
    /// The key, where that was shown.
    pub key: Option<ApiKeyId>,
    /// The session on which the cookie rests, where that was shown.
    pub session: Option<SessionId>,
    /// What the credential is narrowed to.
    pub scopes: KeyScopes,
    /// The role that the account was given on the app, its workspace or the account of its owner.
    pub granted: Option<Role>,
    /// When the credential ends; none for a key without end.
    pub expires_at: Option<Timestamp>,
}

/// A browser came back from the sign-in page with a transfer token for an app, or opened a share
/// link: asks for the cookie that it is to have.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// The app.
    pub app: AppId,
    /// The host name by which it was visited; the token is for that name alone.
    pub name: String,
    /// A single-use transfer token or the secret of a share link.
    pub token: String,
    /// The value of the cookie that the edge set before it sent the browser away; the token was made
    /// for the same, so that nobody is signed in with somebody else's token. None for a share link.
    pub state: Option<String>,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("app", &self.app)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The answer to an [`Exchange`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum Exchanged {
    /// The token is unknown, spent, too old, or for something else.
    Refused,
    /// The cookie to set, host-only.
    Cookie {
        /// Its value.
        value: String,
        /// When it ends.
        expires_at: Timestamp,
    },
}

impl fmt::Debug for Exchanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "Refused",
            Self::Cookie { .. } => "Cookie",
        })
    }
}

/// Requests to apps that have ended since the edge's last such report. It has only so many of an app:
/// [`AppRequest::left_out`] says how many there were besides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestReport {
    /// In the order in which they ended; no more than [`REQUESTS_OF_REPORT_MAX`].
    pub requests: Vec<RequestOf>,
}

/// A request and its app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestOf {
    /// The app.
    pub app: AppId,
    /// The request.
    pub request: AppRequest,
}

/// Most requests of one report: about 3 MB of JSON with the longest paths.
pub const REQUESTS_OF_REPORT_MAX: usize = 5_000;

/// What the edge counts of the requests to apps, since its last report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficReport {
    /// By app.
    pub apps: BTreeMap<AppId, Traffic>,
}

/// Requests to one app within one report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Answers by class of status: 1xx, 2xx, 3xx, 4xx, 5xx.
    pub answers: [u64; 5],
    /// Bytes of bodies sent to visitors.
    pub bytes_out: u64,
    /// How many requests took how long until the answer began: bucket `i` counts those below
    /// `2^i` times 0.25 ms that are in no bucket before it; the last one everything else.
    pub latency: [u64; LATENCY_BUCKETS],
}

/// Buckets of [`Traffic::latency`]: up to 2^18 times 0.25 ms, a minute, and one for what is longer.
pub const LATENCY_BUCKETS: usize = 20;
