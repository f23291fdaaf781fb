//! The operations of the API by name.
//! Does not know how one is asked for: see the table.

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
    WorkspaceAiConfigShow = "workspace_ai_config_show":
        "Shows what of AI holds for a workspace.",
    WorkspaceAiConfigUpdate = "workspace_ai_config_update":
        "Changes what of AI holds for a workspace, from its next call on; keys are its owner's alone to set.",
    WorkspaceAiMetrics = "workspace_ai_metrics":
        "Shows what AI was used by a workspace, as series of points.",
    WorkspaceAiMetricsSummary = "workspace_ai_metrics_summary":
        "Shows what AI was used by a workspace, added up.",
    WorkspaceModeShow = "workspace_mode_show": "Shows who pays for a workspace's AI.",
    WorkspaceModeUpdate = "workspace_mode_update": "Says who pays for a workspace's AI.",
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
    AccountCreditsShow = "account_credits_show":
        "Shows how many AI credits the account has left.",
    AccountStatementShow = "account_statement_show":
        "Lists what became of the account's AI credits, newest first.",
    AccountAiDefaultsShow = "account_ai_defaults_show":
        "Shows what of AI holds for workspaces that have not decided it.",
    AccountAiDefaultsUpdate = "account_ai_defaults_update":
        "Changes what of AI holds for workspaces that have not decided it, and the account's keys.",
    AccountAiModeUpdate = "account_ai_mode_update":
        "Says who pays for AI in workspaces that have not decided it.",
    AccountAiUsageShow = "account_ai_usage_show":
        "Shows what AI was used in the last days, by day, workspace and model.",
    AccountAiMetrics = "account_ai_metrics":
        "Shows what AI was used by the account, as series of points.",
    AccountAiMetricsSummary = "account_ai_metrics_summary":
        "Shows what AI was used by the account, added up.",
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
    UserPasswordUpdate = "user_password_update":
        "Sets an account's password, which ends its sessions and links; for the operator.",
    UserCreditsShow = "user_credits_show":
        "Shows how many AI credits an account has left; for the operator.",
    UserCreditsChange = "user_credits_change":
        "Gives an account AI credits for good, or puts them right; for the operator.",
    UserStatementShow = "user_statement_show":
        "Lists what became of an account's AI credits, newest first; for the operator.",
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
    AppList = "app_list":
        "Lists the account's apps, or those that were shared with it, newest first.",
    AppCreate = "app_create": "Publishes a port of a workspace under a name.",
    AppShow = "app_show": "Shows an app.",
    AppUpdate = "app_update": "Changes an app; another name changes its address at once.",
    AppDelete = "app_delete": "Deletes an app; its name leads nowhere from then on.",
    AppVisibilityUpdate = "app_visibility_update":
        "Says who may visit an app, from the next request on.",
    AppStart = "app_start": "Lets requests reach an app, and starts its unit where it has one.",
    AppStop = "app_stop": "Lets no request reach an app, and stops its unit where it has one.",
    AppRestart = "app_restart": "Restarts an app's unit where it has one, and lets requests reach it.",
    AppHealth = "app_health": "Tries whether an app answers.",
    AppDomainVerify = "app_domain_verify": "Looks up whether an app's custom domain leads here.",
    AppMetrics = "app_metrics": "Shows what requests to an app there were, as series of points.",
    AppMetricsSummary = "app_metrics_summary":
        "Shows what requests to an app there were, added up.",
    AppRequestList = "app_request_list": "Lists the last requests to an app, newest last.",
    AppLinkList = "app_link_list": "Lists an app's share links, without their secrets.",
    AppLinkCreate = "app_link_create":
        "Makes a link that lets whoever has it visit an app; only this answer shows it.",
    AppLinkDelete = "app_link_delete": "Takes a share link back: it lets nobody in from then on.",
    AppLogSourceList = "app_log_source_list": "Lists where an app's logs are.",
    AppLogSourceCreate = "app_log_source_create": "Adds a place where an app's logs are.",
    AppLogSourceUpdate = "app_log_source_update": "Changes a place where an app's logs are.",
    AppLogSourceDelete = "app_log_source_delete": "Forgets a place where an app's logs are.",
    AppLogs = "app_logs": "Reads a page of an app's logs.",
    AppLogsStream = "app_logs_stream": "Follows an app's logs as server-sent events.",
    WorkspaceAppsReconcile = "workspace_apps_reconcile":
        "Makes the apps of a workspace's template that are missing.",
    WorkspacePortExpose = "workspace_port_expose":
        "Says who listens on a port of a workspace, or makes an app of it.",
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
    CaShow = "ca_show":
        "Shows the certificate of the local CA, which signs where no public authority does.",
    OpenapiShow = "openapi_show": "Shows this document.",
}
