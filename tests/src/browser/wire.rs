//! Chromium's debugging protocol: JSON, ended by NUL, on two descriptors of the process.
//! Invariant: each call has one answer, by its number. Does not know what is said.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{island, text};

/// How long a broken Chromium is waited for.
const CALL_LIMIT: Duration = Duration::from_secs(60);

/// The protocol is on descriptors 3 and 4; what a process is started with are 0 and 1.
/// Without its sandbox it also runs as root, and every page is the test's own.
const START: &str = "exec chromium --headless=new --no-sandbox --disable-gpu \
    --disable-dev-shm-usage --disable-background-networking --no-first-run \
    --user-data-dir=\"$HOME/profile\" --remote-debugging-pipe 3<&0 4>&1 0</dev/null 1>&2";

/// See the module.
pub(super) struct Wire {
    child: Child,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    commands: ChildStdin,
    calls: u64,
    waiting: HashMap<u64, SyncSender<Value>>,
    /// Told without being asked: session, name, what.
    events: Vec<(String, String, Value)>,
}

impl Wire {
    pub(super) fn start(home: &Path, ports: &[u16]) -> Result<Self> {
        let log = home.join("chromium.log");
        let mut command = Command::new("sh");
        command
            .args(["-c", START])
            .env("HOME", home)
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).context("make a log")?);
        let mut child = island::start(command, ports)?;
        let commands = child.stdin.take().context("chromium has no stdin")?;
        let answers = child.stdout.take().context("chromium has no stdout")?;
        let (waiting, events) = (HashMap::new(), Vec::new());
        let shared = Arc::new(Mutex::new(Shared { commands, calls: 0, waiting, events }));
        let reader = shared.clone();
        std::thread::spawn(move || read(answers, &reader));
        let wire = Self { child, shared };
        let version = wire.call(None, "Browser.getVersion", json!({}));
        version.with_context(|| {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            format!("chromium does not answer (scripts/setup --dev installs it): {said}")
        })?;
        Ok(wire)
    }

    pub(super) fn call(
        &self,
        session: Option<&str>,
        method: &str,
        parameters: Value,
    ) -> Result<Value> {
        let (answer, answered) = sync_channel(1);
        {
            let mut shared = lock(&self.shared);
            shared.calls += 1;
            let id = shared.calls;
            let mut call = json!({ "id": id, "method": method, "params": parameters });
            if let (Some(session), Some(call)) = (session, call.as_object_mut()) {
                call.insert("sessionId".to_owned(), json!(session));
            }
            shared.waiting.insert(id, answer);
            write!(shared.commands, "{call}\0").with_context(|| format!("tell {method}"))?;
        }
        let mut answer =
            answered.recv_timeout(CALL_LIMIT).with_context(|| format!("no answer to {method}"))?;
        if let Some(error) = answer.get("error") {
            bail!("{method}: {error}");
        }
        Ok(answer.get_mut("result").map_or(Value::Null, Value::take))
    }

    pub(super) fn events(&self, session: &str, name: &str) -> Vec<Value> {
        let shared = lock(&self.shared);
        let told = shared.events.iter();
        let fits = told.filter(|(of, its, _)| of == session && its == name);
        fits.map(|(_, _, what)| what.clone()).collect()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // It ends its own processes, which a signal would leave behind.
        if self.call(None, "Browser.close", json!({})).is_err() {
            self.child.kill().ok();
        }
        self.child.wait().ok();
    }
}

fn read(answers: ChildStdout, shared: &Mutex<Shared>) {
    let mut answers = BufReader::new(answers);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let ended = !answers.read_until(0, &mut bytes).is_ok_and(|count| count > 0);
        let mut shared = lock(shared);
        if ended {
            // Nobody waits any longer.
            return shared.waiting.clear();
        }
        bytes.pop();
        let Ok(mut said) = serde_json::from_slice::<Value>(&bytes) else { continue };
        if let Some(id) = said.get("id").and_then(Value::as_u64) {
            let waiting = shared.waiting.remove(&id);
            // Who asked may have given up.
            drop(waiting.map(|waiting| waiting.send(said)));
        } else if let (Some(session), Some(name)) =
            (text(&said, "/sessionId"), text(&said, "/method"))
        {
            let what = said.get_mut("params").map_or(Value::Null, Value::take);
            shared.events.push((session, name, what));
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
