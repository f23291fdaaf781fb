//! The trampoline by itself, with small programs in place of a VMM.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::fd::AsRawFd,
    process::{Command, Output, Stdio},
};

use camino::Utf8PathBuf;
use rigbox_vmm::launch::{
    Access, FD_MIN, Identity, LaunchSpec, Limits, ListenSocket, Memory, OpenFile, Output as Stream,
    SPEC_MAX_BYTES,
};
use rustix::fs::{FileType, Mode};
use tempfile::TempDir;

/// A directory with a pipe that the program's output goes to.
struct Stage {
    dir: Utf8PathBuf,
    pipe: File,
    _temporary: TempDir,
}

impl Stage {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = Utf8PathBuf::try_from(temporary.path().to_owned()).unwrap();
        let path = dir.join("out");
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, path.as_str(), FileType::Fifo, mode, 0).unwrap();
        // For both directions, so that what was written stays when the program has ended.
        let pipe = File::options().read(true).write(true).open(&path).unwrap();
        rustix::io::ioctl_fionbio(&pipe, true).unwrap();
        Self { dir, pipe, _temporary: temporary }
    }

    /// What runs `script`, as a user of its own.
    fn spec(&self, script: &str) -> LaunchSpec {
        LaunchSpec {
            program: "/bin/bash".into(),
            args: vec!["-c".to_owned(), script.to_owned()],
            stdout: Stream::Pipe(self.dir.join("out")),
            stderr: Stream::Null,
            files: Vec::new(),
            sockets: Vec::new(),
            memory: None,
            network: None,
            kvm_node: None,
            limits: Limits { open_files: 64, file_size_bytes: 1 << 20 },
            identity: Some(Identity { uid: 70_001, gid: 70_002 }),
        }
    }

    fn output(&mut self) -> String {
        let mut bytes = Vec::new();
        // Ends with "would block", since the stage itself could still write.
        self.pipe.read_to_end(&mut bytes).ok();
        String::from_utf8(bytes).unwrap()
    }
}

/// The report is the trampoline's standard output; empty is success.
fn launch_line(line: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rigbox-launch"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have refused before it read all.
    child.stdin.take().unwrap().write_all(line).ok();
    child.wait_with_output().unwrap()
}

fn launch(spec: &LaunchSpec) -> String {
    let mut line = serde_json::to_vec(spec).unwrap();
    line.push(b'\n');
    String::from_utf8(launch_line(&line).stdout).unwrap()
}

#[test]
fn without_a_specification_it_just_ends() {
    let output = launch_line(b"");
    assert!(output.status.success());
    assert_eq!((output.stdout, output.stderr), (Vec::new(), Vec::new()));
}

#[test]
fn half_a_specification_is_none() {
    let stage = Stage::new();
    let line = serde_json::to_vec(&stage.spec("echo ran")).unwrap();
    for cut in [1, line.len() / 2, line.len()] {
        let output = launch_line(&line[..cut]);
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("no end of line"));
    }
    let long = vec![b' '; usize::try_from(SPEC_MAX_BYTES).unwrap() + 1];
    assert!(!launch_line(&long).status.success());
}

#[test]
fn an_unknown_field_is_refused() {
    let mut stage = Stage::new();
    let mut spec = serde_json::to_value(stage.spec("echo ran")).unwrap();
    spec["nice"] = 5.into();
    let output = launch_line(format!("{spec}\n").as_bytes());
    assert!(String::from_utf8_lossy(&output.stdout).contains("unknown field `nice`"));
    assert_eq!(stage.output(), "");
}

#[test]
fn the_program_has_no_privileges_no_environment_and_limits() {
    let mut stage = Stage::new();
    let spec = stage.spec("cat /proc/self/status; ulimit -n; ulimit -f; ulimit -c; env; umask");
    assert_eq!(launch(&spec), "");
    let output = stage.output();
    for expected in [
        "Uid:\t70001\t70001\t70001\t70001\n",
        "Gid:\t70002\t70002\t70002\t70002\n",
        "Groups:\t \n",
        "CapPrm:\t0000000000000000\n",
        "CapBnd:\t0000000000000000\n",
        "NoNewPrivs:\t1\n",
        // Descriptors, KiB of a file, no core.
        "\n64\n1024\n0\n",
    ] {
        assert!(output.contains(expected), "{expected:?} in {output}");
    }
    assert!(output.ends_with("\n0077\n"), "{output}");
    // The shell sets some variables of its own.
    assert!(!output.contains("HOME=") && !output.contains("CARGO"), "{output}");
}

#[test]
fn exactly_what_is_named_is_inherited() {
    let mut stage = Stage::new();
    // One that the parent forgot to mark.
    let leaked = File::open("/etc/hostname").unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    assert!(leaked.as_raw_fd() > 2);
    fs::write(stage.dir.join("secret"), "of root").unwrap();
    let mut spec = stage.spec("cat <&11; ls /proc/self/fd");
    spec.files =
        vec![OpenFile { path: stage.dir.join("secret"), fd: FD_MIN + 1, access: Access::Read }];
    spec.sockets = vec![ListenSocket { path: stage.dir.join("sock"), fd: FD_MIN }];
    assert_eq!(launch(&spec), "");
    // 3 is the directory that `ls` reads.
    assert_eq!(stage.output(), "of root0\n1\n10\n11\n2\n3\n");
    let mode = fs::metadata(stage.dir.join("sock")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
}

#[test]
fn a_descriptor_of_the_streams_or_one_in_use_is_refused() {
    let stage = Stage::new();
    let file = |fd| OpenFile { path: "/dev/null".into(), fd, access: Access::Read };
    let mut spec = stage.spec("echo ran");
    spec.files = vec![file(1)];
    assert!(launch(&spec).contains("must be at least"));
    spec.files = vec![file(FD_MIN), file(FD_MIN)];
    assert!(launch(&spec).contains("in use"));
}

#[test]
fn links_and_plain_files_are_refused_where_they_would_do_harm() {
    let stage = Stage::new();
    let (link, plain) = (stage.dir.join("link"), stage.dir.join("plain"));
    std::os::unix::fs::symlink("/etc/shadow", &link).unwrap();
    fs::write(&plain, "").unwrap();
    let mut spec = stage.spec("echo ran");
    spec.files = vec![OpenFile { path: link.clone(), fd: FD_MIN, access: Access::ReadWrite }];
    assert!(launch(&spec).contains("link"));
    spec.files.clear();
    // A plain file as output would grow without bound.
    spec.stdout = Stream::Pipe(plain);
    assert!(launch(&spec).contains("not a named pipe"));
}

#[test]
fn memory_is_filled_from_a_snapshot_and_cannot_grow() {
    let mut stage = Stage::new();
    let from = stage.dir.join("memory");
    fs::write(&from, [b'm'; 8192]).unwrap();
    let mut spec =
        stage.spec("head -c 3 /proc/self/fd/10; truncate -s 16384 /proc/self/fd/10 || echo sealed");
    spec.memory = Some(Memory { fd: FD_MIN, size_bytes: 8192, from: Some(from.clone()) });
    assert_eq!(launch(&spec), "");
    assert_eq!(stage.output(), "mmmsealed\n");
    spec.memory = Some(Memory { fd: FD_MIN, size_bytes: 4096, from: Some(from) });
    assert!(launch(&spec).contains("sizes differ"));
}

#[test]
fn an_output_that_nobody_reads_neither_blocks_nor_kills() {
    let mut stage = Stage::new();
    let done = stage.dir.join("done");
    fs::create_dir(&done).unwrap();
    // Four times what a pipe holds, then a sign of life elsewhere.
    let script = format!("head -c 262144 /dev/zero; rmdir {done}");
    let mut spec = stage.spec(&script);
    spec.identity = None;
    assert_eq!(launch(&spec), "");
    assert!(!done.exists());
    assert!(stage.output().len() <= 65_536);
}

#[test]
fn a_program_that_cannot_be_executed_is_reported() {
    let stage = Stage::new();
    let mut spec = stage.spec("");
    spec.program = "/nonexistent/vmm".into();
    assert!(launch(&spec).contains("execute /nonexistent/vmm: No such file"));
}
