//! `rig app expose-port`: an app of what listens already.

use http::Method;
use rigbox_types::api::{
    apps::{DetectResult, ExposePortRequest, ExposePortResponse, ExposeStep, WrapResult},
    workspaces::Vm,
};

use super::new::{alternative, is_about_name};
use crate::{
    cli::ExposePortArgs,
    client::{Call, ClientError, Document},
    commands::workspace::workspace_of,
    error::{CommandError, CommandResult},
    output::Fields,
    session::{Session, Verb, explain, workspace_path},
};

/// Looks who listens, or makes an app of it.
pub(super) async fn run(session: &Session, args: &ExposePortArgs) -> CommandResult {
    let vm = workspace_of(session, args.place.workspace.as_deref()).await?;
    let step = match (args.detect, args.wrap) {
        (true, _) => Some(ExposeStep::Detect),
        (_, true) => Some(ExposeStep::Wrap),
        _ => None,
    };
    let request = ExposePortRequest { port: args.port, step, name: args.name.clone() };
    session.output.progress(format!("looking who listens on port {}", args.port));
    let call =
        Call::new(Method::POST, workspace_path(&vm.id).then("/expose-port")).json(&request)?;
    let answer: Result<Document<ExposePortResponse>, _> = session.client.fetch(call).await;
    let answer = answer.map_err(|error| refused(error, args, &vm))?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    match &answer.value {
        ExposePortResponse::Detect(found) => detected(session, found, &vm),
        ExposePortResponse::Wrap(made) => wrapped(session, made, &vm),
    }
}

fn refused(error: ClientError, args: &ExposePortArgs, vm: &Vm) -> CommandError {
    let (port, workspace) = (args.port, &vm.name);
    let again = format!("rig app expose-port {port} --workspace {workspace}");
    let hint = if is_about_name(&error) {
        let name = args.name.as_ref().and_then(|name| alternative(name, workspace.as_str()));
        let name = name.map_or_else(|| "my-app".to_owned(), |name| name.to_string());
        Some(format!("{again} --name {name}"))
    } else if error.is("conflict") {
        // Nothing listens, or an app has the port: both can be seen there.
        Some(format!("rig workspace ports {workspace}"))
    } else {
        (args.wrap && error.is("unsupported")).then_some(again)
    };
    let told = explain(error, Verb::Enter, workspace.as_str());
    match hint {
        Some(hint) => told.hint(hint),
        None => told,
    }
}

fn detected(session: &Session, found: &DetectResult, vm: &Vm) -> CommandResult {
    let mut fields = Fields::default();
    fields
        .add("port", found.port.to_string())
        .add("process", format!("{} ({})", found.process_name, found.pid))
        .add("command", &found.command)
        .add("directory", &found.cwd)
        .add("unit", found.systemd_unit.as_deref().unwrap_or_default());
    session.output.fields(&fields)?;
    session.output.hint(&format!(
        "rig app expose-port {} --workspace {} --name {}",
        found.port, vm.name, found.suggested_name
    ));
    Ok(())
}

fn wrapped(session: &Session, made: &WrapResult, vm: &Vm) -> CommandResult {
    let app = &made.app;
    let unit = match made.service_name.as_str() {
        "" => String::new(),
        unit => format!(", {unit}"),
    };
    session.output.notice(format!("{} is port {} of {}{unit}", app.name, app.port, vm.name));
    session.output.line(app.url.as_deref().unwrap_or(app.id.as_str()))?;
    if made.needs_restart {
        session.output.notice("note: its unit takes over at the next start of the workspace");
        session.output.hint(&format!("rig workspace restart {}", vm.name));
    }
    Ok(())
}
