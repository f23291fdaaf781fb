use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt as _};

use rigbox_types::{
    Ed25519Key, SetupScriptId, Timestamp,
    api::{service_specs::RestartPolicy, setup_scripts::RunOn},
    guest::{Hello, SetupRequest, SetupState, ShutdownKind},
    host::{AssignedScript, AssignedService, GuestSetup, SshTrust},
};

use crate::world::{PATIENCE, World, developer_uid, file_system, is_root, mode};

fn script(number: u8, run_on: RunOn, content: &str) -> AssignedScript {
    AssignedScript {
        id: SetupScriptId::from_random([number; 16]),
        name: format!("script {number}"),
        run_on,
        content: content.to_owned(),
    }
}

fn request(workspace: &str) -> SetupRequest {
    SetupRequest {
        workspace: workspace.parse().unwrap(),
        now: Timestamp::from_micros(1_764_581_400_000_000),
        guest: GuestSetup {
            name: "my-project".parse().unwrap(),
            region: "local".parse().unwrap(),
            api_url: "https://rigbox.example/api/v1".to_owned(),
            account: "00000000-0000-4000-8000-000000000000".parse().unwrap(),
            created_at: Timestamp::from_micros(0),
            env: BTreeMap::from([
                ("GREETING".to_owned(), "it's \"$HOME\"".to_owned()),
                ("UID".to_owned(), "7".to_owned()),
            ]),
            proxy_env: None,
            authorized_keys: vec!["ssh-ed25519 AAAA me".to_owned()],
            setup_scripts: Vec::new(),
            services: Vec::new(),
            ssh: None,
        },
    }
}

fn with_scripts(scripts: Vec<AssignedScript>) -> SetupRequest {
    let mut request = request("ws-aaaaaaaa");
    request.guest.setup_scripts = scripts;
    request
}

async fn done(world: &World) -> Hello {
    let hello = world.agent.setup_done(PATIENCE).await.unwrap();
    assert_eq!(hello.setup_state, SetupState::Done);
    hello
}

/// Another boot of the same disk.
async fn reboot(world: World, boot_id: &str) -> World {
    let folder = world.kill_agent();
    let file = folder.path().join("root/proc/sys/kernel/random/boot_id");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, boot_id).unwrap();
    World::in_folder(folder).await
}

#[tokio::test]
async fn a_setup_makes_the_guest_the_workspace() {
    let world = World::serial().await;
    let before = world.agent.hello().await.unwrap();
    assert_eq!((before.ready, before.setup_state), (false, SetupState::Waiting));
    let answer = world.agent.setup(&request("ws-aaaaaaaa")).await.unwrap();
    assert!(!answer.is_disk_left());
    let report = answer.report;
    assert_eq!(report.problems, Vec::<String>::new());
    assert!(report.hello.ready);
    assert_eq!(report.hello.workspace.unwrap().as_str(), "ws-aaaaaaaa");

    assert!(world.guest_path("/run/rigbox/grown").exists(), "the disk's room is taken up");
    assert_eq!(world.read("/etc/hostname"), "my-project\n");
    assert!(world.read("/etc/hosts").contains("127.0.1.1\tmy-project\n"));
    let metadata: serde_json::Value =
        serde_json::from_str(&world.read("/etc/rigbox/workspace.json")).unwrap();
    assert_eq!(metadata["id"], "ws-aaaaaaaa");
    assert_eq!(metadata["region"], "local");
    assert_eq!(mode(&world.guest_path("/etc/rigbox/workspace.json")), 0o644);
    assert!(world.read("/home/developer/.ssh/authorized_keys").contains("ssh-ed25519 AAAA me\n"));
    for (path, expected) in [
        ("/home/developer/.ssh", 0o700),
        ("/home/developer/.ssh/authorized_keys", 0o600),
        ("/home/developer/.rigbox", 0o700),
        ("/home/developer/.rigbox/.env", 0o600),
    ] {
        let path = world.guest_path(path);
        assert_eq!((mode(&path), fs::metadata(&path).unwrap().uid()), (expected, developer_uid()));
    }
    let env = world.read("/home/developer/.rigbox/.env");
    assert!(env.contains("GREETING=\"it's \\\"\\$HOME\\\"\"\n") && !env.contains("UID"), "{env}");
    assert!(world.read("/etc/bash.bashrc").starts_with("[ -r /etc/profile.d/rigbox.sh ]"));
    assert_eq!(world.read("/run/rigbox/clock"), "2025-12-01T09:30:00Z");
    done(&world).await;
}

#[tokio::test]
async fn shells_and_commands_have_the_environment() {
    let world = World::vsock().await;
    world.agent.setup(&request("ws-aaaaaaaa")).await.unwrap();
    let result = world.agent.exec(&crate::world::shell("echo \"$GREETING\"")).await.unwrap();
    assert_eq!(result.stdout, "it's \"$HOME\"\n");
    // The file that login shells and `bash -c` over SSH read.
    let profile = world.guest_path("/etc/profile.d/rigbox.sh");
    let home = world.guest_path("/home/developer");
    let script = format!(
        "unset GREETING; HOME={}; . {}; echo \"$GREETING\"",
        home.display(),
        profile.display()
    );
    let result = world.agent.exec(&crate::world::shell(&script)).await.unwrap();
    assert_eq!(result.stdout, "it's \"$HOME\"\n");
    if is_root() {
        let other = rigbox_types::guest::ExecRequest {
            user: Some("root".to_owned()),
            ..crate::world::shell(&script)
        };
        let result = world.agent.exec(&other).await.unwrap();
        assert_eq!(result.stdout, "\n", "no user runs what another has written");
    }
}

#[tokio::test]
async fn what_leads_to_ai_is_there_as_long_as_it_is_on() {
    const FILE: &str = "/home/developer/.rigbox/proxy.env";
    let world = World::vsock().await;
    let off = request("ws-aaaaaaaa");
    let mut on = off.clone();
    on.guest.proxy_env = Some(rigbox_types::guest::ai::through_gateway());
    let shown = async || {
        let result = world.agent.exec(&crate::world::shell("echo \"$OPENAI_BASE_URL\"")).await;
        result.unwrap().stdout
    };
    world.agent.setup(&off).await.unwrap();
    assert_eq!(shown().await, "\n");
    assert!(!world.guest_path(FILE).exists());
    world.agent.setup(&on).await.unwrap();
    assert_eq!(shown().await, "http://172.16.0.1:9090/v1\n");
    assert_eq!(mode(&world.guest_path(FILE)), 0o600);
    // Shells and systemd read the same line.
    assert!(world.read(FILE).contains("\nANTHROPIC_AUTH_TOKEN=\"managed-by-rigbox\"\n"));
    world.agent.setup(&off).await.unwrap();
    assert_eq!(shown().await, "\n");
    assert!(!world.guest_path(FILE).exists());
    done(&world).await;
}

#[tokio::test]
async fn services_are_led_to_ai_and_get_no_key() {
    const FILE: &str = "/etc/rigbox/ai.env";
    let world = World::vsock().await;
    let mut on = request("ws-aaaaaaaa");
    on.guest.proxy_env = Some(rigbox_types::guest::ai::through_gateway());
    let own = world.guest_path("/etc/systemd/user/service.d/10-rigbox.conf");
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    fs::write(&own, "# mine\n").unwrap();
    world.agent.setup(&on).await.unwrap();
    let file = world.read(FILE);
    assert!(file.contains("\nOPENAI_BASE_URL=\"http://172.16.0.1:9090/v1\"\n"), "{file}");
    assert_eq!(mode(&world.guest_path(FILE)), 0o644);
    let lines = world.read("/etc/systemd/system/service.d/10-rigbox.conf");
    assert!(lines.ends_with("[Service]\nEnvironmentFile=-/etc/rigbox/ai.env\n"), "{lines}");
    assert!(world.guest_path("/etc/systemd/system/user@.service.d/10-rigbox.conf").exists());
    assert_eq!(fs::read_to_string(&own).unwrap(), "# mine\n");
    // systemd would read it as root for whichever user a service runs as.
    let key = ("OPENAI_API_KEY".to_owned(), "sk-proj-0123456789abcdef".to_owned());
    on.guest.proxy_env = Some(BTreeMap::from([key]));
    world.agent.setup(&on).await.unwrap();
    assert!(!world.guest_path(FILE).exists());
    assert!(world.read("/home/developer/.rigbox/proxy.env").contains("sk-proj-"));
    on.guest.proxy_env = Some(rigbox_types::guest::ai::through_gateway());
    world.agent.setup(&on).await.unwrap();
    world.agent.setup(&request("ws-aaaaaaaa")).await.unwrap();
    assert!(!world.guest_path(FILE).exists());
    done(&world).await;
}

#[tokio::test]
async fn a_change_of_the_environment_is_there_at_once_and_what_the_user_added_stays() {
    let world = World::vsock().await;
    world.agent.setup(&request("ws-aaaaaaaa")).await.unwrap();
    let keys = world.guest_path("/home/developer/.ssh/authorized_keys");
    fs::write(&keys, world.read("/home/developer/.ssh/authorized_keys") + "ssh-rsa own\n").unwrap();
    fs::write(world.guest_path("/etc/hosts"), world.read("/etc/hosts") + "10.1.1.1 db\n").unwrap();
    let mut changed = request("ws-aaaaaaaa");
    changed.guest.env = BTreeMap::from([("GREETING".to_owned(), "new".to_owned())]);
    changed.guest.authorized_keys = Vec::new();
    world.agent.setup(&changed).await.unwrap();
    let result = world.agent.exec(&crate::world::shell("echo $GREETING")).await.unwrap();
    assert_eq!(result.stdout, "new\n");
    assert_eq!(fs::read_to_string(&keys).unwrap(), "ssh-rsa own\n");
    assert!(world.read("/etc/hosts").contains("10.1.1.1 db\n"));
}

#[tokio::test]
async fn scripts_run_in_order_as_developer_and_a_failing_one_stops_nothing() {
    let world = World::vsock().await;
    let setup = with_scripts(vec![
        script(1, RunOn::FirstBoot, "echo first; id -u; echo \"$GREETING\" >> order; exit 3"),
        script(2, RunOn::EveryStart, "echo second >> order; echo to stderr >&2"),
        script(3, RunOn::EveryStart, "kill -9 $$"),
    ]);
    let report = world.agent.setup(&setup).await.unwrap().report;
    assert!(report.hello.ready, "ready does not wait for scripts");
    let hello = done(&world).await;
    let codes: Vec<_> = hello.setup.iter().map(|result| result.exit_code).collect();
    assert_eq!(codes, [Some(3), Some(0), None]);
    assert!(hello.setup.iter().all(|result| result.finished_at.is_some()));
    assert_eq!(hello.setup[0].output_tail, format!("first\n{}\n", developer_uid()));
    assert_eq!(hello.setup[1].output_tail, "to stderr\n");
    assert_eq!(world.read("/home/developer/order"), "it's \"$HOME\"\nsecond\n");
    let log = world.read("/var/log/rigbox.log");
    assert!(log.contains("rigbox-setup-script_2: to stderr\n"), "{log}");
    assert!(log.contains("rigbox-setup-script_1: ended with exit code 3\n"), "{log}");
}

#[tokio::test]
async fn a_script_of_the_first_boot_runs_once_and_the_others_at_every_boot() {
    let setup = with_scripts(vec![
        script(1, RunOn::FirstBoot, "echo first >> runs"),
        script(2, RunOn::EveryStart, "echo every >> runs"),
    ]);
    let world = World::vsock().await;
    world.agent.setup(&setup).await.unwrap();
    done(&world).await;
    // Again in the same boot, and by another agent of the same boot.
    world.agent.setup(&setup).await.unwrap();
    let world = World::in_folder(world.kill_agent()).await;
    let hello = world.agent.hello().await.unwrap();
    assert_eq!((hello.ready, hello.setup.len(), hello.setup_state), (true, 2, SetupState::Done));
    world.agent.setup(&setup).await.unwrap();
    done(&world).await;
    assert_eq!(world.read("/home/developer/runs"), "first\nevery\n");

    let world = reboot(world, "another-boot").await;
    assert!(!world.agent.hello().await.unwrap().ready);
    world.agent.setup(&setup).await.unwrap();
    let hello = done(&world).await;
    assert_eq!(hello.setup.len(), 1);
    assert_eq!(world.read("/home/developer/runs"), "first\nevery\nevery\n");
}

#[tokio::test]
async fn an_agent_that_was_killed_goes_on_with_the_scripts() {
    let world = World::vsock().await;
    let wait = "echo begun >> runs; while [ ! -e go ]; do sleep 0.02; done; echo ended >> runs";
    world
        .agent
        .setup(&with_scripts(vec![
            script(1, RunOn::FirstBoot, wait),
            script(2, RunOn::FirstBoot, "echo last >> runs"),
        ]))
        .await
        .unwrap();
    let runs = world.guest_path("/home/developer/runs");
    crate::world::until("the script runs", || runs.exists()).await;
    let world = World::in_folder(world.kill_agent()).await;
    fs::write(world.guest_path("/home/developer/go"), "").unwrap();
    done(&world).await;
    let runs = world.read("/home/developer/runs");
    assert!(runs.starts_with("begun\n") && runs.ends_with("ended\nlast\n"), "{runs}");
    assert_eq!(runs.matches("ended").count(), 1, "the former one was ended: {runs}");
}

#[tokio::test]
async fn units_are_those_of_the_list() {
    let service = |name: &str| AssignedService {
        name: name.to_owned(),
        unit: format!("[Service]\nExecStart=/bin/{name}\n"),
        restart_policy: RestartPolicy::OnFailure,
        auto_enable: true,
    };
    let world = World::vsock().await;
    let mut first = request("ws-aaaaaaaa");
    first.guest.services = vec![service("web"), service("../../evil")];
    let report = world.agent.setup(&first).await.unwrap().report;
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    let folder = "/etc/systemd/system";
    assert_eq!(
        world.read(&format!("{folder}/rigbox-svc-web.service")),
        "[Service]\nExecStart=/bin/web\n"
    );
    let names = |world: &World| {
        let mut names: Vec<_> = fs::read_dir(world.guest_path(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".service"))
            .collect();
        names.sort();
        names
    };
    fs::write(world.guest_path(&format!("{folder}/mine.service")), "").unwrap();
    // A change of the list is for the next boot.
    let mut second = request("ws-aaaaaaaa");
    second.guest.services = vec![service("api")];
    world.agent.setup(&second).await.unwrap();
    assert_eq!(names(&world), ["mine.service", "rigbox-svc-web.service"]);
    let world = reboot(world, "another-boot").await;
    world.agent.setup(&second).await.unwrap();
    assert_eq!(names(&world), ["mine.service", "rigbox-svc-api.service"]);
}

#[tokio::test]
async fn each_disk_has_an_identity_of_its_own_and_a_copy_gets_another() {
    let world = World::vsock().await;
    world.agent.setup(&request("ws-aaaaaaaa")).await.unwrap();
    // The host key of a new disk is made while the workspace is usable already.
    let key = world.guest_path("/etc/ssh/ssh_host_ed25519_key");
    crate::world::until("the host key is there", || key.exists()).await;
    let identity = |world: &World| {
        [
            world.read("/etc/machine-id"),
            world.read("/etc/ssh/ssh_host_ed25519_key"),
            world.read("/etc/ssh/ssh_host_ed25519_key.pub"),
            format!("{:?}", fs::read(world.guest_path("/var/lib/systemd/random-seed")).unwrap()),
        ]
    };
    let first = identity(&world);
    assert_eq!(first[0].trim().len(), 32);
    assert_eq!(mode(&world.guest_path("/etc/ssh/ssh_host_ed25519_key")), 0o600);
    let world = reboot(world, "second-boot").await;
    world.agent.setup(&request("ws-aaaaaaaa")).await.unwrap();
    assert_eq!(identity(&world), first, "a boot changes nothing");
    let world = reboot(world, "third-boot").await;
    world.agent.setup(&request("ws-bbbbbbbb")).await.unwrap();
    for (old, new) in first.iter().zip(identity(&world)) {
        assert_ne!(*old, new);
    }
}

#[tokio::test]
async fn the_host_key_of_a_new_disk_is_said_when_the_setup_is_done_and_known_later() {
    let world = World::vsock().await;
    world.agent.setup(&request("ws-aaaaaaaa")).await.unwrap();
    let said = done(&world).await.ssh_host_key.unwrap();
    let line = world.read("/etc/ssh/ssh_host_ed25519_key.pub");
    assert_eq!(line, format!("{said} root@workspace\n"));
    assert!(said.parse::<Ed25519Key>().is_ok());
    let world = reboot(world, "second-boot").await;
    let answer = world.agent.setup(&request("ws-aaaaaaaa")).await.unwrap();
    assert_eq!(answer.report.hello.ssh_host_key, Some(said.clone()), "nothing is waited for");
    let world = reboot(world, "third-boot").await;
    let answer = world.agent.setup(&request("ws-bbbbbbbb")).await.unwrap();
    let other = answer.report.hello.ssh_host_key.unwrap();
    assert_ne!(other, said, "a copied disk has a key of its own");
    // What is no key is nothing that is said.
    let public = world.guest_path("/etc/ssh/ssh_host_ed25519_key.pub");
    for odd in ["", "ssh-rsa AAAA root@workspace\n", "x"] {
        fs::write(&public, odd).unwrap();
        assert_eq!(world.agent.hello().await.unwrap().ssh_host_key, None);
    }
}

#[tokio::test]
async fn whose_certificates_open_the_workspace_is_told_and_taken_back() {
    let world = World::vsock().await;
    let mut told = request("ws-aaaaaaaa");
    let authority =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPaye/6M0hOBED4yKKGTsVOwqmasCeNDWvBGCbEEJ8FQ";
    let principal = "ws-aaaaaaaa".to_owned();
    told.guest.ssh = Some(SshTrust { authority: authority.to_owned(), principal });
    let report = world.agent.setup(&told).await.unwrap().report;
    assert_eq!(report.problems, Vec::<String>::new());
    let principals = "/etc/ssh/rigbox/principals/developer";
    assert_eq!(world.read("/etc/ssh/rigbox/authority.pub"), format!("{authority}\n"));
    assert_eq!(world.read(principals), "ws-aaaaaaaa\n");
    // Only root may write on the way to them, or the server would not take them.
    for path in ["/etc/ssh/rigbox", "/etc/ssh/rigbox/principals"] {
        assert_eq!(mode(&world.guest_path(path)), 0o755);
    }
    if let Some(trust) = &mut told.guest.ssh {
        trust.principal = "command=\"sh\" ws-aaaaaaaa".to_owned();
    }
    let report = world.agent.setup(&told).await.unwrap().report;
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    assert!(!world.guest_path(principals).exists());
    told.guest.ssh = None;
    let report = world.agent.setup(&told).await.unwrap().report;
    assert_eq!(report.problems, Vec::<String>::new());
    assert!(!world.guest_path("/etc/ssh/rigbox/authority.pub").exists());
}

#[tokio::test]
async fn a_link_in_the_home_does_not_lead_root_astray() {
    if !is_root() {
        return; // Without root, there is nothing to lead astray.
    }
    let folder = file_system();
    let home = folder.path().join("root/home/developer");
    let target = folder.path().join("root/etc/target");
    fs::create_dir(&target).unwrap();
    std::os::unix::fs::symlink(&target, home.join(".ssh")).unwrap();
    let world = World::in_folder(folder).await;
    let report = world.agent.setup(&request("ws-aaaaaaaa")).await.unwrap().report;
    assert!(report.problems.iter().any(|problem| problem.starts_with("authorized_keys")));
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    assert!(report.hello.ready, "the rest is set up");
}

#[tokio::test]
async fn a_pipe_in_the_place_of_the_keys_does_not_hold_up_the_setup() {
    let folder = file_system();
    let keys = folder.path().join("root/home/developer/.ssh");
    fs::create_dir(&keys).unwrap();
    let pipe = keys.join("authorized_keys");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    for path in [&keys, &pipe] {
        std::os::unix::fs::chown(path, Some(developer_uid()), Some(developer_uid())).unwrap();
    }
    let world = World::in_folder(folder).await;
    let set_up = request("ws-aaaaaaaa");
    let report = tokio::time::timeout(PATIENCE, world.agent.setup(&set_up)).await;
    assert_eq!(report.unwrap().unwrap().report.problems, Vec::<String>::new());
    assert!(world.read("/home/developer/.ssh/authorized_keys").contains("ssh-ed25519 AAAA me\n"));
}

#[tokio::test]
async fn a_file_system_is_held_until_it_is_let_go_or_its_time_is_over() {
    let world = World::vsock().await;
    assert!(!world.agent.thaw().await.unwrap(), "nothing was held");
    world.agent.freeze(PATIENCE).await.unwrap();
    assert!(world.guest_path("/run/rigbox/frozen").exists());
    assert!(!world.guest_path("/run/rigbox/thawed").exists());
    assert!(world.agent.freeze(PATIENCE).await.unwrap_err().is_refusal(), "one at a time");
    assert!(world.agent.thaw().await.unwrap());
    assert!(world.guest_path("/run/rigbox/thawed").exists());

    // Whoever asked is never heard of again.
    fs::remove_file(world.guest_path("/run/rigbox/thawed")).unwrap();
    world.agent.freeze(std::time::Duration::from_millis(1)).await.unwrap();
    while !world.guest_path("/run/rigbox/thawed").exists() {
        tokio::task::yield_now().await;
    }
    assert!(!world.agent.thaw().await.unwrap(), "it was let go before");
}

#[tokio::test]
async fn time_randomness_and_shutdown_reach_the_kernel() {
    let mut world = World::serial().await;
    world.agent.time_set(Timestamp::from_micros(1)).await.unwrap();
    assert_eq!(world.read("/run/rigbox/clock"), "1970-01-01T00:00:00.000001Z");
    world.agent.reseed(&[7; 32]).await.unwrap();
    assert!(world.guest_path("/run/rigbox/reseed").exists());
    assert!(world.agent.reseed(&[7; 31]).await.unwrap_err().is_refusal());
    assert!(world.agent.reseed(&[7; 513]).await.unwrap_err().is_refusal());
    world.agent.shutdown(ShutdownKind::Reboot).await.unwrap();
    world.ended().await.unwrap();
    assert_eq!(world.read("/run/rigbox/shutdown"), "reboot");
}
