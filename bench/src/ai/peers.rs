//! The peers: nginx, which only passes on, and two gateways that are made for AI.
//! Invariants: each calls the same upstream over connections that stay open, writes no log, and has as many
//! workers as there are processors where it has any. Otherwise they are as they come.
//! The gateways have no real key and listen to this machine alone: one of them asks whatever address a
//! request names.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use camino::Utf8Path;

use super::{side::Side, upstream::MODEL};
use crate::{
    procfs,
    running::{Running, free_port, nginx, words},
};

/// Folder of the gateways, below the tools.
const FOLDER: &str = "ai-gateways";
/// How long LiteLLM may take until its workers serve: minutes, on a slow disk.
const START_LIMIT: Duration = Duration::from_secs(600);
/// Streams of LiteLLM: each worker has at most 500 connections to one provider, and connections of callers
/// do not come to two workers alike.
const LITELLM_STREAMS: u32 = 800;
/// Idle connections that nginx keeps towards the upstream.
const IDLE: u32 = 512;

/// A peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Peer {
    /// Debian's.
    Nginx,
    /// `@portkey-ai/gateway` of npm.
    Portkey,
    /// `litellm[proxy]` of PyPI.
    Litellm,
}

impl Peer {
    /// Its name in rows.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Portkey => "portkey",
            Self::Litellm => "litellm",
        }
    }

    /// Which version it is.
    pub(super) fn version(self) -> Result<String> {
        match self {
            Self::Nginx => said(words("nginx", &["-v"])),
            Self::Portkey => {
                let path = tool("node_modules/@portkey-ai/gateway/package.json")?;
                let text = std::fs::read_to_string(&path).context(path.display().to_string())?;
                let package: serde_json::Value = serde_json::from_str(&text)?;
                let version = package.get("version").and_then(serde_json::Value::as_str);
                Ok(version.context("a version")?.to_owned())
            }
            Self::Litellm => {
                let script = "from importlib.metadata import version; print(version('litellm'))";
                let mut command = Command::new(tool("venv/bin/python")?);
                command.args(["-c", script]);
                said(command)
            }
        }
    }

    /// Starts it in a folder of its own.
    pub(super) fn start(self, folder: &Utf8Path, upstream: SocketAddr) -> Result<Side> {
        std::fs::create_dir_all(folder).with_context(|| format!("make {folder}"))?;
        let port = free_port()?;
        let (running, headers) = match self {
            Self::Nginx => {
                let config = nginx_config(upstream, port);
                (nginx(folder, procfs::processors(), &config, port)?, Vec::new())
            }
            Self::Portkey => portkey(folder, upstream, port)?,
            Self::Litellm => litellm(folder, upstream, port)?,
        };
        let mut side = Side::peer(self.name(), running, &headers)?;
        if self == Self::Litellm {
            side.streams_max = LITELLM_STREAMS;
        }
        Ok(side)
    }
}

/// A process, and the headers that its callers send.
type Started = (Running, Vec<(&'static str, String)>);

fn nginx_config(upstream: SocketAddr, port: u16) -> String {
    format!(
        "keepalive_requests 1000000000; keepalive_timeout 600s; tcp_nodelay on;\n\
         upstream provider {{ server {upstream}; keepalive {IDLE}; keepalive_requests 1000000000; }}\n\
         server {{ listen 127.0.0.1:{port} reuseport backlog=4096;\n\
           location / {{ proxy_pass http://provider; proxy_http_version 1.1;\n\
             proxy_set_header Connection \"\"; proxy_buffering off; proxy_read_timeout 600s; }} }}"
    )
}

/// One process of one thread, as it comes.
fn portkey(folder: &Utf8Path, upstream: SocketAddr, port: u16) -> Result<Started> {
    let (node, script) =
        (tool("node")?, tool("node_modules/@portkey-ai/gateway/build/start-server.js")?);
    let mut command = following(&node);
    command.arg(script).args([format!("--port={port}"), "--headless".to_owned()]);
    command.env("NODE_ENV", "production").env("HOME", folder.as_str()).current_dir(folder);
    let headers = vec![
        ("x-portkey-provider", "openai".to_owned()),
        ("x-portkey-custom-host", format!("http://{upstream}/v1")),
    ];
    Ok((Running::start(command, folder, port)?, headers))
}

/// As many workers as processors, without a database, as its guide for production has it.
fn litellm(folder: &Utf8Path, upstream: SocketAddr, port: u16) -> Result<Started> {
    let key = format!("sk-{}", random()?);
    let config = format!(
        "model_list:\n  - model_name: {MODEL}\n    litellm_params:\n      model: openai/{MODEL}\n\
         \x20     api_base: http://{upstream}/v1\n      api_key: sk-of-nobody\n\
         general_settings:\n  master_key: {key}\n\
         litellm_settings:\n  telemetry: false\n  set_verbose: false\n"
    );
    let path = folder.join("config.yaml");
    std::fs::write(&path, config).with_context(|| format!("write {path}"))?;
    let mut command = following(&tool("venv/bin/litellm")?);
    command.args(["--config", path.as_str(), "--host", "127.0.0.1"]);
    command.args(["--port", &port.to_string(), "--keepalive_timeout", "600"]);
    command.args(["--num_workers", &procfs::processors().to_string(), "--telemetry", "False"]);
    command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True").env("LITELLM_MODE", "PRODUCTION");
    command.env("LITELLM_LOG", "ERROR").env("HOME", folder.as_str()).current_dir(folder);
    let running = Running::start_within(START_LIMIT, command, folder, port)?;
    let began = Instant::now();
    while !is_alive(running.address) {
        ensure!(began.elapsed() < START_LIMIT, "LiteLLM does not serve");
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok((running, vec![("authorization", format!("Bearer {key}"))]))
}

/// Whether LiteLLM says that it is alive.
fn is_alive(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let head =
            "GET /health/liveliness HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes())?;
        let mut begins = [0; 12];
        stream.read_exact(&mut begins)?;
        Ok(&begins == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// A key that nobody guesses: whoever has it spends the operator's money.
fn random() -> Result<String> {
    let mut bytes = [0; 32];
    let mut file = std::fs::File::open("/dev/urandom").context("open /dev/urandom")?;
    file.read_exact(&mut bytes).context("read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A program that ends where the run ends in a way that drops nothing.
fn following(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]).arg(program);
    command
}

/// A file of the gateways that `scripts/setup --bench` installs.
fn tool(path: &str) -> Result<PathBuf> {
    let home = || Some(Path::new(&std::env::var_os("HOME")?).join(".cache/rigbox/tools"));
    let tools = std::env::var_os("RIGBOX_TOOLS").map(PathBuf::from).or_else(home);
    let path = tools.context("there is no HOME")?.join(FOLDER).join(path);
    ensure!(path.exists(), "there is no {}: scripts/setup --bench", path.display());
    Ok(path)
}

fn said(mut command: Command) -> Result<String> {
    let output = command.output().context("ask a peer for its version: scripts/setup --bench")?;
    let said = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&said).lines().next().unwrap_or_default().trim().to_owned())
}
