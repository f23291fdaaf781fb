//! `rig` inside a workspace: the metadata file is there and the gateway answers. Identity is the
//! network namespace, so there is nothing to sign in with; what concerns the account is refused.

mod proxy;

use std::{env, path::PathBuf, rc::Rc, time::Duration};

use clap::CommandFactory as _;
use rigbox_types::api::inside::{InsideStatusResponse, WhoamiResponse};
use tokio::time::timeout;

use crate::{
    cli::{Cli, Command},
    client::{Client, ClientError, Document, Path, ServerUrl},
    clock,
    config::read_bounded,
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

/// The metadata file: the first sign that rig runs in a workspace.
#[derive(Debug)]
pub(crate) struct Mark {
    file: PathBuf,
}

impl Mark {
    /// Looks for it.
    pub(crate) fn find() -> Option<Self> {
        let file =
            env::var_os(METADATA_VARIABLE).map_or_else(|| METADATA_FILE.into(), PathBuf::from);
        file.exists().then_some(Self { file })
    }

    /// Why a command about the account is not for here. The name is what the file says, which is
    /// good enough for a sentence.
    pub(crate) fn refusal(&self, command: &str) -> CommandError {
        #[derive(serde::Deserialize)]
        struct Metadata {
            name: String,
        }
        let metadata = read_bounded(&self.file).ok();
        let metadata = metadata.and_then(|text| serde_json::from_str::<Metadata>(&text).ok());
        refusal(command, metadata.as_ref().map(|metadata| metadata.name.as_str()))
    }
}

fn refusal(command: &str, workspace: Option<&str>) -> CommandError {
    let place =
        workspace.map_or_else(|| "a workspace".to_owned(), |it| format!("the workspace {it}"));
    CommandError::failed(format!(
        "'rig {command}' is about your account, and this is inside {place}"
    ))
}

/// Finds out whether the gateway of a workspace answers too.
pub(crate) async fn find(mark: &Mark, output: &Rc<Output>) -> Option<Place> {
    let url = env::var(GATEWAY_VARIABLE).unwrap_or_else(|_| GATEWAY_URL.to_owned());
    let url: ServerUrl = url.parse().ok()?;
    let client = Client::new(url, None, None, Rc::clone(output));
    let asked = timeout(ANSWER_LIMIT, client.get(Path::absolute("/rig/v1/whoami"))).await;
    match asked {
        Ok(Ok(identity)) => Some(Place { client, identity }),
        Ok(Err(ClientError::Unreachable { .. })) | Err(_) => {
            let file = mark.file.display();
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
        Command::Proxy(command) => proxy::run(place, command, output).await,
        other => Err(refusal(&name_of(other), Some(place.identity.value.name.as_str()))),
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
        Command::Ca(_) => "ca",
        Command::Credits(_) => "credits",
        Command::Proxy(_) => "proxy",
        Command::Ai(_) => "ai",
        Command::Audit(_) => "audit",
        Command::Workspace(_) => "workspace",
        Command::Ls(_) => "ls",
        Command::Shell(_) => "shell",
        Command::Exec(_) => "exec",
        Command::Cp(_) => "cp",
        Command::App(_) => "app",
        Command::Open(_) => "open",
        Command::SetupScript(_) => "setup-script",
        Command::ServiceSpec(_) => "service-spec",
        Command::SshKey(_) => "ssh-key",
        Command::SshConfig(_) => "ssh-config",
        Command::ApiKey(_) => "api-key",
        Command::Access(_) => "access",
        Command::Api(_) => "api",
        Command::Completions(_) => "completions",
        Command::Config(_) => "config",
        Command::Doctor => "doctor",
    };
    debug_assert!(Cli::command().find_subcommand(name).is_some(), "{name} is a command");
    name.to_owned()
}
