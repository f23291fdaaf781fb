//! `rig shell` and questions, in a real terminal.

use std::{io::Write as _, net::TcpStream};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{
    Message, WebSocket,
    handshake::derive_accept_key,
    protocol::{Role, frame::coding::CloseCode},
};

use crate::{
    pty::Terminal,
    server::{Asked, Reply, hang_up, refusal},
    world::{KEY, World, about, id_of, limits, vm},
};

/// The server's half of a terminal.
struct Shell(WebSocket<TcpStream>);

impl Shell {
    fn open(asked: &Asked, mut stream: TcpStream, session: &str) -> Self {
        let accept = derive_accept_key(asked.headers["sec-websocket-key"].as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-accept: {accept}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut shell = Self(WebSocket::from_raw_socket(stream, Role::Server, None));
        shell.tell(&json!({ "session": session }));
        shell
    }

    fn tell(&mut self, notice: &Value) {
        self.0.send(Message::text(notice.to_string())).unwrap();
    }

    fn print(&mut self, text: &str) {
        self.0.send(Message::binary(text.as_bytes().to_vec())).unwrap();
    }

    /// What is typed until the text has come.
    fn typed(&mut self, until: &str) -> String {
        let mut typed = String::new();
        while !typed.contains(until) {
            match self.0.read().unwrap() {
                Message::Binary(bytes) => typed.push_str(&String::from_utf8_lossy(&bytes)),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
        typed
    }

    fn notice(&mut self) -> Value {
        loop {
            match self.0.read().unwrap() {
                Message::Text(text) => return serde_json::from_str(text.as_str()).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn exit(&mut self, code: i32) {
        self.tell(&json!({ "exit": { "exit_code": code, "signal": null, "timed_out": false } }));
    }

    /// Waits until the client has left for good: only that ends the shell in the workspace.
    fn wait_for_close(&mut self) {
        loop {
            if let Message::Close(frame) = self.0.read().unwrap() {
                assert_eq!(frame.unwrap().code, CloseCode::Normal);
                return;
            }
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        hang_up(self.0.get_ref());
    }
}

fn path(session: &str) -> String {
    format!("GET /api/ws/terminal/{}?cols=100&rows=40{session}", id_of("demo"))
}

fn raw(handler: impl FnOnce(&Asked, TcpStream) + Send + 'static) -> Reply {
    Reply::Raw(Box::new(handler))
}

fn world() -> World {
    World::with_workspaces(&[vm("demo", "running", 1)])
}

#[test]
fn a_shell_carries_keys_sizes_and_its_exit_code_and_leaves_the_terminal_as_it_was() {
    let world = world();
    world.server.on(
        &path(""),
        raw(|asked, stream| {
            assert_eq!(asked.headers["authorization"], format!("Bearer {KEY}"));
            let mut shell = Shell::open(asked, stream, "s1");
            shell.print("demo$ ");
            assert_eq!(shell.typed("\r"), "ls\u{3}\r");
            shell.print("resize now");
            assert_eq!(shell.notice(), json!({ "resize": { "cols": 120, "rows": 50 } }));
            shell.exit(7);
        }),
    );
    let mut terminal = Terminal::start(&world.command("shell demo"));
    terminal.wait_for("demo$ ");
    assert!(!terminal.is_cooked());
    // Ctrl-C is a key like any other.
    terminal.type_in("ls\u{3}\r");
    terminal.wait_for("resize now");
    terminal.resize(120, 50);
    assert_eq!(terminal.end(), 7);
    assert!(terminal.is_cooked());
    assert_eq!(world.server.violations(), Vec::<String>::new());
}

#[test]
fn a_broken_connection_is_made_again_to_the_same_shell() {
    let world = world();
    world.server.on(
        &path(""),
        raw(|asked, stream| {
            let mut shell = Shell::open(asked, stream, "s-1");
            shell.print("before ");
        }),
    );
    let again = path("&session=s-1&after=7");
    world.server.on(&again, refusal(503, "unavailable", "restarting", Value::Null));
    world.server.on(
        &again,
        raw(|asked, stream| {
            let mut shell = Shell::open(asked, stream, "s-1");
            shell.print("after ");
            assert_eq!(shell.typed("x"), "x");
            shell.exit(0);
        }),
    );
    let mut terminal = Terminal::start(&world.command("shell demo"));
    terminal.wait_for("after ");
    terminal.type_in("x");
    assert_eq!(terminal.end(), 0);
    let screen = terminal.wait_for("connected again\r\n");
    assert!(screen.contains("the connection to demo broke"), "{screen:?}");
    assert!(terminal.is_cooked());
}

#[test]
fn a_platform_that_restarts_ends_no_shell() {
    let world = world();
    let restarts =
        json!({ "error": { "code": "unavailable", "message": "the platform restarts" } });
    let broken = restarts.clone();
    world.server.on(
        &path(""),
        raw(move |asked, stream| {
            let mut shell = Shell::open(asked, stream, "s1");
            shell.print("x");
            shell.tell(&broken);
        }),
    );
    let again = path("&session=s1&after=1");
    world
        .server
        .on(&again, raw(move |asked, stream| Shell::open(asked, stream, "s1").tell(&restarts)));
    world.server.on(
        &again,
        raw(|asked, stream| {
            let mut shell = Shell::open(asked, stream, "s1");
            shell.print("still here");
            shell.exit(3);
        }),
    );
    let mut terminal = Terminal::start(&world.command("shell demo"));
    terminal.wait_for("still here");
    assert_eq!(terminal.end(), 3);
    assert!(terminal.is_cooked());
}

#[test]
fn a_shell_that_is_gone_after_a_break_ends_with_its_reason() {
    let world = world();
    world.server.on(&path(""), raw(|asked, stream| drop(Shell::open(asked, stream, "s1"))));
    let gone = refusal(404, "not_found", "this terminal has ended", Value::Null);
    world.server.on(&path("&session=s1&after=0"), gone);
    let mut terminal = Terminal::start(&world.command("shell demo"));
    assert_eq!(terminal.end(), 1);
    terminal.wait_for("this terminal has ended\r\n");
    assert!(terminal.is_cooked());
}

#[test]
fn the_way_out_leaves_a_shell_that_does_not_answer() {
    let world = world();
    world.server.on(
        &path(""),
        raw(|asked, stream| {
            let mut shell = Shell::open(asked, stream, "s1");
            shell.print("stuck");
            shell.wait_for_close();
        }),
    );
    let mut terminal = Terminal::start(&world.command("shell demo"));
    terminal.wait_for("stuck");
    terminal.type_in("\r~.");
    assert_eq!(terminal.end(), 0);
    terminal.wait_for("left demo");
    assert!(terminal.is_cooked());
}

#[test]
fn a_shell_in_a_stopped_workspace_is_refused_before_the_terminal_changes() {
    let world = World::with_workspaces(&[vm("demo", "stopped", 1)]);
    let details = json!({ "status": "stopped" });
    world.server.on(&path(""), refusal(400, "invalid_state", "the workspace is stopped", details));
    let mut terminal = Terminal::start(&world.command("shell demo"));
    assert_eq!(terminal.end(), 1);
    let screen = terminal.wait_for("rig workspace start demo\r\n");
    assert!(screen.contains("the workspace is stopped\r\n"), "{screen:?}");
}

#[test]
fn without_a_terminal_a_shell_is_wrong_use() {
    let world = world();
    world.rig("shell demo").is(
        2,
        "",
        "error: a shell needs a terminal here too\nhint: rig exec demo -- bash -c 'COMMAND'\n",
    );
}

#[test]
fn a_typed_key_is_not_shown() {
    let world = World::new();
    world.server.on("GET /api/v1/users/me/limits", Reply::Json(200, limits()));
    let line = format!("login --token --url {}", world.server.url);
    let mut terminal = Terminal::start(&world.stranger(&line));
    terminal.wait_for("API key for ");
    terminal.type_in(&format!("wrong\u{15}{KEY}x\u{7f}\r"));
    assert_eq!(terminal.end(), 0);
    let screen = terminal.wait_for("signed in to ");
    assert!(!screen.contains("rb_test") && !screen.contains("wrong"), "{screen:?}");
    let asked = world.server.first("GET");
    assert_eq!(asked.headers["authorization"], format!("Bearer {KEY}"));
    assert!(terminal.is_cooked());
}

#[test]
fn ctrl_c_at_the_question_for_a_key_restores_the_terminal() {
    let world = World::new();
    let mut terminal = Terminal::start(&world.stranger("login --token"));
    terminal.wait_for("API key for ");
    terminal.type_in("rb_\u{3}");
    assert_eq!(terminal.end(), 130);
    assert!(terminal.is_cooked());
}

#[test]
fn deleting_asks_on_a_terminal() {
    let world = world();
    let mut terminal = Terminal::start(&world.command("workspace rm demo"));
    terminal.wait_for("with its disk? [y/N] ");
    terminal.type_in("n\r");
    assert_eq!(terminal.end(), 1);
    terminal.wait_for("demo was not deleted");
    assert!(!world.server.lines().iter().any(|line| line.starts_with("DELETE")));
}

#[test]
fn ctrl_c_ends_a_wait_and_says_what_goes_on() {
    let world = World::with_workspaces(&[vm("demo", "stopped", 1)]);
    let answer = json!({ "vm": vm("demo", "starting", 2), "failure": null });
    world.server.on(&about("POST", "demo", "/start"), Reply::Json(200, answer));
    let events = about("GET", "demo", "/events");
    world.server.on(
        &events,
        raw(|_, mut stream| {
            use std::io::Read as _;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: hi\n\n")
                .unwrap();
            // Until the client has left.
            stream.read(&mut [0]).unwrap_or_default();
        }),
    );
    let mut terminal = Terminal::start(&world.command("workspace start demo"));
    // The moving line is drawn after a second.
    terminal.wait_for("demo: starting ");
    terminal.type_in("\u{3}");
    assert_eq!(terminal.end(), 130);
    terminal.wait_for("stopped waiting; demo goes on by itself\r\n");
    terminal.wait_for("rig workspace show demo\r\n");
}

#[test]
fn a_shell_that_is_told_to_end_restores_the_terminal() {
    let world = world();
    world.server.on(
        &path(""),
        raw(|asked, stream| {
            let mut shell = Shell::open(asked, stream, "s1");
            shell.print("here");
            shell.wait_for_close();
        }),
    );
    let mut terminal = Terminal::start(&world.command("shell demo"));
    terminal.wait_for("here");
    let id = rustix::process::Pid::from_child(&terminal.child);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    terminal.end();
    assert!(terminal.is_cooked());
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let world = world();
    let mut terminal = Terminal::start(&world.command("ls"));
    assert_eq!(terminal.end(), 0);
    assert!(terminal.wait_for("running").contains("\u{1b}[32mrunning"));
    let mut command = world.command("ls");
    command.env("NO_COLOR", "1");
    let mut terminal = Terminal::start(&command);
    assert_eq!(terminal.end(), 0);
    let screen = terminal.wait_for(" ago\r\n");
    assert!(!screen.contains('\u{1b}'), "{screen:?}");
}
