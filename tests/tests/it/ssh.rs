//! A workspace by SSH, with the tools that people have: OpenSSH's, rsync and git.
#![expect(clippy::panic, reason = "a test fails loudly")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use rigbox_tests::{
    platform::{BOOT_LIMIT, Options, Platform, build_image, image_store, text},
    wait,
};
use serde_json::json;

/// How much goes each way at once, in MiB; another number by the environment variable.
const BULK_MIB: u32 = 64;
const BULK_VARIABLE: &str = "RIGBOX_TEST_SSH_BULK_MIB";

/// Files of the tree that rsync keeps the same.
const FILES: usize = 20_000;

/// A platform with a workspace of the image that people work in, and somebody who has a key.
struct World {
    platform: Platform,
    workspace: String,
    /// The person's own directory.
    home: PathBuf,
}

impl World {
    fn start() -> Self {
        build_image(&image_store().unwrap(), "base").unwrap();
        let options = Options {
            images: vec!["base".to_owned()],
            template: "base".to_owned(),
            pool_gib: 12,
            ..Options::default()
        };
        let platform = Platform::start_with(&options).unwrap();
        let client = platform.client().unwrap();
        let made = client.post("/workspaces", &json!({ "name": "hello", "template_id": "base" }));
        let workspace = made.unwrap().text_at("/vm/id");
        platform.act(&workspace, "start").unwrap();
        let home = platform.data().join("person");
        fs::create_dir(&home).unwrap();
        let world = Self { platform, workspace, home };
        world.make_key("id_ed25519");
        let public = fs::read_to_string(world.home.join("id_ed25519.pub")).unwrap();
        let key = json!({ "name": "laptop", "public_key": public });
        let added = client.post("/ssh-keys", &key).unwrap();
        assert_eq!(added.status, 201, "{}", added.text);
        world.platform.wait_status(&world.workspace, "running").unwrap();
        world.write_config();
        world
    }

    fn make_key(&self, name: &str) {
        let file = self.home.join(name);
        let mut make = Command::new("ssh-keygen");
        assert!(made_ok(make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(file)));
    }

    /// As `rig ssh-config` writes it, into files of the person's own.
    fn write_config(&self) {
        let (config, known) = (self.home.join("config"), self.home.join("known_hosts"));
        let words = ["ssh-config", "--config", path(&config), "--known-hosts", path(&known)];
        let done = self.platform.rig(&words).unwrap();
        assert!(done.status.success(), "{}", text(&done));
    }

    /// The words by which an OpenSSH program finds the files of the person, and nothing else.
    fn words(&self) -> Vec<String> {
        let file = |name: &str| self.home.join(name).display().to_string();
        let options = [
            format!("UserKnownHostsFile={}", file("known_hosts")),
            format!("IdentityFile={}", file("id_ed25519")),
            "IdentitiesOnly=yes".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            "BatchMode=yes".to_owned(),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
        ];
        let options = options.into_iter().flat_map(|option| ["-o".to_owned(), option]);
        ["-F".to_owned(), file("config")].into_iter().chain(options).collect()
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.args(self.words()).stdin(Stdio::null()).env_remove("SSH_AUTH_SOCK");
        command
    }

    /// Writes a file in the workspace.
    fn put(&self, text: &str, name: &str) {
        let file = self.home.join(name);
        fs::write(&file, text).unwrap();
        let to = format!("hello:{name}");
        assert!(made_ok(self.program("scp").args(["-q", path(&file), &to])));
    }

    fn ssh(&self, words: &[&str]) -> Output {
        self.program("ssh").args(words).output().unwrap()
    }

    /// What a command prints that succeeds.
    fn says(&self, words: &[&str]) -> String {
        said(&self.ssh(words))
    }

    /// For tools that execute ssh themselves.
    fn as_one_command(&self) -> String {
        let quoted = self.words().into_iter().map(|word| format!("'{word}'"));
        format!("ssh {}", quoted.collect::<Vec<_>>().join(" "))
    }

    /// A session that is open, whose command has begun.
    fn session(&self) -> Child {
        let mut child = self
            .program("ssh")
            .args(["hello", "echo begun; cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if line != "begun\n" {
            panic!("no session: {}", text(&child.wait_with_output().unwrap()));
        }
        child
    }
}

fn made_ok(command: &mut Command) -> bool {
    command.status().unwrap().success()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Waits until a session has ended by itself: less long than until everything is asked about anyway, so that
/// it was told.
fn until_ended(mut session: Child) {
    let ended = wait::until(
        "the end of a session",
        Duration::from_secs(10),
        || Ok(session.try_wait()?.is_some()),
        |ended| *ended,
    );
    if ended.is_err() {
        session.kill().unwrap();
        panic!("the session goes on");
    }
}

#[test]
fn the_tools_that_people_have_work() {
    let world = World::start();
    assert!(world.says(&["hello", "uname -a"]).starts_with("Linux hello "));
    assert_eq!(world.says(&["hello", "id -un; pwd"]), "developer\n/home/developer\n");
    assert_eq!(world.ssh(&["hello", "exit 7"]).status.code(), Some(7));
    assert_eq!(world.says(&["-tt", "hello", "tty >/dev/null && echo terminal"]), "terminal\r\n");
    copies(&world);
    a_tree_of_many_files_is_kept_the_same(&world);
    a_repository_is_pushed_and_cloned(&world);
    a_port_is_forwarded_both_ways(&world);
    what_was_forwarded_is_in_the_record(&world);
}

#[test]
fn other_clients_than_opensshs_work_and_much_goes_through() {
    let world = World::start();
    other_clients_do_what_they_do(&world);
    what_is_sent_comes_back_through_new_keys(&world);
}

fn copies(world: &World) {
    let file = world.home.join("blob");
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    fs::write(&file, &bytes).unwrap();
    for (protocol, name) in [("-O", "old"), ("-s", "new")] {
        let to = format!("hello:{name}");
        let back = world.home.join(name);
        assert!(made_ok(world.program("scp").args(["-q", protocol, path(&file), &to])));
        assert!(made_ok(world.program("scp").args(["-q", protocol, &to, path(&back)])));
        assert!(fs::read(&back).unwrap() == bytes, "scp {protocol}");
    }
    let batch = world.home.join("batch");
    fs::write(&batch, format!("put {} by-sftp\nls\n", path(&file))).unwrap();
    let listed = said(&world.program("sftp").args(["-b", path(&batch), "hello"]).output().unwrap());
    assert!(listed.contains("by-sftp"), "{listed}");
    let sum = world.says(&["hello", "sha256sum old new by-sftp | cut -d ' ' -f 1 | sort -u"]);
    assert_eq!(sum.lines().count(), 1, "{sum}");
}

fn a_tree_of_many_files_is_kept_the_same(world: &World) {
    let tree = world.home.join("tree");
    for number in 0..FILES {
        let folder = tree.join((number % 100).to_string());
        if number < 100 {
            fs::create_dir_all(&folder).unwrap();
        }
        fs::write(folder.join(number.to_string()), number.to_string()).unwrap();
    }
    let (from, through) = (format!("{}/", path(&tree)), world.as_one_command());
    let rsync = |words: &[&str]| {
        let mut rsync = Command::new("rsync");
        rsync.args(["-a", "--delete", "-e", &through]).args(words);
        said(&rsync.stdin(Stdio::null()).output().unwrap())
    };
    rsync(&[&from, "hello:tree/"]);
    let count = "find tree -type f | wc -l";
    assert_eq!(world.says(&["hello", count]).trim(), FILES.to_string());
    for number in (0..FILES).step_by(2) {
        fs::remove_file(tree.join((number % 100).to_string()).join(number.to_string())).unwrap();
    }
    rsync(&[&from, "hello:tree/"]);
    assert_eq!(world.says(&["hello", count]).trim(), (FILES / 2).to_string());
    // Nothing is left to do, which it finds out by itself.
    assert_eq!(rsync(&["-i", "--dry-run", &from, "hello:tree/"]), "");
}

fn a_repository_is_pushed_and_cloned(world: &World) {
    let git = |directory: &Path, words: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(directory)
            .args([
                "-c",
                "user.name=a",
                "-c",
                "user.email=a@example.com",
                "-c",
                "init.defaultBranch=main",
            ])
            .args(words)
            .env("GIT_SSH_COMMAND", world.as_one_command());
        said(&git.output().unwrap())
    };
    world.says(&["hello", "git init -q --bare -b main repo.git"]);
    let repository = world.home.join("repository");
    fs::create_dir(&repository).unwrap();
    git(&repository, &["init", "-q"]);
    fs::write(repository.join("file"), "content\n".repeat(100_000)).unwrap();
    git(&repository, &["add", "file"]);
    git(&repository, &["commit", "-q", "-m", "first"]);
    git(&repository, &["push", "-q", "hello:repo.git", "main"]);
    let clone = world.home.join("clone");
    git(&world.home, &["clone", "-q", "hello:repo.git", path(&clone)]);
    assert_eq!(fs::read(clone.join("file")).unwrap(), fs::read(repository.join("file")).unwrap());
}

/// A server in the workspace is reached by its own name for itself, and one of the person's own from there.
fn a_port_is_forwarded_both_ways(world: &World) {
    world.says(&[
        "hello",
        "echo inside > page; setsid python3 -m http.server 8123 >/dev/null 2>&1 &",
    ]);
    let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let outside = own.local_addr().unwrap().port();
    let local = rigbox_test_ports::free().unwrap();
    let to = format!("{local}:localhost:8123");
    let from = format!("9123:127.0.0.1:{outside}");
    let mut session = world
        .program("ssh")
        .args(["-o", "ExitOnForwardFailure=yes", "-L", &to, "-R", &from, "hello"])
        .arg("echo begun; cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(session.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let page = wait::until(
        "the server in the workspace",
        BOOT_LIMIT,
        || {
            let url = format!("http://127.0.0.1:{local}/page");
            let got = Command::new("curl").args(["-s", &url]).output()?;
            Ok(String::from_utf8_lossy(&got.stdout).into_owned())
        },
        |page| !page.is_empty(),
    );
    assert_eq!(page.unwrap(), "inside\n");
    let answers = std::thread::spawn(move || {
        let (mut connection, _) = own.accept().unwrap();
        connection.write_all(b"outside\n").unwrap();
    });
    assert_eq!(world.says(&["hello", "nc -d localhost 9123"]), "outside\n");
    answers.join().unwrap();
    drop(session.stdin.take());
    assert!(session.wait().unwrap().success());
}

/// dropbear's, paramiko, AsyncSSH and ssh2 of npm, by the scripts that the gateway alone is tried with.
fn other_clients_do_what_they_do(world: &World) {
    let file = |name: &str| path(&world.home.join(name)).to_owned();
    let config = fs::read_to_string(world.home.join("config")).unwrap();
    let word = |key: &str| {
        let line = config.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap();
        line.trim().to_owned()
    };
    let (user, port) = (word("User "), word("Port "));
    world.put(ECHO, "echo.py");
    let serve = "mkdir -p t; setsid python3 echo.py >/dev/null 2>&1 & \
                 until [ -S t/echo ]; do sleep 0.1; done";
    world.says(&["hello", serve]);
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/rigbox-ssh/tests/clients");
    let tools = tools();
    let ends_well = |command: &mut Command| {
        let done = command.env("WORKSPACE", &user).stdin(Stdio::null()).output().unwrap();
        assert_eq!(said(&done), "ok\n");
    };
    let rest = ["8124", "/home/developer/t"];
    for script in ["with_paramiko.py", "with_asyncssh.py"] {
        let mut python = Command::new(tools.join("venv/bin/python"));
        python.arg(scripts.join(script)).arg(&port).args([file("id_ed25519"), file("known_hosts")]);
        ends_well(python.args(rest));
    }
    let known = fs::read_to_string(world.home.join("known_hosts")).unwrap();
    let host_key = known.split(' ').nth(2).unwrap();
    let mut node = Command::new(tools.join("node"));
    node.arg(scripts.join("with_ssh2.mjs")).arg(&tools).arg(&port).arg(file("id_ed25519"));
    ends_well(node.arg(host_key).args(rest));
    let key = file("dropbear-key");
    let mut convert = Command::new("dropbearconvert");
    assert!(made_ok(convert.args(["openssh", "dropbear", &file("id_ed25519"), &key])));
    let mut dbclient = Command::new("dbclient");
    dbclient.args(["-y", "-y", "-T", "-i", &key, "-p", &port, &format!("{user}@127.0.0.1")]);
    dbclient.arg("cat /etc/hostname").env("HOME", &world.home).stdin(Stdio::null());
    assert_eq!(said(&dbclient.output().unwrap()), "hello\n");
}

/// Where `scripts/setup --dev` puts what tests need.
fn tools() -> PathBuf {
    let cache = || {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache");
        cache.unwrap_or_else(home).join("rigbox/tools")
    };
    std::env::var_os("RIGBOX_TOOLS").map_or_else(cache, PathBuf::from).join("ssh-clients")
}

/// Sends back what comes to a port and to a socket.
const ECHO: &str = r#"
import asyncio, os
async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
async def main():
    os.chdir("/home/developer/t")
    await asyncio.start_server(echo, "localhost", 8124)
    await asyncio.start_unix_server(echo, "echo")
    await asyncio.Event().wait()
asyncio.run(main())
"#;

/// One each way at once, with new keys again and again; less where that is asked for.
fn what_is_sent_comes_back_through_new_keys(world: &World) {
    let mebibytes = std::env::var(BULK_VARIABLE).map_or(BULK_MIB, |text| text.parse().unwrap());
    let there_and_back = format!(
        "head -c {mebibytes}M /dev/urandom | tee >(sha256sum >&2) | \
         ssh {} -o RekeyLimit=16M hello cat | sha256sum",
        world.words().join(" ")
    );
    let done = Command::new("bash").args(["-c", &there_and_back]).output().unwrap();
    let back = said(&done);
    assert_eq!(back, String::from_utf8_lossy(&done.stderr), "what came back is what was sent");
    assert_ne!(back.trim_end_matches("  -\n").len(), 0);
}

fn what_was_forwarded_is_in_the_record(world: &World) {
    let client = world.platform.client().unwrap();
    let seen = || Ok(client.get("/audit?max_results=200")?.text);
    let both = ["tcp localhost:8123", "listen"];
    wait::until("forwards in the record", Duration::from_secs(30), seen, |text| {
        both.iter().all(|part| text.contains(part))
    })
    .unwrap();
}

#[test]
fn a_session_ends_with_the_right_to_it() {
    let world = World::start();
    let client = world.platform.client().unwrap();
    let keys = client.get("/ssh-keys").unwrap();
    let session = world.session();
    let id = keys.text_at("/ssh_keys/0/id");
    assert_eq!(client.call("DELETE", &format!("/ssh-keys/{id}"), None).unwrap().status, 200);
    until_ended(session);
    let refused = world.ssh(&["hello", "true"]);
    assert!(text(&refused).contains("Permission denied"), "{}", text(&refused));
    // Somebody's other key opens it again, and another workspace's end does not matter.
    let public = fs::read_to_string(world.home.join("id_ed25519.pub")).unwrap();
    client.post("/ssh-keys", &json!({ "name": "again", "public_key": public })).unwrap();
    let session = world.session();
    world.platform.act(&world.workspace, "stop").unwrap();
    until_ended(session);
    world.platform.wait_status(&world.workspace, "stopped").unwrap();
    let stopped = text(&world.ssh(&["hello", "true"]));
    assert!(stopped.contains("rig workspace start hello"), "{stopped}");
    // Whoever comes while it starts is let in once it runs.
    world.platform.act(&world.workspace, "start").unwrap();
    let come = || Ok(world.ssh(&["hello", "true"]).status.success());
    wait::until("the workspace again", BOOT_LIMIT, come, |came| *came).unwrap();
    let session = world.session();
    let path = format!("/workspaces/{}", world.workspace);
    assert_eq!(client.call("DELETE", &path, None).unwrap().status, 200);
    until_ended(session);
    let gone = text(&world.ssh(&["hello", "true"]));
    assert!(!gone.contains("rig workspace start"), "{gone}");
}
