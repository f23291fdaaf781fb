//! Makes the next table out of the last one and what control tells.
//! Invariants: one owner; something that is not well-formed changes nothing but who may visit, so
//! that a bad route neither takes an app down nor keeps it open to those who may no longer come.
//! Knows nothing of where the events come from.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use rigbox_fabric::{
    Address,
    dial::{DialClient, Port},
};
use rigbox_types::edge::{EdgeCertificate, EdgeEvent, Route};

use super::{App, Certificate, Place, Snapshot, Way};
use crate::{config::Dialers, host, tls, upstream::Upstream};

/// Most host names of one app.
const NAMES_MAX: usize = 8;

/// Most addresses of hosts whose clients are kept.
const CLIENTS_MAX: usize = 4_096;

/// The table that is being made.
pub(crate) struct Builder {
    pub(crate) snapshot: Snapshot,
    dialers: Dialers,
    clients: HashMap<String, DialClient>,
    idle_per_app: usize,
    stamp: u64,
    /// What was known before a `Reset`, until `Synced`: its apps keep their counters and connections.
    before: Option<Snapshot>,
    /// Certificates that a stream has told since it began, until its first `Synced`.
    told: Option<HashSet<String>>,
}

/// What an event asks for beyond the table.
pub(crate) enum Applied {
    /// Nothing.
    Table,
    /// Keys of session tickets are others.
    TicketKeys,
    /// Admissions are void: of one account, or all.
    Forget(Option<rigbox_types::AccountId>),
    /// It was of no use, and why.
    Refused(String),
}

impl Builder {
    pub(crate) fn new(dialers: Dialers, idle_per_app: usize) -> Self {
        Self {
            snapshot: Snapshot::default(),
            dialers,
            clients: HashMap::new(),
            idle_per_app,
            stamp: 0,
            before: None,
            told: None,
        }
    }

    /// Puts an event into the table.
    pub(crate) fn apply(&mut self, event: EdgeEvent) -> Applied {
        let table = &mut self.snapshot;
        match event {
            EdgeEvent::Reset => {
                let old = std::mem::take(table);
                // A second one within the first: the old table is still the one before.
                self.before.get_or_insert(old);
            }
            EdgeEvent::Settings(settings) => table.settings = Some(Arc::new(settings)),
            EdgeEvent::Route { revision, route } => {
                table.revision = Some(revision);
                return self.route(*route);
            }
            EdgeEvent::Gone { revision, app } => {
                table.revision = Some(revision);
                if let Some(app) = table.apps.remove(&app) {
                    release(table, &app);
                }
            }
            EdgeEvent::Certificate(certificate) => return self.certificate(*certificate),
            EdgeEvent::CertificateGone { id } => {
                if let Some(gone) = table.certificates.remove(id.as_str()) {
                    uncertify(table, &gone);
                }
            }
            EdgeEvent::Challenges { challenges } => table.challenges = Arc::new(challenges),
            EdgeEvent::TicketKeys { keys } => {
                table.ticket_keys = Arc::new(keys);
                return Applied::TicketKeys;
            }
            EdgeEvent::Forget { account, .. } => return Applied::Forget(account),
            EdgeEvent::Synced { revision } => {
                table.revision = Some(revision);
                if let Some(told) = self.told.take() {
                    only(table, &told);
                }
                self.before = None;
            }
            EdgeEvent::Heartbeat | EdgeEvent::Mark { .. } => {}
        }
        Applied::Table
    }

    /// A stream begins, which tells every certificate before it first says that it is through.
    pub(crate) fn begin(&mut self) {
        self.told = Some(HashSet::new());
    }

    /// Whether a table is being told anew and not all of it is there.
    pub(crate) fn is_partial(&self) -> bool {
        self.before.is_some()
    }

    /// Goes back to the table before one that is not whole.
    pub(crate) fn abandon(&mut self) {
        if let Some(before) = self.before.take() {
            self.snapshot = before;
        }
    }

    fn route(&mut self, route: Route) -> Applied {
        let known = self.snapshot.apps.get(&route.app).cloned();
        let before = known
            .clone()
            .or_else(|| self.before.as_ref().and_then(|table| table.apps.get(&route.app)).cloned());
        let (route, refused) = match (check(&route), &before) {
            (Ok(()), _) => (route, None),
            (Err(why), Some(before)) => (restricted(&before.route, route), Some(why)),
            (Err(why), None) => return Applied::Refused(format!("route of {}: {why}", route.app)),
        };
        let upstream = self.upstream(&route, before.as_deref());
        self.stamp += 1;
        let stamp = self.stamp;
        let counters = before.map(|before| before.counters.clone()).unwrap_or_default();
        let app = Arc::new(App { route, upstream, counters, stamp });
        let table = &mut self.snapshot;
        if let Some(known) = known {
            release(table, &known);
        }
        for name in &app.route.names {
            table.names.insert(name.as_str().into(), app.clone());
        }
        let id = app.route.app.clone();
        table.apps.insert(id.clone(), app);
        refused.map_or(Applied::Table, |why| Applied::Refused(format!("route of {id}: {why}")))
    }

    /// The connections of a route: those of the route before where it leads to the same place.
    fn upstream(&mut self, route: &Route, before: Option<&App>) -> Option<Arc<Upstream>> {
        let text = route.host.as_deref()?;
        let place = Place {
            address: text.parse().ok()?,
            workspace: route.workspace.clone(),
            generation: route.generation,
            port: Port::try_from(route.port).ok()?,
        };
        if let Some(upstream) = before.and_then(|before| before.upstream.as_ref())
            && upstream.place() == Some(&place)
        {
            return Some(upstream.clone());
        }
        let client = match self.clients.get(text) {
            Some(client) => client.clone(),
            None => {
                let client = self.dialers.make(&place.address)?;
                if self.clients.len() >= CLIENTS_MAX {
                    self.clients.clear();
                }
                self.clients.insert(text.to_owned(), client.clone());
                client
            }
        };
        Some(Upstream::workspace(Way { place, client }, self.idle_per_app))
    }

    fn certificate(&mut self, told: EdgeCertificate) -> Applied {
        let id = told.id.clone();
        if !told.names.iter().all(|name| host::is_name(name.strip_prefix("*.").unwrap_or(name))) {
            return Applied::Refused(format!("certificate {id}: a name that is none"));
        }
        let key = match tls::certified_key(&told) {
            Ok(key) => Arc::new(key),
            Err(error) => return Applied::Refused(format!("certificate {id}: {error}")),
        };
        if let Some(told) = &mut self.told {
            told.insert(id.clone());
        }
        let certificate = Arc::new(Certificate { told, key });
        let table = &mut self.snapshot;
        // First the new one, so that only names that it is not for are looked for elsewhere.
        for name in &certificate.told.names {
            table.certified.insert(name.to_ascii_lowercase().into(), certificate.clone());
        }
        if let Some(old) = table.certificates.insert(id.into(), certificate) {
            uncertify(table, &old);
        }
        Applied::Table
    }
}

/// Takes an app's names away where they still lead to it.
fn release(table: &mut Snapshot, app: &Arc<App>) {
    for name in &app.route.names {
        if table.names.get(name.as_str()).is_some_and(|named| named.route.app == app.route.app) {
            table.names.remove(name.as_str());
        }
    }
}

/// Forgets certificates that are not told any longer: they went while nobody told us.
fn only(table: &mut Snapshot, told: &HashSet<String>) {
    let gone = table.certificates.values().filter(|known| !told.contains(&known.told.id));
    let gone: Vec<_> = gone.cloned().collect();
    for gone in gone {
        table.certificates.remove(gone.told.id.as_str());
        uncertify(table, &gone);
    }
}

fn uncertify(table: &mut Snapshot, gone: &Arc<Certificate>) {
    for name in &gone.told.names {
        let name = name.to_ascii_lowercase();
        if table.certified.get(name.as_str()).is_some_and(|used| Arc::ptr_eq(used, gone)) {
            table.certified.remove(name.as_str());
            // Another one that is told may be for the same name.
            let is_for = |other: &&Arc<Certificate>| {
                other.told.names.iter().any(|its| its.eq_ignore_ascii_case(&name))
            };
            let others = table.certificates.values().filter(is_for);
            let other = others.max_by_key(|other| other.told.not_after);
            if let Some(other) = other.cloned() {
                table.certified.insert(name.into(), other);
            }
        }
    }
}

/// The last good route, with what a bad one says of who may come.
fn restricted(good: &Route, bad: Route) -> Route {
    let Route { owner, state, visibility, allowed_emails, .. } = bad;
    Route { owner, state, visibility, allowed_emails, ..good.clone() }
}

fn check(route: &Route) -> Result<(), String> {
    if route.names.len() > NAMES_MAX {
        return Err(format!("more than {NAMES_MAX} names"));
    }
    for name in &route.names {
        if !host::is_name(name) || name.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(format!("{name:?} is no host name"));
        }
    }
    if let Some(host) = &route.host {
        host.parse::<Address>().map_err(|error| error.to_string())?;
    }
    Port::try_from(route.port).map_err(|error| error.to_string())?;
    Ok(())
}
