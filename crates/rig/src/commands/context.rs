//! `rig context`: the servers that are known.

use serde_json::{Value, json};

use super::login::check_name;
use crate::{
    cli::ContextCommand,
    config::Context,
    error::{CommandError, CommandResult},
    output::{Cell, Table, Tone},
    profile::{named, parse_url},
    session::App,
};

/// Does what the command says.
pub(super) fn run(app: &App, command: ContextCommand) -> CommandResult {
    match command {
        ContextCommand::Ls => list(app),
        ContextCommand::Use { name } => {
            let url = app.file.change(|config| {
                let url = named(config, &name)?.url.clone();
                config.current_context = Some(name.clone());
                Ok(url)
            })?;
            tell(app, &name, &format!("{name} ({url}) is the current context now"))
        }
        ContextCommand::Add { name, url } => add(app, &name, &url),
        ContextCommand::Rm { name } => {
            app.file.change(|config| {
                named(config, &name)?;
                config.contexts.remove(&name);
                if config.current_context.as_ref() == Some(&name) {
                    config.current_context = None;
                }
                Ok(())
            })?;
            tell(app, &name, &format!("removed the context {name}"))
        }
    }
}

fn list(app: &App) -> CommandResult {
    let config = &app.config;
    let current = app.wishes.context.as_ref().or(config.current_context.as_ref());
    if !app.output.is_human() {
        let contexts: Vec<Value> = config
            .contexts
            .iter()
            .map(|(name, context)| {
                json!({
                    "name": name,
                    "url": context.url,
                    "current": current == Some(name),
                    "signed_in": context.key.is_some(),
                    "ca_file": context.ca_file,
                })
            })
            .collect();
        return app.output.document(&json!({ "contexts": contexts }));
    }
    let mut table = Table::new(["NAME", "SERVER", "SIGNED IN", "CURRENT"]);
    for (name, context) in &config.contexts {
        let signed_in = match context.key {
            Some(_) => Cell::toned("yes", Tone::Good),
            None => "no".into(),
        };
        let mark = if current == Some(name) { "*" } else { "" };
        table.row([name.into(), context.url.to_string().into(), signed_in, mark.into()]);
    }
    if table.is_empty() {
        app.output.hint("rig login");
    }
    app.output.table(&table, "no contexts yet")
}

fn add(app: &App, name: &str, url: &str) -> CommandResult {
    check_name(name)?;
    let url = parse_url(url)?;
    let ca_file = app.wishes.ca_file.as_ref().map(std::path::absolute).transpose();
    let ca_file = ca_file.map_err(|error| CommandError::file("find the --ca file", &error))?;
    app.file.change(|config| {
        if config.contexts.contains_key(name) {
            return Err(CommandError::failed(format!("there is a context '{name}' already"))
                .coded("conflict")
                .hint(format!("rig context rm {name}")));
        }
        config.contexts.insert(
            name.to_owned(),
            Context { url: url.clone(), key: None, key_id: None, ca_file },
        );
        config.current_context.get_or_insert_with(|| name.to_owned());
        Ok(())
    })?;
    tell(app, name, &format!("added the context {name} for {url}"))?;
    if app.output.is_human() {
        app.output.hint(&format!("rig login --context {name}"));
    }
    Ok(())
}

fn tell(app: &App, name: &str, sentence: &str) -> CommandResult {
    if app.output.is_human() {
        app.output.line(sentence)
    } else {
        app.output.document(&json!({ "context": name }))
    }
}
