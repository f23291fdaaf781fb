//! `rigbox backup` and `rigbox restore`: the whole platform as one file, and back.
//!
//! ```text
//! rigbox-backup.json   what this is
//! config/ host-id host/ control/   configuration, identity, secrets
//! database.ndjson      one moment of the database, for either engine
//! disks/<workspace>.ext4   each of a moment after it, without holes
//! images/ kernels/     only where asked for
//! manifest.json        every part with its size and sum; without it there is no backup
//! ```
//!
//! Invariant: a backup is good as a whole or refused as a whole. Does not encrypt: whoever can read a
//! backup has the platform.

mod check;
mod disks;
mod document;
mod pack;
mod place;
mod restore;
mod s3;
mod sparse;
mod take;
mod target;
mod unpack;
mod words;

pub(crate) use document::Contents;
pub(crate) use place::Place as BackupPlace;
pub(crate) use restore::{Wish as RestoreWish, run as restore};
pub(crate) use take::{Wish as BackupWish, run as backup};
pub(crate) use target::refuse_half_restored;

#[cfg(test)]
mod tests;
