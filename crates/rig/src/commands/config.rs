//! `rig config`: what rig uses, where it comes from, and its defaults.

use serde_json::json;

use super::login::preview;
use crate::{
    cli::{ConfigCommand, Setting},
    error::CommandResult,
    output::{Fields, Format},
    session::App,
};

/// Does what the command says.
pub(super) fn run(app: &App, command: ConfigCommand) -> CommandResult {
    match command {
        ConfigCommand::Show => show(app),
        ConfigCommand::Path => app.output.line(app.file.path().display().to_string()),
        ConfigCommand::Set { setting: Setting::Output { format } } => {
            app.file.change(|config| {
                config.output = Some(format).filter(|format| *format != Format::Human);
                Ok(())
            })?;
            app.output.notice(format!("output is {} by default now", word(format)));
            Ok(())
        }
    }
}

fn show(app: &App) -> CommandResult {
    let profile = app.profile()?;
    let output = app.config.output.unwrap_or_default();
    if !app.output.is_human() {
        return app.output.document(&json!({
            "path": app.file.path(),
            "context": profile.context,
            "url": profile.url,
            "key_preview": profile.key.as_ref().map(|_| preview(&profile)),
            "key_source": profile.key_source.as_str(),
            "ca_file": profile.ca_file,
            "output": output,
        }));
    }
    let mut fields = Fields::default();
    let key = match profile.key {
        Some(_) => format!("{} (from {})", preview(&profile), profile.key_source.as_str()),
        None => "none".to_owned(),
    };
    let authorities = profile
        .ca_file
        .as_ref()
        .map_or_else(|| "the system's".to_owned(), |file| file.display().to_string());
    fields
        .add("file", app.file.path().display().to_string())
        .add("context", profile.context.as_deref().unwrap_or_default())
        .add("server", profile.url.to_string())
        .add("key", key)
        .add("certificates", authorities)
        .add("output", word(output));
    app.output.fields(&fields)
}

fn word(format: Format) -> &'static str {
    match format {
        Format::Human => "human",
        Format::Json => "json",
        Format::Yaml => "yaml",
    }
}
