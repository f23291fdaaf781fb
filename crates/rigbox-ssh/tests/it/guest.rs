use std::{
    fs,
    net::SocketAddr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
};

use tokio::{net::TcpListener, process::Command, task::JoinHandle};

use crate::world::{keygen, public, user};

/// Where Debian has it.
const SSHD: &str = "/usr/sbin/sshd";

/// A workspace: OpenSSH's server, one process a connection, as inetd would start it.
pub(crate) struct Guest {
    pub(crate) address: SocketAddr,
    pub(crate) host_key: Vec<u8>,
    log: PathBuf,
    sessions: Arc<Mutex<Vec<u32>>>,
    accepting: JoinHandle<()>,
}

impl Guest {
    pub(crate) async fn start(folder: &Path, authority: &Path) -> Self {
        // Debian has it made by the service, which is not started.
        fs::create_dir_all("/run/sshd").unwrap();
        let (key, config) = (folder.join("guest-key"), folder.join("sshd_config"));
        let log = folder.join("sshd.log");
        keygen(&["-t", "ed25519", "-f", key.to_str().unwrap()]);
        // With SHLVL bash does not read the files of who runs the tests, which may take long.
        let text = format!(
            "HostKey {}\nTrustedUserCAKeys {}.pub\nAuthorizedKeysFile none\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nStrictModes no\n\
             PermitRootLogin prohibit-password\nPidFile none\nPrintMotd no\nPrintLastLog no\n\
             AcceptEnv *\nAllowAgentForwarding yes\nAllowTcpForwarding yes\n\
             AllowStreamLocalForwarding yes\nGatewayPorts no\nMaxSessions 200\nLogLevel DEBUG1\n\
             Subsystem sftp internal-sftp\nSetEnv SHLVL=2\n",
            key.display(),
            authority.display(),
        );
        fs::write(&config, text).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, sessions) = (listener.local_addr().unwrap(), Arc::default());
        let accepting = tokio::spawn(accept(listener, config, log.clone(), Arc::clone(&sessions)));
        Self { address, host_key: public(&key), log, sessions, accepting }
    }

    /// Ends the processes of all sessions at once, as the end of a micro-VM does.
    pub(crate) fn kill(&self) {
        for pid in self.sessions.lock().unwrap().drain(..) {
            let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
            // One that has ended since is gone already.
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap_or_default();
        }
    }

    /// How many of its sessions still run.
    pub(crate) fn sessions(&self) -> usize {
        self.sessions.lock().unwrap().len()
    }

    /// What its server has noted.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.accepting.abort();
        self.kill();
    }
}

async fn accept(
    listener: TcpListener,
    config: PathBuf,
    log: PathBuf,
    sessions: Arc<Mutex<Vec<u32>>>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = stream.into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        let input = OwnedFd::from(stream);
        let output = input.try_clone().unwrap();
        let mut sshd = Command::new(SSHD);
        sshd.arg("-i").arg("-f").arg(&config).arg("-E").arg(&log);
        sshd.env("USER", user()).stdin(input).stdout(output).stderr(Stdio::null());
        let mut sshd =
            sshd.spawn().expect("the OpenSSH server (Debian package openssh-server) is installed");
        // The descriptors that the command holds are the connection's.
        let pid = sshd.id().unwrap();
        let running = Arc::clone(&sessions);
        running.lock().unwrap().push(pid);
        tokio::spawn(async move {
            sshd.wait().await.unwrap();
            running.lock().unwrap().retain(|other| *other != pid);
        });
    }
}
