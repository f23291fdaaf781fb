//! A stand-in for a guest: it boots in a while, writes to the console, answers lines on vsock port
//! 1024, and ends in the ways that guests end.
//!
//! A kernel file that begins with `#!double` sets, one a line:
//! `boot_ms=` how long until it is up; `runs=no` for a KVM that never executes it, which ends the
//! process with exit code 0 after `end_ms=`; `shutdown_ms=` how long an orderly shutdown takes;
//! `snapshot_ms=` how long a snapshot is written, during which nothing else is answered.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use crate::{console, end};

/// The options of a kernel file.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    boot: Duration,
    runs: bool,
    end: Duration,
    shutdown: Duration,
    pub(crate) snapshot: Duration,
}

impl Options {
    /// Of a kernel: its own, or those of a guest that boots at once.
    pub(crate) fn of(kernel: &[u8]) -> Self {
        let text = std::str::from_utf8(kernel).ok().filter(|text| text.starts_with(SIGNATURE));
        let value = |name: &str| {
            let lines = text.unwrap_or_default().lines();
            lines.filter_map(|line| line.split_once('=')).find(|(key, _)| *key == name)
        };
        let ms = |name: &str, default: u64| {
            let ms = value(name).and_then(|(_, ms)| ms.parse().ok()).unwrap_or(default);
            Duration::from_millis(ms)
        };
        Self {
            boot: ms("boot_ms", 100),
            runs: value("runs").is_none_or(|(_, runs)| runs != "no"),
            // What was measured where KVM opens but does not work.
            end: ms("end_ms", 31_000),
            shutdown: ms("shutdown_ms", 100),
            snapshot: ms("snapshot_ms", 0),
        }
    }

    /// Whether this is a kernel: an ELF file, a bzImage, or the double's own.
    pub(crate) fn is_kernel(kernel: &[u8]) -> bool {
        kernel.starts_with(b"\x7fELF")
            || kernel.get(0x202..0x206) == Some(b"HdrS")
            || kernel.starts_with(SIGNATURE.as_bytes())
    }
}

/// The guest.
pub(crate) struct Guest {
    options: Options,
    cmdline: String,
    mac: String,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    life: Life,
    is_paused: bool,
    memory: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Life {
    #[default]
    Booting,
    Up,
    /// After `poweroff`: the process goes on, and says that it is running.
    Halted,
}

impl Guest {
    /// Starts to boot.
    pub(crate) fn boot(options: Options, cmdline: String, mac: String) -> Arc<Self> {
        let guest = Self::make(options, cmdline, mac, State::default());
        let booting = Arc::clone(&guest);
        thread::spawn(move || booting.come_up());
        guest
    }

    /// Goes on from a snapshot, paused.
    pub(crate) fn restore(
        options: Options,
        cmdline: String,
        mac: String,
        memory: String,
    ) -> Arc<Self> {
        Self::make(options, cmdline, mac, State { life: Life::Up, is_paused: true, memory })
    }

    fn make(options: Options, cmdline: String, mac: String, state: State) -> Arc<Self> {
        Arc::new(Self { options, cmdline, mac, state: Mutex::new(state), changed: Condvar::new() })
    }

    fn come_up(&self) {
        if !self.options.runs {
            thread::sleep(self.options.end);
            end(0);
        }
        thread::sleep(self.options.boot);
        let mut state = self.wait_while(|state| state.is_paused);
        state.life = Life::Up;
        console("guest is up\n");
        self.changed.notify_all();
    }

    /// Stops or continues the vCPUs.
    pub(crate) fn set_paused(&self, is_paused: bool) {
        self.lock().is_paused = is_paused;
        self.changed.notify_all();
    }

    /// What a memory file holds.
    pub(crate) fn memory(&self) -> String {
        self.lock().memory.clone()
    }

    /// How long a snapshot is written.
    pub(crate) fn snapshot_time(&self) -> Duration {
        self.options.snapshot
    }

    /// Waits until it runs; false if it never will again.
    pub(crate) fn wait_until_up(&self) -> bool {
        let state = self.wait_while(|state| state.is_paused || state.life == Life::Booting);
        state.life == Life::Up
    }

    /// Ctrl-Alt-Del: an orderly shutdown, if there is anybody to do it.
    pub(crate) fn shut_down(self: &Arc<Self>) {
        let guest = Arc::clone(self);
        thread::spawn(move || {
            if guest.wait_until_up() {
                thread::sleep(guest.options.shutdown);
                console("reboot: Restarting system\n");
                end(0);
            }
        });
    }

    /// The agent: one line, one answer.
    pub(crate) fn talk(self: &Arc<Self>, mut stream: UnixStream, reader: BufReader<UnixStream>) {
        for line in reader.lines() {
            let Ok(line) = line else { return };
            // A paused guest answers when it is resumed, a halted one never.
            if !self.wait_until_up() {
                continue;
            }
            let Some(answer) = self.answer(&line) else { continue };
            if stream.write_all(format!("{answer}\n").as_bytes()).is_err() {
                return;
            }
        }
    }

    fn answer(self: &Arc<Self>, line: &str) -> Option<String> {
        let answer = match line {
            "reboot" => {
                console("reboot: Restarting system\n");
                end(0);
            }
            "panic" => {
                console("Kernel panic - not syncing: sysrq triggered crash\n");
                end(0);
            }
            "poweroff" => {
                console("reboot: System halted\n");
                self.lock().life = Life::Halted;
                return None;
            }
            "flood" => {
                let guest = Arc::clone(self);
                thread::spawn(move || {
                    while guest.wait_until_up() {
                        console("flood flood flood flood flood flood flood flood\n");
                    }
                });
                "flooding".to_owned()
            }
            "cmdline" => self.cmdline.clone(),
            "mac" => self.mac.clone(),
            "recall" => self.lock().memory.clone(),
            _ => match line.strip_prefix("remember ") {
                Some(memory) => {
                    memory.clone_into(&mut self.lock().memory);
                    "yes".to_owned()
                }
                None => format!("echo {line}"),
            },
        };
        Some(answer)
    }

    fn wait_while(&self, condition: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        self.changed
            .wait_while(self.lock(), |state| condition(state))
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SIGNATURE: &str = "#!double\n";
