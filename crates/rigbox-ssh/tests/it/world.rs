use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Output,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rigbox_ssh::{
    Attempt, Directory, Forward, Gateway, HostKey, Limits, Menu, MenuEntry, PublicKey, Target,
    Unavailable, Verdict,
};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    process::Command,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::guest::Guest;

/// How long is waited for what has to happen: far too long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway, a workspace and the people who may enter it.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) address: SocketAddr,
    /// The gateway's public host key.
    pub(crate) host_key: Vec<u8>,
    pub(crate) guest: Arc<Guest>,
    pub(crate) people: Arc<People>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) serving: Option<JoinHandle<()>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = folder.path().join("authority");
        keygen(&["-t", "ed25519", "-f", authority.to_str().unwrap()]);
        let guest = Arc::new(Guest::start(folder.path(), &authority).await);
        let people = Arc::new(People {
            guest: Arc::clone(&guest),
            folder: folder.path().to_owned(),
            authority,
            owners: Mutex::default(),
            noted: Mutex::default(),
            entered: AtomicUsize::new(0),
            ends: Mutex::default(),
            elsewhere: Mutex::default(),
        });
        let key = Arc::new(HostKey::generate().unwrap());
        let host_key = key.public().to_vec();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let gateway = Gateway { key, directory: people.clone(), limits };
        let serving = tokio::spawn(gateway.serve(listener, shutdown.clone()));
        let serving = Some(serving);
        let world = Self { folder, address, host_key, guest, people, shutdown, serving };
        world.configure();
        world
    }

    fn configure(&self) {
        let names = format!("gateway,[127.0.0.1]:{}", self.address.port());
        let known = format!("{names} ssh-ed25519 {}\n", STANDARD.encode(&self.host_key));
        fs::write(self.path("known_hosts"), known).unwrap();
        let key = self.key("key", &["-t", "ed25519"]);
        self.people.knows(public(&key), true);
        let config = format!(
            "Host *\n HostName 127.0.0.1\n Port {}\n User work\n HostKeyAlias gateway\n\
             UserKnownHostsFile {}\n GlobalKnownHostsFile /dev/null\n StrictHostKeyChecking yes\n\
             IdentitiesOnly yes\n IdentityAgent none\n IdentityFile {}\n BatchMode yes\n\
             ControlPath none\n IgnoreUnknown WarnWeakCrypto\n WarnWeakCrypto no\n",
            self.address.port(),
            self.path("known_hosts").display(),
            key.display(),
        );
        fs::write(self.path("ssh_config"), config).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new key of somebody who is not known.
    pub(crate) fn key(&self, name: &str, kind: &[&str]) -> PathBuf {
        let path = self.path(name);
        keygen(&[kind, &["-f", path.to_str().unwrap()]].concat());
        path
    }

    /// A program of OpenSSH's client with the configuration that leads to the gateway, whatever host
    /// it is told.
    pub(crate) fn tool(&self, name: &str) -> Command {
        let mut tool = Command::new(name);
        tool.arg("-F").arg(self.path("ssh_config")).kill_on_drop(true);
        tool
    }

    /// The client itself as a text, for programs that start it.
    pub(crate) fn ssh(&self) -> String {
        format!("ssh -F {}", self.path("ssh_config").display())
    }

    /// What the client does with these arguments.
    pub(crate) async fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Output {
        output(self.tool("ssh").args(arguments)).await
    }

    /// What a command in the workspace says, which has to succeed.
    pub(crate) async fn says(&self, command: &str) -> String {
        good(self.run(&["work", command]).await)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// What the platform knows.
pub(crate) struct People {
    guest: Arc<Guest>,
    folder: PathBuf,
    authority: PathBuf,
    /// Keys, and whether the workspace is theirs.
    owners: Mutex<HashMap<Vec<u8>, bool>>,
    pub(crate) noted: Mutex<Vec<Forward>>,
    pub(crate) entered: AtomicUsize,
    ends: Mutex<CancellationToken>,
    /// Where the workspace is said to be, if not where it is; of the user `real` it never is.
    pub(crate) elsewhere: Mutex<Option<SocketAddr>>,
}

impl People {
    pub(crate) fn knows(&self, key: Vec<u8>, is_owner: bool) {
        self.owners.lock().unwrap().insert(key, is_owner);
    }

    /// Ends the right to all sessions that there are.
    pub(crate) fn revoke(&self) {
        std::mem::take(&mut *self.ends.lock().unwrap()).cancel();
    }

    fn menu(&self) -> Menu {
        let entry = |user: &str, name: &str, status: &str| MenuEntry {
            user: user.to_owned(),
            name: name.to_owned(),
            status: status.to_owned(),
        };
        let entries = vec![
            entry("work", "my work", "running"),
            entry("stopped", "stopped", "off"),
            entry("changed", "changed", "running"),
            entry("gone", "gone", "running"),
        ];
        let note = Some("something else to know".to_owned());
        Menu { entries, note, ends: self.ends.lock().unwrap().clone(), held: Box::new(()) }
    }

    async fn target(&self, workspace: &str, principal: &str, session: &[u8]) -> Target {
        let number = self.entered.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("session-{number}.pub"));
        fs::write(&path, format!("ssh-ed25519 {}\n", STANDARD.encode(session))).unwrap();
        let mut sign = Command::new("ssh-keygen");
        sign.args(["-q", "-I", "session", "-V", "-1m:+5m", "-n", principal, "-s"]);
        good(output(sign.arg(&self.authority).arg(&path)).await);
        let signed = self.folder.join(format!("session-{number}-cert.pub"));
        let certificate = blob(&fs::read_to_string(&signed).unwrap());
        let elsewhere = *self.elsewhere.lock().unwrap();
        let elsewhere = elsewhere.filter(|_| workspace != "real");
        let stream = TcpStream::connect(elsewhere.unwrap_or(self.guest.address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Target {
            stream: Box::pin(stream),
            user: user(),
            host_key: PublicKey::new(&self.guest.host_key).unwrap(),
            certificate,
            ends: self.ends.lock().unwrap().clone(),
        }
    }
}

#[async_trait]
impl Directory for People {
    async fn is_known(&self, _: &Attempt, key: &PublicKey) -> Result<bool, Unavailable> {
        Ok(self.owners.lock().unwrap().contains_key(key.blob()))
    }

    async fn enter(
        &self,
        attempt: &Attempt,
        key: &PublicKey,
        session: &[u8],
    ) -> Result<Verdict, Unavailable> {
        let is_owner = self.owners.lock().unwrap().get(key.blob()).copied();
        if is_owner != Some(true) {
            return Ok(Verdict::Unknown);
        }
        let mut target = match attempt.user.as_str() {
            "away" => return Err(Unavailable),
            "stopped" => return Ok(Verdict::Refused("start it: rig start stopped".to_owned())),
            "work" | "changed" | "real" => self.target(&attempt.user, &user(), session).await,
            "distrusted" => self.target(&attempt.user, "nobody-at-all", session).await,
            "rig" => return Ok(Verdict::Menu(self.menu())),
            _ => return Ok(Verdict::Unknown),
        };
        if attempt.user == "changed" {
            target.host_key = PublicKey::new(HostKey::generate().unwrap().public()).unwrap();
        }
        Ok(Verdict::Target(Box::new(target)))
    }

    fn forwards(&self, _: &Attempt, what: &Forward) {
        self.noted.lock().unwrap().push(what.clone());
    }
}

/// Who runs the tests, and may log in to their server.
pub(crate) fn user() -> String {
    let said = std::process::Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

pub(crate) fn keygen(arguments: &[&str]) {
    let mut keygen = std::process::Command::new("ssh-keygen");
    let made = keygen.args(["-q", "-N", "", "-C", ""]).args(arguments).output();
    let made = made.expect("OpenSSH's client (Debian package openssh-client) is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// The bytes of the public key beside a secret one.
pub(crate) fn public(path: &Path) -> Vec<u8> {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    blob(&fs::read_to_string(name).unwrap())
}

fn blob(text: &str) -> Vec<u8> {
    STANDARD.decode(text.split_whitespace().nth(1).unwrap()).unwrap()
}

/// What a program says. It has no standard input.
pub(crate) async fn output(command: &mut Command) -> Output {
    command.stdin(std::process::Stdio::null()).kill_on_drop(true);
    let name = format!("{command:?}");
    let ran = tokio::time::timeout(PATIENCE, command.output()).await;
    ran.unwrap_or_else(|_| panic!("{name} does not end"))
        .unwrap_or_else(|error| panic!("{name} is installed: {error}"))
}

/// What somebody said who succeeded.
#[track_caller]
pub(crate) fn good(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until something is so. Fails after a time that is far too long.
pub(crate) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "never: {what}");
}

/// Does not end before its time.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// Descriptors of this process, by what they lead to.
pub(crate) fn descriptors() -> HashSet<String> {
    let fds = fs::read_dir("/proc/self/fd").unwrap();
    fds.filter_map(|fd| {
        let path = fd.unwrap().path();
        let target = fs::read_link(&path).ok()?;
        Some(format!("{} {}", path.display(), target.display()))
    })
    .collect()
}
