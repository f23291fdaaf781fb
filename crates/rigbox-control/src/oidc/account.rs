//! Whose account somebody gets whom a provider knows.
//!
//! | the provider's subject | an account has their verified address | gets |
//! |---|---|---|
//! | is known | - | its account, whatever the addresses are now |
//! | is new | one that has another subject of this issuer | nothing: an address that was given away again must not open the account of whoever had it before |
//! | is new | another one | the account, if the operator trusts the provider's addresses (`link_by_email`), and it is not the operator's own; else after signing in to it once |
//! | is new | none | a new account, where the operator wants that; else nothing |
//!
//! Invariant: an address counts only where the provider has verified it.
//! Why not by address alone: an account may have been made with somebody's address before they came
//! (by a mistake, or by whoever expects them), and whoever knows its password would go on to be in it
//! when its owner arrives by a provider. Where accounts are made by the operator alone, whether that
//! can be is the operator's to say.

use rigbox_store::{Store, StoreError};
use rigbox_store::{
    accounts::{AccountRow, Preferences, Profile},
    identities::{Attach, Candidate, Found, Identity},
    workspaces::ChangeError,
};
use rigbox_types::{AccountId, Email, Quotas, Timestamp, authz::Standing};
use serde::{Deserialize, Serialize};

use super::{
    Arrived, Oidc, OidcError, Provider,
    claims::Person,
    ticket::{self, Use},
};
use crate::source::random;

/// What comes of an arrival.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// They may have a session of this account.
    Account(Box<AccountRow>, Found),
    /// They must say, signed in, that an account is theirs. The ticket is what they can connect
    /// with it then.
    Connect {
        /// What the browser carries.
        ticket: String,
        /// Their address.
        email: Option<Email>,
    },
}

/// An identity that waits for an account.
#[derive(Serialize, Deserialize)]
struct Waiting {
    issuer: String,
    subject: String,
    provider: String,
    email: Option<Email>,
}

impl Use for Waiting {
    const NAME: &'static str = "oidc-connect";
}

enum Refused {
    Connect,
    Because(OidcError),
}

impl Oidc {
    /// The account of somebody who has arrived. Where somebody `is_signed_in` already, they may want
    /// to connect what is new with the account that they have, and get no other one.
    pub(crate) async fn account(
        &self,
        store: &Store,
        arrived: &Arrived<'_>,
        is_signed_in: bool,
    ) -> Result<Outcome, OidcError> {
        let Arrived { provider, person, .. } = arrived;
        check_domain(provider, person)?;
        let identity = Identity {
            issuer: provider.settings.issuer.clone(),
            subject: person.subject.clone(),
            provider: provider.name.clone(),
            email: person.email.clone(),
        };
        let id = random().map_err(|error| OidcError::Internal(error.into()))?;
        let decide = |candidate: Option<&Candidate>| match is_signed_in {
            true => Err(Refused::Connect),
            false => decide(provider, person, candidate, AccountId::from_random(id)),
        };
        let (account, found) = match store.identities().account_of(&identity, decide).await {
            Ok(found) => found,
            Err(ChangeError::Refused(Refused::Because(error))) => return Err(error),
            Err(ChangeError::Refused(Refused::Connect)) => {
                return self.connect(identity, store.now());
            }
            Err(ChangeError::Store(error)) => return Err(error.into()),
        };
        if account.profile.disabled_at.is_some() {
            return Err(OidcError::Disabled);
        }
        Ok(Outcome::Account(Box::new(account), found))
    }

    fn connect(&self, identity: Identity, now: Timestamp) -> Result<Outcome, OidcError> {
        let Identity { issuer, subject, provider, email } = identity;
        let waiting = Waiting { issuer, subject, provider, email: email.clone() };
        let ticket = ticket::sign(&self.key, waiting, now).ok_or(OidcError::Malformed)?;
        Ok(Outcome::Connect { ticket, email })
    }

    /// The identity that a browser waits to connect with an account.
    pub(crate) fn waiting(&self, ticket: &str, now: Timestamp) -> Option<Identity> {
        let Waiting { issuer, subject, provider, email } = ticket::read(&self.key, ticket, now)?;
        // The operator may have taken the provider out meanwhile.
        self.provider(&provider).ok().filter(|known| known.settings.issuer == issuer)?;
        Some(Identity { issuer, subject, provider, email })
    }

    /// Connects an identity with the account of somebody who is signed in and has asked for it.
    pub(crate) async fn link(
        &self,
        store: &Store,
        account: AccountId,
        identity: &Identity,
    ) -> Result<(), OidcError> {
        match store.identities().link(account, identity).await {
            Err(StoreError::Conflict { .. }) => Err(OidcError::Taken),
            other => Ok(other?),
        }
    }
}

/// Also for those who are known: who has left a domain may not sign in by it any more.
fn check_domain(provider: &Provider, person: &Person) -> Result<(), OidcError> {
    if provider.settings.is_open() {
        return Ok(());
    }
    let email = person.email.as_ref().ok_or(OidcError::NoEmail)?;
    let domain = email.as_str().rsplit_once('@').map(|(_, domain)| domain);
    if domain.is_some_and(|domain| provider.settings.allows(domain)) {
        Ok(())
    } else {
        Err(OidcError::Domain)
    }
}

/// Whose a new subject is.
fn decide(
    provider: &Provider,
    person: &Person,
    candidate: Option<&Candidate>,
    id: AccountId,
) -> Result<Attach, Refused> {
    let settings = &provider.settings;
    let Some(email) = &person.email else { return Err(Refused::Because(OidcError::NoEmail)) };
    match candidate {
        Some(Candidate { has_issuer: true, .. }) => Err(Refused::Because(OidcError::Taken)),
        Some(Candidate { account, .. }) => {
            let is_trusted = settings.link_by_email && account.standing == Standing::User;
            if is_trusted { Ok(Attach::ToCandidate) } else { Err(Refused::Connect) }
        }
        None if settings.create_accounts => {
            let profile = Profile {
                email: Some(email.clone()),
                display_name: person.name.clone(),
                plan: settings.plan.clone(),
                overrides: Quotas::default(),
                disabled_at: None,
                preferences: Preferences::default(),
            };
            Ok(Attach::ToNew { id, profile: Box::new(profile) })
        }
        None => Err(Refused::Because(OidcError::NoAccount)),
    }
}
