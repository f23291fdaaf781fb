use std::fs;

use rigbox_guest::client::ExecStream;
use rigbox_types::guest::{ExecRequest, TtySize, frame::Frame};

use crate::world::{World, command, is_alive, next, read_to_exit, read_until, shell, until};

const SIZE: TtySize = TtySize { cols: 90, rows: 33 };

async fn open(world: &World, request: ExecRequest) -> ExecStream {
    let request = ExecRequest { tty: Some(SIZE), ..request };
    world.agent.exec_open(&request).await.unwrap()
}

async fn type_in(stream: &mut ExecStream, text: &str) {
    stream.send(&Frame::Stdin(text.as_bytes().to_vec())).await.unwrap();
}

#[tokio::test]
async fn a_command_on_a_terminal_has_its_size_and_its_user() {
    for world in [World::vsock().await, World::serial().await] {
        let script = "test -t 0 && test -t 1 && stty size; stat -c %U $(tty) >/dev/null; echo $TERM; : > $(tty) && echo mine";
        let mut stream = open(&world, shell(script)).await;
        let (output, exit) = read_to_exit(&mut stream).await;
        assert_eq!(String::from_utf8_lossy(&output), "33 90\r\nxterm-256color\r\nmine\r\n");
        assert_eq!(exit.exit_code, Some(0));
    }
}

#[tokio::test]
async fn a_terminal_that_is_resized_tells_the_command() {
    let world = World::serial().await;
    let script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.02; done";
    let mut stream = open(&world, shell(script)).await;
    read_until(&mut stream, "ready").await;
    stream.send(&Frame::Resize(TtySize { cols: 132, rows: 50 })).await.unwrap();
    read_until(&mut stream, "50 132").await;
}

#[tokio::test]
async fn keys_are_typed_and_control_c_interrupts_the_foreground_only() {
    let world = World::vsock().await;
    let mut stream = open(&world, command(&["bash", "--norc", "-i"])).await;
    while !matches!(next(&mut stream).await, Frame::Credit(_)) {}
    // Said by what is in the foreground, so that it is there when it is interrupted.
    type_in(&mut stream, "sh -c 'echo $((40+2)); exec sleep 1000'\n").await;
    read_until(&mut stream, "42\r\n").await;
    type_in(&mut stream, "\u{3}").await;
    type_in(&mut stream, "echo still $((1+1)) here\n").await;
    read_until(&mut stream, "still 2 here").await;
    type_in(&mut stream, "exit 11\n").await;
    let (_, exit) = read_to_exit(&mut stream).await;
    assert_eq!(exit.exit_code, Some(11));
}

#[tokio::test]
async fn the_end_of_input_ends_a_shell() {
    let world = World::vsock().await;
    let mut stream = open(&world, command(&["cat"])).await;
    while !matches!(next(&mut stream).await, Frame::Credit(_)) {}
    type_in(&mut stream, "hello\n").await;
    read_until(&mut stream, "hello\r\nhello\r\n").await;
    stream.send(&Frame::StdinEnd).await.unwrap();
    let (_, exit) = read_to_exit(&mut stream).await;
    assert_eq!(exit.exit_code, Some(0));
}

#[tokio::test]
async fn a_shell_whose_stream_is_cut_ends_with_what_runs_in_it() {
    let world = World::serial().await;
    let mut stream = open(&world, command(&["bash", "--norc", "-i"])).await;
    let Frame::Started(started) = next(&mut stream).await else { panic!("not started") };
    while !matches!(next(&mut stream).await, Frame::Credit(_)) {}
    type_in(&mut stream, "sleep 1000 & echo pid=$!=\n").await;
    let mut output = read_until(&mut stream, "=\r\n").await;
    while !output.contains("\r\npid=") && !output.contains("\npid=") {
        output.push_str(&read_until(&mut stream, "=\r\n").await);
    }
    let sleeping: u32 =
        output.rsplit("pid=").next().unwrap().split('=').next().unwrap().parse().unwrap();
    // Until then it is still the shell, which takes a hang-up for its own.
    let name = format!("/proc/{sleeping}/comm");
    until("sleep runs", || fs::read_to_string(&name).is_ok_and(|name| name == "sleep\n")).await;
    drop(stream);
    until("the shell is gone", || !is_alive(started.pid)).await;
    until("its child is gone", || !is_alive(sleeping)).await;
}

#[tokio::test]
async fn jobs_of_a_shell_that_is_gone_are_hung_up_on_and_those_that_ignore_it_stay() {
    let world = World::serial().await;
    // A shell that tells its jobs nothing, each of them in a group of its own.
    let script = "set -m; sleep 1000 & echo job=$!=; nohup sleep 1000 >/dev/null 2>&1 & \
        echo kept=$!=; echo all; while :; do sleep 0.1; done";
    let mut stream = open(&world, command(&["dash", "-c", script])).await;
    let output = read_until(&mut stream, "all\r\n").await;
    let pid = |name: &str| -> u32 {
        output.split(name).nth(1).unwrap().split('=').next().unwrap().parse().unwrap()
    };
    let (job, kept) = (pid("job="), pid("kept="));
    for pid in [job, kept] {
        let name = format!("/proc/{pid}/comm");
        until("sleep runs", || fs::read_to_string(&name).is_ok_and(|name| name == "sleep\n")).await;
    }
    drop(stream);
    until("the job is gone", || !is_alive(job)).await;
    assert!(is_alive(kept));
    let kept = rustix::process::Pid::from_raw(i32::try_from(kept).unwrap()).unwrap();
    rustix::process::kill_process(kept, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_terminal_is_left_and_taken_up_again() {
    let world = World::serial().await;
    let request = ExecRequest { detach: true, ..command(&["bash", "--norc", "-i"]) };
    let mut stream = open(&world, request).await;
    let Frame::Started(started) = next(&mut stream).await else { panic!("not started") };
    while !matches!(next(&mut stream).await, Frame::Credit(_)) {}
    type_in(&mut stream, "echo be$((0))fore; sleep 0.2; echo af$((0))ter\n").await;
    read_until(&mut stream, "be0fore").await;
    drop(stream);
    let mut stream = world.agent.exec_attach(&started.id).await.unwrap();
    let output = read_until(&mut stream, "af0ter").await;
    assert!(output.contains("be0fore"), "the screen comes again: {output:?}");
    stream.send(&Frame::Resize(TtySize { cols: 50, rows: 20 })).await.unwrap();
    type_in(&mut stream, "stty size; exit 0\n").await;
    let (output, exit) = read_to_exit(&mut stream).await;
    assert!(String::from_utf8_lossy(&output).contains("20 50"));
    assert_eq!(exit.exit_code, Some(0));
}
