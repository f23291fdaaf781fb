//! The only SQL of Rigbox: one module per resource over SQLite (embedded) or PostgreSQL.
//! Owns every durable fact of the control zone. Invariants: a call that returned is on disk; every
//! change of a workspace has its own revision, and revisions become visible in their order; what
//! is counted is counted in the transaction that adds to it.
//! Does not decide policy, make ids or know HTTP: ids and edits are brought by the caller.

pub mod accounts;
pub mod ai;
pub mod ai_calls;
pub mod ai_usage;
pub mod api_keys;
pub mod app_log_sources;
pub mod app_visits;
pub mod apps;
pub mod audit;
pub mod bindings;
pub mod certificates;
pub mod clock;
pub mod device_codes;
pub mod feed;
pub mod hosts;
pub mod idempotency;
pub mod identities;
pub mod ledger;
pub mod passwords;
pub mod people;
pub mod plans;
pub mod rate_profiles;
pub mod rates;
pub mod samples;
pub mod second_factors;
pub mod service_specs;
pub mod sessions;
pub mod settings;
pub mod setup_scripts;
pub mod share_links;
pub mod ssh_keys;
pub mod tags;
pub mod throttles;
pub mod tickets;
pub mod transfer;
pub mod workspaces;

mod adding;
mod engine;
mod error;
mod many;
mod migrate;
mod page;
mod row;
mod tx;
mod url;
mod wal_index;

use std::sync::Arc;

pub use adding::Adding;
pub use clock::{Clock, SystemClock};
use engine::Engine;
pub use error::{Amount, OpenError, Over, Scope, StoreError};
pub use page::{Page, PageRequest};
use rigbox_types::Timestamp;
pub use url::{InvalidStoreUrl, StoreUrl};

/// The open store. Cheap to clone; clones share its connections.
#[derive(Clone)]
pub struct Store {
    engine: Arc<Engine>,
}

impl Store {
    /// Opens the database, makes it where it is an embedded one, and brings its schema up to date:
    /// one process at a time, while others go on.
    ///
    /// # Errors
    /// Where it cannot be reached or written, or has a schema newer than this program knows.
    pub async fn open(url: &StoreUrl, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let engine = Engine::open(url, clock).await?;
        Ok(Self { engine: Arc::new(engine) })
    }

    /// Ends all connections; calls under way end first. Subscriptions end.
    pub async fn close(&self) {
        self.engine.close().await;
    }

    /// Workspaces.
    #[must_use]
    pub fn workspaces(&self) -> workspaces::Workspaces<'_> {
        workspaces::Workspaces { engine: &self.engine }
    }

    /// The change stream of workspaces.
    #[must_use]
    pub fn feed(&self) -> feed::Feed<'_> {
        feed::Feed { engine: &self.engine }
    }

    /// Machines that run workspaces.
    #[must_use]
    pub fn hosts(&self) -> hosts::Hosts<'_> {
        hosts::Hosts { engine: &self.engine }
    }

    /// Owners of things.
    #[must_use]
    pub fn accounts(&self) -> accounts::Accounts<'_> {
        accounts::Accounts { engine: &self.engine }
    }

    /// Calls of AI providers.
    #[must_use]
    pub fn ai_calls(&self) -> ai_calls::AiCalls<'_> {
        ai_calls::AiCalls { engine: &self.engine }
    }

    /// What they have used.
    #[must_use]
    pub fn ai_usage(&self) -> ai_usage::AiUsage<'_> {
        ai_usage::AiUsage { engine: &self.engine }
    }

    /// What was decided about AI, and keys for it.
    #[must_use]
    pub fn ai(&self) -> ai::Ai<'_> {
        ai::Ai { engine: &self.engine }
    }

    /// What accounts may use.
    #[must_use]
    pub fn plans(&self) -> plans::Plans<'_> {
        plans::Plans { engine: &self.engine }
    }

    /// API keys.
    #[must_use]
    pub fn api_keys(&self) -> api_keys::ApiKeys<'_> {
        api_keys::ApiKeys { engine: &self.engine }
    }

    /// Apps.
    #[must_use]
    pub fn apps(&self) -> apps::Apps<'_> {
        apps::Apps { engine: &self.engine }
    }

    /// The change stream of apps.
    #[must_use]
    pub fn routes(&self) -> apps::routes::Routes<'_> {
        apps::routes::Routes { engine: &self.engine }
    }

    /// Links that let in to an app.
    #[must_use]
    pub fn share_links(&self) -> share_links::ShareLinks<'_> {
        share_links::ShareLinks { engine: &self.engine }
    }

    /// Cookies of apps, and the tokens that they are given for.
    #[must_use]
    pub fn app_visits(&self) -> app_visits::AppVisits<'_> {
        app_visits::AppVisits { engine: &self.engine }
    }

    /// Where the logs of apps are.
    #[must_use]
    pub fn app_log_sources(&self) -> app_log_sources::AppLogSources<'_> {
        app_log_sources::AppLogSources { engine: &self.engine }
    }

    /// Passwords, and the links by which they are set.
    #[must_use]
    pub fn passwords(&self) -> passwords::Passwords<'_> {
        passwords::Passwords { engine: &self.engine }
    }

    /// Those who signed in.
    #[must_use]
    pub fn sessions(&self) -> sessions::Sessions<'_> {
        sessions::Sessions { engine: &self.engine }
    }

    /// Command lines that want to be let in.
    #[must_use]
    pub fn device_codes(&self) -> device_codes::DeviceCodes<'_> {
        device_codes::DeviceCodes { engine: &self.engine }
    }

    /// Second factors and recovery codes.
    #[must_use]
    pub fn second_factors(&self) -> second_factors::SecondFactors<'_> {
        second_factors::SecondFactors { engine: &self.engine }
    }

    /// What was guessed wrong.
    #[must_use]
    pub fn throttles(&self) -> throttles::Throttles<'_> {
        throttles::Throttles { engine: &self.engine }
    }

    /// The time by which rows are kept and end.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.engine.now()
    }

    /// Setup scripts.
    #[must_use]
    pub fn setup_scripts(&self) -> setup_scripts::SetupScripts<'_> {
        setup_scripts::SetupScripts { engine: &self.engine }
    }

    /// Service specs.
    #[must_use]
    pub fn service_specs(&self) -> service_specs::ServiceSpecs<'_> {
        service_specs::ServiceSpecs { engine: &self.engine }
    }

    /// Public SSH keys.
    #[must_use]
    pub fn ssh_keys(&self) -> ssh_keys::SshKeys<'_> {
        ssh_keys::SshKeys { engine: &self.engine }
    }

    /// What guests used over time.
    #[must_use]
    pub fn samples(&self) -> samples::Samples<'_> {
        samples::Samples { engine: &self.engine }
    }

    /// The audit record.
    #[must_use]
    pub fn audit(&self) -> audit::Audit<'_> {
        audit::Audit { engine: &self.engine }
    }

    /// Roles that accounts were given on things of others.
    #[must_use]
    pub fn bindings(&self) -> bindings::Bindings<'_> {
        bindings::Bindings { engine: &self.engine }
    }

    /// Certificates and what belongs to them.
    #[must_use]
    pub fn certificates(&self) -> certificates::Certificates<'_> {
        certificates::Certificates { engine: &self.engine }
    }

    /// Tags of things.
    #[must_use]
    pub fn tags(&self) -> tags::Tags<'_> {
        tags::Tags { engine: &self.engine }
    }

    /// Lookups of people.
    #[must_use]
    pub fn people(&self) -> people::People<'_> {
        people::People { engine: &self.engine }
    }

    /// Profiles of request rates.
    #[must_use]
    pub fn rate_profiles(&self) -> rate_profiles::RateProfiles<'_> {
        rate_profiles::RateProfiles { engine: &self.engine }
    }

    /// Token buckets of rate limits.
    #[must_use]
    pub fn rates(&self) -> rates::Rates<'_> {
        rates::Rates { engine: &self.engine }
    }

    /// Answers to requests that carry an `Idempotency-Key`.
    #[must_use]
    pub fn idempotency(&self) -> idempotency::Idempotency<'_> {
        idempotency::Idempotency { engine: &self.engine }
    }

    /// Who accounts are to providers of OpenID Connect.
    #[must_use]
    pub fn identities(&self) -> identities::Identities<'_> {
        identities::Identities { engine: &self.engine }
    }

    /// The ledger of AI credits.
    #[must_use]
    pub fn ledger(&self) -> ledger::Ledger<'_> {
        ledger::Ledger { engine: &self.engine }
    }

    /// Tickets that serve once.
    #[must_use]
    pub fn tickets(&self) -> tickets::Tickets<'_> {
        tickets::Tickets { engine: &self.engine }
    }

    /// The installation's settings.
    #[must_use]
    pub fn settings(&self) -> settings::Settings<'_> {
        settings::Settings { engine: &self.engine }
    }
}
