//! The device of a virtio-serial port as a line.
//!
//! While no host is connected the kernel reports a hang-up on the device for ever, and tokio takes a
//! hang-up for final. So the device is watched by an epoll of our own, of which tokio sees only that
//! something has happened, and which is left alone while there is no host.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::event::{
    PollFd, PollFlags, Timespec,
    epoll::{self, CreateFlags, EventData, EventFlags},
    poll,
};
use tokio::io::unix::AsyncFd;

use crate::{
    agent::sys::watched::watched,
    mux::{Line, Readiness},
};

/// Between looks for a host, while the device is not watched.
const HOST_PAUSE: Duration = Duration::from_millis(50);

/// An open port.
pub(super) struct VirtioPort {
    device: File,
    epoll: AsyncFd<OwnedFd>,
    /// What the epoll watches for now.
    interest: AtomicU32,
}

impl VirtioPort {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let nothing = EventFlags::empty();
        epoll::add(&epoll, &device, EventData::new_u64(0), nothing)?;
        let interest = AtomicU32::new(nothing.bits());
        Ok(Self { device, epoll: watched(epoll)?, interest })
    }

    /// Comes back when a host is connected.
    pub(super) async fn host_is_there(&self) {
        while self.is_hung_up() {
            tokio::time::sleep(HOST_PAUSE).await;
        }
    }

    fn is_hung_up(&self) -> bool {
        let mut device = [PollFd::new(&self.device, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let polled = poll(&mut device, Some(&now));
        polled.is_ok() && device.iter().any(|fd| fd.revents().contains(PollFlags::HUP))
    }

    fn watch(&self, wanted: Readiness) -> io::Result<()> {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, wanted.readable);
        flags.set(EventFlags::OUT, wanted.writable);
        if self.interest.swap(flags.bits(), Ordering::Relaxed) != flags.bits() {
            epoll::modify(self.epoll.get_ref(), &self.device, EventData::new_u64(0), flags)?;
        }
        Ok(())
    }

    /// What the epoll has seen; nothing when it has to be waited for.
    fn seen(&self) -> io::Result<Option<Readiness>> {
        let mut events = [epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let count = epoll::wait(self.epoll.get_ref(), events.as_mut_slice(), Some(&now))?;
        let flags = events.iter().take(count).map(|event| event.flags).next();
        Ok(flags.map(|flags| {
            // A hang-up is told by a read of nothing.
            let ended = flags.intersects(EventFlags::HUP | EventFlags::ERR);
            Readiness {
                readable: ended || flags.contains(EventFlags::IN),
                writable: flags.contains(EventFlags::OUT),
            }
        }))
    }
}

impl Line for VirtioPort {
    async fn ready(&self, wanted: Readiness) -> io::Result<Readiness> {
        self.watch(wanted)?;
        loop {
            let mut guard = self.epoll.readable().await?;
            match self.seen()? {
                Some(ready) => return Ok(ready),
                None => guard.clear_ready(),
            }
        }
    }

    fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        (&self.device).read(into)
    }

    fn try_write(&self, from: &[u8]) -> io::Result<usize> {
        (&self.device).write(from)
    }
}
