//! `rig proxy` inside a workspace: switches AI on and off where its owner has left that open, and prints what
//! leads programs to it.
//! Invariant: what is printed to be evaluated by a shell is made of names and values that mean nothing to
//! one: the gateway is not believed.

use std::{collections::BTreeMap, env, fs, io, path::PathBuf};

use http::Method;
use rigbox_types::{
    api::inside::{InsideAiResponse, UpdateInsideAiRequest},
    guest::ai,
};

use super::Place;
use crate::{
    cli::{AiTarget, ProxyCommand},
    client::{Call, Document, Path},
    commands::proxy_enabled,
    error::{CommandError, CommandResult},
    kept_file::File,
    output::{Fields, Output},
};

const AI: &str = "/rig/v1/ai";

/// What our part of `.env` is between.
const BEGIN: &str = "# rigbox: begin (lines up to the end mark are replaced)";
const END: &str = "# rigbox: end";

/// Does what the command says.
pub(super) async fn run(place: &Place, command: &ProxyCommand, output: &Output) -> CommandResult {
    match command {
        ProxyCommand::On(target) => {
            check(place, target)?;
            let answer = switch(place, true).await?;
            let variables = sound(&answer.value)?;
            home_file()?.replace(&file_text(&variables))?;
            if !output.is_human() {
                return output.document(&answer.raw);
            }
            output.notice(
                "AI is on; new shells have it, and this one with: eval \"$(rig proxy on)\"",
            );
            output.text(&exports(&variables))
        }
        ProxyCommand::Off(target) => {
            check(place, target)?;
            let answer = switch(place, false).await?;
            remove(&home_file()?.path)?;
            if !output.is_human() {
                return output.document(&answer.raw);
            }
            output.notice("AI is off; this shell forgets it with: eval \"$(rig proxy off)\"");
            output.text(&format!("unset {}\n", ai::names().join(" ")))
        }
        ProxyCommand::Status(target) => {
            check(place, target)?;
            status(&read(place).await?, output)
        }
        ProxyCommand::Env => {
            let answer = read(place).await?;
            if !output.is_human() {
                return output.document(&answer.raw);
            }
            warn(&answer.value, output);
            output.text(&exports(&sound(&answer.value)?))
        }
        ProxyCommand::Dotenv => {
            let answer = read(place).await?;
            warn(&answer.value, output);
            let file = File::read(PathBuf::from(".env"))?;
            file.replace(&with_section(&file.text, &sound(&answer.value)?))?;
            if !output.is_human() {
                return output.document(&answer.raw);
            }
            output.line("wrote .env")
        }
    }
}

fn status(answer: &Document<InsideAiResponse>, output: &Output) -> CommandResult {
    if !output.is_human() {
        return output.document(&answer.raw);
    }
    let ai = &answer.value;
    let mut fields = Fields::default();
    fields
        .add("ai", proxy_enabled(ai.enabled, ai.enabled_by))
        .add("mode", ai.mode.as_str())
        .add("provider", ai.provider.as_str())
        .add("model", &ai.model);
    output.fields(&fields)
}

/// A workspace that is named must be this one.
fn check(place: &Place, target: &AiTarget) -> CommandResult {
    let own = &place.identity.value;
    let is_own = |typed: &str| typed == own.name.as_str() || typed == own.workspace_id.as_str();
    match target.typed() {
        Some(typed) if !is_own(typed) => Err(CommandError::failed(format!(
            "this is inside the workspace {}, which has a say in no other",
            own.name
        ))),
        _ => Ok(()),
    }
}

async fn read(place: &Place) -> CommandResult<Document<InsideAiResponse>> {
    Ok(place.client.get(Path::absolute(AI)).await?)
}

async fn switch(place: &Place, enabled: bool) -> CommandResult<Document<InsideAiResponse>> {
    let call = Call::new(Method::PUT, Path::absolute(AI));
    Ok(place.client.fetch(call.json(&UpdateInsideAiRequest { enabled })?).await?)
}

fn warn(ai: &InsideAiResponse, output: &Output) {
    if !ai.enabled {
        output.warning("AI is off in this workspace: calls are refused", Some("rig proxy on"));
    }
}

/// What the gateway says is to be set, if it is nothing else than that.
fn sound(ai: &InsideAiResponse) -> CommandResult<BTreeMap<String, String>> {
    let names = ai::names();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~+/=:-".contains(&byte);
    let is_sound = |(name, value): (&String, &String)| {
        names.contains(&name.as_str()) && value.bytes().all(plain)
    };
    if !ai.env.iter().all(is_sound) {
        let message = "the gateway of this workspace says what no shell should be told";
        return Err(CommandError::failed(message));
    }
    Ok(ai.env.clone())
}

fn exports(variables: &BTreeMap<String, String>) -> String {
    variables.iter().map(|(name, value)| format!("export {name}=\"{value}\"\n")).collect()
}

fn lines(variables: &BTreeMap<String, String>) -> String {
    variables.iter().map(|(name, value)| format!("{name}=\"{value}\"\n")).collect()
}

/// As the agent of the workspace writes it.
fn file_text(variables: &BTreeMap<String, String>) -> String {
    format!("# Made by Rigbox; changed whenever AI is switched.\n{}", lines(variables))
}

fn home_file() -> CommandResult<File> {
    let missing = || CommandError::usage("where is your home? HOME is not set");
    let home = env::var_os("HOME").map(PathBuf::from).ok_or_else(missing)?;
    File::read(home.join(ai::PROXY_ENV))
}

fn remove(path: &PathBuf) -> CommandResult {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(CommandError::file(format!("remove {}", path.display()), &error))
        }
        _ => Ok(()),
    }
}

/// The file with our part between its marks; all other lines are kept.
fn with_section(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut kept = String::new();
    let mut is_ours = false;
    for line in text.lines() {
        match line {
            BEGIN => is_ours = true,
            END => is_ours = false,
            _ if is_ours => {}
            _ => {
                kept.push_str(line);
                kept.push('\n');
            }
        }
    }
    format!("{kept}{BEGIN}\n{}{END}\n", lines(variables))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_part_of_a_file_is_replaced() {
        let one = BTreeMap::from([("OPENAI_API_KEY".to_owned(), "a".to_owned())]);
        let two = BTreeMap::from([("OPENAI_API_KEY".to_owned(), "b".to_owned())]);
        let first = with_section("MINE=1\n", &one);
        assert_eq!(first, format!("MINE=1\n{BEGIN}\nOPENAI_API_KEY=\"a\"\n{END}\n"));
        let second = with_section(&format!("{first}MORE=2\n"), &two);
        assert_eq!(second, format!("MINE=1\nMORE=2\n{BEGIN}\nOPENAI_API_KEY=\"b\"\n{END}\n"));
    }
}
