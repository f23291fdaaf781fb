//! What happens in a child between fork and exec: session, terminal, user, directory.
//! Safe code cannot do it: the standard library has no supplementary groups and no controlling
//! terminal.

#![expect(unsafe_code, reason = "the code between fork and exec has to be system calls only")]

use std::{ffi::CString, io, os::unix::ffi::OsStrExt as _, path::Path};

use tokio::process::Command;

use crate::agent::users::User;

/// Whether the child's standard input is a terminal that it shall control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terminal {
    None,
    Stdin,
}

/// Makes `command` run as `user` in `cwd`, as leader of its own session and process group, with
/// an ordinary chance in the eyes of the OOM killer.
pub(crate) fn prepare(
    command: &mut Command,
    user: &User,
    cwd: &Path,
    terminal: Terminal,
) -> io::Result<()> {
    let cwd = CString::new(cwd.as_os_str().as_bytes())?;
    let (uid, gid, groups) = (user.uid, user.gid, user.groups.clone());
    // SAFETY: the closure runs in the forked child, where only async-signal-safe calls are allowed.
    // It makes system calls on values that were allocated before the fork, allocates nothing and
    // takes no lock.
    unsafe {
        command.pre_exec(move || {
            check(libc::setsid().into())?;
            if terminal == Terminal::Stdin {
                check(libc::ioctl(0, libc::TIOCSCTTY, 0).into())?;
            }
            oom_adjust();
            libc::umask(0o022);
            if libc::geteuid() == 0 {
                // The raw calls, because the C library's tell other threads, of which a forked
                // child has none.
                check(libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()))?;
                check(libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
                check(libc::syscall(libc::SYS_setresuid, uid, uid, uid))?;
            }
            check(libc::chdir(cwd.as_ptr()).into())
        });
    }
    Ok(())
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The agent itself is protected from the OOM killer; what it starts must not be. Not possible
/// for an agent without rights, which is as well: it is not protected then.
fn oom_adjust() {
    // SAFETY: open, write and close of a constant path and a constant buffer of the given length.
    unsafe {
        let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY);
        if file >= 0 {
            libc::write(file, c"0".as_ptr().cast(), 1);
            libc::close(file);
        }
    }
}
