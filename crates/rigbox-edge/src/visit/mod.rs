//! Who a visitor is and whether the request may pass. The answer comes from
//! [`rigbox_types::authz::authorise_visit`] alone, on each request, with the route as it is now.
//! Invariant: nothing reaches a workspace without that answer.
//! Does not know what a credential means (control does) and keeps none (see `admissions`).

mod admissions;
pub(crate) mod cookies;
pub(crate) mod gate;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Request, header};
use hyper::body::Body;
use rigbox_types::{
    Authorised, Credential, Email, Principal,
    access::Role,
    api::app_requests::VisitorKind,
    authz::{Denied, Visiting, authorise_visit},
    edge::{Admission, Shown, Visibility, Visitor},
};

pub(crate) use admissions::{ASKING_PER_APP_MAX, Admissions, Asked};

use crate::{clock, edge::Edge, headers::KEY, table::App};

/// Who a visitor was found to be.
#[derive(Clone)]
pub(crate) enum Who {
    Anyone,
    /// A browser that asks what it may ask; sends no credential.
    Preflight,
    Link,
    Known(Arc<Known>),
}

/// A visitor with an account.
pub(crate) struct Known {
    principal: Principal,
    granted: Option<Role>,
    email: Option<Email>,
    /// As they go to the workspace.
    pub(crate) id_header: HeaderValue,
    pub(crate) email_header: Option<HeaderValue>,
    pub(crate) account: rigbox_types::AccountId,
}

impl Known {
    /// None for an answer that names nothing that was shown.
    fn of(visitor: Visitor) -> Option<Self> {
        let credential = match (visitor.key, visitor.session) {
            (Some(key), _) => Credential::Key(key),
            (None, Some(session)) => Credential::Session(session),
            (None, None) => return None,
        };
        let principal = Principal::Key {
            credential,
            account: visitor.account,
            standing: visitor.standing,
            scopes: visitor.scopes,
        };
        let id_header = HeaderValue::try_from(visitor.account.to_string()).ok()?;
        let email_header =
            visitor.email.as_ref().and_then(|email| HeaderValue::try_from(email.as_str()).ok());
        Some(Self {
            principal,
            granted: visitor.granted,
            email: visitor.email,
            id_header,
            email_header,
            account: visitor.account,
        })
    }
}

impl Who {
    /// Asks the authorisation function.
    pub(crate) fn authorise<T>(&self, app: &App, target: T) -> Result<Authorised<T>, Denied> {
        match self {
            Self::Anyone => authorise_visit(Visiting::Anyone, &app.resource(None, false), target),
            Self::Preflight => {
                authorise_visit(Visiting::Preflight, &app.resource(None, false), target)
            }
            Self::Link => {
                let visiting = Visiting::Link(&app.route.app);
                authorise_visit(visiting, &app.resource(None, false), target)
            }
            Self::Known(known) => {
                let listed = known
                    .email
                    .as_ref()
                    .is_some_and(|email| app.route.allowed_emails.contains(email));
                let resource = app.resource(known.granted, listed);
                authorise_visit(Visiting::Known(&known.principal), &resource, target)
            }
        }
    }

    /// What let them in, for the app's owner.
    pub(crate) fn kind(&self, ticket: &Ticket) -> VisitorKind {
        match self {
            Self::Anyone => VisitorKind::Anyone,
            Self::Preflight => VisitorKind::Preflight,
            Self::Link => VisitorKind::Link,
            Self::Known(_) if ticket.showed == Showed::Key => VisitorKind::Key,
            Self::Known(_) => VisitorKind::Session,
        }
    }

    pub(crate) fn known(&self) -> Option<&Known> {
        match self {
            Self::Known(known) => Some(known),
            Self::Anyone | Self::Preflight | Self::Link => None,
        }
    }
}

/// What was shown, and how.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Showed {
    Nothing,
    Key,
    Cookie,
}

/// Why a request may not pass.
pub(crate) enum Turned {
    /// A request shows more than one key.
    TwoKeys,
    /// Nothing was shown that is known; showing something else may help.
    Unknown,
    /// What was shown is not enough.
    NotEnough(Showed),
    /// A page of another origin makes a request, or opens a WebSocket, with this visitor's cookie.
    ForeignOrigin,
    /// Control does not say who this is.
    ControlAway,
}

/// A credential that is asked about again while a stream lasts.
#[derive(Clone)]
pub(crate) struct Ticket {
    pub(crate) showed: Showed,
    shown: Option<Shown>,
}

/// Decides about a request. `own_origin` is the origin of the app's own pages.
pub(crate) async fn decide<B: Body>(
    edge: &Edge,
    app: &App,
    request: &Request<B>,
    is_upgrade: bool,
    from: std::net::IpAddr,
) -> Result<(Who, Ticket), Turned> {
    let nothing = || Ticket { showed: Showed::Nothing, shown: None };
    let headers = request.headers();
    let (shown, showed) = shown(headers)?;
    let is_public = app.route.visibility == Visibility::Public;
    let Some(shown) = shown else {
        // What anyone may see needs no exception.
        let asks = !is_public && is_preflight(request);
        let who = if asks { Who::Preflight } else { Who::Anyone };
        let allowed = who.authorise(app, ());
        return allowed.map(|_| (who, nothing())).map_err(|_| Turned::Unknown);
    };
    let is_foreign =
        if is_upgrade { !is_own_origin(edge, request) } else { is_of_sibling(request) };
    if showed == Showed::Cookie && is_foreign {
        // What anyone may see, it may see as anyone.
        return if is_public { Ok((Who::Anyone, nothing())) } else { Err(Turned::ForeignOrigin) };
    }
    let ticket = Ticket { showed, shown: Some(shown) };
    match recheck(edge, app, &ticket, from).await {
        Ok(who) => Ok((who, ticket)),
        Err(_) if is_public => Ok((Who::Anyone, nothing())),
        Err(turned) => Err(turned),
    }
}

/// Decides again about somebody who is in.
pub(crate) async fn recheck(
    edge: &Edge,
    app: &App,
    ticket: &Ticket,
    from: std::net::IpAddr,
) -> Result<Who, Turned> {
    let showed = ticket.showed;
    let who = match &ticket.shown {
        None => Who::Anyone,
        Some(shown) => match edge.admissions.ask(edge, app, shown, from).await {
            Asked::Away => return Err(Turned::ControlAway),
            Asked::Nobody if showed == Showed::Key => return Err(Turned::NotEnough(showed)),
            Asked::Nobody => return Err(Turned::Unknown),
            Asked::Found(who) => who,
        },
    };
    match who.authorise(app, ()) {
        Ok(_) => Ok(who),
        Err(Denied::Unknown) => Err(Turned::Unknown),
        Err(Denied::Forbidden) => Err(Turned::NotEnough(showed)),
    }
}

/// The credential of a request: a key goes before a cookie.
fn shown(headers: &HeaderMap) -> Result<(Option<Shown>, Showed), Turned> {
    let mut keys = headers.get_all(&KEY).iter();
    match (keys.next(), keys.next()) {
        (Some(_), Some(_)) => Err(Turned::TwoKeys),
        // What is no text is no key of ours either, but was shown as one.
        (Some(key), None) => {
            let key = key.to_str().unwrap_or_default().trim().to_owned();
            Ok((Some(Shown::Key(key)), Showed::Key))
        }
        (None, _) => Ok(match cookies::app(headers) {
            Some(cookie) => (Some(Shown::Cookie(cookie.to_owned())), Showed::Cookie),
            None => (None, Showed::Nothing),
        }),
    }
}

/// Whether a browser asks, before a request of another origin, what that may do. Such a question has
/// no body and shows nothing of ours; see `preflight` for what of it reaches the app, and of the answer
/// its sender.
fn is_preflight<B: Body>(request: &Request<B>) -> bool {
    let headers = request.headers();
    request.method() == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        && request.body().is_end_stream()
}

/// Whether a page of another app, which is of the same site for browsers so that they send the cookie
/// along, makes a request by itself. A person who follows a link to here is welcome.
fn is_of_sibling<B>(request: &Request<B>) -> bool {
    let said = |name: &str| request.headers().get(name).map(HeaderValue::as_bytes);
    let is_elsewhere = matches!(said("sec-fetch-site"), Some(b"same-site" | b"cross-site"));
    let is_followed = request.method().is_safe()
        && said("sec-fetch-mode").is_some_and(|mode| mode == b"navigate");
    is_elsewhere && !is_followed
}

/// Whether the page that sends a request is one of this very host. A browser always says; whoever
/// says nothing is none, and has no business with a cookie.
fn is_own_origin<B>(edge: &Edge, request: &Request<B>) -> bool {
    let Some(origin) = request.headers().get(header::ORIGIN).and_then(|o| o.to_str().ok()) else {
        return false;
    };
    let Some(rest) = origin.strip_prefix("https://") else { return false };
    let (name, port) = rest.split_once(':').unwrap_or((rest, "443"));
    let own = crate::host::of_request(request.version(), request.uri(), request.headers());
    let own_port = edge.table.load().settings.as_ref().map_or(443, |known| known.https_port);
    own.is_ok_and(|own| own == name) && port.parse() == Ok(own_port)
}

/// What control answered, for use.
fn admitted(admission: Admission) -> Option<(Who, Option<i64>)> {
    match admission {
        Admission::Unknown => None,
        Admission::Link { expires_at } => Some((Who::Link, Some(expires_at.as_micros()))),
        Admission::Account(visitor) => {
            let ends = visitor.expires_at.map(|at| at.as_micros());
            Known::of(*visitor).map(|known| (Who::Known(Arc::new(known)), ends))
        }
    }
}

/// Whether something that ends then is over.
fn is_over(ends: Option<i64>) -> bool {
    ends.is_some_and(|ends| ends <= clock::now_micros())
}
