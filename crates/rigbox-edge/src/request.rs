//! One request of a visitor, from its head to the head of its answer.
//! Invariants: what is not beyond doubt is refused before anything is looked up; a request is only ever
//! for the name that its connection was made for; an app's own limits come before its visitors'.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::{body::Incoming, ext::Protocol};
use rigbox_types::edge::RouteState;

use crate::{
    body::EdgeBody,
    clock,
    edge::Edge,
    forward::{self, Exchange, Target},
    headers::{self, Said},
    host,
    listen::clients::{self, Place},
    pages::{self, Refusal},
    permit::Permit,
    plain,
    record::Record,
    seen::Sight,
    table::App,
    upgrade,
    visit::{self, Who, gate},
};

/// What is known of a visitor's connection.
pub(crate) struct Visit {
    pub(crate) edge: Arc<Edge>,
    pub(crate) from: IpAddr,
    /// The name that the handshake was for, in lower case.
    pub(crate) name: Box<str>,
    pub(crate) said: Said,
    pub(crate) place: Place,
}

/// Answers a request.
pub(crate) async fn answer(visit: Arc<Visit>, request: Request<Incoming>) -> Response<EdgeBody> {
    let edge = &visit.edge;
    let id = headers::request_id(request.headers()).unwrap_or_else(|| edge.request_id());
    let for_people = pages::for_people(request.headers());
    let version = request.version();
    let line = edge.log.as_ref().and_then(|log| log.begin(&request, &visit.name, visit.from, &id));
    let mut record = Record::begin(edge.clone(), line);
    let outcome = Box::pin(route(&visit, request, &id, &mut record)).await;
    let mut answer = outcome.unwrap_or_else(|refusal| {
        let mut answer = refusal.answer(for_people, id);
        if refusal.status == StatusCode::BAD_REQUEST && version < Version::HTTP_2 {
            // Whatever follows on this connection is in doubt too.
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(header::CONNECTION, close);
        }
        answer
    });
    record.answered(answer.status());
    answer.body_mut().noted(record);
    answer
}

async fn route(
    visit: &Arc<Visit>,
    request: Request<Incoming>,
    id: &HeaderValue,
    record: &mut Box<Record>,
) -> Result<Response<EdgeBody>, Refusal> {
    let edge = &visit.edge;
    let is_upgrade = check(&request)?;
    let name = host::of_request(request.version(), request.uri(), request.headers())
        .map_err(|error| Refusal::malformed(host_text(error)))?;
    if *name != *visit.name {
        edge.metrics.misdirected_total.add(1);
        return Err(Refusal::misdirected());
    }
    let now = clock::now_micros();
    visit.place.draw(edge.limits.client_rate, now).map_err(|wait| limited(edge, wait))?;
    let table = edge.table.load();
    if let Some(answer) = plain::challenge(&table, &name, request.uri().path()) {
        return Ok(answer);
    }
    if table.is_dashboard(&name) {
        drop(name);
        drop(table);
        return dashboard(visit, request, id, is_upgrade).await;
    }
    let app = table.app(&name).ok_or_else(Refusal::unknown)?.clone();
    drop(name);
    clients::draw(&app.counters.full_at, edge.limits.app_rate, now)
        .map_err(|wait| limited(edge, wait))?;
    let own = visit.place.begin(edge.limits.in_flight_per_client);
    let Some(own) = own.filter(|_| record.enter(&app, edge.limits.in_flight_per_app)) else {
        return Err(limited(edge, 1));
    };
    record.of_client(own);
    if gate::is_ours(request.uri().path()) {
        drop(table);
        return Box::pin(gate::answer(edge, &app, &visit.name, &request, id)).await;
    }
    drop(table);
    // Not what is ours: that is the platform's, and has its tokens.
    record.seen(Sight::begin(&app, &request, (visit.from, id), now));
    to_app(visit, request, id, (app, is_upgrade), record).await
}

async fn to_app(
    visit: &Arc<Visit>,
    request: Request<Incoming>,
    id: &HeaderValue,
    (app, is_upgrade): (Arc<App>, bool),
    record: &mut Box<Record>,
) -> Result<Response<EdgeBody>, Refusal> {
    let edge = &visit.edge;
    let decided = visit::decide(edge, &app, &request, is_upgrade, visit.from).await;
    let (who, ticket) = match decided {
        Ok(found) => found,
        Err(turned) => {
            let table = edge.table.load();
            let settings = table.settings.as_deref();
            return gate::turned(settings, &visit.name, &request, &turned, id);
        }
    };
    record.let_in(who.kind(&ticket));
    if matches!(who, Who::Preflight) {
        // Whoever asks is a stranger, and learns nothing of what is behind.
        let answered = preflight(visit, request, id, (app, who)).await;
        return answered.ok_or_else(gate::unauthenticated);
    }
    match app.route.state {
        RouteState::Serving => {}
        RouteState::AppStopped => return Err(Refusal::unavailable("this app is stopped")),
        RouteState::WorkspaceStopped => {
            return Err(Refusal::unavailable("the workspace of this app is not running"));
        }
    }
    let upstream = app
        .upstream
        .clone()
        .ok_or_else(|| Refusal::unavailable("the workspace of this app is not running"))?;
    record.lasts(Permit::new(edge.clone(), app.clone(), &visit.name, ticket, visit.from));
    let target = Target::App { app, who };
    let exchange = Exchange { visit: visit.clone(), upstream, target, id: id.clone() };
    if is_upgrade {
        Box::pin(upgrade::pass(exchange, request, record)).await
    } else {
        forward::pass(exchange, request).await
    }
}

/// Answers a stranger's question what a page of another origin may do: of the question nothing but
/// itself reaches the app, and of its answer nothing but that goes back.
async fn preflight(
    visit: &Arc<Visit>,
    mut request: Request<Incoming>,
    id: &HeaderValue,
    (app, who): (Arc<App>, Who),
) -> Option<Response<EdgeBody>> {
    let upstream = app.upstream.clone().filter(|_| app.route.state == RouteState::Serving)?;
    headers::keep_question(request.headers_mut());
    let target = Target::App { app, who };
    let exchange = Exchange { visit: visit.clone(), upstream, target, id: id.clone() };
    let mut said = forward::pass(exchange, request).await.ok()?;
    let mut answer = Response::new(EdgeBody::empty());
    *answer.status_mut() = said.status();
    *answer.headers_mut() = headers::permission(said.headers_mut());
    Some(answer)
}

/// Hands a request for the dashboard's name to control.
async fn dashboard(
    visit: &Arc<Visit>,
    request: Request<Incoming>,
    id: &HeaderValue,
    is_upgrade: bool,
) -> Result<Response<EdgeBody>, Refusal> {
    let upstream = visit.edge.dashboard.clone().ok_or_else(Refusal::unknown)?;
    let id = id.clone();
    let exchange = Exchange { visit: visit.clone(), upstream, target: Target::Control, id };
    if is_upgrade {
        let mut record = Record::begin(visit.edge.clone(), None);
        Box::pin(upgrade::pass(exchange, request, &mut record)).await
    } else {
        forward::pass(exchange, request).await
    }
}

/// Refuses what two readers could read differently. Whether it is a WebSocket that is to be opened.
fn check(request: &Request<Incoming>) -> Result<bool, Refusal> {
    let headers = request.headers();
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        let plain = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
        if !plain || codings.next().is_some() {
            return Err(Refusal::malformed("a body may be chunked, and nothing else"));
        }
        if headers.contains_key(header::CONTENT_LENGTH) {
            return Err(Refusal::malformed("a body has a length or is chunked, not both"));
        }
    }
    if headers.get_all(header::CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(Refusal::malformed("a body has one length"));
    }
    if request.method() == Method::CONNECT {
        let protocol = request.extensions().get::<Protocol>();
        return match protocol {
            Some(protocol) if protocol.as_str() == "websocket" => Ok(true),
            _ => Err(Refusal::malformed("this is no proxy")),
        };
    }
    let upgrade = headers.get(header::UPGRADE).filter(|_| request.version() == Version::HTTP_11);
    // Anything else that is offered is declined by not being answered to.
    let wanted = upgrade.is_some_and(|upgrade| {
        upgrade.as_bytes().eq_ignore_ascii_case(b"websocket") && names_upgrade(headers)
    });
    if wanted
        && (request.method() != Method::GET || !hyper::body::Body::is_end_stream(request.body()))
    {
        return Err(Refusal::malformed("a WebSocket begins with GET, without a body"));
    }
    Ok(wanted)
}

fn names_upgrade(headers: &http::HeaderMap) -> bool {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|text| text.split(',')).any(|word| word.trim().eq_ignore_ascii_case("upgrade"))
}

fn host_text(error: host::HostError) -> &'static str {
    match error {
        host::HostError::Missing => "a request must name its host",
        host::HostError::Twice => "a request must name its host once",
        host::HostError::Differ => "host names in the request differ",
        host::HostError::Malformed => "this is no host name",
    }
}

fn limited(edge: &Edge, wait_s: u32) -> Refusal {
    edge.metrics.rate_limited_total.add(1);
    Refusal::rate("too many requests", wait_s)
}
