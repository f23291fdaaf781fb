//! One test's world: a server, a configuration directory, and the built program.

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{PATIENCE, Reply, Server};

/// The key that every world signs in with.
pub(crate) const KEY: &str = "rb_test_0123456789abcdef";

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Checks all three.
    pub(crate) fn is(&self, code: i32, stdout: &str, stderr: &str) {
        assert_eq!(self.stdout, stdout, "standard output; {self:?}");
        assert_eq!(self.stderr, stderr, "standard error; {self:?}");
        assert_eq!(self.code, code, "exit code; {self:?}");
    }

    /// The lines of standard output as JSON.
    pub(crate) fn records(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) home: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { server: Server::start(), home: tempfile::tempdir().unwrap() }
    }

    /// A world whose server has these workspaces.
    pub(crate) fn with_workspaces(vms: &[Value]) -> Self {
        let world = Self::new();
        world.lists(vms);
        world
    }

    /// The server lists these workspaces.
    pub(crate) fn lists(&self, vms: &[Value]) {
        let page = json!({ "vms": vms, "next_cursor": null });
        self.server.on(LIST, Reply::Json(200, page));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The program with its environment, signed in to the server.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = self.stranger(line);
        command.env("RIGBOX_API_URL", &self.server.url).env("RIG_API_KEY", KEY);
        command
    }

    /// The program with an environment that knows nothing.
    pub(crate) fn stranger(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rig"));
        command
            .args(line.split_whitespace())
            .env_clear()
            .env("HOME", self.home.path())
            .env("RIG_METADATA_FILE", self.path("no-metadata"))
            .current_dir(self.home.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs `rig …`.
    pub(crate) fn rig(&self, line: &str) -> Ended {
        self.run(self.command(line), None)
    }

    /// Runs a command to its end; everything that was asked must be in the contract.
    pub(crate) fn run(&self, mut command: Command, stdin: Option<&[u8]>) -> Ended {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if stdin.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().unwrap();
        if let (Some(bytes), Some(mut pipe)) = (stdin, child.stdin.take()) {
            // A command that needs no input may have ended already.
            pipe.write_all(bytes).unwrap_or_default();
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(self.server.violations(), Vec::<String>::new());
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

/// How rig asks for the workspaces.
pub(crate) const LIST: &str = "GET /api/v1/workspaces?max_results=200";

/// The id that [`vm`] gives a workspace.
pub(crate) fn id_of(name: &str) -> String {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("ws-{:0<8.8}", letters)
}

/// A request about a workspace.
pub(crate) fn about(method: &str, name: &str, end: &str) -> String {
    format!("{method} /api/v1/workspaces/{}{end}", id_of(name))
}

/// A workspace as the API shows it.
pub(crate) fn vm(name: &str, status: &str, generation: u64) -> Value {
    json!({
        "id": id_of(name), "name": name, "user_id": "00000000-0000-4000-8000-000000000001",
        "status": status, "image": "base", "template_id": "base", "ram_mb": 512, "vcpu_count": 1,
        "disk_size_mb": 4096, "node_id": "host-abcd1234", "ip_address": "172.16.0.2",
        "failure_code": null, "failure_reason": null, "ai_mode": null, "creation_attempts": 1,
        "creation_started_at": null, "setup_script_ids": null, "service_spec_ids": null,
        "created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z",
        "region": "local", "idle": {"mode": "always_on", "after_seconds": null},
        "egress": {"mode": "open", "hosts": [], "cidrs": []}, "ssh": null,
        "generation": generation, "setup": []
    })
}

/// The answer about one workspace.
pub(crate) fn one(vm: &Value) -> Reply {
    Reply::Json(200, json!({ "vm": vm, "failure": null }))
}

/// The data of a `status` event.
pub(crate) fn status_event(name: &str, status: &str, generation: u64) -> Value {
    json!({
        "id": id_of(name), "status": status, "generation": generation, "failure": null,
        "updated_at": "2020-01-01T00:00:00Z"
    })
}

/// The account's limits.
pub(crate) fn limits() -> Value {
    json!({
        "plan": "operator", "custom": false,
        "limits": {"max_vms": 10, "max_ram_per_vm_mb": 4096, "max_ram_total_mb": 8192,
                   "max_disk_total_mb": 102400, "max_vcpu_per_vm": 4, "max_running_vcpus": 8,
                   "max_disk_per_vm_mb": 10240, "max_ssh_keys": 20, "max_apps_per_vm": 5,
                   "max_snapshots_per_vm": null, "max_ai_credits_per_month": 250,
                   "max_disk_mb_per_s_per_vm": 100, "max_disk_iops_per_vm": 2000,
                   "max_network_mbit_per_s_per_vm": null},
        "usage": {"workspace_count": 2, "running_vcpus": 1, "total_disk_mb": 8192,
                  "total_ram_mb": 512, "ssh_key_count": 3, "app_count": 0,
                  "snapshot_count": 0, "ai_credits_used": 0}
    })
}

/// The id that [`app`] gives an app.
pub(crate) fn app_id_of(name: &str) -> String {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("app-{:0<8.8}", letters)
}

/// A request about an app.
pub(crate) fn about_app(method: &str, name: &str, end: &str) -> String {
    format!("{method} /api/v1/apps/{}{end}", app_id_of(name))
}

/// An app of the workspace `demo` as the API shows it.
pub(crate) fn app(name: &str, port: u16, visibility: &str) -> Value {
    json!({
        "id": app_id_of(name), "name": name, "subdomain": name,
        "url": format!("https://{name}.rigbox.example/"), "workspace_id": id_of("demo"),
        "user_id": "00000000-0000-4000-8000-000000000001", "node_id": "host-abcd1234",
        "app_kind": "service", "port": port, "protocol": "http", "status": "active",
        "visibility": visibility, "allowed_emails": [], "custom_domain": null,
        "custom_domain_verified": false, "description": null, "metadata": null, "managed": false,
        "depends_on": [], "system_tags": [], "created_at": "2020-01-01T00:00:00Z",
        "updated_at": "2020-01-01T00:00:00Z"
    })
}

impl World {
    /// A world whose server has the running workspace `demo` and these apps.
    pub(crate) fn with_apps(apps: &[Value]) -> Self {
        let world = Self::with_workspaces(&[vm("demo", "running", 1)]);
        let page = json!({ "apps": apps, "next_cursor": null });
        world.server.on(APPS, Reply::Json(200, page));
        for app in apps {
            let line = format!("GET /api/v1/apps/{}", app["id"].as_str().unwrap());
            world.server.on(&line, Reply::Json(200, json!({ "app": app })));
        }
        world
    }
}

/// How rig asks for the apps.
pub(crate) const APPS: &str = "GET /api/v1/apps?max_results=200";

/// Waits until something is there that another process makes.
pub(crate) fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "it did not come");
        thread::yield_now();
    }
}
