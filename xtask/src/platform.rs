//! `up` and `down`: builds the platform and hands over to its own executable, as root.
#![expect(clippy::print_stderr, reason = "a task talks to the person who started it")]

use std::{
    env, fs, io,
    os::unix::{fs::symlink, process::CommandExt},
    process::{Command, ExitCode},
};

use anyhow::{Context, anyhow, bail};
use camino::{Utf8Path, Utf8PathBuf};

use crate::{build, repo::Repo, shell};

/// Where the commands are put so that a person can type them.
const COMMANDS: &str = "/usr/local/bin";

/// Variables of the caller that the platform reads and `sudo` would drop.
const KEPT: [&str; 4] = ["RIGBOX_DATA", "RIGBOX_CONFIG", "XDG_CONFIG_HOME", "NO_COLOR"];

/// Builds everything and becomes `rigbox up`.
pub(crate) fn up(repo: &Repo, arguments: &[String]) -> anyhow::Result<ExitCode> {
    shell::stage("build the platform", || build::platform(repo))?;
    shell::stage("build the guest's programs", || build::guest(repo))?;
    for name in ["rigbox", "rig"] {
        link(&repo.target().join("release").join(name), name);
    }
    become_rigbox(repo, "up", arguments)
}

/// Becomes `rigbox down`.
pub(crate) fn down(repo: &Repo, arguments: &[String]) -> anyhow::Result<ExitCode> {
    if !repo.target().join("release/rigbox").exists() {
        bail!("nothing was built here, so nothing was started from here\nhint: make up");
    }
    become_rigbox(repo, "down", arguments)
}

fn become_rigbox(repo: &Repo, verb: &str, arguments: &[String]) -> anyhow::Result<ExitCode> {
    let rigbox = repo.target().join("release/rigbox");
    let mut command = as_root()?;
    for name in KEPT {
        if let Ok(value) = env::var(name) {
            command.arg(format!("{name}={value}"));
        }
    }
    command.arg(format!("RIGBOX_IMAGES={}", repo.root().join("images")));
    command.arg(format!("RIGBOX_GUEST={}", build::guest_folder(repo)));
    command.arg(&rigbox).arg(verb).args(arguments);
    Err(anyhow!(command.exec()).context(format!("start {rigbox} {verb}")))
}

/// `env`, run by root: what follows are variables and then the program.
pub(crate) fn as_root() -> anyhow::Result<Command> {
    if is_root()? {
        return Ok(Command::new("env"));
    }
    if !Utf8Path::new("/usr/bin/sudo").exists() {
        bail!(
            "the platform needs root (network namespaces, mounts, cgroups) and there is no sudo\n\
             hint: run the same command as root"
        );
    }
    eprintln!("the platform needs root (network namespaces, mounts, cgroups): asking sudo");
    let mut command = Command::new("/usr/bin/sudo");
    command.args(["--", "env"]);
    Ok(command)
}

fn is_root() -> anyhow::Result<bool> {
    let output = Command::new("id").arg("-u").output().context("run id")?;
    Ok(output.stdout.trim_ascii() == b"0")
}

fn link_as_root(to: &Utf8Path, at: &Utf8Path) -> io::Result<()> {
    let mut ln = as_root().map_err(io::Error::other)?;
    let status = ln.args(["ln", "-sfn", "--", to.as_str(), at.as_str()]).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("ln: {status}"))) }
}

/// Puts a link to a command where the shell finds it, unless something else has that name.
fn link(to: &Utf8Path, name: &str) {
    let at = Utf8PathBuf::from(COMMANDS).join(name);
    match fs::read_link(&at) {
        Ok(present) if present == to.as_std_path() => return,
        Ok(present) if present.ends_with(format!("release/{name}")) => {
            // Where only root may, `link_as_root` replaces it.
            fs::remove_file(&at).ok();
        }
        Ok(_) => {
            eprintln!("note: {at} is something else and stays; the command is {to}");
            return;
        }
        Err(_) if at.exists() => {
            eprintln!("note: {at} is something else and stays; the command is {to}");
            return;
        }
        Err(_) => {}
    }
    let linked = symlink(to, &at).or_else(|error| match error.kind() {
        // The latter is a link of ours that only root may replace.
        io::ErrorKind::PermissionDenied | io::ErrorKind::AlreadyExists => link_as_root(to, &at),
        _ => Err(error),
    });
    match linked {
        Ok(()) => eprintln!("{at} now leads to {to}"),
        Err(error) => eprintln!("note: no link {at} ({error}); the command is {to}"),
    }
}
