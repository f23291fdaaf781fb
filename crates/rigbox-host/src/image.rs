//! Guest images and guest kernels: built from a recipe, kept in the data directory, checked before
//! they are used.
//!
//! ```text
//! recipe ── packages (mmdebstrap) ──▶ archive, kept by what it is made of
//!                                        │ unpack, files, masks, agent
//!                                        ▼
//!                                     tree ── mke2fs -d, times fixed ──▶ root.ext4 + manifest
//! ```
//!
//! Owns `<data>/images`, `<data>/kernels` and `<data>/cache`. Invariants: an image has its name
//! only when it is whole and on disk; one build at a time in a data directory; the same recipe, the
//! same programs and the same packages give the same digest. Nothing is mounted.
//! Does not clone or grow disks (see `disk`), and knows no workspace.

mod archive;
mod build;
mod cpio;
mod end;
mod error;
mod ext4;
mod initramfs;
mod kernel;
mod manifest;
mod own_kernel;
mod progress;
mod recipe;
mod rootfs;
mod store;
mod times;
mod tool;
mod tree;
mod vmlinux;

pub use build::{BuildRequest, GuestPrograms, Packages, build};
pub use end::{end_builds, end_own_tools};
pub use error::ImageError;
pub use kernel::{Kernel, KernelManifest, KernelRequest, kernel, kernel_resolve};
pub use manifest::{Image, Manifest, Package, list, resolve, verify};
pub use progress::{Progress, Report, Stage};
pub use recipe::{InvalidRecipe, Recipe};
pub use store::Store;
