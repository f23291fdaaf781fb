//! A pseudo terminal: the master side is ours, the slave is the command's.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rigbox_types::guest::TtySize;
use rustix::{
    fs::{Gid, Mode, OFlags, Uid, fchmod, fchown, fcntl_setfl},
    process::{Pid, Signal, kill_process_group},
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{Winsize, tcgetpgrp, tcsetwinsize},
};
use tokio::io::unix::AsyncFd;

use crate::agent::{sys::watched::watched, users::User};

/// Sent for the end of standard input: what a terminal makes of Ctrl-D.
pub(super) const END_OF_FILE: [u8; 1] = [4];

/// Read at once; the kernel's buffer has 4 KiB.
const READ_BYTES: usize = 4096;

/// The master side.
pub(super) struct Pty {
    master: AsyncFd<OwnedFd>,
}

impl Pty {
    /// A terminal of this size that belongs to `user`, and its slave side.
    pub(super) fn open(size: TtySize, user: &User) -> io::Result<(Self, OwnedFd)> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let slave = ioctl_tiocgptpeer(
            &master,
            OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
        )?;
        if rustix::process::geteuid().is_root() {
            fchown(&slave, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))?;
            fchmod(&slave, Mode::from_raw_mode(0o620))?;
        }
        fcntl_setfl(&master, OFlags::NONBLOCK)?;
        let pty = Self { master: watched(master)? };
        pty.resize(size)?;
        Ok((pty, slave))
    }

    pub(super) fn resize(&self, size: TtySize) -> io::Result<()> {
        let size = Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(self.master.as_fd(), size)?)
    }

    /// Signals whoever is in the foreground; says whether somebody is.
    pub(super) fn signal(&self, signal: Signal) -> bool {
        let foreground: rustix::io::Result<Pid> = tcgetpgrp(self.master.as_fd());
        foreground.and_then(|group| kill_process_group(group, signal)).is_ok()
    }

    /// The next output; empty when the last slave is closed.
    pub(super) async fn read(&self) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; READ_BYTES];
        let read = self
            .master
            .async_io(tokio::io::Interest::READABLE, |master| {
                Ok(rustix::io::read(master, buffer.as_mut_slice())?)
            })
            .await;
        let count = match read {
            Ok(count) => count,
            // What Linux says when no slave is open any more.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => 0,
            Err(error) => return Err(error),
        };
        buffer.truncate(count);
        Ok(buffer)
    }

    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = self
                .master
                .async_io(tokio::io::Interest::WRITABLE, |master| {
                    Ok(rustix::io::write(master, bytes)?)
                })
                .await?;
            bytes = bytes.get(count..).unwrap_or_default();
        }
        Ok(())
    }
}
