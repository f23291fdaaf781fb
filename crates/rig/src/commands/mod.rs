//! What the commands do, one file per noun.

mod access;
mod account;
mod ai;
mod api;
mod api_key;
mod app;
mod ca;
mod config;
mod context;
mod credits;
mod device;
mod doctor;
mod log_lines;
mod login;
mod proxy;
mod service_spec;
mod setup_script;
mod ssh_config;
mod ssh_key;
mod workspace;

use std::{io, rc::Rc};

use clap::CommandFactory as _;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use proxy::enabled as proxy_enabled;

use crate::{
    cli::{self, Cli, Command, CompletionsArgs, TemplateCommand, WorkspaceCommand},
    error::{CommandError, CommandResult},
    inside::{self, Mark},
    output::{Format, Output},
    session::{App, chosen_format},
};

/// Does what the command line says. Programs that read events are told with one why there are no
/// more of them.
pub(crate) async fn run(cli: Cli, mark: Option<&Mark>, output: &Rc<Output>) -> CommandResult {
    let streams = cli.command.streams();
    let done = Box::pin(begin(cli, mark, output)).await;
    done.map_err(|error| if streams { output.error_event(error) } else { error })
}

async fn begin(cli: Cli, mark: Option<&Mark>, output: &Rc<Output>) -> CommandResult {
    output.configure(chosen_format(&cli.global).unwrap_or_default(), cli.global.verbose);
    check_format(&cli)?;
    if let Command::Completions(args) = &cli.command {
        let command = mark.map_or_else(Cli::command, |_| cli::inside::visible());
        return completions(output, args, command);
    }
    if let Some(mark) = mark
        && let Some(place) = inside::find(mark, output).await
    {
        return inside::run(&place, &cli.command, output).await;
    }
    let app = App::new(&cli.global, output)?;
    if takes_interrupts(&cli.command) {
        return Box::pin(dispatch(&app, cli.command)).await;
    }
    let told = Rc::clone(&app.interruption);
    tokio::select! {
        biased;
        done = Box::pin(dispatch(&app, cli.command)) => done,
        () = interrupted() => Err(told
            .borrow_mut()
            .take()
            .unwrap_or_else(|| CommandError::interrupted("interrupted"))),
    }
}

/// A table for other programs is a format by itself.
fn check_format(cli: &Cli) -> CommandResult {
    let is_table = matches!(&cli.command, Command::Credits(args) if args.csv);
    match chosen_format(&cli.global).unwrap_or_default() {
        Format::Json | Format::Yaml if is_table => {
            let message = "--csv writes a table and --output documents: say one of the two";
            Err(CommandError::usage(message).hint("rig credits --csv"))
        }
        Format::Json | Format::Yaml | Format::Human => Ok(()),
    }
}

/// Whether Ctrl-C is for what runs in the workspace.
fn takes_interrupts(command: &Command) -> bool {
    match command {
        Command::Shell(_) | Command::Exec(_) => true,
        Command::Workspace(command) => matches!(**command, WorkspaceCommand::Exec(_)),
        _ => false,
    }
}

/// Waits for Ctrl-C.
async fn interrupted() {
    match signal(SignalKind::interrupt()) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        // Without a handler the signal ends the process by itself.
        Err(_) => std::future::pending().await,
    }
}

async fn dispatch(app: &App, command: Command) -> CommandResult {
    match command {
        Command::Login(args) => login::login(app, args).await,
        Command::Logout(args) => login::logout(app, &args).await,
        Command::Whoami => login::whoami(app).await,
        Command::Context(command) => context::run(app, command),
        Command::Config(command) => config::run(app, command),
        Command::Doctor => doctor::run(app).await,
        Command::Status => account::status(&app.session()?).await,
        Command::Template(TemplateCommand::Ls) | Command::Templates => {
            account::templates(app).await
        }
        Command::Capacity => account::capacity(app).await,
        Command::Ca(command) => ca::run(app, &command).await,
        Command::Limits => account::limits(&app.session()?).await,
        Command::Credits(args) => credits::run(&app.session()?, &args).await,
        Command::Proxy(command) => proxy::run(&app.session()?, &command).await,
        Command::Ai(command) => ai::run(&app.session()?, *command).await,
        Command::Audit(args) => account::audit(&app.session()?, &args).await,
        Command::Workspace(command) => workspace::run(&app.session()?, *command).await,
        Command::Ls(args) => workspace::list(&app.session()?, &args).await,
        Command::Shell(args) => workspace::shell(&app.session()?, &args).await,
        Command::Exec(args) => workspace::exec(&app.session()?, args).await,
        Command::Cp(args) => workspace::copy(&app.session()?, &args).await,
        Command::App(command) => app::run(&app.session()?, *command).await,
        Command::Open(args) => app::open(&app.session()?, &args).await,
        Command::SetupScript(command) => setup_script::run(&app.session()?, command).await,
        Command::ServiceSpec(command) => service_spec::run(&app.session()?, command).await,
        Command::SshKey(command) => ssh_key::run(&app.session()?, command).await,
        Command::SshConfig(args) => ssh_config::run(&app.session()?, &args).await,
        Command::ApiKey(command) => api_key::run(&app.session()?, command).await,
        Command::Access(command) => access::run(&app.session()?, command).await,
        Command::Api(args) => api::run(app, &args).await,
        Command::Completions(args) => completions(&app.output, &args, Cli::command()),
    }
}

fn completions(
    output: &Output,
    args: &CompletionsArgs,
    mut command: clap::Command,
) -> CommandResult {
    let mut script = io::Cursor::new(Vec::new());
    clap_complete::generate(args.shell, &mut command, "rig", &mut script);
    output.bytes(&script.into_inner())
}
