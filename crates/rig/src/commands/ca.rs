//! `rig ca`: the certificate of the CA that signs for an installation without a public domain.
//! Invariant: a store is only ever added to, under a name that tells this CA from others; what was
//! done and what was not is said.
//! Does not ask for root's rights: it says what to run with them.

use std::{path::Path as FilePath, process::Stdio};

use http::Method;
use http_body_util::{BodyExt as _, Limited};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::{
    cli::CaCommand,
    client::{Call, Path},
    error::{CommandError, CommandResult},
    session::App,
};

/// Most bytes of a certificate.
const PEM_MAX_BYTES: usize = 64 * 1024;

/// Where Debian looks for certificates of the machine's own.
const SYSTEM: &str = "/usr/local/share/ca-certificates";

/// Runs the command.
pub(super) async fn run(app: &App, command: &CaCommand) -> CommandResult {
    let pem = read(app).await?;
    match command {
        CaCommand::Show => app.output.bytes(pem.as_bytes()),
        CaCommand::Install => install(app, &pem).await,
    }
}

async fn read(app: &App) -> CommandResult<String> {
    app.output.progress("reading the CA");
    let client = app.client(&app.profile()?);
    let response = client.open(&Call::new(Method::GET, Path::api("/ca"))).await?;
    let body = Limited::new(response.into_body(), PEM_MAX_BYTES).collect().await;
    let body = body.map_err(|error| CommandError::failed(format!("read the CA: {error}")))?;
    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    if !text.starts_with("-----BEGIN CERTIFICATE-----") {
        return Err(CommandError::failed("the server's answer is no certificate"));
    }
    Ok(text)
}

async fn install(app: &App, pem: &str) -> CommandResult {
    let name = name(pem);
    let mut missing = Vec::new();
    match system(&name, pem).await {
        Ok(path) => app.output.notice(format!("this machine trusts it: {path}")),
        Err(why) => {
            missing.push((format!("this machine does not trust it: {why}"), "sudo rig ca install"))
        }
    }
    match browsers(&name, pem).await {
        Ok(store) => app.output.notice(format!("Chromium trusts it: {store}")),
        Err(why) => missing.push((
            format!("Chromium does not trust it: {why}"),
            "sudo apt-get install libnss3-tools, then rig ca install",
        )),
    }
    for (line, hint) in &missing {
        app.output.warning(line, Some(hint));
    }
    match missing.len() {
        2 => Err(CommandError::failed("the CA was installed nowhere")),
        _ => Ok(()),
    }
}

/// A name for this certificate, by a checksum of it: another installation's has another.
fn name(pem: &str) -> String {
    let sum = pem.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("rigbox-{sum:016x}")
}

async fn system(name: &str, pem: &str) -> Result<String, String> {
    if !FilePath::new(SYSTEM).is_dir() {
        return Err(format!("there is no {SYSTEM}; this is no Debian"));
    }
    let path = format!("{SYSTEM}/{name}.crt");
    std::fs::write(&path, pem).map_err(|error| format!("write {path}: {error}"))?;
    call("update-ca-certificates", &[], "").await?;
    Ok(path)
}

async fn browsers(name: &str, pem: &str) -> Result<String, String> {
    let home = std::env::var("HOME").map_err(|_| "HOME is not set".to_owned())?;
    let folder = format!("{home}/.pki/nssdb");
    let store = format!("sql:{folder}");
    if !FilePath::new(&folder).join("cert9.db").exists() {
        std::fs::create_dir_all(&folder).map_err(|error| format!("make {folder}: {error}"))?;
        call("certutil", &["-N", "-d", &store, "--empty-password"], "").await?;
    }
    // Trusted to sign for servers, and for nothing else.
    call("certutil", &["-A", "-a", "-d", &store, "-t", "C,,", "-n", name], pem).await?;
    Ok(folder)
}

/// Executes a program, which reads `input`; where it fails, with what it said.
async fn call(program: &str, arguments: &[&str], input: &str) -> Result<(), String> {
    let failed = |error| format!("execute {program}: {error}");
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends without reading says why below.
        stdin.write_all(input.as_bytes()).await.unwrap_or_default();
    }
    let said = child.wait_with_output().await.map_err(failed)?;
    if said.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&said.stderr);
    let text: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
    Err(format!("{program} ended with {}: {text}", said.status))
}
