//! The endpoint table: every operation of the HTTP API, once, with its method, path, right, rate
//! class, request and answers. The router, the authorisation of every request, the checks of query
//! parameters and the OpenAPI document all read it.
//! Invariant: one row for each [`Operation`], and no two rows with the same method and path.
//! Does not know HTTP servers and handles nothing.

mod query;
mod table;

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::{Right, api::error::ErrorCode};

pub use table::ENDPOINTS;

macro_rules! operations {
    ($($name:ident = $text:literal: $about:literal),+ $(,)?) => {
        /// The operations of the API: noun first, verb last. The same word is the function, the
        /// audit action and the metric label.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Operation {
            $(#[doc = $about] $name,)+
        }

        impl Operation {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The operation's word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// The operation with this word.
            #[must_use]
            pub fn of_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|operation| operation.as_str() == word)
            }

            /// What it does, in one sentence.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$name => $about,)+
                }
            }
        }
    };
}

operations! {
    WorkspaceList = "workspace_list":
        "Lists the account's workspaces, or those that were shared with it, newest first.",
    WorkspaceCreate = "workspace_create":
        "Creates a workspace without booting it, in the account or in one that it is an admin of.",
    WorkspaceShow = "workspace_show": "Shows a workspace, and why it failed when it did.",
    WorkspaceDelete = "workspace_delete": "Deletes a workspace with its disk; asynchronous.",
    WorkspaceStart = "workspace_start": "Boots a workspace; asynchronous.",
    WorkspaceStop = "workspace_stop": "Shuts a workspace down and keeps its disk; asynchronous.",
    WorkspaceRestart = "workspace_restart": "Shuts a workspace down and boots it; asynchronous.",
    WorkspaceCancel = "workspace_cancel": "Ends a start that has not come to its end.",
    WorkspaceRetry = "workspace_retry": "Tries again what failed and may succeed.",
    WorkspaceSuspend = "workspace_suspend":
        "Will keep a workspace's memory beside its disk; refused as unsupported by this version.",
    WorkspaceResume = "workspace_resume":
        "Will wake a suspended workspace; refused as unsupported by this version.",
    WorkspaceFork = "workspace_fork":
        "Will make a workspace of another one's disk; refused as unsupported by this version.",
    WorkspaceResourcesUpdate = "workspace_resources_update":
        "Changes the size of a workspace that is not running; a disk only grows.",
    WorkspaceEnvUpdate = "workspace_env_update":
        "Replaces the environment; processes that run keep what they had.",
    WorkspaceExec = "workspace_exec": "Runs a command in a workspace.",
    WorkspaceFileRead = "workspace_file_read": "Reads a file of a workspace.",
    WorkspaceFileWrite = "workspace_file_write": "Writes a file of a workspace, whole or not at all.",
    WorkspaceFileDelete = "workspace_file_delete": "Deletes a file of a workspace.",
    WorkspaceFileList = "workspace_file_list": "Lists a directory of a workspace.",
    WorkspaceLogs = "workspace_logs": "Reads a page of a workspace's journal.",
    WorkspaceLogsStream = "workspace_logs_stream":
        "Follows a workspace's journal as server-sent events.",
    WorkspaceMetrics = "workspace_metrics": "Shows what a workspace uses right now.",
    WorkspaceMetricsSeries = "workspace_metrics_series":
        "Shows what a workspace used over time, as series of points.",
    WorkspaceMetricsSummary = "workspace_metrics_summary":
        "Shows what a workspace used over time, added up.",
    WorkspaceJobShow = "workspace_job_show":
        "Shows how a setup script of the workspace's last boot went.",
    WorkspacePortsList = "workspace_ports_list": "Lists what listens in a workspace.",
    WorkspaceServicesList = "workspace_services_list": "Lists a workspace's services.",
    WorkspaceServiceShow = "workspace_service_show": "Shows one service of a workspace.",
    WorkspaceServiceLogs = "workspace_service_logs": "Reads a page of one service's journal.",
    WorkspaceEvents = "workspace_events":
        "Follows a workspace's status as server-sent events until it is deleted.",
    WorkspaceSshKeysList = "workspace_ssh_keys_list": "Lists the SSH keys that open a workspace.",
    WorkspaceSshKeysSync = "workspace_ssh_keys_sync": "Writes the account's SSH keys to the guest.",
    TerminalTokenCreate = "terminal_token_create":
        "Makes a token that opens one terminal of a workspace, once and soon.",
    TerminalOpen = "terminal_open": "Opens a terminal of a workspace as a WebSocket.",
    SetupScriptList = "setup_script_list": "Lists the account's setup scripts.",
    SetupScriptCreate = "setup_script_create": "Adds a setup script.",
    SetupScriptShow = "setup_script_show": "Shows a setup script.",
    SetupScriptUpdate = "setup_script_update": "Changes a setup script.",
    SetupScriptDelete = "setup_script_delete": "Deletes a setup script.",
    ServiceSpecList = "service_spec_list": "Lists the account's service specs.",
    ServiceSpecCreate = "service_spec_create": "Adds a service spec.",
    ServiceSpecShow = "service_spec_show": "Shows a service spec and the unit it becomes.",
    ServiceSpecUpdate = "service_spec_update": "Changes a service spec, from the next start on.",
    ServiceSpecDelete = "service_spec_delete": "Deletes a service spec.",
    SshKeyList = "ssh_key_list": "Lists the account's SSH keys.",
    SshKeyCreate = "ssh_key_create": "Adds an SSH key.",
    SshKeyDelete = "ssh_key_delete": "Deletes an SSH key.",
    ApiKeyList = "api_key_list": "Lists the account's API keys, without their secrets.",
    ApiKeyCreate = "api_key_create": "Makes an API key, which only this answer shows.",
    ApiKeyRotate = "api_key_rotate":
        "Gives an API key a new secret; the old one is refused from then on.",
    ApiKeyDelete = "api_key_delete": "Deletes an API key, which is refused from then on.",
    SessionCreate = "session_create":
        "Signs in with e-mail and password, and makes a session, whose token only this answer shows.",
    DeviceSessionCreate = "device_session_create":
        "Begins to let a command line in: makes a code for it and one for a person in a browser.",
    DeviceSessionShow = "device_session_show":
        "Says whether a person has let a command line in, and gives it an API key, once.",
    SessionEnd = "session_end": "Ends the session in which this is asked.",
    SessionList = "session_list": "Lists the account's sessions, without their secrets.",
    SessionDelete = "session_delete": "Ends a session, which is refused from then on.",
    AuditList = "audit_list":
        "Lists who asked for what in the account, newest first; to the operator, in all accounts.",
    TemplateList = "template_list": "Lists the templates.",
    CapacityShow = "capacity_show": "Shows how many workspaces there is room for.",
    AccountShow = "account_show": "Shows the caller's account and credential.",
    AccountLimitsShow = "account_limits_show": "Shows what the account may use and does use.",
    AccountSettingsShow = "account_settings_show": "Shows what the account has chosen for itself.",
    AccountSettingsUpdate = "account_settings_update": "Changes what the account has chosen.",
    UserList = "user_list": "Lists the accounts, newest first; for the operator.",
    UserCreate = "user_create": "Makes an account, and its first API key if asked; for the operator.",
    UserShow = "user_show": "Shows an account, its limits and what it uses; for the operator.",
    UserKeyCreate = "user_key_create":
        "Makes an API key for an account that has lost its own; ends the others where that is asked.",
    UserLinkCreate = "user_link_create":
        "Makes a one-time link by which an account sets its password; ends the one before.",
    UserFactorDelete = "user_factor_delete":
        "Takes the second factor of an account away, whose owner has lost it.",
    UserUpdate = "user_update":
        "Changes an account's plan, own numbers or name, or disables it; for the operator.",
    PlanList = "plan_list": "Lists the plans; for the operator.",
    PlanCreate = "plan_create": "Adds a plan; for the operator.",
    PlanUpdate = "plan_update":
        "Changes a plan's numbers; what is over a lowered one stays and cannot grow; for the operator.",
    PlanDelete = "plan_delete": "Deletes a plan that no account has; for the operator.",
    AccountRegionsList = "account_regions_list": "Lists the regions, the default one first.",
    FeatureFlagsShow = "feature_flags_show": "Shows which parts of the product there are.",
    DashboardShow = "dashboard_show": "Shows the account at a glance.",
    AccessBindingList = "access_binding_list":
        "Lists who has which role on a thing: an account, a workspace or an app.",
    AccessBindingCreate = "access_binding_create": "Gives somebody a role on a thing.",
    AccessBindingUpdate = "access_binding_update": "Gives somebody another role on a thing.",
    AccessBindingDelete = "access_binding_delete":
        "Takes somebody's role on a thing away, which is refused from then on; or gives up one's own.",
    AccessPrincipalList = "access_principal_list":
        "Looks people up to share a thing with: by whole e-mail address, or among those that have a \
         role on it by how something of theirs begins.",
    AccessRolePresetList = "access_role_preset_list": "Lists the roles and what they give.",
    AccessSimulate = "access_simulate":
        "Says whether somebody may do something with a thing, and why; changes nothing.",
    AccessTagsShow = "access_tags_show": "Shows the tags of a thing.",
    AccessTagsUpdate = "access_tags_update": "Replaces the tags of a thing.",
    AccessThrottleBindingShow = "access_throttle_binding_show":
        "Shows which profile of request rates a thing has.",
    AccessThrottleBindingUpdate = "access_throttle_binding_update":
        "Gives an account a profile of request rates; for the operator.",
    AccessThrottlePresetList = "access_throttle_preset_list": "Lists the profiles of request rates.",
    CaShow = "ca_show": "Shows the certificate of the local CA, which signs where no public authority does.",
    OpenapiShow = "openapi_show": "Shows this document.",
}

impl Operation {
    /// The operation's row.
    ///
    /// # Panics
    /// Never: a test proves a row for each operation.
    #[must_use]
    pub fn endpoint(self) -> &'static Endpoint {
        ENDPOINTS
            .iter()
            .find(|endpoint| endpoint.operation == self)
            .expect("the test every_operation_has_one_row holds")
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    /// What it does.
    pub operation: Operation,
    /// The HTTP method.
    pub method: Method,
    /// The whole path; what is in braces stands for one segment.
    pub path: &'static str,
    /// What the caller must be allowed.
    pub right: Right,
    /// Which bucket of the account it draws from.
    pub rate: RateClass,
    /// Query parameters; any other is refused.
    pub query: &'static [Parameter],
    /// The request's body.
    pub request: Payload,
    /// Status of success.
    pub status: u16,
    /// The answer's body.
    pub answer: Payload,
    /// Refusals beyond those that every endpoint has.
    pub errors: &'static [ErrorCode],
    /// Whether the first answer is kept for an `Idempotency-Key`.
    pub replay: Replay,
}

/// HTTP methods of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates, or asks for something.
    Post,
    /// Changes; a missing field keeps its value.
    Put,
    /// Changes; a missing field keeps its value, and `null` clears it.
    Patch,
    /// Deletes.
    Delete,
}

impl Method {
    /// The method as HTTP writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Buckets of requests per account and minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateClass {
    /// Sign-in and keys.
    Authentication,
    /// Everything about workspaces.
    Workspaces,
    /// Everything about apps.
    Apps,
    /// What needs no account.
    Open,
}

/// Whether a repeat with the same `Idempotency-Key` gets the first answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Replay {
    /// The answer is kept.
    Kept,
    /// Nothing is kept: the request changes nothing, its answer is a stream, or a secret that is
    /// of no use twice.
    Never,
}

/// One query parameter.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: ParameterKind,
    /// Whether the request is refused without it.
    pub required: bool,
    /// For people.
    pub about: &'static str,
}

/// Largest [`ParameterKind::Count`]: what every reader of JSON has whole.
pub const COUNT_MAX: u64 = (1 << 53) - 1;

/// What a query parameter may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterKind {
    /// Any text of at most so many bytes.
    Text {
        /// Longest value.
        max_len: usize,
    },
    /// A whole number between the two.
    Number {
        /// Least.
        min: u32,
        /// Most.
        max: u32,
        /// When missing.
        default: u32,
    },
    /// At most so many visible ASCII characters.
    Word {
        /// Longest value.
        max_len: usize,
    },
    /// A reference to a thing that roles are given on (see [`ResourceRef`](crate::access::ResourceRef)).
    Resource,
    /// A position in bytes, from 0 to [`COUNT_MAX`].
    Count,
    /// Permissions in octal, such as `0644`; empty is like missing.
    Octal,
    /// `true` or `false`; `false` when missing.
    Flag,
    /// One of these words; the first one when missing.
    OneOf(&'static [&'static str]),
}

/// What a body is.
#[derive(Debug, Clone, Copy)]
pub enum Payload {
    /// There is none.
    Empty,
    /// A JSON document.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// JSON documents, one a line; the schema is that of one line.
    Lines(fn(&mut SchemaGenerator) -> Schema),
    /// A JSON document, or, when asked for, documents one a line.
    JsonOrLines(fn(&mut SchemaGenerator) -> Schema, fn(&mut SchemaGenerator) -> Schema),
    /// Server-sent events; the schema is that of one event's data.
    Events(fn(&mut SchemaGenerator) -> Schema),
    /// Bytes.
    Bytes,
    /// A certificate in PEM.
    Pem,
    /// The connection becomes a WebSocket.
    WebSocket,
    /// A JSON document without a schema.
    AnyJson,
}

impl Endpoint {
    /// Whether the answer is a stream that may last as long as its reader wants.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        matches!(
            self.answer,
            Payload::Lines(_)
                | Payload::JsonOrLines(..)
                | Payload::Events(_)
                | Payload::Bytes
                | Payload::WebSocket
        )
    }

    const fn row(operation: Operation, method: Method, path: &'static str, right: Right) -> Self {
        Self {
            operation,
            method,
            path,
            right,
            rate: RateClass::Workspaces,
            query: &[],
            request: Payload::Empty,
            status: 200,
            answer: Payload::Empty,
            errors: &[],
            replay: match method {
                Method::Post => Replay::Kept,
                Method::Get | Method::Put | Method::Patch | Method::Delete => Replay::Never,
            },
        }
    }

    const fn get(operation: Operation, path: &'static str, right: Right) -> Self {
        Self::row(operation, Method::Get, path, right)
    }

    const fn post(operation: Operation, path: &'static str, right: Right) -> Self {
        Self::row(operation, Method::Post, path, right)
    }

    const fn put(operation: Operation, path: &'static str, right: Right) -> Self {
        Self::row(operation, Method::Put, path, right)
    }

    const fn patch(operation: Operation, path: &'static str, right: Right) -> Self {
        Self::row(operation, Method::Patch, path, right)
    }

    const fn delete(operation: Operation, path: &'static str, right: Right) -> Self {
        Self::row(operation, Method::Delete, path, right)
    }

    const fn rate(mut self, rate: RateClass) -> Self {
        self.rate = rate;
        self
    }

    const fn query(mut self, query: &'static [Parameter]) -> Self {
        self.query = query;
        self
    }

    const fn takes<T: JsonSchema>(mut self) -> Self {
        self.request = Payload::Json(schema_of::<T>);
        self
    }

    const fn takes_bytes(mut self) -> Self {
        self.request = Payload::Bytes;
        self
    }

    const fn answers<T: JsonSchema>(mut self, status: u16) -> Self {
        self.status = status;
        self.answer = Payload::Json(schema_of::<T>);
        self
    }

    const fn streams(mut self, answer: Payload) -> Self {
        self.answer = answer;
        self
    }

    const fn errors(mut self, errors: &'static [ErrorCode]) -> Self {
        self.errors = errors;
        self
    }

    const fn never_replayed(mut self) -> Self {
        self.replay = Replay::Never;
        self
    }
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

#[cfg(test)]
mod tests;
