//! A certificate authority that orders by ACME and trusts nobody: Pebble, which checks names by asking
//! the edge under test. Names lead to this machine by a DNS server of the test's own.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpStream, UdpSocket},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rigbox_test_ports::free;
use serde_json::json;
use tempfile::TempDir;

use crate::{client::Client, wait};

/// How long a part may take to start.
const START_LIMIT: Duration = Duration::from_secs(30);

/// See the module.
pub struct Authority {
    dir: TempDir,
    child: Child,
    port: u16,
    management: u16,
}

/// Where the edge under test answers the authority.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// With TLS.
    pub https: u16,
    /// Without.
    pub http: u16,
    /// By DNS.
    pub dns: u16,
}

impl Ports {
    /// Ports that nobody has.
    ///
    /// # Errors
    /// When there are none.
    pub fn free() -> Result<Self> {
        Ok(Self { https: free()?, http: free()?, dns: free()? })
    }
}

impl Authority {
    /// Starts one that refuses one nonce in five.
    ///
    /// # Errors
    /// When Pebble or OpenSSL is not installed.
    pub fn start(edge: Ports) -> Result<(Self, SocketAddr)> {
        let dir = TempDir::new()?;
        let names = names(edge.dns)?;
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", &path("key.pem"), "-out", &path("own.pem")])
            .output()
            .context("run openssl")?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let (port, management) = (free()?, free()?);
        let config = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": path("own.pem"),
            "privateKey": path("key.pem"),
            "httpPort": edge.http,
            "tlsPort": edge.https,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "retryAfter": { "authz": 1, "order": 1 },
        }});
        fs::write(path("config.json"), config.to_string())?;
        let mut child = Command::new("pebble")
            .args(["-config", &path("config.json"), "-strict"])
            .args(["-dnsserver", &names.to_string()])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "20")
            .env("PEBBLE_AUTHZREUSE", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("start pebble (Debian package pebble)")?;
        let output = child.stdout.take().context("what pebble says")?;
        // It writes a line for each thing it does, which somebody has to read.
        thread::spawn(move || BufReader::new(output).lines().for_each(drop));
        let authority = Self { dir, child, port, management };
        let answers = || Ok(TcpStream::connect(("127.0.0.1", port)).is_ok());
        wait::until("pebble", START_LIMIT, answers, |yes| *yes)?;
        Ok((authority, names))
    }

    /// The table of a configuration that orders here.
    pub fn table(&self) -> String {
        format!(
            "[certificates]\nacme_directory = \"https://localhost:{}/dir\"\nacme_ca_file = {:?}\n\
             acme_terms_agreed = true\n",
            self.port,
            self.own().to_string_lossy()
        )
    }

    /// The root of what it signs, made at its start, in a file.
    ///
    /// # Errors
    /// When it does not say.
    pub fn root(&self) -> Result<PathBuf> {
        let url = format!("https://localhost:{}/roots/0", self.management);
        let mut curl = Command::new("curl");
        let output = curl.args(["-sS", "--cacert"]).arg(self.own()).arg(url).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let path = self.dir.path().join("root.pem");
        fs::write(&path, output.stdout)?;
        Ok(path)
    }

    fn own(&self) -> PathBuf {
        self.dir.path().join("own.pem")
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Says which app has which domain.
///
/// # Errors
/// When the API refuses.
pub fn verify(client: &Client, app: &str, domain: &str) -> Result<()> {
    let body = json!({ "custom_domain": domain });
    let changed = client.call("PATCH", &format!("/apps/{app}"), Some(&body))?;
    ensure!(changed.status == 200, "{}", changed.text);
    let verified = client.call("POST", &format!("/apps/{app}/verify-domain"), None)?;
    ensure!(verified.at("/verified") == json!(true), "{}", verified.text);
    Ok(())
}

/// A DNS server by which every name leads to this machine, and which asks the one at `edge` for texts,
/// as a resolver does that follows a delegation. Lives as long as the process.
fn names(edge: u16) -> Result<SocketAddr> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let question = buffer.get(..length).unwrap_or_default();
            if let Ok(answer) = answer(question, edge) {
                drop(socket.send_to(&answer, from));
            }
        }
    });
    Ok(address)
}

/// The types of records that are asked for.
const A: u16 = 1;
const TXT: u16 = 16;

fn answer(question: &[u8], edge: u16) -> Result<Vec<u8>> {
    const HEAD: usize = 12;
    let mut end = HEAD;
    while let Some(length) = question.get(end).filter(|length| **length != 0) {
        end += 1 + usize::from(*length);
    }
    let kind = question.get(end + 1..end + 3).context("no type")?;
    let kind = u16::from_be_bytes(kind.try_into()?);
    if kind == TXT {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.send_to(question, ("127.0.0.1", edge))?;
        let mut buffer = vec![0; 2048];
        let length = socket.recv(&mut buffer)?;
        buffer.truncate(length);
        return Ok(buffer);
    }
    let found = u8::from(kind == A);
    let id = question.get(..2).context("no id")?;
    let asked = question.get(HEAD..end + 5).context("no question")?;
    let mut answer = [id, &[0x85, 0x80, 0, 1, 0, found, 0, 0, 0, 0], asked].concat();
    if found == 1 {
        // The name of the question, an address, for a second.
        answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
    }
    Ok(answer)
}
