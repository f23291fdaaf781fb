//! Feeds the kernel's random number generator. No crate has these two ioctls.

#![expect(unsafe_code, reason = "ioctls without a safe wrapper")]

use std::{fs::File, io, os::fd::AsRawFd as _};

use rigbox_types::guest::setup::RESEED_MAX_BYTES;

/// `RNDADDENTROPY`: `_IOW('R', 0x03, int[2])`.
const ADD_ENTROPY: libc::Ioctl = 0x4008_5203;
/// `RNDRESEEDCRNG`: `_IO('R', 0x07)`.
const RESEED: libc::Ioctl = 0x5207;

/// `struct rand_pool_info` with room for the most that is taken.
#[repr(C)]
struct PoolInfo {
    entropy_bits: libc::c_int,
    length: libc::c_int,
    bytes: [u8; RESEED_MAX_BYTES],
}

/// Mixes the bytes in, counts them as entropy, and makes the generator use them at once.
pub(crate) fn reseed(random: &[u8]) -> io::Result<()> {
    let mut info = PoolInfo { entropy_bits: 0, length: 0, bytes: [0; RESEED_MAX_BYTES] };
    let bytes = info.bytes.get_mut(..random.len()).ok_or(io::ErrorKind::InvalidInput)?;
    bytes.copy_from_slice(random);
    info.length = libc::c_int::try_from(random.len()).map_err(io::Error::other)?;
    info.entropy_bits = info.length.saturating_mul(8);
    let device = File::options().read(true).write(true).open("/dev/random")?;
    // SAFETY: the descriptor is open for the whole call; the structure has the kernel's layout and
    // holds at least `length` bytes.
    if unsafe { libc::ioctl(device.as_raw_fd(), ADD_ENTROPY, &raw const info) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open for the whole call, and this ioctl takes no argument.
    if unsafe { libc::ioctl(device.as_raw_fd(), RESEED) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
