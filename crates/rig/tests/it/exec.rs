//! Commands in a workspace.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Stdio,
};

use rigbox_types::guest::{
    ExecExit, ExecStarted, TtySize,
    frame::{Frame, FrameDecoder},
};
use serde_json::{Value, json};

use crate::{
    pty::Terminal,
    server::{Asked, Reply, hang_up, refusal},
    world::{World, about, vm},
};

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: rigbox-exec\r\n\r\n";

/// The guest's half of a stream of frames.
struct Guest {
    stream: TcpStream,
    decoder: FrameDecoder,
}

impl Guest {
    fn switch(asked: &Asked, mut stream: TcpStream) -> Self {
        assert_eq!(asked.headers["upgrade"], "rigbox-exec");
        stream.write_all(SWITCH.as_bytes()).unwrap();
        let mut guest = Self { stream, decoder: FrameDecoder::default() };
        guest.send(&[Frame::Started(ExecStarted { id: "x1".to_owned(), pid: 7 })]);
        guest
    }

    fn send(&mut self, frames: &[Frame]) {
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        self.stream.write_all(&bytes).unwrap();
    }

    fn next(&mut self) -> Frame {
        let mut buffer = [0; 4096];
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return frame;
            }
            let length = self.stream.read(&mut buffer).unwrap();
            assert!(length > 0, "the client has left");
            self.decoder.push(&buffer[..length]);
        }
    }

    fn exit(&mut self, code: i32) {
        self.send(&[Frame::Exit(ExecExit { exit_code: Some(code), ..ExecExit::default() })]);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        hang_up(&self.stream);
    }
}

fn world(guest: impl FnOnce(&Asked, TcpStream) + Send + 'static) -> World {
    let world = World::with_workspaces(&[vm("demo", "running", 1)]);
    world.server.on(&about("POST", "demo", "/exec"), Reply::Raw(Box::new(guest)));
    world
}

#[test]
fn output_passes_byte_by_byte_and_the_exit_code_is_the_commands() {
    let world = world(|asked, stream| {
        let mut guest = Guest::switch(asked, stream);
        assert_eq!(guest.next(), Frame::StdinEnd);
        guest.send(&[
            Frame::Stdout(b"out \x1b[31m\xff\n".to_vec()),
            Frame::Stderr(b"err\n".to_vec()),
            Frame::Stdout(b"more".to_vec()),
        ]);
        guest.exit(7);
    });
    let line = "exec demo --cwd /tmp --user root --timeout 5 -e A=1 -n -- sh -c true";
    let mut command = world.command(line);
    command.stdin(Stdio::null());
    let ended = world.run(command, None);
    ended.is(7, "out \x1b[31m\u{fffd}\nmore", "err\n");
    let mut sent = world.server.first("POST").json();
    assert_eq!(sent["command"], json!(["sh", "-c", "true"]));
    sent.as_object_mut().unwrap().remove("command");
    assert_eq!(
        sent,
        json!({ "cwd": "/tmp", "user": "root", "timeout_s": 5, "env": {"A": "1"}, "stream": true,
                "detach": false })
    );
}

#[test]
fn standard_input_is_passed_within_the_credit() {
    let world = world(|asked, stream| {
        let mut guest = Guest::switch(asked, stream);
        let mut taken = Vec::new();
        loop {
            guest.send(&[Frame::Credit(10_000)]);
            match guest.next() {
                Frame::Stdin(bytes) => {
                    assert!(bytes.len() <= 10_000 * (1 + taken.len() / 10_000));
                    taken.extend(bytes);
                }
                Frame::StdinEnd => break,
                other => panic!("{other:?}"),
            }
        }
        guest.send(&[Frame::Stdout(format!("{} bytes", taken.len()).into_bytes())]);
        guest.exit(0);
    });
    let input = vec![7; 100_000];
    world.run(world.command("exec demo -- wc -c"), Some(&input)).is(0, "100000 bytes", "");
}

#[test]
fn a_signal_goes_to_the_command() {
    let world = world(|asked, stream| {
        let mut guest = Guest::switch(asked, stream);
        guest.send(&[Frame::Stdout(b"ready\n".to_vec())]);
        assert_eq!(guest.next(), Frame::StdinEnd);
        assert_eq!(guest.next(), Frame::Signal(2));
        guest.send(&[Frame::Exit(ExecExit { signal: Some(2), ..ExecExit::default() })]);
    });
    let mut command = world.command("exec demo -n -- sleep 100");
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_command_that_ignores_its_end_does_not_hold_us() {
    let world = world(|asked, stream| {
        let mut guest = Guest::switch(asked, stream);
        guest.send(&[Frame::Stdout(b"ready\n".to_vec())]);
        assert_eq!(guest.next(), Frame::StdinEnd);
        assert_eq!(guest.next(), Frame::Signal(15));
        // Until the client has left.
        guest.stream.read(&mut [0]).unwrap_or_default();
    });
    let mut command = world.command("exec demo -n -- sleep 100");
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn a_command_with_a_terminal_gets_keys_and_sizes() {
    let world = world(|asked, stream| {
        let mut guest = Guest::switch(asked, stream);
        guest.send(&[Frame::Credit(100), Frame::Stdout(b"ready".to_vec())]);
        assert_eq!(guest.next(), Frame::Stdin(b"\x03".to_vec()));
        guest.send(&[Frame::Stdout(b"resize".to_vec())]);
        assert_eq!(guest.next(), Frame::Resize(TtySize { cols: 90, rows: 30 }));
        guest.exit(4);
    });
    let mut terminal = Terminal::start(&world.command("exec demo --tty -- htop"));
    terminal.wait_for("ready");
    assert!(!terminal.is_cooked());
    terminal.type_in("\u{3}");
    terminal.wait_for("resize");
    terminal.resize(90, 30);
    assert_eq!(terminal.end(), 4);
    assert!(terminal.is_cooked());
    assert_eq!(world.server.first("POST").json()["tty"], json!({ "cols": 100, "rows": 40 }));
}

#[test]
fn programs_read_lines_of_events() {
    let talk = |asked: &Asked, stream| {
        let mut guest = Guest::switch(asked, stream);
        guest.send(&[Frame::Credit(100)]);
        assert_eq!(guest.next(), Frame::Stdin(b"in".to_vec()));
        assert_eq!(guest.next(), Frame::StdinEnd);
        guest.send(&[
            Frame::Stdout(b"5 \xe2\x82".to_vec()),
            Frame::Stderr(b"oops \xff\n".to_vec()),
            Frame::Stdout(b"\xac\n".to_vec()),
        ]);
        guest.exit(3);
    };
    let world = self::world(talk);
    let ended = world.run(world.command("exec demo -o json -- cat"), Some(b"in"));
    let expected = [
        json!({ "event": "started", "id": "x1", "pid": 7 }),
        json!({ "event": "stdout", "data": "5 " }),
        json!({ "event": "stderr", "data": "oops \u{fffd}\n" }),
        json!({ "event": "stdout", "data": "\u{20ac}\n" }),
        json!({ "event": "exit", "exit_code": 3, "signal": null, "timed_out": false }),
    ];
    assert_eq!((ended.code, ended.records()), (3, expected.to_vec()));
    let world = self::world(talk);
    let ended = world.run(world.command("exec demo -o yaml -- cat"), Some(b"in"));
    assert_eq!((ended.code, ended.stdout.matches("---\n").count()), (3, 5), "{ended:?}");
}

#[test]
fn an_input_that_never_ends_holds_no_command_that_ends() {
    for format in ["human", "json", "yaml"] {
        let world = world(|asked, stream| Guest::switch(asked, stream).exit(0));
        let mut command = world.command(&format!("exec demo -o {format} -- true"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let open = child.stdin.take();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{format}");
        drop(open);
    }
}

#[test]
fn programs_read_why_a_command_did_not_run() {
    let world = world(|asked, stream| {
        let mut guest = Guest::switch(asked, stream);
        assert_eq!(guest.next(), Frame::StdinEnd);
        guest.send(&[Frame::Error("no such program: frobnicate".to_owned())]);
    });
    let ended = world.rig("exec demo -o json -- frobnicate");
    let message = "no such program: frobnicate";
    let expected = json!({ "event": "error", "code": "failed", "message": message });
    assert_eq!((ended.code, ended.records().last()), (1, Some(&expected)));
}

#[test]
fn what_keeps_a_command_from_running_is_told() {
    let world = World::with_workspaces(&[vm("demo", "stopped", 1)]);
    let details = json!({ "status": "stopped" });
    let refused = refusal(400, "invalid_state", "the workspace is stopped", details);
    world.server.on(&about("POST", "demo", "/exec"), refused);
    world.rig("exec demo -- true").is(
        1,
        "",
        "error: the workspace is stopped\nhint: rig workspace start demo\n",
    );
    let world = self::world(|asked, stream| {
        let mut guest = Guest::switch(asked, stream);
        assert_eq!(guest.next(), Frame::StdinEnd);
        guest.send(&[Frame::Error("no such program: frobnicate".to_owned())]);
    });
    world.rig("exec demo -- frobnicate").is(1, "", "error: no such program: frobnicate\n");
    let world = self::world(|asked, stream| drop(Guest::switch(asked, stream)));
    world.rig("exec demo -- true").is(
        1,
        "",
        "error: the connection to demo ended before the command did\n\
         hint: rig workspace show demo\n",
    );
    assert_eq!(world.server.first("POST").json()["tty"], Value::Null);
}
