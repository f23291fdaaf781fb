//! What Firecracker answers, point by point, as measured. The double is held to it in every run, and
//! so is the real Firecracker where `FIRECRACKER` names it: what is asked here comes before a guest
//! executes, so it needs a KVM that opens and no more.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::{sleep, timeout},
};

use super::raw;

/// A Firecracker without jail, in a directory of its own.
struct Bare {
    child: Child,
    dir: Utf8PathBuf,
    socket: Utf8PathBuf,
    _temporary: TempDir,
}

impl Bare {
    async fn start(program: &Utf8Path) -> Self {
        let temporary = tempfile::Builder::new().prefix("rbfc").tempdir_in("/tmp").unwrap();
        let dir = Utf8PathBuf::try_from(temporary.path().to_owned()).unwrap();
        let socket = dir.join("api.sock");
        let child = spawn(program, &socket);
        fs::write(dir.join("disk"), [0; 4096]).unwrap();
        fs::write(dir.join("junk"), [7; 4096]).unwrap();
        let bare = Self { child, dir, socket, _temporary: temporary };
        bare.wait_for_socket().await;
        bare
    }

    async fn wait_for_socket(&self) {
        let connect = async {
            while UnixStream::connect(&self.socket).await.is_err() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), connect).await.unwrap();
    }

    /// One call; `$DIR` stands for the directory.
    async fn call(&self, method: &str, path: &str, body: &str) -> raw::Raw {
        raw::call(&self.socket, method, path, &body.replace("$DIR", self.dir.as_str())).await
    }

    async fn check(&self, method: &str, path: &str, body: &str, expected: (u16, &str)) {
        let answer = self.call(method, path, body).await;
        let (status, text) = expected;
        assert_eq!(answer.status_line, format!("HTTP/1.1 {status} "), "{path} {body}: {answer:?}");
        let text = text.replace("$DIR", self.dir.as_str());
        if status == 204 {
            assert!(!answer.head.to_lowercase().contains("content-length"), "{answer:?}");
        } else if status == 200 {
            let [found, wanted]: [serde_json::Value; 2] =
                [&answer.body, &text].map(|text| serde_json::from_str(text).unwrap());
            assert_eq!(found, wanted, "{path}");
        } else {
            let fault: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(fault["fault_message"], text, "{path} {body}");
        }
    }

    async fn exit_code(&mut self) -> Option<i32> {
        let wait = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status.code();
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), wait).await.unwrap()
    }

    fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn spawn(program: &Utf8Path, socket: &Utf8Path) -> Child {
    Command::new(program)
        .args(["--api-sock", socket.as_str(), "--id", "m1", "--level", "Error"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

macro_rules! conformance {
    ($($case:ident),* $(,)?) => {
        mod double {
            use camino::Utf8PathBuf;

            $(
                #[tokio::test]
                async fn $case() {
                    let dir = tempfile::tempdir().unwrap();
                    let dir = Utf8PathBuf::try_from(dir.path().to_owned()).unwrap();
                    let (program, _) = crate::double::programs(&dir);
                    super::$case(&program).await;
                    std::fs::remove_dir_all(&dir).unwrap();
                }
            )*
        }

        mod real {
            $(
                #[tokio::test]
                async fn $case() {
                    // Where there is none, the double alone is held to the reference.
                    if let Ok(program) = std::env::var("FIRECRACKER") {
                        super::$case(program.as_str().into()).await;
                    }
                }
            )*
        }
    };
}

conformance!(
    reads_before_the_start,
    unknown_calls_and_bodies,
    machine_config,
    files_are_opened_by_their_calls,
    resource_ids,
    network_interfaces,
    vsock_is_bound_by_its_call_and_silent_before_the_start,
    phases,
    a_failed_start_may_be_tried_again,
    errors_of_the_http_layer,
    the_eleventh_connection_is_sent_away,
    a_failed_load_ends_the_process_and_an_early_one_does_not,
    sockets_are_left_behind_and_stand_in_the_way,
    an_underscore_in_the_id_aborts,
);

async fn reads_before_the_start(program: &Utf8Path) {
    let fc = Bare::start(program).await;
    let machine = r#"{"vcpu_count":1,"mem_size_mib":128,"smt":false,"track_dirty_pages":false,"huge_pages":"None"}"#;
    fc.check("GET", "/machine-config", "", (200, machine)).await;
    fc.check("GET", "/mmds", "", (200, "{}")).await;
    let none = "Balloon config error: No balloon device found.";
    fc.check("GET", "/balloon", "", (400, none)).await;
    let info = fc.call("GET", "/", "").await;
    let info: serde_json::Value = serde_json::from_str(&info.body).unwrap();
    assert_eq!(
        (&info["id"], &info["state"], &info["app_name"]),
        (&"m1".into(), &"Not started".into(), &"Firecracker".into())
    );
    let answer = fc.call("GET", "/version", "").await;
    assert!(answer.head.contains("Server: Firecracker API"), "{answer:?}");
    assert!(answer.head.contains("Connection: keep-alive"), "{answer:?}");
    let config = fc.call("GET", "/vm/config", "").await;
    let config: serde_json::Value = serde_json::from_str(&config.body).unwrap();
    assert!(config["drives"].as_array().is_some_and(Vec::is_empty), "{config}");
    assert!(config["vsock"].is_null(), "{config}");
}

async fn unknown_calls_and_bodies(program: &Utf8Path) {
    let fc = Bare::start(program).await;
    let json = "An error occurred when deserializing the json body of a request:";
    let path = |text: &str| format!("Invalid request method and/or path: {text}.");
    fc.check("GET", "/nosuch/thing", "", (400, &path("GET nosuch"))).await;
    fc.check("GET", "/version?x=1", "", (400, &path("GET version?x=1"))).await;
    fc.check("PUT", "/machine-config", "", (400, "Empty PUT request.")).await;
    fc.check("PATCH", "/machine-config", "", (400, "Empty PATCH request.")).await;
    fc.check("GET", "/version", "{}", (400, "GET request cannot have a body.")).await;
    let fields = "`vcpu_count`, `mem_size_mib`, `smt`, `cpu_template`, `track_dirty_pages`, \
                  `huge_pages`";
    for (body, reason) in [
        (r#"{"vcpu_count":1}"#, "missing field `mem_size_mib` at line 1 column 16.".to_owned()),
        (
            r#"{"vcpu_count":1,"mem_size_mib":128,"foo":1}"#,
            format!("unknown field `foo`, expected one of {fields} at line 1 column 40."),
        ),
        (
            r#"{"vcpu_count":"1"}"#,
            "invalid type: string \"1\", expected u8 at line 1 column 17.".to_owned(),
        ),
    ] {
        let expected = format!("{json} {reason}");
        fc.check("PUT", "/machine-config", body, (400, &expected)).await;
    }
    let actions = "`FlushMetrics`, `InstanceStart`, `SendCtrlAltDel`";
    let expected =
        format!("{json} unknown variant `Foo`, expected one of {actions} at line 1 column 20.");
    fc.check("PUT", "/actions", r#"{"action_type":"Foo"}"#, (400, &expected)).await;
}

async fn machine_config(program: &Utf8Path) {
    let fc = Bare::start(program).await;
    let vcpus = "Machine config error: The number of vCPUs must be greater than 0, less than 32 \
                 and must be 1 or an even number if SMT is enabled.";
    let memory = "Machine config error: The memory size (MiB) is either 0, or not a multiple of \
                  the configured page size.";
    let path = "/machine-config";
    for (body, expected) in [
        (r#"{"vcpu_count":0,"mem_size_mib":128}"#, (400, vcpus)),
        (r#"{"vcpu_count":33,"mem_size_mib":128}"#, (400, vcpus)),
        (r#"{"vcpu_count":3,"mem_size_mib":128,"smt":true}"#, (400, vcpus)),
        (r#"{"vcpu_count":3,"mem_size_mib":128}"#, (204, "")),
        (r#"{"vcpu_count":32,"mem_size_mib":128}"#, (204, "")),
        (r#"{"vcpu_count":1,"mem_size_mib":0}"#, (400, memory)),
        (r#"{"vcpu_count":1,"mem_size_mib":127,"huge_pages":"2M"}"#, (400, memory)),
    ] {
        fc.check("PUT", path, body, expected).await;
    }
    fc.check("PATCH", path, "{}", (400, "Empty PATCH request.")).await;
    fc.check("PATCH", path, r#"{"vcpu_count":2}"#, (204, "")).await;
    // A trailing slash and further parts are ignored.
    let merged = r#"{"vcpu_count":2,"mem_size_mib":128,"smt":false,"track_dirty_pages":false,"huge_pages":"None"}"#;
    fc.check("GET", "/machine-config/", "", (200, merged)).await;
}

async fn files_are_opened_by_their_calls(program: &Utf8Path) {
    let fc = Bare::start(program).await;
    let missing = "No such file or directory (os error 2)";
    let kernel = format!("Boot source error: The kernel file cannot be opened: {missing}");
    let initrd = format!(
        "Boot source error: The initrd file cannot be opened due to invalid path or invalid \
         permissions. {missing}"
    );
    let long = "x".repeat(3000);
    let cmdline = "Boot source error: The kernel command line is invalid: Invalid cmdline capacity \
                   provided.";
    let path = "/boot-source";
    for (body, expected) in [
        (r#"{"kernel_image_path":"$DIR/nope"}"#.to_owned(), (400, kernel.as_str())),
        (
            r#"{"kernel_image_path":"$DIR/junk","initrd_path":"$DIR/nope"}"#.to_owned(),
            (400, &initrd),
        ),
        (format!(r#"{{"kernel_image_path":"$DIR/junk","boot_args":"{long}"}}"#), (400, cmdline)),
        (r#"{"kernel_image_path":"$DIR"}"#.to_owned(), (204, "")),
    ] {
        fc.check("PUT", path, &body, expected).await;
    }
    let prefix = "Drive config error: Unable to create the virtio block device:";
    let gone = format!(
        "{prefix} Virtio backend error: Error manipulating the backing file: {missing} $DIR/nope"
    );
    let neither = format!("{prefix} Invalid block config.");
    let drive =
        |id: &str, rest: &str| format!(r#"{{"drive_id":"{id}","is_root_device":true{rest}}}"#);
    fc.check("PUT", "/drives/a", &drive("a", r#","path_on_host":"$DIR/nope""#), (400, &gone)).await;
    fc.check("PUT", "/drives/a", &drive("a", ""), (400, &neither)).await;
    fc.check("PUT", "/drives/a", &drive("a", r#","path_on_host":"$DIR/disk""#), (204, "")).await;
    let second = "Drive config error: A root block device already exists!";
    fc.check("PUT", "/drives/b", &drive("b", r#","path_on_host":"$DIR/disk""#), (400, second))
        .await;
}

async fn resource_ids(program: &Utf8Path) {
    let fc = Bare::start(program).await;
    let body = |id: &str| {
        format!(r#"{{"drive_id":"{id}","is_root_device":false,"path_on_host":"$DIR/disk"}}"#)
    };
    let characters = "API Resource IDs can only contain alphanumeric characters and underscores.";
    let other = "The id from the path does not match the id from the body!";
    fc.check("PUT", "/drives/a-b", &body("a-b"), (400, characters)).await;
    fc.check("PUT", "/drives/a_b", &body("a_b"), (204, "")).await;
    fc.check("PUT", "/drives/a", &body("b"), (400, other)).await;
    fc.check("PUT", "/drives", &body("a"), (400, "The ID cannot be empty.")).await;
}

async fn network_interfaces(program: &Utf8Path) {
    let fc = Bare::start(program).await;
    let prefix =
        "Network config error: Could not create the network device: Open tap device failed:";
    let body = |id: &str, tap: &str| format!(r#"{{"iface_id":"{id}","host_dev_name":"{tap}"}}"#);
    let other = "The id from the path [eth0] does not match the id from the body [eth1]!";
    fc.check("PUT", "/network-interfaces/eth0", &body("eth1", "x"), (400, other)).await;
    let long = format!("{prefix} Invalid interface name");
    let name = "abcdefghijklmnop";
    fc.check("PUT", "/network-interfaces/eth0", &body("eth0", name), (400, &long)).await;
    let mac = r#"{"iface_id":"eth0","host_dev_name":"lo","guest_mac":"zz:00"}"#;
    let invalid = "An error occurred when deserializing the json body of a request: The provided \
                   MAC address is invalid. at line 1 column 60.";
    fc.check("PUT", "/network-interfaces/eth0", mac, (400, invalid)).await;
    // Not a tap. (A name that does not exist would be made: that needs no test on this machine.)
    let invalid = format!(
        "{prefix} Error while creating ifreq structure: Invalid argument (os error 22). Invalid \
         TUN/TAP Backend provided by lo. Check our documentation on setting up the network devices."
    );
    fc.check("PUT", "/network-interfaces/eth0", &body("eth0", "lo"), (400, &invalid)).await;
}

async fn vsock_is_bound_by_its_call_and_silent_before_the_start(program: &Utf8Path) {
    let fc = Bare::start(program).await;
    let prefix = "Vsock config error: Cannot create backend for vsock device: Error binding to the \
                  host-side Unix socket:";
    let missing = format!("{prefix} No such file or directory (os error 2)");
    let body = |path: &str| format!(r#"{{"guest_cid":3,"uds_path":"{path}"}}"#);
    fc.check("PUT", "/vsock", &body("$DIR/nope/v.sock"), (400, &missing)).await;
    fs::write(fc.dir.join("left.sock"), "").unwrap();
    let answer = fc.call("PUT", "/vsock", &body("$DIR/left.sock")).await;
    // The words for it are those of the C library that a build is linked with.
    assert!(answer.body.contains(prefix) && answer.body.contains("in use (os error 98)"));
    fc.check("PUT", "/vsock", &body("$DIR/v.sock"), (204, "")).await;
    assert!(fc.dir.join("v.sock").exists());
    let mut stream = UnixStream::connect(fc.dir.join("v.sock")).await.unwrap();
    stream.write_all(b"CONNECT 1024\n").await.unwrap();
    let mut byte = [0];
    let silence = timeout(Duration::from_millis(500), stream.read(&mut byte)).await;
    assert!(silence.is_err(), "{silence:?}");
}

async fn phases(program: &Utf8Path) {
    let fc = Bare::start(program).await;
    let early = "The requested operation is not supported before starting the microVM.";
    fc.check("PATCH", "/vm", r#"{"state":"Paused"}"#, (400, early)).await;
    fc.check("PUT", "/actions", r#"{"action_type":"SendCtrlAltDel"}"#, (400, early)).await;
    fc.check("PUT", "/actions", r#"{"action_type":"FlushMetrics"}"#, (400, early)).await;
    let create = r#"{"snapshot_path":"$DIR/s","mem_file_path":"$DIR/m"}"#;
    fc.check("PUT", "/snapshot/create", create, (400, early)).await;
}

async fn a_failed_start_may_be_tried_again(program: &Utf8Path) {
    let mut fc = Bare::start(program).await;
    let start = r#"{"action_type":"InstanceStart"}"#;
    let none = "Start microvm error: Cannot start microvm without kernel configuration.";
    fc.check("PUT", "/actions", start, (400, none)).await;
    fc.check("PUT", "/boot-source", r#"{"kernel_image_path":"$DIR/junk"}"#, (204, "")).await;
    let answer = fc.call("PUT", "/actions", start).await;
    assert_eq!(answer.status_line, "HTTP/1.1 400 ");
    let text = "Start microvm error: System configuration error: Cannot load kernel due to invalid \
                memory configuration or invalid kernel image: Kernel Loader:";
    assert!(answer.body.contains(text), "{answer:?}");
    assert!(fc.is_alive());
    assert!(fc.call("GET", "/", "").await.body.contains("Not started"));
}

async fn errors_of_the_http_layer(program: &Utf8Path) {
    let fc = Bare::start(program).await;
    let rest = "All previous unanswered requests will be dropped.";
    let check = async |request: &str, reason: &str| {
        let mut stream = UnixStream::connect(&fc.socket).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = raw::read(&mut stream).await;
        assert_eq!(answer.status_line, "HTTP/1.1 400 ", "{request}");
        assert_eq!(answer.body, format!("{{ \"error\": \"{reason}\n{rest}\" }}"), "{request}");
    };
    let method = "Invalid HTTP Method: Unsupported HTTP method.";
    check("POST / HTTP/1.1\r\n\r\n", method).await;
    check("OPTIONS / HTTP/1.1\r\n\r\n", method).await;
    let size =
        "Request payload with size 60042 is larger than the limit of 51200 allowed by server.";
    check("PUT /mmds HTTP/1.1\r\nContent-Length: 60042\r\n\r\n", size).await;
    let mut stream = UnixStream::connect(&fc.socket).await.unwrap();
    let head = "PUT /machine-config HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(raw::read(&mut stream).await.status_line, "HTTP/1.1 100 ");
    // `Connection: close` is ignored.
    stream.write_all(b"{}").await.unwrap();
    assert_eq!(raw::read(&mut stream).await.status_line, "HTTP/1.1 400 ");
    for _ in 0..2 {
        stream.write_all(b"GET /version HTTP/1.1\r\nConnection: close\r\n\r\n").await.unwrap();
        assert_eq!(raw::read(&mut stream).await.status_line, "HTTP/1.1 200 ");
    }
}

async fn the_eleventh_connection_is_sent_away(program: &Utf8Path) {
    let fc = Bare::start(program).await;
    let mut open = Vec::new();
    for _ in 0..10 {
        let mut stream = UnixStream::connect(&fc.socket).await.unwrap();
        stream.write_all(b"GET /version HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(raw::read(&mut stream).await.status_line, "HTTP/1.1 200 ");
        open.push(stream);
    }
    let mut stream = UnixStream::connect(&fc.socket).await.unwrap();
    let answer = raw::read(&mut stream).await;
    // Without even a space.
    assert_eq!(answer.status_line, "HTTP/1.1 503");
    assert_eq!(answer.body, r#"{ "error": "Too many open connections" }"#);
}

async fn a_failed_load_ends_the_process_and_an_early_one_does_not(program: &Utf8Path) {
    let mut fc = Bare::start(program).await;
    let load = |rest: &str| format!(r#"{{"snapshot_path":"$DIR/nope"{rest}}}"#);
    let file = r#","mem_backend":{"backend_type":"File","backend_path":"$DIR/nope"}"#;
    let path = "/snapshot/load";
    let json = "An error occurred when deserializing the json body of a request:";
    let both = format!(
        "{json} too many fields: either `mem_backend` or `mem_file_path` exclusively is required."
    );
    let neither =
        format!("{json} missing field: either `mem_backend` or `mem_file_path` is required.");
    fc.check("PUT", path, &load(""), (400, &neither)).await;
    let two = format!(r#"{file},"mem_file_path":"$DIR/nope""#);
    fc.check("PUT", path, &load(&two), (400, &both)).await;
    assert!(fc.is_alive());
    let missing = "Load snapshot error: Failed to restore from snapshot: Failed to get snapshot \
                   state from file: Failed to open snapshot file: No such file or directory (os \
                   error 2)";
    fc.check("PUT", path, &load(file), (400, missing)).await;
    assert_eq!(fc.exit_code().await, Some(1));

    let mut fc = Bare::start(program).await;
    let machine = r#"{"vcpu_count":1,"mem_size_mib":128}"#;
    fc.check("PUT", "/machine-config", machine, (204, "")).await;
    let late = "Load snapshot error: Loading a microVM snapshot not allowed after configuring \
                boot-specific resources.";
    fc.check("PUT", path, &load(file), (400, late)).await;
    assert!(fc.is_alive());
}

async fn sockets_are_left_behind_and_stand_in_the_way(program: &Utf8Path) {
    let mut fc = Bare::start(program).await;
    let body = r#"{"guest_cid":3,"uds_path":"$DIR/v.sock"}"#;
    fc.check("PUT", "/vsock", body, (204, "")).await;
    fc.child.kill().unwrap();
    fc.child.wait().unwrap();
    assert!(fc.socket.exists() && fc.dir.join("v.sock").exists());
    fc.child = spawn(program, &fc.socket);
    assert_eq!(fc.exit_code().await, Some(1));
}

async fn an_underscore_in_the_id_aborts(program: &Utf8Path) {
    use std::os::unix::process::ExitStatusExt;

    let status = Command::new(program)
        .args(["--id", "ws_1", "--api-sock", "/nonexistent/api.sock"])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.signal(), Some(6), "{status}");
}
