//! Apps: ports of workspaces that are published under a name, and who may visit them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::edge::Visibility;
use crate::{
    AccountId, AppId, AppName, Email, HostId, ShareLinkId, Timestamp, WorkspaceId,
    api::change::Change,
    limits::APP_EMAILS_MAX_COUNT,
    secret::debug_shows,
    text::{Description, DomainName, Title},
};

/// What an app is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AppKind {
    /// It answers HTTP on a port.
    #[default]
    Service,
    /// A program to be run; it has no port and no URL.
    Cli,
}

/// What is spoken on an app's port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AppProtocol {
    /// HTTP, without TLS: that ends at the edge.
    #[default]
    Http,
}

/// Whether an app answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AppStatus {
    /// Requests reach its workspace, if that runs.
    Active,
    /// It was stopped.
    Inactive,
    /// It is being installed; no app is until there is a catalog.
    Installing,
    /// Its installation failed; none has until there is a catalog.
    Error,
}

/// `POST /apps`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAppRequest {
    /// The first label of its host name: unique on the platform, and kept in lower case.
    pub name: AppName,
    /// The workspace that answers.
    pub workspace_id: WorkspaceId,
    /// What it is.
    #[serde(default)]
    pub app_kind: AppKind,
    /// The port in the workspace; 3000 when missing. A `cli` has none.
    #[serde(default)]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<u16>,
    /// What is spoken there.
    #[serde(default)]
    pub protocol: Option<AppProtocol>,
    /// For people.
    #[serde(default)]
    #[schemars(with = "Option<Description>")]
    pub description: Option<String>,
    /// Anything that a program wants to keep with it, up to 16 KiB.
    #[serde(default)]
    pub metadata: Value,
}

/// `PATCH /apps/{id}`: a missing field keeps its value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateAppRequest {
    /// A new name, which changes its URL at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<AppName>,
    /// Another port in the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<u16>,
    /// For people; `null` or empty removes it.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    #[schemars(with = "Change<Description>")]
    pub description: Change<String>,
    /// Replaces what is kept with it; `null` removes it.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub metadata: Change<Value>,
    /// `active` or `inactive`: whether requests reach its workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AppStatus>,
    /// Who may visit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// Whom it is shown to where it is privileged; replaces the list whole, `null` empties it.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    #[schemars(length(max = APP_EMAILS_MAX_COUNT))]
    pub allowed_emails: Change<Vec<Email>>,
    /// A host name of one's own, beside the subdomain; `null` or empty removes it. It leads to the
    /// app once it is verified.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    #[schemars(with = "Change<DomainName>")]
    pub custom_domain: Change<String>,
}

/// `PUT /apps/{id}/visibility`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateAppVisibilityRequest {
    /// Who may visit it.
    pub visibility: Visibility,
    /// Whom it is shown to where it is privileged; replaces the list whole, and keeps it when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = APP_EMAILS_MAX_COUNT))]
    pub allowed_emails: Option<Vec<Email>>,
}

/// An app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct App {
    /// Its id.
    pub id: AppId,
    /// Its name.
    pub name: AppName,
    /// The first label of its host name: its name.
    pub subdomain: AppName,
    /// Where it is visited; none for a `cli`.
    pub url: Option<String>,
    /// The workspace that answers.
    pub workspace_id: WorkspaceId,
    /// Who owns that workspace.
    pub user_id: AccountId,
    /// The host that has the workspace.
    pub node_id: HostId,
    /// What it is.
    pub app_kind: AppKind,
    /// The port in the workspace; 0 for a `cli`.
    pub port: u16,
    /// What is spoken there.
    pub protocol: AppProtocol,
    /// Whether it answers.
    pub status: AppStatus,
    /// Who may visit it.
    pub visibility: Visibility,
    /// Whom it is shown to where it is privileged.
    pub allowed_emails: Vec<Email>,
    /// A host name of one's own.
    pub custom_domain: Option<String>,
    /// Whether that name leads here, so that it may have a certificate.
    pub custom_domain_verified: bool,
    /// For people.
    pub description: Option<String>,
    /// What a program keeps with it.
    pub metadata: Value,
    /// Whether the platform made it from a template; none is until templates have apps.
    pub managed: bool,
    /// Apps that it needs; none until there is a catalog.
    pub depends_on: Vec<String>,
    /// What the platform says of it; nothing until there is a catalog.
    pub system_tags: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Every answer about one app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GetAppResponse {
    /// The app.
    pub app: App,
    /// Said where the change is kept, but an edge that was connected has not put it into effect in
    /// time; it does so when it can. The same is in the header `X-Rigbox-Warning`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// `GET /apps`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ListAppsResponse {
    /// Newest first.
    pub apps: Vec<App>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// `POST /apps/{id}/start`, `stop` and `restart`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceActionResponse {
    /// The app after it.
    pub app: App,
    /// For people.
    pub message: String,
    /// The unit that was started or stopped; empty where no unit of the workspace answers.
    pub service_name: String,
    /// See [`GetAppResponse::warning`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// `GET /apps/{id}/health`, found out by trying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppHealthResponse {
    /// Whether a visitor who may would be answered: the app is active, its workspace runs and its port
    /// takes connections.
    pub live: bool,
    /// Whether the port takes connections.
    pub port_open: bool,
    /// `active`, `inactive`, `activating`, `failed`: the unit that listens on the port, or that the app
    /// has; `none` where there is none, and `unknown` while the guest does not run.
    pub service_status: String,
    /// Whether the app's unit listens, but on another port than the app's.
    #[serde(default)]
    pub port_drift: bool,
}

/// `POST /apps/{id}/verify-domain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerifyDomainResponse {
    /// Whether the name leads here.
    pub verified: bool,
    /// The name that a CNAME record of it is to lead to.
    pub expected: String,
    /// What was found: names and addresses, in the order in which they lead on.
    pub found: Vec<String>,
    /// When it was looked up.
    pub checked_at: Timestamp,
}

/// `POST /apps/{id}/share-links`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CreateShareLinkRequest {
    /// For people.
    #[schemars(with = "Option<Title>")]
    pub name: Option<String>,
    /// From when on it lets nobody in; a week from now when missing, and 90 days at most.
    pub expires_at: Option<Timestamp>,
}

/// A link that lets whoever has it visit an app, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShareLink {
    /// Its id.
    pub id: ShareLinkId,
    /// The app.
    pub app_id: AppId,
    /// For people.
    pub name: Option<String>,
    /// Who made it; it lets in only as long as they may say who visits the app.
    pub created_by: AccountId,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it lets nobody in.
    pub expires_at: Timestamp,
}

/// `POST /apps/{id}/share-links`: the only answer with the link itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShareLinkSecretResponse {
    /// The link, without its secret.
    pub link: ShareLink,
    /// The address to give away, shown once: nobody can read it again.
    pub url: String,
}

debug_shows!(ShareLinkSecretResponse: link);

/// `GET /apps/{id}/share-links`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListShareLinksResponse {
    /// Those that have not ended, newest first; all of them.
    pub share_links: Vec<ShareLink>,
}

/// What is to happen with a port that something listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExposeStep {
    /// Only look who listens.
    Detect,
    /// Make the listener a systemd unit, and an app of the port.
    Wrap,
}

/// `POST /workspaces/{id}/expose-port`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExposePortRequest {
    /// The port in the workspace.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: u16,
    /// What is to happen; when missing, an app is made for what listens, which stays as it is.
    #[serde(default)]
    pub step: Option<ExposeStep>,
    /// The app's name; the listener's, made a name, when missing.
    #[serde(default)]
    pub name: Option<AppName>,
}

/// Answer of `POST /workspaces/{id}/expose-port`.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum ExposePortResponse {
    /// Who listens.
    Detect(DetectResult),
    /// An app was made.
    Wrap(Box<WrapResult>),
}

/// What listens on a port.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DetectResult {
    /// The port.
    pub port: u16,
    /// The process.
    pub pid: u32,
    /// Its name.
    pub process_name: String,
    /// Its command line.
    pub command: String,
    /// Its working directory.
    pub cwd: String,
    /// Names of the variables in its environment, without their values.
    pub env_vars: Vec<String>,
    /// Whether a systemd unit runs it.
    pub is_systemd: bool,
    /// That unit.
    pub systemd_unit: Option<String>,
    /// A name for the app that is a name, and free when it was looked up.
    pub suggested_name: String,
}

debug_shows!(DetectResult: port, pid, process_name, systemd_unit);

/// The app that was made of a port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WrapResult {
    /// The app.
    pub app: App,
    /// For people.
    pub message: String,
    /// Whether the listener is still the process that it was, and its unit takes its place at the next
    /// start of the workspace.
    pub needs_restart: bool,
    /// The unit that listens; empty where none does.
    pub service_name: String,
}

/// `POST /workspaces/{id}/reconcile-apps`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReconcileAppsResponse {
    /// The apps that were missing and were made.
    pub created: Vec<App>,
    /// For people.
    pub message: String,
}
