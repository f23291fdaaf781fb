//! `rig workspace env`: the environment of a workspace. The API replaces it whole, so a change
//! reads it first.

use std::{collections::BTreeMap, path::PathBuf};

use http::Method;
use rigbox_types::{
    WorkspaceId,
    api::workspaces::{MessageResponse, UpdateWorkspaceEnvRequest},
};
use serde_json::json;

use super::{details, find_workspace, unknown};
use crate::{
    cli::{EnvCommand, EnvGetArgs, EnvListArgs, EnvSetArgs, EnvUnsetArgs},
    client::{Call, Document},
    error::{CommandError, CommandResult},
    input,
    output::Table,
    session::{Session, Verb, explain, workspace_path},
    words::count,
};

/// What is shown instead of a value.
const MASK: &str = "********";

/// Does what the command says.
pub(super) async fn run(session: &Session, command: EnvCommand) -> CommandResult {
    match command {
        EnvCommand::Ls(args) => list(session, &args).await,
        EnvCommand::Get(args) => get(session, args).await,
        EnvCommand::Set(args) => set(session, args).await,
        EnvCommand::Unset(args) => unset(session, args).await,
    }
}

async fn list(session: &Session, args: &EnvListArgs) -> CommandResult {
    let (_, _, mut env) = read(session, args.target.typed()).await?;
    if !args.reveal {
        env.values_mut().for_each(|value| MASK.clone_into(value));
    }
    if !session.output.is_human() {
        return session.output.document(&json!({ "env_vars": env }));
    }
    let mut table = Table::new(["NAME", "VALUE"]);
    for (name, value) in &env {
        table.row([name.into(), value.into()]);
    }
    session.output.table(&table, "no variables")
}

async fn get(session: &Session, args: EnvGetArgs) -> CommandResult {
    let (workspace, names) = split(args.workspace, args.words)?;
    let (_, _, env) = read(session, &workspace).await?;
    let [name] = names.as_slice() else {
        return Err(CommandError::usage("which variable?").hint("rig workspace env get --help"));
    };
    let Some(value) = env.get(name) else {
        let list = format!("rig workspace env ls {workspace}");
        return Err(unknown("variable", name, env.keys().map(String::as_str), &list));
    };
    if session.output.is_human() {
        // The value is what was asked for, byte by byte.
        session.output.bytes(format!("{value}\n").as_bytes())
    } else {
        session.output.document(&json!({ "name": name, "value": value }))
    }
}

async fn set(session: &Session, args: EnvSetArgs) -> CommandResult {
    let (workspace, words) = split(args.workspace, args.words)?;
    let new = variables(&words, &args.file).await?;
    let (id, name, mut env) = read(session, &workspace).await?;
    let number = new.len();
    env.extend(new);
    write(session, &id, &name, env).await?;
    done(session, &id, &format!("set {} of {name}", count(number, "variable")))
}

async fn variables(words: &[String], files: &[PathBuf]) -> CommandResult<BTreeMap<String, String>> {
    let new = input::variables(words, files).await?;
    if new.is_empty() {
        return Err(CommandError::usage("which variables?").hint("rig workspace env set --help"));
    }
    Ok(new)
}

async fn unset(session: &Session, args: EnvUnsetArgs) -> CommandResult {
    let (workspace, names) = split(args.workspace, args.words)?;
    if names.is_empty() {
        return Err(CommandError::usage("which variables?").hint("rig workspace env unset --help"));
    }
    let (id, name, mut env) = read(session, &workspace).await?;
    for variable in &names {
        if !env.contains_key(variable) {
            let list = format!("rig workspace env ls {name}");
            return Err(unknown("variable", variable, env.keys().map(String::as_str), &list));
        }
    }
    env.retain(|variable, _| !names.contains(variable));
    write(session, &id, &name, env).await?;
    done(session, &id, &format!("removed {} of {name}", count(names.len(), "variable")))
}

/// The workspace and the rest: the first word is the workspace unless the option names it.
fn split(option: Option<String>, words: Vec<String>) -> CommandResult<(String, Vec<String>)> {
    let mut words = words.into_iter();
    let workspace = option
        .or_else(|| words.next())
        .ok_or_else(|| CommandError::usage("which workspace?").hint("rig workspace env --help"))?;
    if workspace.contains('=') {
        return Err(CommandError::usage(format!(
            "'{workspace}' stands where the workspace belongs"
        ))
        .hint("rig workspace env set --help"));
    }
    Ok((workspace, words.collect()))
}

type Environment = BTreeMap<String, String>;

async fn read(session: &Session, typed: &str) -> CommandResult<(WorkspaceId, String, Environment)> {
    let vm = find_workspace(session, typed).await?;
    // Lists leave the environment out.
    let vm = details(session, &vm.id).await?.value.vm;
    Ok((vm.id, vm.name.to_string(), vm.env_vars.unwrap_or_default()))
}

async fn write(
    session: &Session,
    id: &WorkspaceId,
    name: &str,
    env_vars: Environment,
) -> CommandResult {
    let request = UpdateWorkspaceEnvRequest { env_vars };
    let call = Call::new(Method::POST, workspace_path(id).then("/env")).json(&request)?;
    let answer: Result<Document<MessageResponse>, _> =
        session.client.fetch(call.idempotent()?).await;
    answer.map(|_| ()).map_err(|error| explain(error, Verb::Other, name))
}

fn done(session: &Session, id: &WorkspaceId, sentence: &str) -> CommandResult {
    if session.output.is_human() {
        return session.output.line(format!("{sentence}; processes that run keep what they had"));
    }
    session.output.document(&json!({ "id": id, "message": sentence }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_the_workspace_unless_an_option_names_it() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let read = split(None, words(&["demo", "A=1"])).unwrap();
        assert_eq!(read, ("demo".to_owned(), words(&["A=1"])));
        let read = split(Some("demo".to_owned()), words(&["A=1"])).unwrap();
        assert_eq!(read, ("demo".to_owned(), words(&["A=1"])));
        assert!(split(None, words(&["A=1"])).is_err());
        assert!(split(None, words(&[])).is_err());
    }
}
