//! `rig workspace new|spawn|resize`.

use std::net::IpAddr;

use http::Method;
use rigbox_types::{
    api::workspaces::{
        CreateWorkspaceRequest, GetWorkspaceResponse, ResizeWorkspaceRequest,
        ResizeWorkspaceResponse,
    },
    host::{Egress, EgressMode},
};

use super::{
    find_workspace,
    state::{self, Change},
    wait::{Event, tell},
};
use crate::{
    cli::{NewArgs, ResizeArgs, SpawnArgs},
    client::{Call, Document, Path},
    error::{CommandError, CommandResult},
    input,
    session::{Session, Verb, explain, workspace_path},
    size,
};

/// Creates a workspace.
pub(super) async fn new(session: &Session, args: &NewArgs) -> CommandResult {
    let request = request(args).await?;
    session.output.progress(format!("creating {}", request.name));
    let answer = create(session, &request).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let vm = &answer.value.vm;
    session.output.line(format!("created {} ({})", vm.name, vm.id))?;
    session.output.hint(&format!("rig workspace start {}", vm.name));
    Ok(())
}

/// Creates a workspace, boots it, and waits until it is ready.
pub(super) async fn spawn(session: &Session, args: &SpawnArgs) -> CommandResult {
    let request = request(&args.new).await?;
    let name = request.name.as_str();
    if !args.wait.no_wait {
        tell(session, name, &Event::Creating { name })?;
    }
    let created = create(session, &request).await?;
    let vm = &created.value.vm;
    if !args.wait.no_wait {
        tell(session, name, &Event::Created { id: &vm.id, name, status: vm.status })?;
    }
    let started = state::ask(session, Change::Start, vm).await.map_err(|mut error| {
        // It exists now: what helps is to start it later, not to create it again.
        error.message = format!("{name} was created but not started: {}", error.message);
        error.hint.get_or_insert_with(|| format!("rig workspace start {name}"));
        error
    })?;
    if args.wait.no_wait {
        if !session.output.is_human() {
            return session.output.document(&started.raw);
        }
        return session.output.line(format!("{name} is {}", started.value.vm.status));
    }
    state::settle(session, &started.value.vm, Change::Start, args.wait).await
}

async fn create(
    session: &Session,
    request: &CreateWorkspaceRequest,
) -> CommandResult<Document<GetWorkspaceResponse>> {
    let call = Call::new(Method::POST, Path::api("/workspaces")).json(request)?.idempotent()?;
    let answer: Result<Document<GetWorkspaceResponse>, _> = session.client.fetch(call).await;
    answer.map_err(|error| {
        let taken = error.is("conflict");
        let told = CommandError::from(error);
        if taken { told.hint(format!("rig workspace show {}", request.name)) } else { told }
    })
}

async fn request(args: &NewArgs) -> CommandResult<CreateWorkspaceRequest> {
    let name = args.name().cloned().ok_or_else(|| CommandError::usage("which name?"))?;
    let env = input::variables(&args.env, &args.env_file).await?;
    let some = |ids: &[_]| Some(ids.to_vec()).filter(|ids| !ids.is_empty());
    let specs = Some(args.service_spec_ids.clone()).filter(|ids| !ids.is_empty());
    Ok(CreateWorkspaceRequest {
        name,
        template_id: args.template.clone(),
        image: args.image.clone(),
        ram_mb: args.ram,
        vcpu_count: args.vcpu,
        disk_size_mb: args.disk,
        env_vars: Some(env).filter(|env| !env.is_empty()),
        setup_script_ids: some(&args.setup_script_ids),
        service_spec_ids: specs,
        catalog_ids: None,
        region: args.region.clone(),
        idle: None,
        egress: args.egress.as_deref().map(egress).transpose()?,
    })
}

/// `open`, `none`, or `allow:` with names and networks between commas.
fn egress(text: &str) -> CommandResult<Egress> {
    let mode = match text.split_once(':') {
        None if text == "open" => EgressMode::Open,
        None if text == "none" => EgressMode::None,
        Some(("allow", entries)) if !entries.is_empty() => return Ok(allow(entries)),
        _ => {
            return Err(CommandError::usage(format!(
                "'{text}' is no egress policy: write open, none, or allow:NAME,CIDR"
            ))
            .hint("rig workspace new --help"));
        }
    };
    Ok(Egress { mode, ..Egress::default() })
}

fn allow(entries: &str) -> Egress {
    let mut egress = Egress { mode: EgressMode::Allow, ..Egress::default() };
    for entry in entries.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        match entry.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => egress.cidrs.push(format!("{address}/32")),
            Ok(IpAddr::V6(address)) => egress.cidrs.push(format!("{address}/128")),
            Err(_) if entry.contains('/') => egress.cidrs.push(entry.to_owned()),
            Err(_) => egress.hosts.push(entry.to_owned()),
        }
    }
    egress
}

/// Changes the size of a workspace.
pub(super) async fn resize(session: &Session, args: &ResizeArgs) -> CommandResult {
    let vm = find_workspace(session, args.target.typed()).await?;
    let request =
        ResizeWorkspaceRequest { ram_mb: args.ram, vcpu_count: args.vcpu, disk_size_mb: args.disk };
    let call = Call::new(Method::PUT, workspace_path(&vm.id).then("/resources")).json(&request)?;
    let answer: Result<Document<ResizeWorkspaceResponse>, _> = session.client.fetch(call).await;
    let answer = answer.map_err(|error| explain(error, Verb::Resize, vm.name.as_str()))?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let vm = &answer.value.vm;
    session.output.line(format!(
        "{} has {} of memory, {}, and {} of disk now",
        vm.name,
        size::show(vm.ram_mb.into()),
        crate::words::count(vm.vcpu_count.into(), "vCPU"),
        size::show(vm.disk_size_mb.into())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_egress_policy_is_one_word() {
        for (text, expected) in [
            ("open", Some("Open [] []")),
            ("none", Some("None [] []")),
            (
                "allow:debian.org, 10.1.0.0/16,192.0.2.1,2001:db8::1",
                Some(r#"Allow ["debian.org"] ["10.1.0.0/16", "192.0.2.1/32", "2001:db8::1/128"]"#),
            ),
            ("allow:", None),
            ("allow", None),
            ("deny", None),
        ] {
            let read = egress(text).ok();
            let read = read.map(|it| format!("{:?} {:?} {:?}", it.mode, it.hosts, it.cidrs));
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }
}
