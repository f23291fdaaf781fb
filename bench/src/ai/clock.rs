//! One clock for all processes of the run, and waiting until a moment of it without the millisecond that
//! the runtime's own timers are coarse by.
//! Invariant: a moment is in nanoseconds of the machine's monotonic clock, which is the same in every
//! process.

use std::{io, os::fd::OwnedFd};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::{Interest, unix::AsyncFd};

const SECOND_NS: u64 = 1_000_000_000;

/// Now.
pub(super) fn now_ns() -> u64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
    // Neither is ever below zero.
    tv_sec.unsigned_abs() * SECOND_NS + tv_nsec.unsigned_abs()
}

/// Waits for moments, one after the other.
pub(super) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    /// One more.
    ///
    /// # Errors
    /// Where there are no descriptors left.
    #[expect(unsafe_code, reason = "the runtime takes a descriptor in no other way")]
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // SAFETY: the descriptor is owned, and neither replaced nor closed while the runtime has it.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) };
        Ok(Self(timer?))
    }

    /// Waits until a moment; not at all where it is over.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub(super) async fn until(&self, moment_ns: u64) -> io::Result<()> {
        if moment_ns <= now_ns() {
            return Ok(());
        }
        let part = |ns: u64| i64::try_from(ns).map_err(io::Error::other);
        let (tv_sec, tv_nsec) = (part(moment_ns / SECOND_NS)?, part(moment_ns % SECOND_NS)?);
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let once = Itimerspec { it_interval: never, it_value: Timespec { tv_sec, tv_nsec } };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            let read = |timer: &AsyncFd<OwnedFd>| -> io::Result<usize> {
                Ok(rustix::io::read(timer.get_ref(), &mut [0; 8])?)
            };
            if let Ok(read) = ready.try_io(read) {
                return read.map(drop);
            }
        }
    }
}
