//! The routes: one for each row of the endpoint table. A row without a handler does not compile, a
//! handler without a row cannot be reached.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Router,
    handler::Handler,
    middleware::from_fn_with_state,
    routing::{MethodFilter, MethodRouter, on},
};
use rigbox_types::endpoint::{ENDPOINTS, Method, Operation as Op};

use crate::{
    access_control::{http as access_control, throttle},
    account::{http as account, settings},
    ai::http as ai,
    api_keys::http as api_keys,
    apps,
    audit::http as audit,
    certificates::http as certificates,
    control::Control,
    credits::http as credits,
    guest::{exec, files, live, logs, services},
    http::entry::{Gate, enter, identify, unknown_path, wrong_method},
    identity::http as identity,
    metrics::http as metrics,
    pages,
    service_specs::http as service_specs,
    setup_scripts::http as setup_scripts,
    ssh_keys::http as ssh_keys,
    terminal::http as terminal,
    users::{http as users, plans},
    workspaces::{events, http as workspaces, jobs},
};

type Route = MethodRouter<Arc<Control>>;

/// The public API.
pub(crate) fn router(control: Arc<Control>) -> Router {
    let mut by_path: BTreeMap<&str, Route> = BTreeMap::new();
    for endpoint in ENDPOINTS {
        let gate = Gate { control: control.clone(), endpoint };
        let route = route(endpoint.operation, filter(endpoint.method))
            .route_layer(from_fn_with_state(gate, enter));
        let routes = by_path.remove(endpoint.path).unwrap_or_default();
        by_path.insert(endpoint.path, routes.merge(route));
    }
    by_path
        .into_iter()
        .fold(Router::new(), |router, (path, routes)| router.route(path, routes))
        .merge(pages::router(&control))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(control.clone(), identify))
        .with_state(control)
}

fn filter(method: Method) -> MethodFilter {
    match method {
        Method::Get => MethodFilter::GET,
        Method::Post => MethodFilter::POST,
        Method::Put => MethodFilter::PUT,
        Method::Patch => MethodFilter::PATCH,
        Method::Delete => MethodFilter::DELETE,
    }
}

fn to<H, T>(filter: MethodFilter, handler: H) -> Route
where
    H: Handler<T, Arc<Control>>,
    T: 'static,
{
    on(filter, handler)
}

/// The handler of each operation.
#[expect(clippy::too_many_lines, reason = "one line an operation, and none can be forgotten")]
fn route(operation: Op, filter: MethodFilter) -> Route {
    match operation {
        Op::WorkspaceList => to(filter, workspaces::workspace_list),
        Op::WorkspaceCreate => to(filter, workspaces::workspace_create),
        Op::WorkspaceShow => to(filter, workspaces::workspace_show),
        Op::WorkspaceDelete => to(filter, workspaces::workspace_delete),
        Op::WorkspaceStart => to(filter, workspaces::workspace_start),
        Op::WorkspaceStop => to(filter, workspaces::workspace_stop),
        Op::WorkspaceRestart => to(filter, workspaces::workspace_restart),
        Op::WorkspaceCancel => to(filter, workspaces::workspace_cancel),
        Op::WorkspaceRetry => to(filter, workspaces::workspace_retry),
        Op::WorkspaceSuspend => to(filter, workspaces::workspace_suspend),
        Op::WorkspaceResume => to(filter, workspaces::workspace_resume),
        Op::WorkspaceFork => to(filter, workspaces::workspace_fork),
        Op::WorkspaceResourcesUpdate => to(filter, workspaces::workspace_resources_update),
        Op::WorkspaceEnvUpdate => to(filter, workspaces::workspace_env_update),
        Op::WorkspaceAiConfigShow => to(filter, ai::workspace_ai_config_show),
        Op::WorkspaceAiConfigUpdate => to(filter, ai::workspace_ai_config_update),
        Op::WorkspaceAiMetrics => to(filter, ai::workspace_ai_metrics),
        Op::WorkspaceAiMetricsSummary => to(filter, ai::workspace_ai_metrics_summary),
        Op::WorkspaceModeShow => to(filter, ai::workspace_mode_show),
        Op::WorkspaceModeUpdate => to(filter, ai::workspace_mode_update),
        Op::WorkspaceExec => to(filter, exec::workspace_exec),
        Op::WorkspaceFileRead => to(filter, files::workspace_file_read),
        Op::WorkspaceFileWrite => to(filter, files::workspace_file_write),
        Op::WorkspaceFileDelete => to(filter, files::workspace_file_delete),
        Op::WorkspaceFileList => to(filter, files::workspace_file_list),
        Op::WorkspaceLogs => to(filter, logs::workspace_logs),
        Op::WorkspaceLogsStream => to(filter, logs::workspace_logs_stream),
        Op::WorkspaceMetrics => to(filter, live::workspace_metrics),
        Op::WorkspaceMetricsSeries => to(filter, metrics::workspace_metrics_series),
        Op::WorkspaceMetricsSummary => to(filter, metrics::workspace_metrics_summary),
        Op::WorkspaceJobShow => to(filter, jobs::workspace_job_show),
        Op::WorkspacePortsList => to(filter, live::workspace_ports_list),
        Op::WorkspaceServicesList => to(filter, services::workspace_services_list),
        Op::WorkspaceServiceShow => to(filter, services::workspace_service_show),
        Op::WorkspaceServiceLogs => to(filter, logs::workspace_service_logs),
        Op::WorkspaceEvents => to(filter, events::workspace_events),
        Op::WorkspaceSshKeysList => to(filter, ssh_keys::workspace_ssh_keys_list),
        Op::WorkspaceSshKeysSync => to(filter, ssh_keys::workspace_ssh_keys_sync),
        Op::TerminalTokenCreate => to(filter, terminal::terminal_token_create),
        Op::TerminalOpen => to(filter, terminal::terminal_open),
        Op::SetupScriptList => to(filter, setup_scripts::setup_script_list),
        Op::SetupScriptCreate => to(filter, setup_scripts::setup_script_create),
        Op::SetupScriptShow => to(filter, setup_scripts::setup_script_show),
        Op::SetupScriptUpdate => to(filter, setup_scripts::setup_script_update),
        Op::SetupScriptDelete => to(filter, setup_scripts::setup_script_delete),
        Op::ServiceSpecList => to(filter, service_specs::service_spec_list),
        Op::ServiceSpecCreate => to(filter, service_specs::service_spec_create),
        Op::ServiceSpecShow => to(filter, service_specs::service_spec_show),
        Op::ServiceSpecUpdate => to(filter, service_specs::service_spec_update),
        Op::ServiceSpecDelete => to(filter, service_specs::service_spec_delete),
        Op::SshKeyList => to(filter, ssh_keys::ssh_key_list),
        Op::SshKeyCreate => to(filter, ssh_keys::ssh_key_create),
        Op::SshKeyDelete => to(filter, ssh_keys::ssh_key_delete),
        Op::ApiKeyList => to(filter, api_keys::api_key_list),
        Op::ApiKeyCreate => to(filter, api_keys::api_key_create),
        Op::ApiKeyRotate => to(filter, api_keys::api_key_rotate),
        Op::ApiKeyDelete => to(filter, api_keys::api_key_delete),
        Op::SessionCreate => to(filter, identity::session_create),
        Op::DeviceSessionCreate => to(filter, identity::device_session_create),
        Op::DeviceSessionShow => to(filter, identity::device_session_show),
        Op::SessionEnd => to(filter, identity::session_end),
        Op::SessionList => to(filter, identity::session_list),
        Op::SessionDelete => to(filter, identity::session_delete),
        Op::AuditList => to(filter, audit::audit_list),
        Op::TemplateList => to(filter, account::template_list),
        Op::CapacityShow => to(filter, account::capacity_show),
        Op::AccountShow => to(filter, users::account_show),
        Op::AccountLimitsShow => to(filter, account::account_limits_show),
        Op::AccountCreditsShow => to(filter, credits::account_credits_show),
        Op::AccountStatementShow => to(filter, credits::account_statement_show),
        Op::AccountAiDefaultsShow => to(filter, ai::account_ai_defaults_show),
        Op::AccountAiDefaultsUpdate => to(filter, ai::account_ai_defaults_update),
        Op::AccountAiModeUpdate => to(filter, ai::account_ai_mode_update),
        Op::AccountAiUsageShow => to(filter, ai::account_ai_usage_show),
        Op::AccountAiMetrics => to(filter, ai::account_ai_metrics),
        Op::AccountAiMetricsSummary => to(filter, ai::account_ai_metrics_summary),
        Op::AccountSettingsShow => to(filter, settings::account_settings_show),
        Op::AccountSettingsUpdate => to(filter, settings::account_settings_update),
        Op::UserList => to(filter, users::user_list),
        Op::UserCreate => to(filter, users::user_create),
        Op::UserShow => to(filter, users::user_show),
        Op::UserKeyCreate => to(filter, users::user_key_create),
        Op::UserLinkCreate => to(filter, users::user_link_create),
        Op::UserPasswordUpdate => to(filter, users::user_password_update),
        Op::UserCreditsShow => to(filter, credits::user_credits_show),
        Op::UserCreditsChange => to(filter, credits::user_credits_change),
        Op::UserStatementShow => to(filter, credits::user_statement_show),
        Op::UserFactorDelete => to(filter, users::user_factor_delete),
        Op::UserUpdate => to(filter, users::user_update),
        Op::PlanList => to(filter, plans::plan_list),
        Op::PlanCreate => to(filter, plans::plan_create),
        Op::PlanUpdate => to(filter, plans::plan_update),
        Op::PlanDelete => to(filter, plans::plan_delete),
        Op::AccountRegionsList => to(filter, account::account_regions_list),
        Op::FeatureFlagsShow => to(filter, account::feature_flags_show),
        Op::DashboardShow => to(filter, account::dashboard_show),
        Op::AppList => to(filter, apps::http::app_list),
        Op::AppCreate => to(filter, apps::http::app_create),
        Op::AppShow => to(filter, apps::http::app_show),
        Op::AppUpdate => to(filter, apps::http::app_update),
        Op::AppDelete => to(filter, apps::http::app_delete),
        Op::AppVisibilityUpdate => to(filter, apps::http::app_visibility_update),
        Op::AppStart => to(filter, apps::act::app_start),
        Op::AppStop => to(filter, apps::act::app_stop),
        Op::AppRestart => to(filter, apps::act::app_restart),
        Op::AppHealth => to(filter, apps::health::app_health),
        Op::AppDomainVerify => to(filter, apps::app_domain_verify),
        Op::AppMetrics => to(filter, apps::metrics::app_metrics),
        Op::AppMetricsSummary => to(filter, apps::metrics::app_metrics_summary),
        Op::AppRequestList => to(filter, apps::requests::app_request_list),
        Op::AppLinkList => to(filter, apps::links::app_link_list),
        Op::AppLinkCreate => to(filter, apps::links::app_link_create),
        Op::AppLinkDelete => to(filter, apps::links::app_link_delete),
        Op::AppLogSourceList => to(filter, apps::logs::app_log_source_list),
        Op::AppLogSourceCreate => to(filter, apps::logs::app_log_source_create),
        Op::AppLogSourceUpdate => to(filter, apps::logs::app_log_source_update),
        Op::AppLogSourceDelete => to(filter, apps::logs::app_log_source_delete),
        Op::AppLogs => to(filter, apps::logs::app_logs),
        Op::AppLogsStream => to(filter, apps::logs::app_logs_stream),
        Op::WorkspaceAppsReconcile => to(filter, apps::expose::workspace_apps_reconcile),
        Op::WorkspacePortExpose => to(filter, apps::expose::workspace_port_expose),
        Op::AccessBindingList => to(filter, access_control::access_binding_list),
        Op::AccessBindingCreate => to(filter, access_control::access_binding_create),
        Op::AccessBindingUpdate => to(filter, access_control::access_binding_update),
        Op::AccessBindingDelete => to(filter, access_control::access_binding_delete),
        Op::AccessPrincipalList => to(filter, access_control::access_principal_list),
        Op::AccessRolePresetList => to(filter, access_control::access_role_preset_list),
        Op::AccessSimulate => to(filter, access_control::access_simulate),
        Op::AccessTagsShow => to(filter, access_control::access_tags_show),
        Op::AccessTagsUpdate => to(filter, access_control::access_tags_update),
        Op::AccessThrottleBindingShow => to(filter, throttle::access_throttle_binding_show),
        Op::AccessThrottleBindingUpdate => to(filter, throttle::access_throttle_binding_update),
        Op::AccessThrottlePresetList => to(filter, throttle::access_throttle_preset_list),
        Op::CaShow => to(filter, certificates::ca_show),
        Op::OpenapiShow => to(filter, account::openapi_show),
    }
}
