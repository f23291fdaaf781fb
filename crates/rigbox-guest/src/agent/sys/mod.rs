//! System calls that have no safe form elsewhere. Each file says why it needs what it does.

pub(crate) mod child;
pub(crate) mod ext4;
pub(crate) mod freeze;
pub(crate) mod random;
pub(crate) mod remaining;
pub(crate) mod rights;
pub(crate) mod vsock;
pub(crate) mod watched;
