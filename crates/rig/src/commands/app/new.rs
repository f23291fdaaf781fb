//! `rig app new`: publishes a port. Its URL goes to standard output, all else to standard error.

use std::net::IpAddr;

use http::Method;
use rigbox_types::{
    AppName, Status,
    api::{
        apps::{App, AppHealthResponse, AppKind, CreateAppRequest, GetAppResponse},
        workspaces::Vm,
    },
    guest::ListListeningPortsResponse,
};
use serde_json::Value;

use super::{BASE, all, path, visibility_word};
use crate::{
    cli::AppNewArgs,
    client::{Call, ClientError, Document, Path},
    commands::workspace::workspace_of,
    error::{CommandError, CommandResult},
    session::{Session, workspace_path},
    suggest,
};

/// Publishes a port. The API answers when the URL leads there.
pub(super) async fn new(session: &Session, args: &AppNewArgs) -> CommandResult {
    let name = args.name().cloned().ok_or_else(|| CommandError::usage("which name?"))?;
    let kind = AppKind::from(args.kind);
    if kind == AppKind::Cli && args.port.is_some() {
        return Err(CommandError::usage("an app of kind cli is run and has no port")
            .hint(format!("rig app new {name} --kind cli")));
    }
    let vm = workspace_of(session, args.place.workspace.as_deref()).await?;
    let request = CreateAppRequest {
        name,
        workspace_id: vm.id.clone(),
        app_kind: kind,
        port: args.port,
        protocol: None,
        description: args.description.clone(),
        metadata: Value::Null,
    };
    session.output.progress(format!("publishing {}", request.name));
    let call = Call::new(Method::POST, Path::api(BASE)).json(&request)?.idempotent()?;
    let answer: Result<Document<GetAppResponse>, ClientError> = session.client.fetch(call).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Err(refused(session, error, args, &request.name, &vm).await),
    };
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let app = &answer.value.app;
    let Some(url) = &app.url else {
        return session.output.line(format!("created {} ({})", app.name, app.id));
    };
    let visibility = visibility_word(app.visibility);
    session
        .output
        .notice(format!("{} is port {} of {}, {visibility}", app.name, app.port, vm.name));
    session.output.line(url)?;
    tell_whether_it_answers(session, app, &vm).await;
    Ok(())
}

/// Says what is missing until the URL shows something. Does not matter to how the command ends.
async fn tell_whether_it_answers(session: &Session, app: &App, vm: &Vm) {
    let (port, name) = (app.port, &vm.name);
    if vm.status != Status::Running {
        session.output.notice(format!("note: {name} is {}: it answers once that runs", vm.status));
        session.output.hint(&format!("rig workspace start {name}"));
        return;
    }
    let health: Result<Document<AppHealthResponse>, _> =
        session.client.get(path(&app.id).then("/health")).await;
    if health.map_or(true, |health| health.value.port_open) {
        return;
    }
    let ports: Result<Document<ListListeningPortsResponse>, _> =
        session.client.get(workspace_path(&vm.id).then("/listening-ports")).await;
    let ports = ports.map(|answer| answer.value.ports).unwrap_or_default();
    let inner = ports.iter().find(|found| found.port == port && is_loopback(&found.address));
    if let Some(found) = inner {
        let address = &found.address;
        session.output.notice(format!(
            "note: port {port} of {name} listens on {address} only: let it listen on 0.0.0.0"
        ));
        session.output.hint(&format!("rig workspace ports {name}"));
        return;
    }
    session.output.notice(format!("note: nothing listens on port {port} of {name} yet"));
    session.output.hint(&format!("rig exec {name} -- python3 -m http.server {port}"));
}

fn is_loopback(address: &str) -> bool {
    address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Why there is no such app now, with the command that would make one.
async fn refused(
    session: &Session,
    error: ClientError,
    args: &AppNewArgs,
    name: &AppName,
    vm: &Vm,
) -> CommandError {
    if !is_about_name(&error) {
        return error.into();
    }
    if let Some(own) = own(session, name).await {
        return CommandError::failed(format!("an app of yours is named {name} already"))
            .coded("conflict")
            .hint(format!("rig app show {}", own.name));
    }
    let told = CommandError::from(error);
    let Some(free) = alternative(name, vm.name.as_str()) else { return told };
    let port = args.port.map(|port| port.to_string());
    let mut words = vec!["rig", "app", "new", free.as_str()];
    if let Some(port) = &port {
        words.extend(["--port", port]);
    }
    if AppKind::from(args.kind) == AppKind::Cli {
        words.extend(["--kind", "cli"]);
    }
    words.extend(["--workspace", vm.name.as_str()]);
    told.hint(suggest::command(words))
}

/// Whether the name is what was refused.
pub(super) fn is_about_name(error: &ClientError) -> bool {
    error.refusal().is_some_and(|refusal| {
        let field = refusal.details.get("field").and_then(Value::as_str);
        refusal.code == "conflict" && field == Some("name")
    })
}

/// The account's own app of this name.
pub(super) async fn own(session: &Session, name: &AppName) -> Option<App> {
    let apps = all(session, Path::api(BASE)).await.ok()?;
    apps.into_iter().find(|app| app.name == *name)
}

/// Another name like it, which is probably free: with `suffix`, or where that is too long with a
/// number.
pub(super) fn alternative(name: &AppName, suffix: &str) -> Option<AppName> {
    let usable = |text: String| text.parse().ok().filter(|it: &AppName| it.usable([]).is_ok());
    [format!("{name}-{suffix}"), format!("{name}-2")].into_iter().find_map(usable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_name_is_a_name() {
        let long = "a".repeat(60);
        for (name, suffix, expected) in [
            ("my-api", "demo", Some("my-api-demo".to_owned())),
            ("www", "demo", Some("www-demo".to_owned())),
            (&long, "demo", Some(format!("{long}-2"))),
            (&"a".repeat(62), "demo", None),
            ("xn", "-x", Some("xn-2".to_owned())),
        ] {
            let found = alternative(&name.parse().unwrap(), suffix);
            assert_eq!(found.map(|name| name.as_str().to_owned()), expected, "{name}");
        }
    }
}
