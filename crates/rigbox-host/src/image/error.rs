//! Why an image or a kernel could not be built, found or trusted, and what to do about it.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_types::ImageName;

use super::recipe::InvalidRecipe;

/// Why it did not work. [`ImageError::hint`] says what helps, where something does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// There is no recipe of this name.
    #[error("there is no recipe for {name} in {dir}")]
    UnknownRecipe {
        /// What was asked for.
        name: ImageName,
        /// Where recipes are.
        dir: Utf8PathBuf,
    },
    /// The recipe cannot be read.
    #[error("recipe {path}")]
    InvalidRecipe {
        /// Which file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        #[source]
        source: InvalidRecipe,
    },
    /// Tools are not installed.
    #[error("not installed: {tools}")]
    MissingTools {
        /// The commands or files.
        tools: String,
        /// The Debian packages that have them.
        packages: String,
    },
    /// A tool failed.
    #[error("{tool} failed ({status}): {reason}")]
    Tool {
        /// The command.
        tool: String,
        /// How it ended.
        status: String,
        /// The last lines that it wrote.
        reason: String,
    },
    /// A package could not be had.
    #[error("the package {package} cannot be had from this machine's package sources: {reason}")]
    Package {
        /// Which one.
        package: String,
        /// What apt said.
        reason: String,
    },
    /// The disk is full, or would be before the build ends.
    #[error("{path} has {free_mib} MiB free; this build needs about {needed_mib} MiB")]
    NoSpace {
        /// Where.
        path: Utf8PathBuf,
        /// What is free.
        free_mib: u64,
        /// What is needed.
        needed_mib: u64,
    },
    /// Files of many owners can only be made by root.
    #[error("building an image needs root, because its files belong to many users")]
    NotRoot,
    /// Another build has been running for very long.
    #[error("another build in {path} has not ended in {minutes} minutes")]
    Busy {
        /// The lock's directory.
        path: Utf8PathBuf,
        /// How long was waited.
        minutes: u64,
    },
    /// There is no such image.
    #[error("the image {name} has not been built")]
    Missing {
        /// Which one.
        name: String,
    },
    /// An image or kernel is not what its manifest says.
    #[error("{path} is damaged: {reason}")]
    Corrupt {
        /// Which file.
        path: Utf8PathBuf,
        /// What differs.
        reason: String,
    },
    /// A program for the guest is missing.
    #[error("the guest's program {path} does not exist")]
    NoProgram {
        /// Where it should be.
        path: Utf8PathBuf,
    },
    /// A kernel file could not be understood.
    #[error("{path} is no kernel that can be unpacked: {reason}")]
    NotAKernel {
        /// Which file.
        path: Utf8PathBuf,
        /// Why not.
        reason: &'static str,
    },
    /// Kconfig did not take an option of the fragment.
    #[error("this kernel source does not honour {options}")]
    KernelOption {
        /// The lines, separated by commas.
        options: String,
    },
    /// A file could not be used.
    #[error("{action} {path}")]
    File {
        /// What was done with it.
        action: &'static str,
        /// Which file.
        path: Utf8PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl ImageError {
    /// What to do about it, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::MissingTools { packages, .. } => {
                Some(format!("apt-get install --no-install-recommends {packages}"))
            }
            Self::Package { .. } => {
                Some("check the network and /etc/apt/sources.list, then: apt-get update".to_owned())
            }
            Self::NoSpace { path, .. } => Some(format!("free some space: df -h {path}")),
            Self::NotRoot => Some("run it as root, such as with sudo".to_owned()),
            Self::Missing { name } if name.starts_with("kernel") => {
                Some("rigbox image build base".to_owned())
            }
            Self::Missing { name } => Some(format!("rigbox image build {name}")),
            Self::Corrupt { .. } => Some("build it again with --force".to_owned()),
            Self::NoProgram { .. } => {
                Some("build the guest's programs: cargo xtask guest".to_owned())
            }
            _ => None,
        }
    }

    /// For `map_err` on a file's operation. A full disk is told as such.
    pub(super) fn file(action: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// Whether the storage was full: by the error's kind, or by what a tool wrote.
    pub(super) fn is_no_space(&self) -> bool {
        match self {
            Self::File { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::Tool { reason, .. } | Self::Package { reason, .. } => {
                let reason = reason.to_ascii_lowercase();
                ["no space left", "enough free space", "disk quota", "could not allocate"]
                    .iter()
                    .any(|sign| reason.contains(sign))
            }
            _ => false,
        }
    }
}
