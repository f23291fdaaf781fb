//! What a command works with: the output, the configuration, and a client of the chosen server.

use std::{cell::RefCell, env, rc::Rc};

use secrecy::SecretString;

use crate::{
    cli::Global,
    client::{Client, ClientError, Path},
    config::{Config, ConfigFile},
    error::{CommandError, CommandResult},
    output::{Format, Output},
    profile::{Profile, Wishes},
};

/// The environment of every command that is not inside a workspace.
pub(crate) struct App {
    /// Where everything is written to.
    pub(crate) output: Rc<Output>,
    /// Where the configuration is.
    pub(crate) file: ConfigFile,
    /// What it says.
    pub(crate) config: Config,
    /// What the command line and the environment say.
    pub(crate) wishes: Wishes,
    /// What Ctrl-C means just now.
    pub(crate) interruption: Rc<RefCell<Option<CommandError>>>,
}

impl App {
    /// Reads the configuration and the environment.
    pub(crate) fn new(global: &Global, output: &Rc<Output>) -> CommandResult<Self> {
        let file = ConfigFile::locate()?;
        let config = file.read()?;
        let format = chosen_format(global).or(config.output).unwrap_or_default();
        output.configure(format, global.verbose);
        Ok(Self {
            output: Rc::clone(output),
            file,
            config,
            wishes: wishes(global)?,
            interruption: Rc::default(),
        })
    }

    /// The server and key that commands use.
    pub(crate) fn profile(&self) -> CommandResult<Profile> {
        Profile::choose(&self.config, &self.wishes)
    }

    /// A client of the chosen server, whether there is a key or not.
    pub(crate) fn client(&self, profile: &Profile) -> Client {
        Client::new(
            profile.url.clone(),
            profile.key.clone(),
            profile.ca_file.clone(),
            Rc::clone(&self.output),
        )
    }

    /// A session with the chosen server; refused where there is no key for it.
    pub(crate) fn session(&self) -> CommandResult<Session> {
        if let Some(mode) = self.file.foreign_mode() {
            let path = self.file.path().display();
            self.output.warning(
                format!("{path} has mode {mode:04o}: others on this machine may use your key"),
                Some(&format!("chmod 600 {path}")),
            );
        }
        let profile = self.profile()?;
        let client = self.client(&profile);
        if !client.has_key() {
            let error = CommandError::not_signed_in(format!("not signed in to {}", profile.url));
            return Err(error.hint(match self.config.contexts.is_empty() {
                true => format!("rig login --url {}", profile.url),
                false if profile.context.is_some() => "rig login".to_owned(),
                false => format!("rig login --url {}", profile.url),
            }));
        }
        Ok(Session {
            output: Rc::clone(&self.output),
            client,
            profile,
            interruption: Rc::clone(&self.interruption),
        })
    }
}

/// Signed in to a server.
pub(crate) struct Session {
    /// Where everything is written to.
    pub(crate) output: Rc<Output>,
    /// Talks to the server.
    pub(crate) client: Client,
    /// Which server, and as whom.
    pub(crate) profile: Profile,
    /// What Ctrl-C means just now.
    pub(crate) interruption: Rc<RefCell<Option<CommandError>>>,
}

impl Session {
    /// From here on Ctrl-C says this.
    pub(crate) fn on_interrupt(&self, error: CommandError) {
        self.interruption.borrow_mut().replace(error);
    }
}

/// The path of one workspace.
pub(crate) fn workspace_path(id: &rigbox_types::WorkspaceId) -> Path {
    Path::api("/workspaces").segment(id.as_str())
}

/// What a refusal says, with a command that fits the state of the workspace.
pub(crate) fn explain(error: ClientError, verb: Verb, name: &str) -> CommandError {
    let status = error
        .refusal()
        .filter(|refusal| matches!(refusal.code.as_str(), "invalid_state" | "conflict"))
        .map(|refusal| {
            let status = refusal.details.get("status").and_then(serde_json::Value::as_str);
            status.unwrap_or_default().to_owned()
        });
    let told = CommandError::from(error);
    let Some(status) = status else { return told };
    let hint = match (verb, status.as_str()) {
        (Verb::Remove, _) => format!("rig workspace rm {name} --force"),
        (Verb::Resize, "running") => format!("rig workspace stop {name}"),
        (Verb::Start, "running") => format!("rig shell {name}"),
        (Verb::Enter | Verb::Restart, "provisioned" | "stopped") => {
            format!("rig workspace start {name}")
        }
        (Verb::Start | Verb::Enter | Verb::Restart, "failed") => {
            format!("rig workspace retry {name}")
        }
        (Verb::Stop, "provisioning" | "starting") => format!("rig workspace cancel {name}"),
        _ => format!("rig workspace show {name}"),
    };
    told.hint(hint)
}

/// What was tried with a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Boot it.
    Start,
    /// Shut it down.
    Stop,
    /// Both.
    Restart,
    /// Run or read something in it.
    Enter,
    /// Change its size.
    Resize,
    /// Delete it.
    Remove,
    /// Anything else.
    Other,
}

/// The format that the command line asks for.
pub(crate) fn chosen_format(global: &Global) -> Option<Format> {
    if global.json { Some(Format::Json) } else { global.output }
}

fn wishes(global: &Global) -> CommandResult<Wishes> {
    Ok(Wishes {
        context: named(global.context.clone(), "RIG_CONTEXT")?,
        url: variable("RIGBOX_API_URL")?,
        key: variable("RIG_API_KEY")?.map(SecretString::from),
        ca_file: named(global.ca.clone(), "RIGBOX_CA")?,
    })
}

/// What the command line says, or else a variable of the environment.
fn named<T: From<String>>(option: Option<T>, name: &str) -> CommandResult<Option<T>> {
    match option {
        Some(value) => Ok(Some(value)),
        None => Ok(variable(name)?.map(T::from)),
    }
}

/// A variable of the environment; an empty one counts as missing.
fn variable(name: &str) -> CommandResult<Option<String>> {
    match env::var(name) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => {
            Err(CommandError::usage(format!("{name} is not text")).hint(format!("unset {name}")))
        }
    }
}
