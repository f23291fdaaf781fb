use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    process::{Child, Command},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::world::PATIENCE;

/// A program in a terminal.
pub(crate) struct Terminal {
    master: File,
    /// Kept open, so that the terminal outlives the program.
    slave: OwnedFd,
    child: Child,
    seen: Arc<(Mutex<String>, Condvar)>,
}

impl Terminal {
    /// Starts the program in a terminal of 100 columns and 40 rows that is its controlling one.
    pub(crate) fn start(command: &Command) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave =
            open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        tcsetwinsize(&slave, size(100, 40)).unwrap();
        // setsid makes the terminal the controlling one without unsafe code here.
        let mut started = Command::new("setsid");
        started.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
        started.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("TERM", "xterm");
        started.stdin(slave.try_clone().unwrap());
        started.stdout(slave.try_clone().unwrap()).stderr(slave.try_clone().unwrap());
        let child = started.spawn().unwrap();
        let master = File::from(master);
        let seen = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let (mut reader, shared) = (master.try_clone().unwrap(), Arc::clone(&seen));
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = reader.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                shared.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
                shared.1.notify_all();
            }
        });
        Self { master, slave, child, seen }
    }

    /// Types.
    pub(crate) fn type_in(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the text is on the screen, and returns all of it.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        let seen = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.seen.1.wait_timeout_while(seen, PATIENCE, |seen| !seen.contains(text));
        let (seen, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "never saw {text:?} in {seen:?}");
        seen.clone()
    }

    /// Gives the terminal another size.
    pub(crate) fn resize(&self, cols: u16, rows: u16) {
        tcsetwinsize(&self.slave, size(cols, rows)).unwrap();
    }

    /// Waits for the end of the program; its exit code.
    pub(crate) fn end(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

fn size(cols: u16, rows: u16) -> Winsize {
    Winsize { ws_col: cols, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }
}
