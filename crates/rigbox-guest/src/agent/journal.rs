//! Writes to the guest's log: journald where it runs, else a file of bounded size.

use std::{fs, io::Write, os::unix::net::UnixDatagram};

use super::{clock, root::Root};

/// journald's own socket.
const SOCKET: &str = "/run/systemd/journal/socket";

/// The log of a guest without journald.
pub(crate) const LOG_FILE: &str = "/var/log/rigbox.log";

/// Beyond this the file is put aside, and the one put aside before is gone.
const LOG_FILE_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Writes one line under a program's name. A log that cannot be written to must not stop what is
/// being logged, so failures end here.
pub(crate) fn write(root: &Root, program: &str, line: &str) {
    if to_journald(root, program, line).is_err() {
        let _unwritten = to_file(root, program, line);
    }
}

fn to_journald(root: &Root, program: &str, line: &str) -> std::io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    // The log must not hold up the agent when journald is busy.
    socket.set_nonblocking(true)?;
    let entry = format!("MESSAGE={line}\nPRIORITY=6\nSYSLOG_IDENTIFIER={program}\n");
    socket.send_to(entry.as_bytes(), root.path(SOCKET)).map(drop)
}

fn to_file(root: &Root, program: &str, line: &str) -> std::io::Result<()> {
    let path = root.path(LOG_FILE);
    if fs::metadata(&path).is_ok_and(|file| file.len() > LOG_FILE_MAX_BYTES) {
        fs::rename(&path, path.with_extension("log.1"))?;
    }
    root.make_dir("/var/log")?;
    let mut file = fs::OpenOptions::new().create(true).append(true).open(&path)?;
    file.write_all(format!("{} {program}: {line}\n", clock::now()).as_bytes())
}
