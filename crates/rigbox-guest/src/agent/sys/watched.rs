//! Hands a descriptor to tokio. Its safe constructor is deprecated in favour of one whose promise
//! has to be made by the caller; it is made here, once, for the one type for which it always holds.

#![expect(unsafe_code, reason = "tokio's constructor asks for a promise about the descriptor")]

use std::{io, os::fd::OwnedFd};

use tokio::io::unix::AsyncFd;

/// A descriptor that can be waited for.
pub(crate) fn watched(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open until it is dropped and always answers the same number; it is
    // moved into the `AsyncFd`, which gives out only shared references to it.
    let watched = unsafe { AsyncFd::register(descriptor) };
    watched.map_err(|refused| refused.into_parts().1)
}
