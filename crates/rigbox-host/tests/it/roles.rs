//! This test binary again, as another process: the agent, `down`, or a VM with its guest.
//! Each role is a test that does nothing unless it was started for it.

use std::{
    env,
    process::{Command, Stdio},
    sync::Arc,
};

use camino::Utf8Path;
use rigbox_host::{Config, Drivers};
use rigbox_types::host::DriverName;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    guest,
    vmm::{AnyDriver, TestVmm},
};

pub(crate) const ROLE: &str = "RIGBOX_TEST_ROLE";
const CONFIG: &str = "RIGBOX_TEST_CONFIG";
/// Which driver the agent boots with.
pub(crate) const DRIVER: &str = "RIGBOX_TEST_DRIVER";

/// A command that plays a role.
pub(crate) fn command(role: &str) -> Command {
    // Also when the file was replaced meanwhile, as a build beside the tests does.
    let mut command = Command::new("/proc/self/exe");
    command
        .args(["--exact", &format!("roles::{role}"), "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// The agent of a configuration file.
pub(crate) fn agent(role: &str, config: &Utf8Path) -> Command {
    let mut command = command(role);
    command.env(CONFIG, config);
    command
}

fn plays(role: &str) -> bool {
    env::var(ROLE).is_ok_and(|asked| asked == role)
}

fn runtime() -> tokio::runtime::Runtime {
    let filter = tracing_subscriber::EnvFilter::new("debug,hyper=info");
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// The driver that the test asks for, and any other for what was booted before.
fn drivers() -> Drivers {
    let name = match env::var(DRIVER).as_deref() {
        Ok("firecracker") => DriverName::Firecracker,
        _ => DriverName::QemuTcg,
    };
    Drivers::new(Arc::new(TestVmm { name }), Arc::new(AnyDriver))
}

fn config() -> Config {
    Config::read(Utf8Path::new(&env::var(CONFIG).unwrap())).unwrap()
}

#[test]
fn run() {
    if plays("run") {
        runtime().block_on(async {
            let shutdown = CancellationToken::new();
            let mut terminate = signal(SignalKind::terminate()).unwrap();
            let run = rigbox_host::run(config(), drivers(), shutdown.clone());
            let mut run = Box::pin(run);
            tokio::select! {
                ended = run.as_mut() => panic!("{}", ended.unwrap_err()),
                _ = terminate.recv() => {
                    shutdown.cancel();
                    run.await.unwrap();
                }
            }
        });
    }
}

#[test]
fn down() {
    if plays("down") {
        let left = runtime().block_on(rigbox_host::down(config(), drivers()));
        assert_eq!(left.unwrap().0, Vec::<String>::new());
    }
}

#[test]
fn vm() {
    if plays("vm") {
        runtime().block_on(guest::live());
    }
}
