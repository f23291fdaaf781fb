//! `rig api-key`: keys of the account. A key that is made is written to standard output, once, and
//! kept nowhere.

use http::Method;
use rigbox_types::{
    KeyScope, KeyScopes,
    api::{
        api_keys::{ApiKey, ApiKeySecretResponse, ApiKeysResponse, CreateApiKeyRequest},
        workspaces::MessageResponse,
    },
};
use secrecy::{ExposeSecret as _, SecretString};

use super::workspace::{find_workspace, unknown};
use crate::{
    cli::ApiKeyCommand,
    client::{Call, Document, Path},
    clock,
    error::{CommandError, CommandResult},
    expiry::Expiry,
    output::{Table, ago, span},
    session::Session,
};

const BASE: &str = "/api-keys";

/// Does what the command says.
pub(super) async fn run(session: &Session, command: ApiKeyCommand) -> CommandResult {
    match command {
        ApiKeyCommand::Create { name, expires, scope } => {
            create(session, name, expires, &scope).await
        }
        ApiKeyCommand::Ls => list(session).await,
        ApiKeyCommand::Rm { key } => remove(session, &key).await,
        ApiKeyCommand::Rotate { key } => rotate(session, &key).await,
    }
}

async fn create(
    session: &Session,
    name: Option<String>,
    expires: Option<Expiry>,
    words: &[String],
) -> CommandResult {
    let request = CreateApiKeyRequest {
        name,
        expires_at: expires.map(|end| end.from(clock::now())),
        scopes: scopes(session, words).await?,
    };
    let call = Call::new(Method::POST, Path::api(BASE)).json(&request)?;
    secret(session, &session.client.fetch(call).await?)
}

/// The scopes as the API takes them: a workspace may be typed by its name.
async fn scopes(session: &Session, words: &[String]) -> CommandResult<Option<KeyScopes>> {
    if words.is_empty() {
        return Ok(None);
    }
    let mut scopes = Vec::with_capacity(words.len());
    for word in words {
        scopes.push(match (word.parse::<KeyScope>(), word.strip_prefix("workspace:")) {
            (Ok(KeyScope::Workspace(_)) | Err(_), Some(typed)) if !typed.is_empty() => {
                KeyScope::Workspace(find_workspace(session, typed).await?.id)
            }
            (Ok(scope), _) => scope,
            (Err(error), _) => {
                return Err(CommandError::usage(format!("--scope {word}: {error}")));
            }
        });
    }
    let scopes = scopes.try_into();
    scopes.map(Some).map_err(|error| CommandError::usage(format!("--scope: {error}")))
}

/// Prints a key. What is said about it goes elsewhere, so that standard output can be a file.
fn secret(session: &Session, answer: &Document<ApiKeySecretResponse>) -> CommandResult {
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    session.output.notice("keep this key: it cannot be shown again");
    session.output.line(&answer.value.key)
}

async fn list(session: &Session) -> CommandResult {
    session.output.progress("reading the API keys");
    let answer = all(session).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let now = clock::now();
    let mut table = Table::new(["NAME", "KEY", "SCOPES", "CREATED", "LAST USED", "ENDS"]);
    for key in &answer.value.api_keys {
        table.row([
            key.name.as_deref().unwrap_or("-").into(),
            format!("{}…", key.key_preview).into(),
            key.scopes.to_string().into(),
            ago(now, key.created_at).into(),
            key.last_used_at.map_or_else(|| "never".to_owned(), |last| ago(now, last)).into(),
            ends(key, now.as_micros()).into(),
        ]);
    }
    session.output.table(&table, "no API keys")
}

fn ends(key: &ApiKey, now_micros: i64) -> String {
    let Some(end) = key.expires_at else { return "never".to_owned() };
    match end.as_micros().saturating_sub(now_micros) / 1_000_000 {
        ..=0 => "has ended".to_owned(),
        seconds => format!("in {}", span(seconds)),
    }
}

async fn remove(session: &Session, typed: &str) -> CommandResult {
    let key = find(session, typed).await?;
    let call = Call::new(Method::DELETE, path(&key));
    let answer: Document<MessageResponse> = session.client.fetch(call).await?;
    warn_of_own(session, &key);
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    session.output.line(format!("deleted the API key {}", shown(&key)))
}

async fn rotate(session: &Session, typed: &str) -> CommandResult {
    let key = find(session, typed).await?;
    let call = Call::new(Method::POST, path(&key).then("/rotate"));
    let answer = session.client.fetch(call).await?;
    warn_of_own(session, &key);
    secret(session, &answer)
}

/// Says that rig itself is signed out now.
fn warn_of_own(session: &Session, key: &ApiKey) {
    let own = |used: &SecretString| used.expose_secret().starts_with(&key.key_preview);
    if session.profile.key.as_ref().is_some_and(own) {
        session.output.warning("this was the key that rig uses here", Some("rig login"));
    }
}

fn path(key: &ApiKey) -> Path {
    Path::api(BASE).segment(&key.id.to_string())
}

fn shown(key: &ApiKey) -> &str {
    key.name.as_deref().unwrap_or(&key.key_preview)
}

/// The key with this name, id or preview.
async fn find(session: &Session, typed: &str) -> CommandResult<ApiKey> {
    let keys = all(session).await?.value.api_keys;
    let is = |key: &&ApiKey| {
        key.id.to_string() == typed
            || key.name.as_deref() == Some(typed)
            || key.key_preview == typed
    };
    let mut found = keys.iter().filter(is);
    match (found.next(), found.next()) {
        (Some(key), None) => Ok(key.clone()),
        (Some(_), Some(_)) => {
            let message = format!("several API keys are named '{typed}': use how it begins");
            Err(CommandError::failed(message).hint("rig api-key ls"))
        }
        (None, _) => Err(unknown("API key", typed, keys.iter().map(shown), "rig api-key ls")),
    }
}

async fn all(session: &Session) -> CommandResult<Document<ApiKeysResponse>> {
    Ok(session.client.list(Path::api(BASE), "api_keys").await?)
}
