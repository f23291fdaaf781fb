use std::{process::Stdio, sync::Arc};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    pty::Terminal,
    world::{World, good, output, within},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_command_gets_its_input_and_says_what_it_says() {
    let world = World::new().await;
    let mut ssh = world.tool("ssh");
    ssh.args(["work", "echo to-stderr >&2; cat"]);
    let mut ssh =
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let mut input = ssh.stdin.take().unwrap();
    let sent = bytes.clone();
    let writing = tokio::spawn(async move { input.write_all(&sent).await });
    let said = within("the end of the command", ssh.wait_with_output()).await.unwrap();
    writing.await.unwrap().unwrap();
    assert!(said.status.success());
    assert!(said.stdout == bytes, "{} bytes came back", said.stdout.len());
    assert_eq!(said.stderr, b"to-stderr\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_and_signals_reach_the_client() {
    let world = World::new().await;
    for (command, code) in [("true", 0), ("false", 1), ("exit 3", 3), ("exit 200", 200)] {
        assert_eq!(world.run(&["work", command]).await.status.code(), Some(code), "{command}");
    }
    let ended = world.run(&["-v", "work", "kill -TERM $$"]).await;
    let text = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(255));
    assert!(text.contains("rtype exit-signal"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_has_its_size_and_learns_of_another() {
    let world = Arc::new(World::new().await);
    let mut ssh = std::process::Command::new("ssh");
    ssh.arg("-F").arg(world.path("ssh_config")).args([
        "-tt",
        "work",
        "trap 'echo now $(stty size)' WINCH; trap 'exit 7' INT; echo $TERM $(stty size); tty; \
         while :; do sleep 1000 & wait; done",
    ]);
    tokio::task::spawn_blocking(move || {
        let mut terminal = Terminal::start(&ssh);
        terminal.wait_for("xterm 40 100");
        terminal.wait_for("/dev/pts/");
        terminal.resize(132, 50);
        terminal.wait_for("now 50 132");
        terminal.type_in("\x03");
        assert_eq!(terminal.end(), 7);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_interrupts() {
    let world = World::new().await;
    let mut ssh = std::process::Command::new("ssh");
    ssh.arg("-F").arg(world.path("ssh_config")).args(["-tt", "work", "echo begins; sleep 1000"]);
    tokio::task::spawn_blocking(move || {
        let mut terminal = Terminal::start(&ssh);
        terminal.wait_for("begins");
        terminal.type_in("\x03");
        assert_ne!(terminal.end(), 0);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_carried() {
    let world = World::new().await;
    let said = world.run(&["-o", "SetEnv=RIGBOX_TEST=a-value", "work", "echo $RIGBOX_TEST"]).await;
    assert_eq!(good(said), "a-value\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn s04_nothing_is_lost_at_the_end_and_the_exit_code_comes_after_it() {
    const TIMES: usize = 40;
    const AT_ONCE: usize = 4;
    const BYTES: usize = 3_000_000;
    let world = World::new().await;
    let command = format!("head -c {BYTES} /dev/zero; exit 3");
    for _ in 0..TIMES / AT_ONCE {
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE {
            let mut ssh = world.tool("ssh");
            ssh.args(["work", &command]);
            running.spawn(async move { output(&mut ssh).await });
        }
        while let Some(ran) = running.join_next().await {
            let ran = ran.unwrap();
            assert_eq!((ran.status.code(), ran.stdout.len()), (Some(3), BYTES));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s04_the_end_of_the_input_is_told_while_output_goes_on() {
    let world = World::new().await;
    let mut ssh = world.tool("ssh");
    ssh.args(["work", "cat >/dev/null; echo all-read; head -c 1000000 /dev/zero; exit 4"]);
    let mut ssh = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = ssh.stdin.take().unwrap();
    input.write_all(&[b'x'; 100_000]).await.unwrap();
    drop(input);
    let said = within("the end of the command", ssh.wait_with_output()).await.unwrap();
    assert_eq!(said.status.code(), Some(4));
    assert_eq!(said.stdout.len(), "all-read\n".len() + 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_carries_many_sessions() {
    const SESSIONS: usize = 50;
    let world = World::new().await;
    let path = format!("ControlPath={}", world.path("control").display());
    let mut master = world.tool("ssh");
    master.args(["-o", &path, "-o", "ControlMaster=yes", "work", "echo ready; cat"]);
    let mut master = master.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 6];
    let mut said = master.stdout.take().unwrap();
    within("the first session", said.read_exact(&mut ready)).await.unwrap();
    let mut running = tokio::task::JoinSet::new();
    for number in 0..SESSIONS {
        let mut ssh = world.tool("ssh");
        let command = format!("head -c 100000 /dev/zero; echo; echo {number} >&2; exit {number}");
        ssh.args(["-o", &path, "-o", "ControlMaster=no", "work", &command]);
        running.spawn(async move { (number, output(&mut ssh).await) });
    }
    while let Some(ran) = running.join_next().await {
        let (number, ran) = ran.unwrap();
        assert_eq!(ran.status.code(), i32::try_from(number).ok());
        assert_eq!(ran.stdout.len(), 100_001);
        assert_eq!(String::from_utf8_lossy(&ran.stderr), format!("{number}\n"));
    }
    drop(master.stdin.take());
    assert!(within("the first session's end", master.wait()).await.unwrap().success());
    assert_eq!(world.people.entered.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn keepalives_are_answered_from_end_to_end() {
    let world = World::new().await;
    let options = ["-v", "-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2"];
    // Long enough for some of them.
    let said = world.run(&[&options[..], &["work", "sleep 4; echo done"]].concat()).await;
    assert_eq!(good(said), "done\n");
}
