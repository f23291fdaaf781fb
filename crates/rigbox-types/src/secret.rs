//! Documents that may hold users' secrets: environments, scripts, command lines.
//! Invariant: `Debug` of such a document shows only the fields that are listed beside it, so that a
//! log or a failed test never shows the others.

/// Writes `Debug` for a type: its name and the listed fields.
macro_rules! debug_shows {
    ($name:ident: $($field:ident),* $(,)?) => {
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))
                    $(.field(stringify!($field), &self.$field))*
                    .finish_non_exhaustive()
            }
        }
    };
}
pub(crate) use debug_shows;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        api::{
            ai::{UpdateAiDefaultsRequest, UpdateWorkspaceAiConfigRequest},
            api_keys::ApiKeySecretResponse,
            apps::ShareLinkSecretResponse,
            device::{DeviceSessionResponse, DeviceStatusResponse},
            inside::InsideAiResponse,
            service_specs::{
                CreateServiceSpecRequest, ServiceSpecResponse, UpdateServiceSpecRequest,
            },
            sessions::{CreateSessionRequest, SessionTokenResponse},
            setup_scripts::{
                CreateSetupScriptRequest, SetupScriptResponse, UpdateSetupScriptRequest,
            },
            users::{SignInLinkResponse, UpdateUserPasswordRequest},
            workspaces::{CreateWorkspaceRequest, UpdateWorkspaceEnvRequest, Vm},
        },
        host::{AssignedScript, AssignedService},
    };

    /// Reads a document and shows it.
    fn shown<T: serde::de::DeserializeOwned + std::fmt::Debug>(value: serde_json::Value) -> String {
        format!("{:?}", serde_json::from_value::<T>(value).unwrap())
    }

    #[test]
    fn secrets_of_users_are_not_shown() {
        const ID: &str = "00000000-0000-4000-8000-000000000001";
        const TIME: &str = "2026-01-01T00:00:00Z";
        let env = json!({ "KEY": "hunter2" });
        let vm = json!({
            "id": "ws-aaaaaaaa", "name": "a", "user_id": ID, "status": "running", "image": "base",
            "ram_mb": 1, "vcpu_count": 1, "disk_size_mb": 1, "node_id": "host-aaaaaaaa",
            "env_vars": env, "creation_attempts": 0, "created_at": TIME, "updated_at": TIME,
            "region": "here", "idle": {}, "egress": {}, "generation": 1, "setup": [],
        });
        let spec = json!({
            "id": ID, "user_id": ID, "name": "a", "exec_start": "x --key hunter2", "env_vars": env,
            "restart_policy": "no", "auto_enable": true, "setup_script": "hunter2",
            "source": "user", "systemd_unit_preview": "hunter2", "created_at": TIME,
            "updated_at": TIME,
        });
        let new_spec = json!({
            "name": "a", "exec_start": "hunter2", "env_vars": env, "setup_script": "hunter2",
        });
        let script = json!({
            "id": ID, "user_id": ID, "name": "a", "content": "hunter2", "run_on": "first_boot",
            "script_order": 0, "source": "user", "created_at": TIME, "updated_at": TIME,
        });
        let new_script = json!({ "name": "a", "content": "hunter2" });
        let service = json!({
            "name": "a", "unit": "hunter2", "restart_policy": "no", "auto_enable": true,
        });
        for text in [
            shown::<CreateWorkspaceRequest>(json!({ "name": "a", "env_vars": env })),
            shown::<UpdateWorkspaceEnvRequest>(json!({ "env_vars": env })),
            shown::<Vm>(vm),
            shown::<ServiceSpecResponse>(spec),
            shown::<CreateServiceSpecRequest>(new_spec.clone()),
            shown::<UpdateServiceSpecRequest>(new_spec),
            shown::<SetupScriptResponse>(script.clone()),
            shown::<CreateSetupScriptRequest>(new_script.clone()),
            shown::<UpdateSetupScriptRequest>(new_script),
            shown::<ApiKeySecretResponse>(json!({
                "id": ID, "key": "hunter2", "scopes": ["full"], "expires_at": null,
            })),
            shown::<CreateSessionRequest>(json!({
                "email": "a", "password": "hunter2", "code": "hunter2",
            })),
            shown::<SessionTokenResponse>(json!({
                "id": ID, "token": "hunter2", "user_id": ID, "expires_at": TIME,
            })),
            shown::<SignInLinkResponse>(json!({ "url": "hunter2", "expires_at": TIME })),
            shown::<UpdateUserPasswordRequest>(json!({ "password": "hunter2" })),
            shown::<DeviceSessionResponse>(json!({
                "code": "hunter2", "url": "a", "user_code": "b", "expires_in_s": 1,
                "poll_interval_s": 1,
            })),
            shown::<DeviceStatusResponse>(json!({
                "status": "approved", "api_key": "hunter2", "api_key_id": null,
                "user_email": null,
            })),
            shown::<ShareLinkSecretResponse>(json!({
                "link": {
                    "id": ID, "app_id": "app-aaaaaaaa", "name": null, "created_by": ID,
                    "created_at": TIME, "expires_at": TIME,
                },
                "url": "hunter2",
            })),
            shown::<AssignedScript>(script),
            shown::<AssignedService>(service),
        ] {
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn keys_at_ai_providers_are_not_shown() {
        for text in [
            shown::<UpdateAiDefaultsRequest>(json!({ "api_keys": { "openai": "hunter2" } })),
            shown::<UpdateWorkspaceAiConfigRequest>(json!({
                "api_key": "hunter2", "api_keys": { "google": "hunter2" },
            })),
            shown::<InsideAiResponse>(json!({
                "enabled": true, "enabled_by": null, "switchable": true, "mode": "byok",
                "provider": "openai", "model": "a", "inject": "env", "env": { "KEY": "hunter2" },
            })),
        ] {
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
