//! Runs commands in the repository, each announced on stderr before it starts.
#![expect(clippy::print_stderr, reason = "a task talks to the person who started it")]

use std::{
    env,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use camino::Utf8PathBuf;

use crate::repo::Repo;

/// How variables begin that cargo sets for the package that it runs.
const OF_THIS_PACKAGE: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

/// A command in the repository's top folder, with the tools that `scripts/setup` brought in PATH.
pub(crate) fn command(repo: &Repo, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(repo.root());
    if let Some(path) = path_with_tools() {
        command.env("PATH", path);
    }
    // What cargo told this program about its own package is no news of another one: the build
    // script of `ring` would run, and all that use it be built, after every change of who asks.
    for (name, _) in env::vars_os() {
        if OF_THIS_PACKAGE.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end and fails if it does.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = shown(command);
    eprintln!("+ {shown}");
    let status = command.status().with_context(|| format!("start {shown}"))?;
    if !status.success() {
        bail!("{shown} failed ({status})");
    }
    Ok(())
}

/// Runs a named stage and says how long it took.
pub(crate) fn stage<T>(name: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    eprintln!("== {name}");
    let start = Instant::now();
    let done = work().with_context(|| format!("stage '{name}'"))?;
    eprintln!("== {name}: {}", seconds(start.elapsed()));
    Ok(done)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

/// The folder where `scripts/setup --dev` puts cargo-nextest and cargo-deny.
pub(crate) fn tools() -> Option<Utf8PathBuf> {
    let text = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    text("RIGBOX_TOOLS").map(Utf8PathBuf::from).or_else(|| {
        let cache = text("XDG_CACHE_HOME")
            .map(Utf8PathBuf::from)
            .or_else(|| Some(Utf8PathBuf::from(text("HOME")?).join(".cache")))?;
        Some(cache.join("rigbox/tools"))
    })
}

fn path_with_tools() -> Option<std::ffi::OsString> {
    let path = env::var_os("PATH")?;
    let mut folders = vec![tools()?.join("bin").into_std_path_buf()];
    folders.extend(env::split_paths(&path));
    env::join_paths(folders).ok()
}
