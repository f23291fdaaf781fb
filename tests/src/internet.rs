//! An "internet" for one test: a namespace with a web server behind a veth, and in it also the
//! addresses that no workspace may reach, so that a refusal proves the floor and not a dead end.
//! Invariant: everything carries the test's process id in its name and is gone after drop.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::wait;

/// An address that answers HTTP: outside every special-purpose range, because the floor forbids
/// those for documentation too. The route to it leads into the namespace, never off this machine.
pub const PUBLIC: &str = "11.198.51.7";

/// Addresses behind the same wire that the floor forbids, one for each kind of range.
pub const FORBIDDEN: [&str; 6] =
    ["10.55.0.1", "172.20.0.1", "192.168.77.1", "169.254.169.254", "100.64.7.1", "127.0.0.1"];

/// What the web server says.
pub const WORDS: &str = "internet";

/// The namespace and its server.
pub struct Internet {
    namespace: String,
    link: String,
    server: Child,
    _folder: TempDir,
}

impl Internet {
    /// Makes it and waits until the server answers this machine.
    ///
    /// # Errors
    /// When the machine does not allow it.
    pub fn start() -> Result<Self> {
        let pid = std::process::id();
        let (namespace, link) = (format!("test-inet-{pid}"), format!("inet{pid}"));
        ip(&["netns", "add", &namespace])?;
        ip(&["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &namespace])?;
        ip(&["addr", "add", "11.198.51.1/24", "dev", &link])?;
        ip(&["link", "set", &link, "up"])?;
        let inside = |args: &[&str]| {
            let mut all = vec!["-n", namespace.as_str()];
            all.extend(args);
            ip(&all)
        };
        inside(&["addr", "add", &format!("{PUBLIC}/24"), "dev", "eth0"])?;
        inside(&["link", "set", "eth0", "up"])?;
        inside(&["link", "set", "lo", "up"])?;
        inside(&["route", "add", "default", "via", "11.198.51.1"])?;
        for address in FORBIDDEN.iter().filter(|address| **address != "127.0.0.1") {
            inside(&["addr", "add", &format!("{address}/32"), "dev", "eth0"])?;
            ip(&["route", "add", &format!("{address}/32"), "via", PUBLIC, "dev", &link])?;
        }
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("index.html"), WORDS)?;
        let server = serve(Some(&namespace), folder.path(), 80)?;
        let internet = Self { namespace, link, server, _folder: folder };
        wait::until(
            "the internet",
            std::time::Duration::from_secs(20),
            || Ok(fetch(&format!("http://{PUBLIC}/"))),
            |words| words == WORDS,
        )?;
        for address in FORBIDDEN.iter().filter(|address| **address != "127.0.0.1") {
            ensure!(fetch(&format!("http://{address}/")) == WORDS, "{address} is a dead end");
        }
        Ok(internet)
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
        ip(&["link", "del", &self.link]).ok();
        ip(&["netns", "del", &self.namespace]).ok();
    }
}

/// A web server on this machine, or in a namespace of it.
///
/// # Errors
/// When it cannot be started.
pub fn serve(namespace: Option<&str>, folder: &Path, port: u16) -> Result<Child> {
    let mut command = match namespace {
        Some(namespace) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", namespace, "busybox"]);
            command
        }
        None => Command::new("busybox"),
    };
    command.args(["httpd", "-f", "-p", &port.to_string(), "-h"]).arg(folder);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().context("start busybox httpd (Debian package busybox-static)")
}

/// What a URL answers to this machine; empty when nothing.
pub fn fetch(url: &str) -> String {
    Command::new("curl").args(["-s", "--max-time", "3", url]).output().map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

/// Runs `ip`.
///
/// # Errors
/// With its words.
pub fn ip(args: &[&str]) -> Result<String> {
    let output = Command::new("ip").args(args).output().context("run ip")?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {words}", args.join(" "));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
