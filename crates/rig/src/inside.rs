//! `rig` inside a workspace: the metadata file is there and the gateway answers. Identity is the
//! network namespace, so there is nothing to sign in with; what concerns the account is refused.

use std::{env, path::PathBuf, rc::Rc, time::Duration};

use clap::CommandFactory as _;
use rigbox_types::api::inside::{InsideStatusResponse, WhoamiResponse};
use tokio::time::timeout;

use crate::{
    cli::{Cli, Command},
    client::{Client, ClientError, Document, Path, ServerUrl},
    clock,
    error::{CommandError, CommandResult},
    output::{Cell, Fields, Output, Tone, ago},
    size,
    words::status_cell,
};

/// What the guest agent writes. Another path can be named for a guest that keeps it elsewhere.
const METADATA_FILE: &str = "/etc/rigbox/workspace.json";
const METADATA_VARIABLE: &str = "RIG_METADATA_FILE";
/// The gateway of every workspace.
const GATEWAY_URL: &str = "http://172.16.0.1:9090";
const GATEWAY_VARIABLE: &str = "RIG_GATEWAY_URL";
/// How long the gateway may take to say who we are: it is one hop away.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// The workspace that rig runs in.
pub(crate) struct Place {
    client: Client,
    identity: Document<WhoamiResponse>,
}

/// Finds out whether rig runs in a workspace.
pub(crate) async fn find(output: &Rc<Output>) -> Option<Place> {
    let file = env::var_os(METADATA_VARIABLE).map_or_else(|| METADATA_FILE.into(), PathBuf::from);
    if !file.exists() {
        return None;
    }
    let url = env::var(GATEWAY_VARIABLE).unwrap_or_else(|_| GATEWAY_URL.to_owned());
    let url: ServerUrl = url.parse().ok()?;
    let client = Client::new(url, None, None, Rc::clone(output));
    let asked = timeout(ANSWER_LIMIT, client.get(Path::absolute("/rig/v1/whoami"))).await;
    match asked {
        Ok(Ok(identity)) => Some(Place { client, identity }),
        Ok(Err(ClientError::Unreachable { .. })) | Err(_) => {
            let file = file.display();
            output.warning(
                format!("{file} says that this is a workspace, but its gateway does not answer"),
                None,
            );
            None
        }
        Ok(Err(error)) => {
            output.warning(format!("the gateway of this workspace: {error}"), None);
            None
        }
    }
}

/// Does what can be done from inside.
pub(crate) async fn run(place: &Place, command: &Command, output: &Output) -> CommandResult {
    match command {
        Command::Whoami => whoami(place, output),
        Command::Status => status(place, output).await,
        other => Err(CommandError::failed(format!(
            "'rig {}' is about your account, and this is inside the workspace {}",
            name_of(other),
            place.identity.value.name
        ))),
    }
}

fn whoami(place: &Place, output: &Output) -> CommandResult {
    if !output.is_human() {
        return output.document(&place.identity.raw);
    }
    let identity = &place.identity.value;
    let mut fields = Fields::default();
    fields
        .add("workspace", identity.name.as_str())
        .add("id", identity.workspace_id.as_str())
        .add("region", identity.region.as_str())
        .add("owner", identity.user_id.to_string())
        .add("api", &identity.api_url);
    output.fields(&fields)
}

async fn status(place: &Place, output: &Output) -> CommandResult {
    let answer: Document<InsideStatusResponse> =
        place.client.get(Path::absolute("/rig/v1/status")).await?;
    if !output.is_human() {
        return output.document(&answer.raw);
    }
    let status = &answer.value;
    let now = clock::now();
    let mut fields = Fields::default();
    fields
        .add("workspace", status.name.as_str())
        .add("id", status.workspace_id.as_str())
        .add("status", status_cell(status.status))
        .add("image", status.image.as_str())
        .add("region", status.region.as_str())
        .add("memory", size::show(status.ram_mb.into()))
        .add("vcpus", status.vcpu_count.to_string())
        .add("disk", size::show(status.disk_size_mb.into()))
        .add("created", ago(now, status.created_at));
    if let Some(ready) = status.ready_at {
        fields.add("ready", ago(now, ready));
    }
    if let Some(failure) = &status.failure {
        fields.add("failure", Cell::toned(&failure.message, Tone::Bad));
    }
    for script in &status.setup {
        fields.add("setup", crate::words::setup_line(script, now));
    }
    output.fields(&fields)
}

/// The words of a command as they were typed, without its arguments.
fn name_of(command: &Command) -> String {
    let name = match command {
        Command::Login(_) => "login",
        Command::Logout(_) => "logout",
        Command::Whoami => "whoami",
        Command::Context(_) => "context",
        Command::Status => "status",
        Command::Template(_) => "template",
        Command::Templates => "templates",
        Command::Capacity => "capacity",
        Command::Limits => "limits",
        Command::Workspace(_) => "workspace",
        Command::Ls(_) => "ls",
        Command::Shell(_) => "shell",
        Command::Exec(_) => "exec",
        Command::Cp(_) => "cp",
        Command::SetupScript(_) => "setup-script",
        Command::ServiceSpec(_) => "service-spec",
        Command::SshKey(_) => "ssh-key",
        Command::Api(_) => "api",
        Command::Completions(_) => "completions",
        Command::Config(_) => "config",
        Command::Doctor => "doctor",
    };
    debug_assert!(Cli::command().find_subcommand(name).is_some(), "{name} is a command");
    name.to_owned()
}
