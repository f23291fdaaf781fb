//! What of a request goes into the record, and whether it does.

use std::net::IpAddr;

use ::http::{Request, Response};
use rigbox_store::audit::NewEntry;
use rigbox_types::{
    AccountId, Principal, Right,
    api::{audit::AuditStage, error::ErrorCode},
    endpoint::{Endpoint, Method},
};

/// Longest path that is kept, in bytes: an operation's path with ids of any kind fits.
const TARGET_MAX_LEN: usize = 256;

/// Goes with a refused answer: why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    /// Whether the caller may not do it, whatever the code says.
    pub(crate) denied: bool,
}

/// One request, as far as it is known.
#[derive(Debug)]
pub(crate) struct Trail {
    endpoint: &'static Endpoint,
    request_id: String,
    actor: String,
    account: Option<AccountId>,
    address: Option<String>,
    target: String,
}

impl Trail {
    pub(crate) fn new<B>(
        endpoint: &'static Endpoint,
        request: &Request<B>,
        (request_id, from): (String, Option<IpAddr>),
    ) -> Self {
        // Without the query, which may hold a token. Paths are ASCII, so any cut is one.
        let target = match endpoint.path.contains("{code}") {
            // That segment is a secret.
            true => endpoint.path.to_owned(),
            false => request.uri().path().chars().take(TARGET_MAX_LEN).collect(),
        };
        let (actor, address) = ("anonymous".to_owned(), from.map(|from| from.to_string()));
        Self { endpoint, request_id, actor, account: None, address, target }
    }

    /// Notes who asks.
    pub(crate) fn is_of(&mut self, who: &Principal) {
        (self.actor, self.account) = match who {
            Principal::Key { credential, account, .. } => (credential.to_string(), Some(*account)),
            Principal::Guest { workspace, account } => {
                (format!("workspace:{workspace}"), Some(*account))
            }
        };
    }

    /// Whether the request may change something, or enters a workspace. What strangers may do is
    /// recorded by whoever does it, who knows for which account: it must not fill the record.
    pub(crate) fn is_kept(&self) -> bool {
        let changes = self.endpoint.method != Method::Get && self.endpoint.right != Right::Public;
        changes || self.endpoint.right == Right::WorkspaceEnter
    }

    /// The entry before anything is done.
    pub(crate) fn received(&self) -> NewEntry {
        self.entry(AuditStage::Received, None, None)
    }

    /// The entry of the answer; none for a look that was allowed.
    pub(crate) fn completed<B>(&self, response: &Response<B>) -> Option<NewEntry> {
        let refusal = response.extensions().get::<Refusal>().copied();
        let matters = refusal.is_some_and(|refusal| {
            refusal.denied
                || matches!(refusal.code, ErrorCode::Unauthenticated | ErrorCode::Forbidden)
        });
        // Who is too fast was not let in; the record must not be a way to fill the disk.
        let is_flood = refusal.is_some_and(|refusal| refusal.code == ErrorCode::RateLimited);
        let status = Some(response.status().as_u16());
        let code = refusal.map(|refusal| refusal.code.as_str().to_owned());
        let matters = matters && self.endpoint.right != Right::Public;
        ((self.is_kept() || matters) && !is_flood)
            .then(|| self.entry(AuditStage::Completed, status, code))
    }

    fn entry(&self, stage: AuditStage, status: Option<u16>, code: Option<String>) -> NewEntry {
        NewEntry {
            stage,
            request_id: self.request_id.clone(),
            action: self.endpoint.operation.as_str().to_owned(),
            account: self.account,
            actor: self.actor.clone(),
            address: self.address.clone(),
            target: self.target.clone(),
            status,
            code,
        }
    }
}
