//! One certificate, from the right to order it to the row that edges are told of.
//! Invariants: nothing is ordered without the claim, which one process at a time has; how an order
//! went is noted before the next is begun, and a failed one waits, longer each time, and as long as
//! the authority says.

use std::{sync::Arc, time::Duration};

use rigbox_certs::{Account, AcmeError, Authority, Issued, Kind, Leaf, OrderRequest, renew_at};
use rigbox_store::certificates::{Budget, CertificateRow, Claim, Outcome};
use rigbox_types::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;

use super::{
    CertificateError, Certificates, Edges, SealError, Use, challenger::Challenger, later, new_id,
};
use crate::source::random;

/// What stands for the authority of a certificate that the local CA has signed.
const LOCAL: &str = "local";

/// How long an order may take: two kinds of challenges, and a command for each of two records.
const ORDER_LIMIT: Duration = Duration::from_secs(25 * 60);

/// How long a claim lasts: longer than the order, so that nobody else begins meanwhile.
const CLAIM_LASTS: Duration = Duration::from_secs(30 * 60);

/// Orders of an account in [`ORDERS_WITHIN`]. Let's Encrypt takes 300, and one of ours is two where a
/// name has to be proven by the second way.
const ORDERS_MAX: u32 = 120;

/// See [`ORDERS_MAX`].
const ORDERS_WITHIN: Duration = Duration::from_secs(3 * 3600);

/// First wait after a name was not proven, doubled each time. Let's Encrypt takes five failures an
/// hour for a name, and an order of ours makes two.
const REFUSED_WAIT: Duration = Duration::from_secs(30 * 60);

/// First wait after the authority was not reached, or something of ours failed.
const BROKEN_WAIT: Duration = Duration::from_secs(60);

/// Longest of these waits.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// When an authority is asked when to renew, at the latest and at the earliest, whatever it says.
const ASK_MAX: Duration = Duration::from_secs(24 * 3600);
/// See [`ASK_MAX`].
const ASK_MIN: Duration = Duration::from_secs(3600);

/// How long the authority may take to say it; where it does not, a share of the certificate's life counts.
const ASK_LIMIT: Duration = Duration::from_secs(30);

/// A certificate that there should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Want {
    /// The first of the names, by which it is known.
    pub(super) subject: String,
    /// All of them, sorted.
    pub(super) names: Vec<String>,
    /// Kinds of challenges, in the order in which they are tried.
    pub(super) kinds: Vec<Kind>,
}

impl Certificates {
    /// Whether there is a certificate as it should be, with a key that can be read, which is not to
    /// be renewed yet.
    pub(super) fn is_good(&self, want: &Want, row: &CertificateRow) -> bool {
        let authority = self.config.settings.acme_directory.as_deref().unwrap_or(LOCAL);
        row.names == want.names
            && row.authority == authority
            && row.renew_at > self.now()
            && self.key_of(row).is_ok()
    }

    /// Orders, unless somebody else does or it is too early. An error is of the database only; what
    /// else goes wrong is noted.
    pub(super) async fn order(
        self: &Arc<Self>,
        want: &Want,
        old: Option<&CertificateRow>,
        edges: Arc<dyn Edges>,
    ) -> Result<(), CertificateError> {
        let store = self.store.certificates();
        let authority = self.config.authority();
        let budget = match &authority {
            Some(authority) => {
                Budget { directory: &authority.directory, most: ORDERS_MAX, within: ORDERS_WITHIN }
            }
            None => Budget { directory: LOCAL, most: u32::MAX, within: ORDERS_WITHIN },
        };
        let order = new_id()?;
        let claim = (want.subject.as_str(), order.as_str());
        let failures = match store.claim(claim, CLAIM_LASTS, budget).await? {
            Claim::Granted { failures } => failures,
            Claim::Held | Claim::Later(_) => return Ok(()),
        };
        let ordering = async {
            let issued = match &authority {
                None => self.sign_locally().await?,
                Some(authority) => Box::pin(self.ask(authority, want, old, edges)).await?,
            };
            self.keep_issued(want, &issued).await
        };
        let ended = timeout(ORDER_LIMIT, Box::pin(ordering)).await;
        let outcome = match ended.unwrap_or(Err(CertificateError::Slow(ORDER_LIMIT))) {
            Ok(()) => {
                tracing::info!(names = ?want.names, "a certificate was issued");
                Outcome::Issued
            }
            Err(error) => {
                let line = match &error {
                    CertificateError::Acme(error) => error.line(),
                    error => error.to_string(),
                };
                let wait = wait_after(&error, failures, jitter()?);
                tracing::warn!(
                    names = ?want.names, error = %line, wait_s = wait.as_secs(),
                    "a certificate was not issued"
                );
                Outcome::Failed { next_at: later(self.now(), wait), error: line }
            }
        };
        store.finish(claim, &outcome).await?;
        self.reload().await?;
        Ok(())
    }

    async fn keep_issued(&self, want: &Want, issued: &Issued) -> Result<(), CertificateError> {
        let (id, jitter) = (new_id()?, jitter()?);
        let key = issued.key_pem.expose_secret().as_bytes();
        let leaf = &issued.leaf;
        let authority = self.config.settings.acme_directory.as_deref().unwrap_or(LOCAL);
        let row = CertificateRow {
            subject: want.subject.clone(),
            names: want.names.clone(),
            authority: authority.to_owned(),
            chain: issued.chain_pem.clone(),
            sealed_key: self.sealer.seal(Use::Certificate, &id, key)?,
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            jitter,
            renew_at: renew_at((leaf.not_before, leaf.not_after), None, jitter),
            ask_at: later(self.now(), ASK_MIN),
            id,
        };
        self.store.certificates().put(&row).await?;
        Ok(())
    }

    async fn ask(
        self: &Arc<Self>,
        authority: &Authority,
        want: &Want,
        old: Option<&CertificateRow>,
        edges: Arc<dyn Edges>,
    ) -> Result<Issued, CertificateError> {
        let certificates = Arc::clone(self);
        let challenger = Challenger { certificates, edges, hook: self.config.hook() };
        let same = old.filter(|row| row.authority == authority.directory);
        let replaces = same.and_then(|row| Leaf::read(&row.chain).ok());
        let request = OrderRequest {
            names: &want.names,
            kinds: &want.kinds,
            replaces: replaces.as_ref(),
            dns_alias: self.config.settings.dns_alias.as_deref(),
            now: self.now(),
        };
        let (account, sealed) = self.account(authority).await?;
        match Box::pin(account.order(&request, &challenger)).await {
            Err(error) if error.is_account_gone() => {
                tracing::warn!("the authority does not know our account; a new one is made");
                let store = self.store.certificates();
                store.forget_account(&authority.directory, &sealed).await?;
                let (account, _) = self.account(authority).await?;
                Ok(Box::pin(account.order(&request, &challenger)).await?)
            }
            ended => Ok(ended?),
        }
    }

    /// Our account with an authority, and how it is kept; makes it where there is none.
    async fn account(&self, authority: &Authority) -> Result<(Account, Vec<u8>), CertificateError> {
        let directory = authority.directory.as_str();
        let store = self.store.certificates();
        if let Some(sealed) = store.account(directory).await? {
            match self.sealer.unseal(Use::Account, directory, &sealed) {
                Ok(kept) => {
                    let kept = SecretString::from(kept);
                    let (account, _) = authority.account(Some(&kept)).await?;
                    return Ok((account, sealed));
                }
                Err(error @ SealError::Open { .. }) => {
                    tracing::warn!(%error, "a new account is made");
                    store.forget_account(directory, &sealed).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let (account, kept) = authority.account(None).await?;
        let kept = kept.unwrap_or_default();
        let kept = kept.expose_secret().as_bytes();
        let sealed = self.sealer.seal(Use::Account, directory, kept)?;
        // Where another process was faster, ours serves this one order and is forgotten.
        store.keep_account(directory, &sealed).await?;
        Ok((account, sealed))
    }

    /// Asks the authority of a certificate when it is to be renewed.
    pub(super) async fn ask_when(&self, row: &CertificateRow) -> Result<(), CertificateError> {
        let now = self.now();
        let life = (row.not_before, row.not_after);
        let suggested = match self.config.authority() {
            Some(authority) if authority.directory == row.authority => {
                self.suggested(&authority, row).await
            }
            _ => None,
        };
        let at = renew_at(life, suggested, row.jitter);
        let ask_at = suggested.map_or_else(|| later(now, ASK_MAX), |window| window.ask_again_at);
        let ask_at = ask_at.clamp(later(now, ASK_MIN), later(now, ASK_MAX));
        self.store.certificates().plan((&row.subject, &row.id), at, ask_at).await?;
        Ok(())
    }

    async fn suggested(
        &self,
        authority: &Authority,
        row: &CertificateRow,
    ) -> Option<rigbox_certs::Window> {
        let leaf = Leaf::read(&row.chain).ok()?;
        let asking = async {
            let (account, _) = self.account(authority).await?;
            Ok::<_, CertificateError>(account.renewal(&leaf, self.now()).await?)
        };
        let asked = timeout(ASK_LIMIT, Box::pin(asking)).await;
        match asked.unwrap_or(Err(CertificateError::Slow(ASK_LIMIT))) {
            Ok(window) => window,
            Err(error) => {
                tracing::warn!(%error, names = ?row.names, "the authority did not say when to renew");
                None
            }
        }
    }
}

/// How long to wait after an order that failed, for the `failures`th time after the first.
fn wait_after(error: &CertificateError, failures: u32, jitter: u32) -> Duration {
    let (first, asked) = match error {
        CertificateError::Acme(AcmeError::Wire { .. } | AcmeError::Publish(_)) => {
            (BROKEN_WAIT, None)
        }
        CertificateError::Acme(error) => (REFUSED_WAIT, error.retry_after()),
        _ => (BROKEN_WAIT, None),
    };
    let wait = WAIT_MAX.min(first.saturating_mul(1_u32 << failures.min(16)));
    // Up to a quarter more, so that what failed together is not tried together.
    let more = wait.as_secs().saturating_mul(u64::from(jitter)) / u64::from(u32::MAX) / 4;
    let wait = wait.saturating_add(Duration::from_secs(more));
    wait.max(asked.unwrap_or_default())
}

fn jitter() -> Result<u32, CertificateError> {
    Ok(u32::from_ne_bytes(random()?))
}

/// Whether a moment has come.
pub(super) fn is_due(at: Timestamp, now: Timestamp) -> bool {
    at <= now
}

#[cfg(test)]
mod tests {
    use rigbox_certs::Problem;

    use super::*;

    fn limited(retry_after: Option<Duration>) -> CertificateError {
        let problem =
            Problem { kind: "rateLimited".to_owned(), detail: String::new(), status: Some(429) };
        AcmeError::Problem { problem, retry_after }.into()
    }

    #[test]
    fn an_authority_that_says_when_is_not_asked_before() {
        let week = Duration::from_secs(7 * 24 * 3600);
        assert_eq!(wait_after(&limited(Some(week)), 0, u32::MAX), week);
        assert_eq!(wait_after(&limited(None), 0, 0), REFUSED_WAIT);
        assert_eq!(wait_after(&limited(Some(Duration::ZERO)), 0, 0), REFUSED_WAIT);
    }

    #[test]
    fn waits_grow_and_end() {
        let wait = |failures| wait_after(&limited(None), failures, 0);
        assert_eq!(wait(1), REFUSED_WAIT * 2);
        assert_eq!(wait(1000), WAIT_MAX);
        assert!(wait_after(&limited(None), 0, u32::MAX) > REFUSED_WAIT);
        let broken = CertificateError::Slow(ORDER_LIMIT);
        assert_eq!(wait_after(&broken, 0, 0), BROKEN_WAIT);
    }
}
