//! Copying files.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
};

use serde_json::{Value, json};

use crate::{
    server::{Reply, refusal},
    world::{World, about, vm},
};

fn world() -> World {
    World::with_workspaces(&[vm("demo", "running", 1)])
}

fn files(method: &str, query: &str) -> String {
    about(method, "demo", &format!("/files?{query}"))
}

fn list(query: &str) -> String {
    about("GET", "demo", &format!("/files/list?{query}"))
}

fn put() -> Reply {
    Reply::Json(200, json!({ "path": "/x", "size_bytes": 1, "mode": "0644" }))
}

fn entry(name: &str, kind: &str, mode: &str) -> Value {
    json!({ "name": name, "kind": kind, "size_bytes": 1, "mode": mode, "owner": "developer",
            "modified_at": "2020-01-01T00:00:00Z" })
}

fn listing(entries: &[Value]) -> Reply {
    Reply::Json(200, json!({ "path": "/x", "entries": entries, "truncated": false }))
}

fn file(mode: &str, content: &str) -> Reply {
    Reply::Headed(200, vec![("x-rigbox-mode", mode.to_owned())], content.as_bytes().to_vec())
}

fn not_a_directory() -> Reply {
    refusal(400, "invalid_request", "this is no directory", Value::Null)
}

fn mode_of(world: &World, name: &str) -> u32 {
    fs::metadata(world.path(name)).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_file_goes_up_with_its_mode() {
    let world = world();
    fs::write(world.path("run me.sh"), "echo hi\n").unwrap();
    fs::set_permissions(world.path("run me.sh"), fs::Permissions::from_mode(0o750)).unwrap();
    let line = files("PUT", "path=bin%2Frun%20me.sh&mode=0750&parents=true");
    world.server.on(&line, put());
    let mut command = world.command("cp");
    command.args(["run me.sh", "demo:bin/"]);
    world.run(command, None).is(0, "", "copied 1 file, 8B\n");
    assert_eq!(world.server.first("PUT").body, b"echo hi\n");
}

#[test]
fn a_file_goes_into_a_directory_that_is_there() {
    let world = world();
    fs::write(world.path("a.txt"), "a").unwrap();
    world.server.on(&list("path=%2Fsrv"), listing(&[]));
    let mode = mode_of(&world, "a.txt");
    world.server.on(&files("PUT", &format!("path=%2Fsrv%2Fa.txt&mode={mode:04o}")), put());
    assert_eq!(world.rig("cp a.txt demo:/srv").code, 0);
    world
        .server
        .on(&list("path=%2Fsrv%2Fb"), refusal(404, "not_found", "no such file", Value::Null));
    world.server.on(&files("PUT", &format!("path=%2Fsrv%2Fb&mode={mode:04o}")), put());
    assert_eq!(world.rig("cp a.txt demo:/srv/b").code, 0);
}

#[test]
fn standard_input_and_output_are_files_too() {
    let world = world();
    world.server.on(&files("PUT", "path=notes"), put());
    let ended = world.run(world.command("cp - demo:notes"), Some(b"from a pipe"));
    ended.is(0, "", "copied 1 file, 11B\n");
    assert_eq!(world.server.first("PUT").body, b"from a pipe");
    world.server.on(&files("GET", "path=notes"), file("0644", "raw \u{1b}[1m"));
    world.rig("cp demo:notes -").is(0, "raw \u{1b}[1m", "");
}

#[test]
fn a_file_comes_down_whole_with_its_mode_or_not_at_all() {
    let world = world();
    world.server.on(&files("GET", "path=%2Fetc%2Fhosts"), file("4755", "hosts"));
    assert_eq!(world.rig("cp demo:/etc/hosts .").code, 0);
    assert_eq!(fs::read_to_string(world.path("hosts")).unwrap(), "hosts");
    assert_eq!(mode_of(&world, "hosts"), 0o755);

    let cut = Reply::Headed(200, vec![("content-length", "50".to_owned())], b"half".to_vec());
    let Reply::Headed(_, _, body) = cut else { panic!("as made above") };
    let half = String::from_utf8(body).unwrap();
    world.server.on(
        &files("GET", "path=big"),
        Reply::Raw(Box::new(move |_, mut stream| {
            use std::io::Write as _;
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n";
            stream.write_all(format!("{head}{half}").as_bytes()).unwrap();
        })),
    );
    fs::write(world.path("big"), "before").unwrap();
    let ended = world.rig("cp demo:big big");
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(fs::read_to_string(world.path("big")).unwrap(), "before");
    let left: Vec<_> = fs::read_dir(world.home.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("rig-"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn a_directory_goes_up_with_all_that_is_in_it() {
    let world = world();
    fs::create_dir_all(world.path("site/empty")).unwrap();
    fs::set_permissions(world.path("site"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(world.path("site/empty"), fs::Permissions::from_mode(0o555)).unwrap();
    fs::write(world.path("site/index.html"), "hello").unwrap();
    fs::set_permissions(world.path("site/index.html"), fs::Permissions::from_mode(0o644)).unwrap();
    symlink("/etc/passwd", world.path("site/link")).unwrap();
    world.server.on(&list("path=www"), listing(&[]));
    let made = json!({ "exit_code": 0, "signal": null, "timed_out": false, "stdout": "",
                       "stderr": "", "truncated": false, "duration_ms": 1 });
    world.server.on(&about("POST", "demo", "/exec"), Reply::Json(200, made));
    world.server.on(&files("PUT", "path=www%2Fsite%2Findex.html&mode=0644"), put());
    world.rig("cp site demo:www").is(
        2,
        "",
        "error: site is a directory: add -r to copy it with all that is in it\n\
         hint: rig cp --help\n",
    );
    world.rig("cp -r site demo:www").is(
        0,
        "",
        "warning: left out site/link: it is no file and no directory\ncopied 1 file, 5B\n",
    );
    let commands: Vec<Value> = world
        .server
        .asked()
        .iter()
        .filter(|asked| asked.line.starts_with("POST"))
        .map(|asked| asked.json()["command"].clone())
        .collect();
    let script = "mkdir -p -- \"$1\" && chmod -- \"$2\" \"$1\"";
    assert_eq!(
        commands,
        [
            json!(["sh", "-c", script, "sh", "www/site", "0755"]),
            json!(["sh", "-c", script, "sh", "www/site/empty", "0755"]),
        ]
    );
}

#[test]
fn a_directory_comes_down_and_stays_where_it_belongs() {
    let world = world();
    let entries = [
        entry("a.txt", "file", "0600"),
        entry("sub", "directory", "0750"),
        entry("link", "symlink", "0777"),
        entry("../escape", "file", "0644"),
        entry("..", "directory", "0755"),
        entry("/etc/cron.d/x", "file", "0644"),
    ];
    world.server.on(&list("path=%2Fsrv%2Fwww"), listing(&entries));
    world.server.on(&list("path=%2Fsrv%2Fwww%2Fsub"), listing(&[entry("b", "file", "0644")]));
    world.server.on(&files("GET", "path=%2Fsrv%2Fwww%2Fa.txt"), file("0600", "a"));
    world.server.on(&files("GET", "path=%2Fsrv%2Fwww%2Fsub%2Fb"), file("0644", "b"));
    let ended = world.rig("cp -r demo:/srv/www .");
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.stderr.matches("left out").count(), 4, "{ended:?}");
    assert_eq!(fs::read_to_string(world.path("www/sub/b")).unwrap(), "b");
    assert_eq!([mode_of(&world, "www/a.txt"), mode_of(&world, "www/sub")], [0o600, 0o750]);
    assert!(!world.path("escape").exists());
    assert_eq!(world.server.lines().iter().filter(|line| line.contains("escape")).count(), 0);
}

#[test]
fn a_link_below_the_target_leads_nowhere() {
    let world = world();
    fs::create_dir_all(world.path("elsewhere")).unwrap();
    fs::create_dir_all(world.path("real")).unwrap();
    symlink(world.path("real"), world.path("named")).unwrap();
    symlink(world.path("elsewhere"), world.path("real/sub")).unwrap();
    symlink(world.path("elsewhere/file"), world.path("real/a")).unwrap();
    let entries = [entry("a", "file", "0644"), entry("sub", "directory", "0755")];
    world.server.on(&list("path=x%2F..%2Fy%2F.."), listing(&entries));
    world.server.on(&list("path=x%2F..%2Fy%2F..%2Fsub"), listing(&[entry("b", "file", "0644")]));
    world.server.on(&files("GET", "path=x%2F..%2Fy%2F..%2Fa"), file("0644", "new"));
    let ended = world.rig("cp -r demo:x/../y/.. named");
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("cannot write "), "{ended:?}");
    assert_eq!(fs::read_to_string(world.path("real/a")).unwrap(), "new");
    assert_eq!(fs::read_dir(world.path("elsewhere")).unwrap().count(), 0);
}

#[test]
fn a_single_file_with_the_recursive_flag_is_a_file() {
    let world = world();
    world.server.on(&list("path=a"), not_a_directory());
    world.server.on(&files("GET", "path=a"), file("0644", "x"));
    assert_eq!(world.rig("cp -r demo:a b").code, 0);
    assert_eq!(fs::read_to_string(world.path("b")).unwrap(), "x");
}

#[test]
fn what_cannot_be_copied_is_told_with_its_place() {
    let world = world();
    world
        .server
        .on(&files("GET", "path=nope"), refusal(404, "not_found", "no such file", Value::Null));
    world.rig("cp demo:nope .").is(1, "", "error: demo:nope: no such file\n");
    world.server.on(
        &files("GET", "path=dir"),
        refusal(400, "invalid_request", "is a directory", Value::Null),
    );
    world.server.on(&list("path=dir"), listing(&[]));
    assert_eq!(world.rig("cp demo:dir .").code, 2);
    let denied = refusal(403, "forbidden", "/root/x: permission denied", Value::Null);
    world.server.on(&files("GET", "path=%2Froot%2Fx"), denied);
    world.rig("cp demo:/root/x .").is(
        1,
        "",
        "error: /root/x: permission denied\nhint: rig cp --user root demo:/root/x .\n",
    );
    world.rig("cp a b").is(
        2,
        "",
        "error: one of the two is in a workspace: write WORKSPACE:PATH\nhint: rig cp a WORKSPACE:\n",
    );
    world.rig("cp missing demo:").is(
        1,
        "",
        "error: cannot read missing: no such file or directory\n",
    );
    assert_eq!(world.rig("cp demo:a demo:b").code, 2);
}
