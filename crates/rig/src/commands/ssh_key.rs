//! `rig ssh-key`: public keys that open the account's workspaces.

use std::{env, path::PathBuf};

use http::Method;
use rigbox_types::api::{
    ssh_keys::{AddSshKeyRequest, SshKey, SshKeysResponse, SyncSshKeysResponse},
    workspaces::MessageResponse,
};

use super::workspace::{find_workspace, unknown};
use crate::{
    cli::{SshKeyCommand, Target},
    client::{Call, Document, Path},
    clock,
    error::{CommandError, CommandResult},
    input,
    output::{Table, ago},
    session::{Session, Verb, explain, workspace_path},
    words::count,
};

const BASE: &str = "/ssh-keys";
/// The keys that `ssh` shows by itself, below the home directory; the one that `ssh-keygen` makes first.
const DEFAULT_KEYS: [&str; 3] = [".ssh/id_ed25519.pub", ".ssh/id_ecdsa.pub", ".ssh/id_rsa.pub"];

/// Does what the command says.
pub(super) async fn run(session: &Session, command: SshKeyCommand) -> CommandResult {
    match command {
        SshKeyCommand::Add { file, name } => add(session, file, name).await,
        SshKeyCommand::Ls => list(session).await,
        SshKeyCommand::Rm { key } => remove(session, &key).await,
        SshKeyCommand::Sync(target) => sync(session, &target).await,
    }
}

async fn add(session: &Session, file: Option<PathBuf>, name: Option<String>) -> CommandResult {
    let file = file.or_else(default_key);
    let file = file.ok_or_else(|| CommandError::usage("which file? HOME is not set"))?;
    if file.as_os_str() != "-" && !file.exists() {
        return Err(CommandError::failed(format!("there is no key in {}", file.display()))
            .hint("ssh-keygen -t ed25519"));
    }
    let text = input::text_of(&file).await?;
    let public_key = public_line(&text)?;
    let comment = public_key.splitn(3, ' ').nth(2).map(str::trim).filter(|text| !text.is_empty());
    let name = name.or_else(|| comment.map(str::to_owned)).unwrap_or_else(|| "key".to_owned());
    let request = AddSshKeyRequest { name, public_key };
    let call = Call::new(Method::POST, Path::api(BASE)).json(&request)?.idempotent()?;
    let answer: Document<SshKey> = session.client.fetch(call).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let fingerprint = answer.value.fingerprint.as_deref().unwrap_or_default();
    session.output.line(format!("added the key {} {fingerprint}", answer.value.name))
}

/// The first of the usual files that is there; the first of all where none is.
fn default_key() -> Option<PathBuf> {
    let home = PathBuf::from(env::var_os("HOME")?);
    let files = DEFAULT_KEYS.map(|name| home.join(name));
    files.iter().find(|file| file.exists()).or_else(|| files.first()).cloned()
}

/// The one line of a public key. A private key is refused before it goes anywhere.
fn public_line(text: &str) -> CommandResult<String> {
    if text.contains("PRIVATE KEY") {
        return Err(CommandError::usage(
            "this is a private key, which must not leave this machine; name the .pub file",
        )
        .hint("rig ssh-key add ~/.ssh/id_ed25519.pub"));
    }
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    match (lines.next(), lines.next()) {
        (Some(line), None) => Ok(line.to_owned()),
        _ => Err(CommandError::usage("a public key file has exactly one line")),
    }
}

async fn list(session: &Session) -> CommandResult {
    session.output.progress("reading the SSH keys");
    let answer = all(session).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let now = clock::now();
    let mut table = Table::new(["NAME", "FINGERPRINT", "CREATED"]);
    for key in &answer.value.ssh_keys {
        table.row([
            (&key.name).into(),
            key.fingerprint.as_deref().unwrap_or_default().into(),
            ago(now, key.created_at).into(),
        ]);
    }
    if table.is_empty() {
        session.output.hint("rig ssh-key add");
    }
    session.output.table(&table, "no SSH keys")
}

async fn remove(session: &Session, typed: &str) -> CommandResult {
    let keys = all(session).await?.value.ssh_keys;
    let mut found = keys.iter().filter(|key| {
        key.id.to_string() == typed
            || key.name == typed
            || key.fingerprint.as_deref() == Some(typed)
    });
    let key = match (found.next(), found.next()) {
        (Some(key), None) => key,
        (Some(_), Some(_)) => {
            let message = format!("several SSH keys are named '{typed}': use a fingerprint");
            return Err(CommandError::failed(message).hint("rig ssh-key ls"));
        }
        (None, _) => {
            let names = keys.iter().map(|key| key.name.as_str());
            return Err(unknown("SSH key", typed, names, "rig ssh-key ls"));
        }
    };
    let call = Call::new(Method::DELETE, Path::api(BASE).segment(&key.id.to_string()));
    let answer: Document<MessageResponse> = session.client.fetch(call).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    session.output.line(format!("deleted the SSH key {}", key.name))
}

async fn sync(session: &Session, target: &Target) -> CommandResult {
    let vm = find_workspace(session, target.typed()).await?;
    let call = Call::new(Method::POST, workspace_path(&vm.id).then("/ssh-keys/sync"));
    let answer: Result<Document<SyncSshKeysResponse>, _> = session.client.fetch(call).await;
    let answer = answer.map_err(|error| explain(error, Verb::Enter, vm.name.as_str()))?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let number = usize::try_from(answer.value.synced).unwrap_or(usize::MAX);
    session.output.line(format!("{} has {} now", vm.name, count(number, "SSH key")))
}

async fn all(session: &Session) -> CommandResult<Document<SshKeysResponse>> {
    Ok(session.client.list(Path::api(BASE), "ssh_keys").await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_public_line_goes_out() {
        assert_eq!(public_line("ssh-ed25519 AAAA me\n").unwrap(), "ssh-ed25519 AAAA me");
        let private = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n";
        assert!(public_line(private).unwrap_err().message.contains("private key"));
        assert!(public_line("a\nb\n").is_err());
        assert!(public_line("\n").is_err());
    }
}
