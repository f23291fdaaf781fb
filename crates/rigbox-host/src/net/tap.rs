//! Gives the tap of a namespace to the user that the VMM runs as.
//! Called inside the namespace. Does not make the tap.

use std::{fs::OpenOptions, io};

use rustix::ioctl::{IntegerSetter, Setter, ioctl};

use super::TAP;

const TUNSETIFF: rustix::ioctl::Opcode = rustix::ioctl::opcode::write::<i32>(b'T', 202);
const TUNSETOWNER: rustix::ioctl::Opcode = rustix::ioctl::opcode::write::<i32>(b'T', 204);

/// An Ethernet device, without the protocol word before each frame.
const IFF_TAP: u16 = 0x0002;
const IFF_NO_PI: u16 = 0x1000;

/// Length of an interface's name with its end mark.
const NAME_LEN: usize = 16;

/// `struct ifreq` of the kernel: a name, and a union of 24 bytes that begins with the flags.
#[repr(C)]
struct Request {
    name: [u8; NAME_LEN],
    flags: u16,
    rest: [u8; 22],
}

/// Sets the owner of the tap. It stays when this process is gone.
#[expect(unsafe_code, reason = "no safe interface to these two ioctls exists")]
pub(super) fn give_to(uid: u32) -> io::Result<()> {
    let tun = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    let mut request = Request { name: [0; NAME_LEN], flags: IFF_TAP | IFF_NO_PI, rest: [0; 22] };
    for (to, from) in request.name.iter_mut().zip(TAP.bytes()) {
        *to = from;
    }
    let owner = usize::try_from(uid).map_err(io::Error::other)?;
    // SAFETY: TUNSETIFF reads and writes a `struct ifreq`, which `Request` is in size and layout;
    // TUNSETOWNER takes the number itself. Both act on the descriptor that is open here.
    unsafe {
        ioctl(&tun, Setter::<TUNSETIFF, Request>::new(request))?;
        ioctl(&tun, IntegerSetter::<TUNSETOWNER>::new_usize(owner))?;
    }
    Ok(())
}
