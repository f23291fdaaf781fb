//! The list of schema changes, oldest first. A new one is added at the end, in both folders.

use crate::engine::Kind;

/// One schema change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migration {
    /// Its file's name, without ending; the date orders it.
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
}

macro_rules! migrations {
    ($engine:literal, $($name:literal)*) => {
        &[$(Migration {
            name: $name,
            text: include_str!(concat!("../../migrations/", $engine, "/", $name, ".sql")),
        },)*]
    };
}

macro_rules! both {
    ($($name:literal)*) => {
        const SQLITE: &[Migration] = migrations!("sqlite", $($name)*);
        const POSTGRES: &[Migration] = migrations!("postgres", $($name)*);
    };
}

both! {
    "2026-11-23-01-create-feed"
    "2026-11-23-02-start-feed"
    "2026-11-23-03-create-accounts"
    "2026-11-23-04-accounts-one-operator"
    "2026-11-23-05-create-api-keys"
    "2026-11-23-06-api-keys-by-account"
    "2026-11-23-07-create-hosts"
    "2026-11-23-08-create-workspaces"
    "2026-11-23-09-workspaces-by-account"
    "2026-11-23-10-workspaces-by-age"
    "2026-11-23-11-workspaces-by-host"
    "2026-11-23-12-workspaces-by-revision"
    "2026-11-23-13-create-removals"
    "2026-11-23-14-removals-by-host"
    "2026-11-23-15-create-setup-scripts"
    "2026-11-23-16-setup-scripts-by-account"
    "2026-11-23-17-create-service-specs"
    "2026-11-23-18-service-specs-by-account"
    "2026-11-23-19-create-idempotency-keys"
    "2026-11-23-20-idempotency-keys-by-age"
    "2026-11-23-21-create-settings"
    "2026-11-23-22-create-ssh-keys"
    "2026-11-23-23-ssh-keys-by-account"
    "2026-11-25-01-create-samples"
    "2026-11-25-02-samples-by-age"
    "2026-11-25-03-create-host-images"
    "2026-11-25-10-create-api-key-scopes"
    "2026-11-25-20-create-plans"
    "2026-11-25-21-first-plans"
    "2026-11-25-22-create-profiles"
    "2026-11-25-23-accounts-by-age"
    "2026-11-25-31-create-rates"
    "2026-11-25-32-create-audit"
    "2026-11-25-33-audit-by-account"
    "2026-11-25-34-create-audit-ends"
    "2026-11-25-35-start-audit-ends"
    "2026-11-28-01-speed-of-plans"
    "2026-11-28-10-create-passwords"
    "2026-11-28-11-create-sessions"
    "2026-11-28-12-sessions-by-account"
    "2026-11-28-13-create-throttles"
    "2026-11-28-14-create-links"
    "2026-11-28-15-create-device-codes"
    "2026-11-28-16-create-second-factors"
    "2026-11-28-17-create-recovery-codes"
    "2026-11-28-20-create-bindings"
    "2026-11-28-21-bindings-by-resource"
    "2026-11-28-22-create-role-presets"
    "2026-11-28-23-first-role-presets"
    "2026-11-28-24-create-tags"
    "2026-11-28-25-create-throttle-presets"
    "2026-11-28-26-first-throttle-presets"
    "2026-11-28-27-create-throttle-bindings"
    "2026-11-28-40-create-host-sums"
    "2026-11-28-41-host-sums-of-made"
    "2026-11-28-42-host-sums-of-gone"
    "2026-11-28-43-host-sums-of-changed"
    "2026-11-28-44-workspaces-running"
    "2026-11-28-45-first-host-sums"
    "2026-11-28-46-workspaces-of-account"
    "2026-11-28-47-drop-workspaces-by-account"
    "2026-11-28-48-workspaces-of-host"
    "2026-11-28-49-drop-workspaces-by-host"
    "2026-11-28-50-create-identities"
    "2026-11-28-51-create-spent-tickets"
    "2026-11-28-52-spent-tickets-by-age"
    "2026-11-28-60-create-session-epochs"
    "2026-11-28-70-create-apps"
    "2026-11-28-71-apps-by-account"
    "2026-11-28-72-apps-by-workspace"
    "2026-11-28-73-apps-by-revision"
    "2026-11-28-74-create-app-removals"
    "2026-11-28-75-create-kept-names"
    "2026-11-28-76-create-share-links"
    "2026-11-28-77-create-app-cookies"
    "2026-11-28-78-create-app-transfers"
    "2026-11-28-79-create-app-log-sources"
    "2026-11-28-80-create-local-cas"
    "2026-11-28-81-create-certificates"
    "2026-11-28-82-create-acme-accounts"
    "2026-11-28-83-create-certificate-orders"
    "2026-11-28-84-create-acme-log"
    "2026-11-28-85-acme-log-by-age"
    "2026-11-28-86-create-acme-challenges"
    "2026-11-28-87-create-ticket-keys"
    "2026-11-28-90-create-ledger-accounts"
    "2026-11-28-91-create-ledger-entries"
    "2026-11-28-92-create-ledger-postings"
    "2026-11-28-93-create-ledger-holds"
    "2026-11-28-94-ledger-holds-by-age"
    "2026-11-28-95-ledger-entries-only-added"
    "2026-11-28-96-ledger-postings-only-added"
    "2026-11-28-97-create-device-networks"
    "2026-11-28-98-device-codes-by-end"
    "2026-11-29-01-create-ssh-host-keys"
    "2026-11-29-20-ssh-keys-by-fingerprint"
    "2026-11-29-30-create-ai-calls"
    "2026-11-29-31-ai-calls-by-account"
    "2026-11-29-32-ai-calls-by-workspace"
    "2026-11-29-33-ai-calls-by-subject"
    "2026-11-29-40-create-ai-accounts"
    "2026-11-29-41-create-ai-workspaces"
    "2026-11-29-42-create-ai-keys"
    "2026-11-29-43-ai-keys-by-workspace"
}

pub(crate) fn all(kind: Kind) -> &'static [Migration] {
    match kind {
        Kind::Sqlite => SQLITE,
        Kind::Postgres => POSTGRES,
    }
}
