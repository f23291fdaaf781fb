use std::collections::BTreeMap;

use http::{Request, header};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use rigbox_guest::client::{AgentError, ForwardLimits};
use rigbox_types::guest::{
    EXEC_UPGRADE, ExecEvent, ExecExit, ExecRequest,
    exec::REPLAY_MAX_BYTES,
    frame::{Frame, FrameDecoder, STDIN_WINDOW_BYTES},
};
use tokio::io::AsyncReadExt;

use crate::world::{
    PATIENCE, World, code, command, developer_uid, is_alive, is_root, next, read_to_exit,
    read_until, shell, until,
};

fn exited(code: i32) -> ExecExit {
    ExecExit { exit_code: Some(code), ..ExecExit::default() }
}

#[tokio::test]
async fn a_command_answers_with_both_outputs_and_its_exit_code() {
    for world in [World::vsock().await, World::serial().await] {
        let result = world.agent.exec(&shell("echo out; echo err >&2; exit 7")).await.unwrap();
        assert_eq!((result.stdout.as_str(), result.stderr.as_str()), ("out\n", "err\n"));
        assert_eq!(result.exit, exited(7));
        assert!(!result.truncated);
    }
}

#[tokio::test]
async fn a_pipe_in_the_place_of_the_environment_holds_nobody_up() {
    // In a process of its own, so that an agent that hangs is seen from outside.
    let world = World::vsock().await;
    let folder = world.guest_path("/home/developer/.rigbox");
    std::fs::create_dir(&folder).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.join(".env"), rustix::fs::Mode::RWXU).unwrap();
    std::os::unix::fs::chown(folder.join(".env"), Some(developer_uid()), None).unwrap();
    let result = tokio::time::timeout(PATIENCE, world.agent.exec(&shell("echo out"))).await;
    assert_eq!(result.unwrap().unwrap().stdout, "out\n");
}

/// A file system whose server answers nothing, until it is dropped.
struct Hung {
    server: std::process::Child,
    place: std::path::PathBuf,
}

impl Hung {
    fn mount(place: std::path::PathBuf) -> Self {
        std::fs::create_dir(&place).unwrap();
        let options = "fd=3,rootmode=40000,user_id=0,group_id=0,allow_other";
        let script = format!(
            "exec 3<>/dev/fuse; mount -i -t fuse -o {options} none \"$0\" && echo && exec sleep 1000"
        );
        let mut server = std::process::Command::new("sh")
            .args(["-c", &script])
            .arg(&place)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0];
        std::io::Read::read_exact(server.stdout.as_mut().unwrap(), &mut said).unwrap();
        Self { server, place }
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
        let umount = std::process::Command::new("umount").arg("-l").arg(&self.place).status();
        assert!(umount.unwrap().success());
    }
}

#[tokio::test]
async fn a_file_system_that_hangs_holds_up_only_who_goes_there() {
    if !is_root() || !std::path::Path::new("/dev/fuse").exists() {
        return; // Only root mounts, and not every kernel has it.
    }
    let world = World::vsock().await;
    let hung = Hung::mount(world.guest_path("/home/developer/hung"));
    let request = ExecRequest { cwd: Some("hung".to_owned()), ..shell("pwd") };
    let agent = world.agent.clone();
    let held_up = tokio::spawn(async move { agent.exec(&request).await });
    for _ in 0..3 {
        let result = tokio::time::timeout(PATIENCE, world.agent.exec(&shell("echo out"))).await;
        assert_eq!(result.unwrap().unwrap().stdout, "out\n");
    }
    let failed = held_up.await.unwrap().unwrap_err().to_string();
    assert!(failed.contains("did not start in time"), "{failed}");
    drop(hung);
}

#[tokio::test]
async fn a_command_runs_as_developer_in_its_home_with_the_environment_of_the_workspace() {
    let world = World::vsock().await;
    let env = "# comment\nA=\"of workspace\"\nB=\"of workspace\"\n";
    std::fs::create_dir(world.guest_path("/home/developer/.rigbox")).unwrap();
    std::fs::write(world.guest_path("/home/developer/.rigbox/.env"), env).unwrap();
    let mut request = shell(
        "pwd; id -u; id -G; echo $A; echo $B; echo $HOME $USER; cat /proc/self/oom_score_adj",
    );
    request.env = BTreeMap::from([("B".to_owned(), "of request".to_owned())]);
    let result = world.agent.exec(&request).await.unwrap();
    let uid = developer_uid();
    let groups = if is_root() { format!("{uid} 27") } else { format!("{uid}") };
    let home = world.guest_path("/home/developer");
    let expected = format!(
        "{}\n{uid}\n{groups}\nof workspace\nof request\n/home/developer developer\n0\n",
        home.display()
    );
    assert_eq!(result.stdout, expected, "{result:?}");
}

#[tokio::test]
async fn another_user_and_directory_can_be_named() {
    let world = World::vsock().await;
    let request = ExecRequest {
        user: Some("root".to_owned()),
        cwd: Some("/tmp".to_owned()),
        ..shell("id -u; pwd")
    };
    if is_root() {
        let result = world.agent.exec(&request).await.unwrap();
        assert_eq!(result.stdout, format!("0\n{}\n", world.guest_path("/tmp").display()));
    }
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_with_the_field() {
    let world = World::vsock().await;
    let check = async |request: ExecRequest, field: &str| match world.agent.exec(&request).await {
        Err(AgentError::Refused { status, body }) => {
            assert_eq!(status, 400, "{body:?}");
            assert_eq!(body.error.details["field"], field, "{body:?}");
        }
        other => panic!("{other:?}"),
    };
    check(command(&["no-such-program"]), "command").await;
    check(command(&["/etc"]), "command").await;
    check(command(&[]), "command").await;
    check(ExecRequest { user: Some("nobody-here".to_owned()), ..shell("true") }, "user").await;
    check(ExecRequest { cwd: Some("/no/such".to_owned()), ..shell("true") }, "cwd").await;
    check(ExecRequest { timeout_s: Some(0), ..shell("true") }, "timeout_s").await;
    check(ExecRequest { detach: true, ..shell("true") }, "detach").await;
    let unknown = world.call("POST", "/exec", r#"{"command":["true"],"cmd":1}"#).await;
    assert_eq!((unknown.status().as_u16(), code(&unknown).as_str()), (400, "invalid_request"));
}

#[tokio::test]
async fn standard_input_of_the_request_is_given_and_ended() {
    let world = World::serial().await;
    let text = "line\n".repeat(50_000);
    let request = ExecRequest { stdin: Some(text.clone()), ..command(&["cat"]) };
    let result = world.agent.exec(&request).await.unwrap();
    assert!(result.stdout == text, "{} bytes", result.stdout.len());
    // Without one, there is nothing to read.
    let result = world.agent.exec(&command(&["cat"])).await.unwrap();
    assert_eq!((result.stdout.as_str(), result.exit), ("", exited(0)));
}

#[tokio::test]
async fn a_command_whose_time_is_over_is_ended_with_what_it_has_started() {
    let world = World::vsock().await;
    let request = ExecRequest { timeout_s: Some(5), ..shell("sleep 1000 & echo $!; wait") };
    let result = world.agent.exec(&request).await.unwrap();
    assert!(result.exit.timed_out && result.exit.signal.is_some(), "{result:?}");
    let child: u32 = result.stdout.trim().parse().unwrap();
    until("the child is gone", || !is_alive(child)).await;
}

#[tokio::test]
async fn a_command_ends_though_something_in_the_background_holds_its_output() {
    let world = World::vsock().await;
    let result = world.agent.exec(&shell("sleep 60 & echo $!; exit 3")).await.unwrap();
    assert_eq!(result.exit, exited(3));
    assert!(result.duration_ms < 10_000, "{result:?}");
    let background: u32 = result.stdout.trim().parse().unwrap();
    assert!(is_alive(background), "what is left in the background is the user's");
    world.agent.exec(&command(&["kill", &background.to_string()])).await.unwrap();
}

#[tokio::test]
async fn output_beyond_the_limit_is_cut_and_said_to_be() {
    let world = World::vsock().await;
    let result = world.agent.exec(&shell("head -c 5000000 /dev/zero | tr '\\0' x")).await.unwrap();
    assert!(result.truncated);
    assert_eq!((result.stdout.len(), result.exit), (4 * 1024 * 1024, exited(0)));
}

#[tokio::test]
async fn lines_come_as_output_does() {
    let world = World::serial().await;
    let request = ExecRequest { stream: true, ..shell("echo a; echo b >&2; exit 4") };
    let answer = world.call("POST", "/exec", serde_json::to_vec(&request).unwrap()).await;
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/x-ndjson");
    let events: Vec<ExecEvent> = answer
        .body()
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert!(matches!(events.first(), Some(ExecEvent::Started(_))), "{events:?}");
    assert!(events.contains(&ExecEvent::Stdout { data: "a\n".to_owned() }), "{events:?}");
    assert!(events.contains(&ExecEvent::Stderr { data: "b\n".to_owned() }), "{events:?}");
    assert_eq!(events.last(), Some(&ExecEvent::Exit(exited(4))));
}

#[tokio::test]
async fn megabytes_go_through_a_command_within_its_credit() {
    let world = World::serial().await;
    let mut stream = world.agent.exec_open(&command(&["cat"])).await.unwrap();
    let sent: Vec<u8> = (0..8 * 1024 * 1024_u32).map(|at| (at % 251) as u8).collect();
    let (mut credit, mut position) = (0_usize, 0);
    let mut received = Vec::new();
    loop {
        let count = credit.min(sent.len() - position).min(30_000);
        if count > 0 {
            let part = sent[position..position + count].to_vec();
            stream.send(&Frame::Stdin(part)).await.unwrap();
            credit -= count;
            position += count;
            if position == sent.len() {
                stream.send(&Frame::StdinEnd).await.unwrap();
            }
            continue;
        }
        match next(&mut stream).await {
            Frame::Credit(bytes) => credit += bytes as usize,
            Frame::Stdout(bytes) => received.extend(bytes),
            Frame::Exit(exit) => {
                assert_eq!(exit, exited(0));
                break;
            }
            _ => {}
        }
    }
    assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
}

#[tokio::test]
async fn more_input_than_the_credit_cuts_the_stream_and_ends_the_command() {
    let world = World::vsock().await;
    let mut stream = world.agent.exec_open(&command(&["sleep", "1000"])).await.unwrap();
    let Frame::Started(started) = next(&mut stream).await else { panic!("not started") };
    // The first window fits, and what the pipe holds; the command takes none of it.
    let window = vec![0; STDIN_WINDOW_BYTES as usize + 3 * 65_536];
    while !matches!(next(&mut stream).await, Frame::Credit(_)) {}
    // The stream may be cut before all of it is sent, and before the reason is read.
    let _cut = stream.send(&Frame::Stdin(window)).await;
    loop {
        match tokio::time::timeout(PATIENCE, stream.next()).await.unwrap() {
            Ok(Some(Frame::Credit(_))) => {}
            Ok(Some(Frame::Error(reason))) => break assert!(reason.contains("credit"), "{reason}"),
            Ok(Some(other)) => panic!("{other:?}"),
            Ok(None) | Err(_) => break,
        }
    }
    until("the command is gone", || !is_alive(started.pid)).await;
}

#[tokio::test]
async fn a_signal_reaches_the_command() {
    let world = World::vsock().await;
    let script = "trap 'echo got it; exit 9' USR1; sleep 1000 & echo ready; wait";
    let mut stream = world.agent.exec_open(&shell(script)).await.unwrap();
    read_until(&mut stream, "ready").await;
    stream.send(&Frame::Signal(10)).await.unwrap();
    let (output, exit) = read_to_exit(&mut stream).await;
    assert_eq!((String::from_utf8(output).unwrap().as_str(), exit), ("got it\n", exited(9)));

    let mut stream = world.agent.exec_open(&command(&["sleep", "1000"])).await.unwrap();
    assert!(matches!(next(&mut stream).await, Frame::Started(_)));
    stream.send(&Frame::Signal(9)).await.unwrap();
    let (_, exit) = read_to_exit(&mut stream).await;
    assert_eq!((exit.exit_code, exit.signal), (None, Some(9)));
}

#[tokio::test]
async fn a_command_that_is_not_detachable_ends_with_its_stream() {
    let world = World::serial().await;
    let mut stream = world.agent.exec_open(&command(&["sleep", "1000"])).await.unwrap();
    let Frame::Started(started) = next(&mut stream).await else { panic!("not started") };
    assert!(is_alive(started.pid));
    drop(stream);
    until("the command is gone", || !is_alive(started.pid)).await;
    assert!(world.agent.exec_attach(&started.id).await.unwrap_err().is_refusal());
}

#[tokio::test]
async fn a_client_that_leaves_while_waiting_for_the_answer_ends_the_command() {
    let world = World::serial().await;
    let pid_file = world.guest_path("/tmp/pid");
    let request = ExecRequest {
        user: is_root().then(|| "root".to_owned()),
        ..shell(&format!("echo $$ > {}; exec sleep 1000", pid_file.display()))
    };
    let agent = world.agent.clone();
    let waiting = tokio::spawn(async move { agent.exec(&request).await });
    let pid = || std::fs::read_to_string(&pid_file).ok()?.trim().parse::<u32>().ok();
    until("the command runs", || pid().is_some()).await;
    waiting.abort();
    until("the command is gone", || !is_alive(pid().unwrap())).await;
}

#[tokio::test]
async fn a_detached_command_lives_on_and_tells_what_it_said_meanwhile() {
    let world = World::serial().await;
    let request = ExecRequest {
        detach: true,
        ..shell("echo one; read line; echo two $line; read line; echo three; exit 5")
    };
    let mut stream = world.agent.exec_open(&request).await.unwrap();
    let Frame::Started(started) = next(&mut stream).await else { panic!("not started") };
    read_until(&mut stream, "one").await;
    stream.send(&Frame::Stdin(b"x\n".to_vec())).await.unwrap();
    drop(stream);

    until_detached(&world, &started.id).await;
    let mut stream = world.agent.exec_attach(&started.id).await.unwrap();
    let replayed = read_until(&mut stream, "two").await;
    assert_eq!(replayed, "one\ntwo x\n");
    let listed = world.agent.exec_list().await.unwrap().sessions;
    assert_eq!((listed.len(), listed[0].attached, listed[0].exit), (1, true, None));
    stream.send(&Frame::Stdin(b"\n".to_vec())).await.unwrap();
    let (output, exit) = read_to_exit(&mut stream).await;
    assert_eq!((output.as_slice(), exit), (&b"three\n"[..], exited(5)));
    // Its end was told: there is nothing left to attach to.
    drop(stream);
    assert!(world.agent.exec_list().await.unwrap().sessions.is_empty());
}

async fn until_detached(world: &World, id: &str) {
    let left = async {
        loop {
            let sessions = world.agent.exec_list().await.unwrap().sessions;
            if sessions.iter().any(|session| session.id == id && !session.attached) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, left).await.unwrap();
}

#[tokio::test]
async fn a_detached_command_that_ended_is_told_to_whoever_attaches() {
    let world = World::vsock().await;
    let request = ExecRequest { detach: true, ..shell("read line; echo late; exit 6") };
    let mut stream = world.agent.exec_open(&request).await.unwrap();
    let Frame::Started(started) = next(&mut stream).await else { panic!("not started") };
    while !matches!(next(&mut stream).await, Frame::Credit(_)) {}
    stream.send(&Frame::StdinEnd).await.unwrap();
    drop(stream);
    until("the command is gone", || !is_alive(started.pid)).await;
    let mut stream = world.agent.exec_attach(&started.id).await.unwrap();
    let (output, exit) = read_to_exit(&mut stream).await;
    assert_eq!((output.as_slice(), exit), (&b"late\n"[..], exited(6)));
}

#[tokio::test]
async fn the_replay_is_bounded_and_says_what_it_lost() {
    let world = World::vsock().await;
    let total = 3 * REPLAY_MAX_BYTES;
    let script = format!("read line; head -c {total} /dev/zero; echo end; read line");
    let request = ExecRequest { detach: true, ..shell(&script) };
    let mut stream = world.agent.exec_open(&request).await.unwrap();
    let Frame::Started(started) = next(&mut stream).await else { panic!("not started") };
    while !matches!(next(&mut stream).await, Frame::Credit(_)) {}
    stream.send(&Frame::Stdin(b"\n".to_vec())).await.unwrap();
    stream.send(&Frame::StdinEnd).await.unwrap();
    drop(stream);
    until("the command is gone", || !is_alive(started.pid)).await;
    let mut stream = world.agent.exec_attach(&started.id).await.unwrap();
    let (mut lost, mut kept) = (0, 0);
    loop {
        match next(&mut stream).await {
            Frame::Lost(bytes) => lost += bytes,
            Frame::Stdout(bytes) => kept += bytes.len(),
            Frame::Exit(_) => break,
            _ => {}
        }
    }
    assert_eq!(lost as usize + kept, total + "end\n".len());
    assert!(kept <= REPLAY_MAX_BYTES && lost > 0);
}

#[tokio::test]
async fn who_attaches_last_has_the_command() {
    let world = World::vsock().await;
    let request = ExecRequest { detach: true, ..command(&["cat"]) };
    let mut first = world.agent.exec_open(&request).await.unwrap();
    let Frame::Started(started) = next(&mut first).await else { panic!("not started") };
    let mut second = world.agent.exec_attach(&started.id).await.unwrap();
    loop {
        match next(&mut first).await {
            Frame::Error(reason) => break assert!(reason.contains("attached"), "{reason}"),
            Frame::Credit(_) => {}
            other => panic!("{other:?}"),
        }
    }
    while !matches!(next(&mut second).await, Frame::Credit(_)) {}
    second.send(&Frame::Stdin(b"mine\n".to_vec())).await.unwrap();
    read_until(&mut second, "mine").await;
    world.agent.exec_end(&started.id).await.unwrap();
    let (_, exit) = read_to_exit(&mut second).await;
    assert_eq!(exit.signal, Some(15));
    assert!(!is_alive(started.pid));
}

#[tokio::test]
async fn commands_beyond_the_limit_are_refused() {
    let world = World::vsock().await;
    let mut streams = Vec::new();
    for _ in 0..64 {
        streams.push(world.agent.exec_open(&command(&["sleep", "1000"])).await.unwrap());
    }
    let refused = world.agent.exec(&command(&["true"])).await;
    assert!(refused.is_err_and(|error| error.is_refusal()));
    drop(streams);
    let freed = async { while world.agent.exec(&command(&["true"])).await.is_err() {} };
    tokio::time::timeout(PATIENCE, freed).await.unwrap();
}

/// How many processes have this as their last argument.
fn count_running(argument: &str) -> usize {
    let ends = format!("\0{argument}\0");
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .filter(|line| line.ends_with(ends.as_bytes()))
        .count()
}

#[tokio::test]
async fn of_commands_that_start_at_once_none_begins_without_a_place() {
    let world = World::vsock().await;
    let mut streams = Vec::new();
    for _ in 0..63 {
        streams.push(world.agent.exec_open(&command(&["sleep", "1000"])).await.unwrap());
    }
    let mark = format!("1000.{}", std::process::id());
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let agent = world.agent.clone();
        let request = ExecRequest { detach: true, ..command(&["sleep", &mark]) };
        starting.spawn(async move { agent.exec_open(&request).await });
    }
    let (opened, refused): (Vec<_>, Vec<_>) =
        starting.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((opened.len(), refused.len(), count_running(&mark)), (1, 7, 1));
    drop((opened, streams));
    let left = world.agent.exec_list().await.unwrap().sessions;
    assert_eq!(left.len(), 1);
    world.agent.exec_end(&left[0].id).await.unwrap();
    until("the command is gone", || count_running(&mark) == 0).await;
}

#[tokio::test]
async fn ends_that_nobody_asks_for_make_room_for_commands() {
    let world = World::vsock().await;
    for _ in 0..70 {
        let request = ExecRequest { detach: true, ..shell("read line") };
        let mut stream = world.agent.exec_open(&request).await.unwrap();
        let Frame::Started(started) = next(&mut stream).await else { panic!("not started") };
        stream.send(&Frame::StdinEnd).await.unwrap();
        drop(stream);
        until("the command is gone", || !is_alive(started.pid)).await;
    }
    assert!(world.agent.exec_list().await.unwrap().sessions.len() <= 64);
}

#[tokio::test]
async fn an_upgrade_goes_through_as_the_host_forwards_it() {
    let world = World::serial().await;
    let request = Request::post("/exec")
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, EXEC_UPGRADE)
        .body(Full::from(serde_json::to_vec(&shell("echo hi")).unwrap()))
        .unwrap();
    let limits =
        ForwardLimits { head_timeout: PATIENCE, request_bytes: 65_536, response_bytes: 65_536 };
    let mut response = world.agent.forward(request, limits).await.unwrap();
    assert_eq!(response.status(), 101);
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let mut decoder = FrameDecoder::default();
    decoder.push(&bytes);
    let frames: Vec<Frame> = std::iter::from_fn(|| decoder.next_frame().unwrap()).collect();
    assert!(frames.contains(&Frame::Stdout(b"hi\n".to_vec())), "{frames:?}");
    assert_eq!(frames.last(), Some(&Frame::Exit(exited(0))));
}
