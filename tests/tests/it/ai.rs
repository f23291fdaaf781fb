//! Code in a workspace calls models without a key: with the vendors' SDKs, for what the provider bills, and
//! with the key nowhere that the workspace, its host or a log can show it.
#![expect(clippy::indexing_slicing, reason = "a test fails loudly")]

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use memchr::memmem;
use rigbox_test_providers::{Behaviour, Options as SimulatorOptions, Provider, Providers, sdk};
use rigbox_tests::{
    machine,
    platform::{Options, Platform, Shell, build_image, image_store, text},
    wait,
};
use serde_json::json;

/// The platform's key at every provider: long enough to be nowhere by chance.
const KEY: &str = "sk-canary-8c1f4b7790aa4d21b3";

/// 1,000 read and 100 written of `gpt-4.1-mini`, in millionths of a credit.
const MINI: i64 = 56_000;

/// What is checked of each vendor's SDK. The programs have more, which takes too long without KVM.
const CHECKS: [&str; 6] = ["whole", "streamed", "tools", "image", "structured", "cancelled"];

/// The vendors.
const VENDORS: [&str; 3] = ["openai", "anthropic", "google"];

/// A call without an SDK, which takes half a minute to load without KVM.
const CURL: &str = "curl -sSf -H 'content-type: application/json' \"$OPENAI_BASE_URL/chat/completions\" \
     -d '{\"model\":\"gpt-4.1-mini\",\"messages\":[{\"role\":\"user\",\"content\":\"Say hello.\"}]}'";

/// Calls while control is killed.
const CALLS: usize = 40;

/// What curl ends with where the answer is an error (`--fail`).
const CURL_REFUSED: Option<i64> = Some(22);

/// What is read of a process or a file at once.
const PART_BYTES: usize = 4 * 1024 * 1024;

struct World {
    platform: Platform,
    workspace: String,
    providers: Providers,
    _runtime: tokio::runtime::Runtime,
    _keys: tempfile::TempDir,
}

impl World {
    fn start() -> Self {
        build_image(&image_store().unwrap(), "base").unwrap();
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let simulator = SimulatorOptions { key: Some(KEY.to_owned()), ..Default::default() };
        let providers = runtime.block_on(Providers::start(simulator)).unwrap();
        let keys = tempfile::tempdir().unwrap();
        let file = keys.path().join("key");
        fs::write(&file, KEY).unwrap();
        let table = |(name, provider)| {
            let base = providers.base(provider);
            let file = file.display();
            format!("[ai.providers.{name}]\nbase_url = \"{base}\"\nkey_file = \"{file}\"\n")
        };
        let tables = [
            ("openai", Provider::OpenAi),
            ("anthropic", Provider::Anthropic),
            ("google", Provider::Google),
        ];
        let options = Options {
            images: vec!["base".to_owned()],
            template: "base".to_owned(),
            pool_gib: 12,
            tables: tables.map(table).concat(),
            ..Options::default()
        };
        let platform = Platform::start_with(&options).unwrap();
        let client = platform.client().unwrap();
        let made = client.post("/workspaces", &json!({ "name": "hello", "template_id": "base" }));
        let workspace = made.unwrap().text_at("/vm/id");
        let world = Self { platform, workspace, providers, _runtime: runtime, _keys: keys };
        // A disk is made at the first start; what is put there is there from the next one on.
        world.turn("start", "running");
        world.turn("stop", "stopped");
        world.put_sdks();
        world.turn("start", "running");
        world
    }

    fn turn(&self, verb: &str, status: &str) {
        self.platform.act(&self.workspace, verb).unwrap();
        self.platform.wait_status(&self.workspace, status).unwrap();
    }

    fn disk(&self) -> PathBuf {
        let name = format!("pool/workspaces/{}.ext4", self.workspace);
        self.platform.data().join(name)
    }

    /// Puts the vendors' SDKs on the disk: through the network of an emulated machine they take minutes.
    fn put_sdks(&self) {
        let tools = sdk::tools();
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("providers/sdk");
        let mounted = tempfile::tempdir().unwrap();
        run(Command::new("mount").args(["-o", "loop"]).arg(self.disk()).arg(mounted.path()));
        let to = mounted.path().join("opt/sdks");
        fs::create_dir(&to).unwrap();
        let mut copy = Command::new("cp");
        // Python compiles anew what is not as old as its compiled form says: minutes without KVM.
        copy.args(["--recursive", "--dereference", "--preserve=timestamps"]);
        copy.arg("--target-directory").arg(&to);
        copy.args(["node", "node_modules", "package.json"].map(|name| tools.join(name)));
        copy.arg(tools.join("venv/lib/python3.11/site-packages"));
        copy.args(["with_python.py", "with_node.mjs"].map(|name| programs.join(name)));
        let copied = copy.status();
        run(Command::new("umount").arg(mounted.path()));
        assert!(copied.unwrap().success());
    }

    /// Runs a script as people do, in a login shell.
    fn person(&self, script: &str) -> Shell {
        self.platform.sh(&self.workspace, &as_person(script)).unwrap()
    }

    fn rig(&self, words: &[&str]) -> String {
        let done = self.platform.rig(words).unwrap();
        assert!(done.status.success(), "{words:?}: {}", text(&done));
        String::from_utf8(done.stdout).unwrap()
    }

    /// What was charged this month, in millionths, as `rig credits` says.
    fn used(&self) -> i64 {
        let credits = self.rig(&["credits", "--output", "json"]);
        let credits: serde_json::Value = serde_json::from_str(&credits).unwrap();
        credits["used_micro"].as_i64().unwrap()
    }

    fn wait_used(&self, expected: i64) {
        let limit = Duration::from_secs(20);
        wait::until("the charge", limit, || Ok(self.used()), |used| *used == expected).unwrap();
    }
}

/// A script in a login shell.
fn as_person(script: &str) -> String {
    let script = script.replace('\'', "'\\''");
    format!("su - developer -c '{script}'")
}

fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", text(&done));
}

/// Whether a file, or a part of it, has the key in it.
fn has_key(file: &File, from: u64, bytes: u64) -> bool {
    let (mut at, end) = (from, from.saturating_add(bytes));
    let mut part = vec![0; PART_BYTES];
    while at < end {
        let most = usize::try_from(end - at).unwrap_or(PART_BYTES).min(PART_BYTES);
        // Some parts of a process cannot be read.
        let Ok(count) = file.read_at(&mut part[..most], at) else { return false };
        if memmem::find(&part[..count], KEY.as_bytes()).is_some() {
            return true;
        }
        // Where it stands between two parts.
        let step = if count > KEY.len() && count == most { count - KEY.len() } else { count };
        if step == 0 || count < most || at + step as u64 >= end {
            return false;
        }
        at += step as u64;
    }
    false
}

fn memory_has_key(pid: u32) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let regions = maps.lines().filter(|line| line.split(' ').nth(1).unwrap().starts_with('r'));
    let ranges = regions.filter_map(|line| {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        Some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?))
    });
    ranges.into_iter().any(|(from, to)| has_key(&memory, from, to - from))
}

fn file_has_key(path: &Path) -> bool {
    let file = File::open(path).unwrap();
    has_key(&file, 0, file.metadata().unwrap().len())
}

#[test]
fn programs_call_models_without_a_key_and_pay_what_they_use() {
    let world = World::start();
    let counts = Behaviour { input: Some(1_000), output: Some(100), ..Behaviour::default() };
    world.providers.set_behaviour(counts);
    let script = "python3 - <<'END'\nfrom openai import OpenAI\nclient = OpenAI()\n\
         answer = client.chat.completions.create(model='gpt-4.1-mini', \
         messages=[{'role': 'user', 'content': 'Say hello.'}])\n\
         print(answer.choices[0].message.content)\nEND";
    let script = format!("export PYTHONPATH=/opt/sdks/site-packages; {script}");
    // Off until it is switched on, also for who knows where to ask.
    let unasked = format!("OPENAI_BASE_URL=http://172.16.0.1:9090/v1; {CURL}");
    assert_eq!(world.person(&unasked).exit_code, CURL_REFUSED);
    world.rig(&["proxy", "on", "--workspace", "hello"]);
    let said = world.person(&script);
    assert_eq!(said.exit_code, Some(0), "{} {}", said.stdout, said.stderr);
    assert_eq!(world.providers.billed().len(), 1);
    world.wait_used(MINI);
    // Plain services of systemd find it as well.
    let service = world.person("sudo systemd-run --wait --pipe --quiet env");
    let found = service.stdout.contains("OPENAI_BASE_URL=http://172.16.0.1:9090/v1\n");
    assert!(found, "{} {}", service.stdout, service.stderr);

    // A role that is killed is back, and no charge is lost or doubled.
    for role in ["control", "ai-proxy"] {
        world.platform.kill_role(role).unwrap();
        // The API, too, is away for a moment.
        let again = || Ok(world.platform.sh(&world.workspace, &as_person(CURL))?.exit_code);
        let limit = Duration::from_secs(120);
        wait::until("a call that works", limit, again, |code| *code == Some(0)).unwrap();
    }
    let billed = i64::try_from(world.providers.billed().len()).unwrap();
    world.wait_used(billed * MINI);

    calls_go_on_while_control_is_killed(&world);

    // The vendors' own SDKs, as they are.
    world.providers.set_behaviour(Behaviour::default());
    let checks: Vec<_> =
        VENDORS.iter().flat_map(|vendor| CHECKS.map(|check| format!("{vendor}_{check}"))).collect();
    let checks = checks.join(" ");
    for program in ["PYTHONPATH=site-packages python3 with_python.py", "./node with_node.mjs"] {
        let said = world.person(&format!("cd /opt/sdks; {program} {checks}"));
        assert_eq!(said.exit_code, Some(0), "{} {}", said.stdout, said.stderr);
        assert!(!said.stdout.contains(KEY) && !said.stderr.contains(KEY));
    }

    the_key_is_nowhere(&world);
    world.rig(&["proxy", "off", "--workspace", "hello"]);
    assert_eq!(world.person(&unasked).exit_code, CURL_REFUSED);
}

/// Who pays for calls is known to their proxy: each is answered, and paid once.
fn calls_go_on_while_control_is_killed(world: &World) {
    let before = world.providers.billed().len();
    let begin = format!(
        "cat > /tmp/load <<'END'\nfor call in $(seq {CALLS}); do {CURL} || echo refused; echo; done\n\
         echo over\nEND\nsetsid sh /tmp/load > /tmp/said 2>&1 < /dev/null &"
    );
    assert_eq!(world.person(&begin).exit_code, Some(0));
    let (limit, mut kills) = (Duration::from_secs(300), 0);
    let said = || {
        let said = world.platform.sh(&world.workspace, "cat /tmp/said")?.stdout;
        if !said.contains("over") {
            world.platform.kill_role("control")?;
            kills += 1;
        }
        Ok(said)
    };
    let said = wait::until("all calls", limit, said, |said| said.contains("over")).unwrap();
    assert!(kills > 0 && !said.contains("refused"), "{kills} kills: {said}");
    let billed = world.providers.billed().len();
    assert_eq!(billed - before, CALLS);
    world.wait_used(i64::try_from(billed).unwrap() * MINI);
}

/// In the memory of the proxy it is, so that the search finds what there is.
fn the_key_is_nowhere(world: &World) {
    assert!(memory_has_key(world.platform.role("ai-proxy").unwrap()));
    assert!(!memory_has_key(world.platform.role("host").unwrap()), "in the host");
    let guest = format!("guest={}", world.workspace);
    let machines = machine::processes().unwrap();
    let vmm = machines.iter().find(|(_, command)| command.contains(&guest)).map(|(pid, _)| *pid);
    assert!(!memory_has_key(vmm.unwrap()), "in the guest's memory");
    world.platform.sh(&world.workspace, "sync").unwrap();
    assert!(!file_has_key(&world.disk()), "on the guest's disk");
    for entry in fs::read_dir(world.platform.data().join("logs")).unwrap() {
        let path = entry.unwrap().path();
        assert!(!file_has_key(&path), "in {}", path.display());
    }
}
