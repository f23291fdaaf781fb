//! One order: prove the names, have a key signed, check what comes back.
//!
//! ```text
//! order ── for each kind of challenge, until one is accepted ──▶ authorizations ─▶ publish ─▶ ready
//!                                                                      │ refused: next kind, new order
//! ready ─▶ finalize (new key) ─▶ chain ─▶ check
//! ```
//!
//! Invariants: what was published is withdrawn, however the order ends; the key is new with every
//! order; polling follows `Retry-After` and ends.
//! Does not decide when to order, or how often.

use std::time::Duration;

use instant_acme::{AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rigbox_types::{Timestamp, edge::Challenge};
use tokio::time::{Instant, sleep};

use crate::{
    Account, AcmeError, Going, Issued, Kind, Leaf, Problem, Publisher,
    acme::{identifier, patiently},
};

/// How long an authority may take to check names: it asks from several places, and may queue.
const PROOF_LIMIT: Duration = Duration::from_secs(300);

/// How long it may take to sign.
const SIGN_LIMIT: Duration = Duration::from_secs(300);

/// First pause between two looks, doubled with each, where the authority does not say.
const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// Longest of these pauses.
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Most names of an order: what public authorities allow.
const NAMES_MAX: usize = 100;

/// What is ordered.
#[derive(Debug, Clone)]
pub struct OrderRequest<'a> {
    /// The names, in lower case; a wildcard begins with `*.`.
    pub names: &'a [String],
    /// Kinds of challenges, in the order in which they are tried.
    pub kinds: &'a [Kind],
    /// The certificate that this one is for the place of.
    pub replaces: Option<&'a Leaf>,
    /// The name of the TXT records, where `_acme-challenge.<name>` is an alias (CNAME) of another.
    pub dns_alias: Option<&'a str>,
    /// The time now, by which the certificate must be good.
    pub now: Timestamp,
}

/// A challenge that was published, and of whom.
struct Put {
    name: String,
    challenge: Challenge,
}

impl Account {
    /// Orders a certificate with a new key.
    ///
    /// # Errors
    /// As [`AcmeError`]. What was published is withdrawn.
    pub fn order<'a>(
        &'a self,
        request: &'a OrderRequest<'a>,
        publisher: &'a dyn Publisher,
    ) -> Going<'a, Result<Issued, AcmeError>> {
        Box::pin(async move {
            let mut tries = Vec::new();
            for kind in request.kinds {
                match Box::pin(self.attempt(request, *kind, publisher)).await {
                    Err(error @ AcmeError::Proof { .. }) => tries.push(error.to_string()),
                    ended => return ended,
                }
            }
            Err(AcmeError::NoProof { tries })
        })
    }

    async fn attempt(
        &self,
        request: &OrderRequest<'_>,
        kind: Kind,
        publisher: &dyn Publisher,
    ) -> Result<Issued, AcmeError> {
        let mut order = self.new_order(request).await?;
        let mut published = Vec::new();
        let proven = self.prove(&mut order, (kind, request.dns_alias), publisher, &mut published);
        let proven = Box::pin(proven).await;
        if !published.is_empty() {
            publisher.withdraw(&published).await;
        }
        proven?;
        Box::pin(self.finalize(&mut order, request)).await
    }

    async fn new_order(&self, request: &OrderRequest<'_>) -> Result<Order, AcmeError> {
        let names = request.names.iter().take(NAMES_MAX);
        let names: Vec<_> = names.map(|name| Identifier::Dns(name.clone())).collect();
        let replaces = request.replaces.and_then(|leaf| leaf.id.as_deref()).and_then(identifier);
        if let Some(id) = replaces {
            let new = NewOrder::new(&names).replaces(id);
            match patiently!(self.inner.new_order(&new).await) {
                Ok(order) => return Ok(order),
                // An authority that does not know such a word, or the certificate, or has it as
                // replaced: then without.
                Err(
                    instant_acme::Error::Unsupported(_)
                    | instant_acme::Error::Other(_)
                    | instant_acme::Error::Json(_),
                ) => {}
                Err(instant_acme::Error::Api(problem)) if is_about_replaces(&problem) => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        let new = NewOrder::new(&names);
        let made = patiently!(self.inner.new_order(&new).await);
        made.map_err(|error| self.failed(error))
    }

    /// Has every name proven by challenges of one kind.
    async fn prove(
        &self,
        order: &mut Order,
        (kind, alias): (Kind, Option<&str>),
        publisher: &dyn Publisher,
        published: &mut Vec<Challenge>,
    ) -> Result<(), AcmeError> {
        let puts = self.challenges(order, kind, alias).await?;
        if !puts.is_empty() {
            *published = puts.iter().map(|put| put.challenge.clone()).collect();
            publisher.publish(published).await?;
            patiently!(set_ready(order, kind).await)
                .map_err(|error| self.refused(error, puts.first(), kind))?;
        }
        match self.settled(order, "check the names", PROOF_LIMIT, OrderStatus::Pending).await? {
            OrderStatus::Invalid => Err(self.why_invalid(order, &puts, kind).await),
            _ => Ok(()),
        }
    }

    /// What is to be published for the names that are not proven yet.
    async fn challenges(
        &self,
        order: &mut Order,
        kind: Kind,
        alias: Option<&str>,
    ) -> Result<Vec<Put>, AcmeError> {
        let read = patiently!(read_challenges(order, kind, alias).await);
        match read.map_err(|error| self.failed(error))? {
            Ok(puts) => Ok(puts),
            Err((name, detail)) => {
                let problem = Problem { kind: String::new(), detail, status: None };
                Err(AcmeError::Proof { name, kind, problem })
            }
        }
    }

    /// Looks until the order is no longer what it `is`, as often as the authority asks for.
    async fn settled(
        &self,
        order: &mut Order,
        what: &'static str,
        limit: Duration,
        is: OrderStatus,
    ) -> Result<OrderStatus, AcmeError> {
        let deadline = Instant::now() + limit;
        let mut pause = LOOK_PAUSE;
        loop {
            let looked = patiently!(order.refresh().await.map(|state| state.status));
            let status = looked.map_err(|error| self.failed(error))?;
            if status != is {
                return Ok(status);
            }
            let wait = self.wire.take_retry_after().unwrap_or(pause).max(LOOK_PAUSE);
            if Instant::now() + wait > deadline {
                return Err(AcmeError::Slow { what, limit });
            }
            sleep(wait).await;
            pause = LOOK_PAUSE_MAX.min(pause * 2);
        }
    }

    /// A refusal to begin a check, by the name where it is about one.
    fn refused(&self, error: instant_acme::Error, put: Option<&Put>, kind: Kind) -> AcmeError {
        match (self.failed(error), put) {
            (AcmeError::Problem { problem, retry_after: None }, Some(put))
                if problem.kind != "rateLimited" && problem.kind != "accountDoesNotExist" =>
            {
                AcmeError::Proof { name: put.name.clone(), kind, problem }
            }
            (error, _) => error,
        }
    }

    /// Reads which name was not proven, and why.
    async fn why_invalid(&self, order: &mut Order, puts: &[Put], kind: Kind) -> AcmeError {
        let looked = patiently!(read_problem(order).await);
        let state_error = |order: &mut Order| order.state().error.clone();
        match looked {
            Ok(Some((name, problem))) => AcmeError::Proof { name, kind, problem: problem.into() },
            Ok(None) | Err(_) => {
                let problem = state_error(order).map_or_else(
                    || Problem {
                        kind: String::new(),
                        detail: "the authority does not say why".to_owned(),
                        status: None,
                    },
                    Problem::from,
                );
                let name = puts.first().map(|put| put.name.clone()).unwrap_or_default();
                AcmeError::Proof { name, kind, problem }
            }
        }
    }

    /// Has a new key signed.
    async fn finalize(
        &self,
        order: &mut Order,
        request: &OrderRequest<'_>,
    ) -> Result<Issued, AcmeError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(request.names)?;
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&key)?;
        patiently!(order.finalize_csr(csr.der()).await).map_err(|error| self.failed(error))?;
        let status = match order.state().status {
            OrderStatus::Processing => {
                self.settled(order, "sign", SIGN_LIMIT, OrderStatus::Processing).await?
            }
            status => status,
        };
        if status == OrderStatus::Invalid
            && let Some(problem) = order.state().error.clone()
        {
            return Err(AcmeError::Problem { problem: problem.into(), retry_after: None });
        }
        let chain = patiently!(order.certificate().await);
        let chain_pem = chain
            .map_err(|error| self.failed(error))?
            .ok_or(AcmeError::Slow { what: "sign", limit: SIGN_LIMIT })?;
        let leaf = Leaf::read(&chain_pem)?;
        leaf.check(request.names, &key, request.now)?;
        Ok(Issued { chain_pem, key_pem: key.serialize_pem().into(), leaf })
    }
}

/// What is to be published, or the name that cannot be proven like this and why.
async fn read_challenges(
    order: &mut Order,
    kind: Kind,
    alias: Option<&str>,
) -> Result<Result<Vec<Put>, (String, String)>, instant_acme::Error> {
    let mut puts = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(next) = authorizations.next().await {
        let mut authorization = next?;
        let name = authorization.identifier().to_string();
        let bare = name.strip_prefix("*.").unwrap_or(&name).to_owned();
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            other => return Ok(Err((name, format!("its check is {other:?} already")))),
        }
        let Some(handle) = authorization.challenge(word(kind)) else {
            return Ok(Err((name, "the authority does not offer it".to_owned())));
        };
        let proof = handle.key_authorization();
        let token = handle.token.clone();
        let challenge = match kind {
            Kind::Dns => Challenge::Dns {
                name: alias.map_or_else(|| format!("_acme-challenge.{bare}"), str::to_owned),
                value: proof.dns_value(),
            },
            Kind::TlsAlpn => {
                Challenge::TlsAlpn { name: bare, digest: hex(proof.digest().as_ref()) }
            }
            Kind::Http => {
                Challenge::Http { name: bare, token, key_authorization: proof.as_str().to_owned() }
            }
        };
        puts.push(Put { name, challenge });
    }
    Ok(Ok(puts))
}

/// The first name that was not proven, and why.
async fn read_problem(
    order: &mut Order,
) -> Result<Option<(String, instant_acme::Problem)>, instant_acme::Error> {
    let mut authorizations = order.authorizations();
    while let Some(next) = authorizations.next().await {
        let mut authorization = next?;
        authorization.refresh().await?;
        let problem = authorization.challenges.iter().find_map(|one| one.error.clone());
        if let Some(problem) = problem {
            return Ok(Some((authorization.identifier().to_string(), problem)));
        }
    }
    Ok(None)
}

/// Tells the authority that it may check every name that is not proven.
async fn set_ready(order: &mut Order, kind: Kind) -> Result<(), instant_acme::Error> {
    let mut authorizations = order.authorizations();
    while let Some(next) = authorizations.next().await {
        let mut authorization = next?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        if let Some(mut challenge) = authorization.challenge(word(kind)) {
            challenge.set_ready().await?;
        }
    }
    Ok(())
}

fn word(kind: Kind) -> ChallengeType {
    match kind {
        Kind::Dns => ChallengeType::Dns01,
        Kind::TlsAlpn => ChallengeType::TlsAlpn01,
        Kind::Http => ChallengeType::Http01,
    }
}

fn is_about_replaces(problem: &instant_acme::Problem) -> bool {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    kind.ends_with(":alreadyReplaced")
        || problem.detail.as_deref().is_some_and(|text| text.to_lowercase().contains("replace"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
