//! Enters the workspace's network namespace and opens its tap there.

use std::os::fd::{AsFd, OwnedFd};

use rigbox_vmm::launch::Network;
use rustix::{
    fs::{Mode, OFlags},
    ioctl::{Setter, ioctl, opcode},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use crate::{Failure, place};

/// The tap, in its place. The process stays in the namespace.
pub(crate) fn enter(network: &Network) -> Result<OwnedFd, Failure> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let netns = rustix::fs::open(network.netns.as_std_path(), flags, Mode::empty())
        .map_err(Failure::at(format!("open {}", network.netns)))?;
    move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(Failure::at(format!("enter {}", network.netns)))?;
    // Opening a name that does not exist would make a tap of that name, without rules.
    let devices = std::fs::read_to_string("/proc/self/net/dev")
        .map_err(Failure::at("read the namespace's devices"))?;
    let prefix = format!("{}:", network.tap);
    if !devices.lines().any(|line| line.trim_start().starts_with(&prefix)) {
        let step = format!("open tap {}", network.tap);
        return Err(Failure { step, cause: "it is not in the namespace".to_owned() });
    }
    let tap = open_tap(&network.tap)?;
    place(&tap, network.fd)
}

fn open_tap(name: &str) -> Result<OwnedFd, Failure> {
    let step = || format!("open tap {name}");
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let tun = rustix::fs::open("/dev/net/tun", flags, Mode::empty())
        .map_err(Failure::at("open /dev/net/tun"))?;
    let mut request =
        InterfaceRequest { name: [0; NAME_BYTES], flags: TAP_FLAGS, rest: [0; REST_BYTES] };
    // The last byte stays zero.
    if name.is_empty() || name.len() >= NAME_BYTES {
        return Err(Failure { step: step(), cause: "a name has 1 to 15 bytes".to_owned() });
    }
    for (to, from) in request.name.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    set_interface(&tun, request).map_err(Failure::at(step()))?;
    Ok(tun)
}

#[expect(unsafe_code, reason = "no safe wrapper of TUNSETIFF exists")]
fn set_interface(tun: &OwnedFd, request: InterfaceRequest) -> rustix::io::Result<()> {
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq`. `InterfaceRequest` has its size and
    // layout (asserted below) and consists of integers, so any bytes are valid. The kernel keeps no
    // pointer to it.
    unsafe { ioctl(tun, Setter::<TUNSETIFF, InterfaceRequest>::new(request)) }
}

/// `struct ifreq` with `ifr_flags` in its union.
#[repr(C)]
#[derive(Clone, Copy)]
struct InterfaceRequest {
    name: [u8; NAME_BYTES],
    flags: u16,
    rest: [u8; REST_BYTES],
}

const NAME_BYTES: usize = 16;
const REST_BYTES: usize = 22;
const _: () = assert!(size_of::<InterfaceRequest>() == 40, "size of struct ifreq on 64 bits");

/// `TUNSETIFF`: `_IOW('T', 202, int)`, although its argument is a `struct ifreq`.
const TUNSETIFF: rustix::ioctl::Opcode = opcode::write::<libc::c_int>(b'T', 202);
/// `IFF_TAP | IFF_NO_PI | IFF_VNET_HDR`: frames, no extra header, offloads.
const TAP_FLAGS: u16 = 0x0002 | 0x1000 | 0x4000;
