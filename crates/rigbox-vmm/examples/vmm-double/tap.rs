//! Opens a tap as Firecracker does, when its interface is configured.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{Mode, OFlags},
    ioctl::{Setter, ioctl, opcode},
};

use crate::os;

/// The tap, or Firecracker's words.
pub(crate) fn open(name: &str) -> Result<OwnedFd, String> {
    let fault = |text: String| format!("Open tap device failed: {text}");
    if name.len() >= NAME_BYTES {
        return Err(fault("Invalid interface name".to_owned()));
    }
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let tun = rustix::fs::open("/dev/net/tun", flags, Mode::empty())
        .map_err(|error| fault(format!("Couldn't open /dev/net/tun: {}", os(error))))?;
    let mut request = Request { name: [0; NAME_BYTES], flags: FLAGS, rest: [0; 22] };
    for (to, from) in request.name.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    set_interface(&tun, request).map_err(|error| {
        fault(format!(
            "Error while creating ifreq structure: {}. Invalid TUN/TAP Backend provided by {name}. \
             Check our documentation on setting up the network devices.",
            os(error)
        ))
    })?;
    Ok(tun)
}

#[expect(unsafe_code, reason = "no safe wrapper of TUNSETIFF exists")]
fn set_interface(tun: &OwnedFd, request: Request) -> rustix::io::Result<()> {
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq`, whose size and layout `Request` has
    // (asserted below); it consists of integers, and the kernel keeps no pointer to it.
    unsafe { ioctl(tun, Setter::<TUNSETIFF, Request>::new(request)) }
}

#[repr(C)]
struct Request {
    name: [u8; NAME_BYTES],
    flags: u16,
    rest: [u8; 22],
}

const NAME_BYTES: usize = 16;
const _: () = assert!(size_of::<Request>() == 40, "size of struct ifreq on 64 bits");
const TUNSETIFF: rustix::ioctl::Opcode = opcode::write::<libc::c_int>(b'T', 202);
const FLAGS: u16 = 0x0002 | 0x1000 | 0x4000;
