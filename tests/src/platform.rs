//! A platform of a test's own: data directory, port, tag; started and ended as an operator would.
//! Invariant: `Platform` leaves nothing behind: dropping it runs `rigbox down` and a test that
//! must know calls [`Platform::down`] and looks at [`crate::machine::leftovers`].

mod restore;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{client::Client, machine, wait};

/// How long a broken product is watched while it starts: long, because emulation inside emulation
/// is slow, and only a failing test ever waits for it.
pub const START_LIMIT: Duration = Duration::from_secs(240);

/// How long a broken product is watched while one workspace boots or ends.
pub const BOOT_LIMIT: Duration = Duration::from_secs(240);

/// How long a command in a workspace may take: less than a call of the API by [`Client`].
const EXEC_LIMIT: Duration = Duration::from_secs(560);

/// A running platform.
pub struct Platform {
    data: TempDir,
    port: u16,
    /// The supervisor, while this started it: tests start and end it from several threads.
    up: Mutex<Option<Child>>,
}

/// What a platform is started with beyond the defaults.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// More lines of `[host]`.
    pub host: String,
    /// Size of the pool of disks, in GiB; 8 when zero.
    pub pool_gib: u32,
    /// The first workspace; none when empty.
    pub first: String,
    /// Its template.
    pub template: String,
    /// Images made ready; `tiny` when empty.
    pub images: Vec<String>,
    /// The domain; the default when empty.
    pub domain: String,
    /// Lines of `[edge]`; without any it listens at any free port.
    pub edge: String,
    /// More tables.
    pub tables: String,
}

impl Platform {
    /// Starts one with the tiny image and no first workspace.
    ///
    /// # Errors
    /// When it does not answer, with its log.
    pub fn start() -> Result<Self> {
        Self::start_with(&Options::default())
    }

    /// Starts one.
    ///
    /// # Errors
    /// When it does not answer, with its log.
    pub fn start_with(options: &Options) -> Result<Self> {
        let platform = Self::prepare(options)?;
        platform.up()?;
        Ok(platform)
    }

    /// Makes its data directory and configuration, and starts nothing.
    ///
    /// # Errors
    /// When the directory or the images cannot be made.
    pub fn prepare(options: &Options) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("rbt").tempdir().context("make a directory")?;
        let port = rigbox_test_ports::free().context("find a free port")?;
        let platform = Self { data, port, up: Mutex::new(None) };
        let store = image_store()?;
        for part in ["images", "kernels"] {
            copy(&store.join(part), platform.data.path())?;
        }
        let tiny = ["tiny".to_owned()];
        let images = if options.images.is_empty() { &tiny[..] } else { &options.images };
        let driver = env::var("RIGBOX_TEST_DRIVER").unwrap_or_else(|_| "auto".to_owned());
        let pool_gib = if options.pool_gib == 0 { 8 } else { options.pool_gib };
        let mut host = format!("driver = {driver:?}\npool_gib = {pool_gib}\n{}", options.host);
        for (key, variable) in [("firecracker", "FIRECRACKER"), ("jailer", "JAILER")] {
            if let Ok(path) = env::var(variable) {
                host.push_str(&format!("\n{key} = {path:?}"));
            }
        }
        let or = |text: &str, default: &str| {
            if text.is_empty() { default.to_owned() } else { text.to_owned() }
        };
        let template = or(&options.template, "tiny");
        let domain = or(&options.domain, "rigbox.localhost");
        let edge = or(&options.edge, "listen = \"127.0.0.1:0\"");
        let config = format!(
            "domain = {domain:?}\n[api]\nlisten = \"127.0.0.1:{port}\"\n[edge]\n{edge}\n\
             [ssh]\nlisten = \"127.0.0.1:0\"\n\
             [host]\n{host}\n[images]\nready = {images:?}\n\
             [first]\nworkspace = {:?}\ntemplate = {template:?}\n{}\n",
            options.first, options.tables
        );
        fs::write(platform.data.path().join("rigbox.toml"), config)?;
        Ok(platform)
    }

    /// `rigbox up` in the foreground of its own process; returns when the API answers.
    ///
    /// # Errors
    /// When it does not, with its log.
    pub fn up(&self) -> Result<()> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        let child = self
            .rigbox(&["up"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start rigbox up")?;
        *self.supervisor() = Some(child);
        let anonymous = Client::new(&self.url(), None);
        let answered = wait::until(
            "the API",
            START_LIMIT,
            || {
                let ended = self.supervisor().as_mut().and_then(|up| up.try_wait().ok().flatten());
                let total = anonymous.get("/capacity").ok().and_then(|a| a.at("/total").as_i64());
                Ok((ended, total))
            },
            |(ended, total)| ended.is_some() || total.is_some_and(|total| total > 0),
        );
        answered
            .and_then(|(ended, _)| match ended {
                Some(status) => bail!("rigbox up ended: {status}"),
                None => Ok(()),
            })
            .with_context(|| self.story())
    }

    /// Ends the supervisor as Ctrl-C does; workspaces stay.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn interrupt(&self) -> Result<()> {
        let Some(mut up) = self.supervisor().take() else { return Ok(()) };
        signal(up.id(), Signal::SIGINT)?;
        let status = up.wait()?;
        ensure!(status.success(), "rigbox up ended with {status}\n{}", self.story());
        Ok(())
    }

    /// `kill -9` of the supervisor alone.
    ///
    /// # Errors
    /// When there is none.
    pub fn kill_supervisor(&self) -> Result<()> {
        let mut up = self.supervisor().take().context("no supervisor")?;
        up.kill()?;
        up.wait()?;
        Ok(())
    }

    /// `rigbox down`.
    ///
    /// # Errors
    /// When it fails.
    pub fn down(&self) -> Result<()> {
        let output = self.rigbox(&["down"]).output().context("run rigbox down")?;
        if let Some(mut up) = self.supervisor().take() {
            up.wait()?;
        }
        ensure!(output.status.success(), "rigbox down: {}\n{}", text(&output), self.story());
        Ok(())
    }

    /// What it has on the machine now.
    ///
    /// # Errors
    /// When the machine cannot be read.
    pub fn leftovers(&self) -> Result<Vec<String>> {
        let tag = fs::read_to_string(self.data.path().join("instance"))?;
        Ok(machine::leftovers(tag.trim(), self.data.path())?.into_iter().collect())
    }

    /// The platform's data directory.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// The API's address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The admin's API key.
    ///
    /// # Errors
    /// When there is none.
    pub fn key(&self) -> Result<String> {
        let path = self.data.path().join("control/admin.key");
        let key = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(key.trim().to_owned())
    }

    /// The API as the admin.
    ///
    /// # Errors
    /// When there is no key.
    pub fn client(&self) -> Result<Client> {
        Ok(Client::new(&self.url(), Some(&self.key()?)))
    }

    /// The pid of a role's process, as the kernel shows it.
    ///
    /// # Errors
    /// When it does not run.
    pub fn role(&self, program: &str) -> Result<u32> {
        let data = self.data.path().to_string_lossy().into_owned();
        machine::processes()?
            .into_iter()
            .find(|(_, command)| {
                let first = command.split(' ').next().unwrap_or_default();
                let role = match program {
                    "host" => first.ends_with("rigbox-host"),
                    role => command.contains(&format!("rigbox {role}")),
                };
                role && command.contains(&data)
            })
            .map(|(pid, _)| pid)
            .with_context(|| format!("no process {program} of {data}"))
    }

    /// `kill -9` of a role's process.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill_role(&self, program: &str) -> Result<()> {
        signal(self.role(program)?, Signal::SIGKILL)
    }

    /// Runs `rig` with a configuration of its own and the admin's key.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn rig(&self, args: &[&str]) -> Result<Output> {
        self.rig_command(args)?.output().context("run rig")
    }

    /// `rig`, ready to run.
    ///
    /// # Errors
    /// When there is no key.
    pub fn rig_command(&self, args: &[&str]) -> Result<Command> {
        let mut rig = Command::new(program("rig"));
        rig.args(args)
            .env("RIGBOX_API_URL", self.url())
            .env("RIG_API_KEY", self.key()?)
            .env("XDG_CONFIG_HOME", self.data.path().join("config"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        Ok(rig)
    }

    /// Creates a workspace of the tiny image and returns its id.
    ///
    /// # Errors
    /// When it is refused.
    pub fn create(&self, name: &str) -> Result<String> {
        let body = json!({"name": name, "template_id": "tiny"});
        let answer = self.client()?.post("/workspaces", &body)?;
        ensure!(answer.status == 201, "create {name}: {} {}", answer.status, answer.text);
        Ok(answer.text_at("/vm/id"))
    }

    /// Creates and starts a workspace and waits until it runs.
    ///
    /// # Errors
    /// When it does not.
    pub fn spawn(&self, name: &str) -> Result<String> {
        let id = self.create(name)?;
        self.act(&id, "start")?;
        self.wait_status(&id, "running")?;
        Ok(id)
    }

    /// `POST /workspaces/{id}/{verb}`.
    ///
    /// # Errors
    /// When it is refused.
    pub fn act(&self, id: &str, verb: &str) -> Result<()> {
        let answer = self.client()?.call("POST", &format!("/workspaces/{id}/{verb}"), None)?;
        ensure!(answer.status == 200, "{verb} {id}: {} {}", answer.status, answer.text);
        Ok(())
    }

    /// Status of a workspace; `gone` where there is none.
    ///
    /// # Errors
    /// When the API does not answer.
    pub fn status(&self, id: &str) -> Result<String> {
        let answer = self.client()?.get(&format!("/workspaces/{id}"))?;
        match answer.status {
            200 => Ok(answer.text_at("/vm/status")),
            404 => Ok("gone".to_owned()),
            other => bail!("status of {id}: {other} {}", answer.text),
        }
    }

    /// Waits until a workspace has a status.
    ///
    /// # Errors
    /// When it fails or does not get there.
    pub fn wait_status(&self, id: &str, wanted: &str) -> Result<()> {
        wait::until(
            &format!("{id} to be {wanted}"),
            BOOT_LIMIT,
            || self.status(id),
            |status| status == wanted || (status == "failed" && wanted != "failed"),
        )
        .and_then(|status| {
            ensure!(status == wanted, "{id} is {status}: {}", self.failure(id));
            if status == "running" { expect_vmm(id) } else { Ok(()) }
        })
        .with_context(|| self.story())
    }

    /// Runs a shell command in a workspace as root and returns its result document.
    ///
    /// # Errors
    /// When the API refuses it.
    pub fn sh(&self, id: &str, script: &str) -> Result<Shell> {
        let timeout_s = EXEC_LIMIT.as_secs();
        let body =
            json!({"command": ["/bin/sh", "-c", script], "user": "root", "timeout_s": timeout_s});
        let answer = self.client()?.post(&format!("/workspaces/{id}/exec"), &body)?;
        ensure!(answer.status == 200, "exec in {id}: {} {}", answer.status, answer.text);
        Ok(Shell {
            exit_code: answer.at("/exit_code").as_i64(),
            stdout: answer.text_at("/stdout"),
            stderr: answer.text_at("/stderr"),
        })
    }

    /// The failure document of a workspace, as text.
    pub fn failure(&self, id: &str) -> Value {
        self.client()
            .and_then(|client| client.get(&format!("/workspaces/{id}")))
            .map_or(Value::Null, |answer| answer.at("/failure"))
    }

    /// The ends of its logs, for a failing test.
    pub fn story(&self) -> String {
        let mut story = String::new();
        let mut logs = vec![self.log()];
        if let Ok(entries) = fs::read_dir(self.data.path().join("logs")) {
            logs.extend(entries.filter_map(|entry| entry.ok().map(|entry| entry.path())));
        }
        for path in logs {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let tail: Vec<_> = text.lines().rev().take(40).collect();
            story.push_str(&format!("--- {}\n", path.display()));
            for line in tail.into_iter().rev() {
                story.push_str(line);
                story.push('\n');
            }
        }
        story
    }

    /// `rigbox`, for this platform.
    pub fn rigbox(&self, args: &[&str]) -> Command {
        let mut rigbox = Command::new(program("rigbox"));
        rigbox.args(args).arg("--data").arg(self.data.path());
        rigbox.env("XDG_CONFIG_HOME", self.data.path().join("config"));
        rigbox
    }

    fn supervisor(&self) -> MutexGuard<'_, Option<Child>> {
        self.up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> PathBuf {
        self.data.path().join("up.out")
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if let Some(up) = self.supervisor().as_mut() {
            // Already dead is as good.
            up.kill().ok();
            up.wait().ok();
        }
        self.rigbox(&["down"]).output().ok();
    }
}

/// Where `RIGBOX_TEST_VMM` names a driver, a workspace must run with it: the product would rather
/// fall back to emulation than not run, and its tests would pass.
fn expect_vmm(workspace: &str) -> Result<()> {
    let Ok(driver) = env::var("RIGBOX_TEST_VMM") else { return Ok(()) };
    let (_, command) = machine::vmm(workspace)?;
    let is_it = match driver.as_str() {
        "qemu_kvm" => command.contains(" -accel kvm "),
        "firecracker" => command.contains("/firecracker --id "),
        other => bail!("RIGBOX_TEST_VMM names {other}"),
    };
    ensure!(is_it, "{workspace} should run with {driver} and is {command}");
    Ok(())
}

/// What a command in a workspace gave back.
#[derive(Debug, Clone)]
pub struct Shell {
    /// Exit code.
    pub exit_code: Option<i64>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// One of the product's executables: from `RIGBOX_BIN`, else beside the tests.
pub fn program(name: &str) -> PathBuf {
    let folder = env::var_os("RIGBOX_BIN").map(PathBuf::from).or_else(|| {
        // target/debug/deps/it-… → target/debug
        env::current_exe().ok().and_then(|exe| exe.ancestors().nth(2).map(Path::to_path_buf))
    });
    folder.unwrap_or_default().join(name)
}

/// A folder with the images that tests start from, made once and kept.
///
/// # Errors
/// When an image cannot be built, with the builder's words.
pub fn image_store() -> Result<PathBuf> {
    if let Some(store) = env::var_os("RIGBOX_TEST_STORE") {
        return Ok(store.into());
    }
    let store = program("rigbox").with_file_name("test-store");
    fs::create_dir_all(&store)?;
    build_image(&store, "tiny")?;
    Ok(store)
}

/// Builds an image into a store, or finds it there: the builder itself locks and remembers.
///
/// # Errors
/// When it fails, with its words.
pub fn build_image(store: &Path, name: &str) -> Result<()> {
    let output = Command::new(program("rigbox"))
        .args(["image", "build", name, "--data"])
        .arg(store)
        .stdin(Stdio::null())
        .output()
        .context("run rigbox image build")?;
    ensure!(output.status.success(), "rigbox image build {name}: {}", text(&output));
    Ok(())
}

/// Both outputs of a finished process, for a report.
pub fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}\n{}{}", output.status, String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

fn copy(from: &Path, into: &Path) -> Result<()> {
    let status = Command::new("cp")
        .args(["-a", "--reflink=auto", "--sparse=always"])
        .arg(from)
        .arg(into)
        .status()
        .context("run cp")?;
    ensure!(status.success(), "copy {} to {}", from.display(), into.display());
    Ok(())
}

fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?);
    kill(pid, signal).with_context(|| format!("send {signal} to {pid}"))
}
