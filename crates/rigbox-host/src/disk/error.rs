//! What can go wrong with a disk, and what the user reads of it.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use rigbox_types::{ImageName, failure::FailureCode};

use crate::{exec::ExecError, image::ImageError, trouble::StepError};

/// A disk operation that did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    #[error("{action} {path}")]
    File {
        action: &'static str,
        path: Utf8PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{free_mib} MiB are free, {reserve_mib} MiB are kept free")]
    Full { free_mib: u64, reserve_mib: u64 },
    #[error("image {image} is not here")]
    ImageMissing { image: ImageName },
    #[error("image {image}: {reason}")]
    ImageCorrupt { image: ImageName, reason: String },
    #[error("image {image} cannot be used")]
    Image {
        image: ImageName,
        #[source]
        source: Box<ImageError>,
    },
    #[error("the file system of {path} is damaged")]
    Damaged { path: Utf8PathBuf },
    #[error("{action} {path}")]
    Tool {
        action: &'static str,
        path: Utf8PathBuf,
        #[source]
        source: Box<ExecError>,
    },
    #[error("{path} is mounted, but not from {pool}")]
    ForeignMount { path: Utf8PathBuf, pool: Utf8PathBuf },
    #[error("the storage is closed")]
    Closed,
}

impl DiskError {
    /// For `map_err` at a file operation.
    pub(crate) fn file(
        action: &'static str,
        path: impl AsRef<Utf8Path>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::File { action, path, source }
    }

    /// What an image that cannot be used means for the disk that needs it.
    pub(crate) fn image(image: &ImageName, source: ImageError) -> Self {
        let image = image.clone();
        match source {
            ImageError::Missing { .. } => Self::ImageMissing { image },
            ImageError::Corrupt { reason, .. } => Self::ImageCorrupt { image, reason },
            source => Self::Image { image, source: Box::new(source) },
        }
    }

    /// For `map_err` at a run of a tool.
    pub(crate) fn tool(
        action: &'static str,
        path: impl AsRef<Utf8Path>,
    ) -> impl FnOnce(ExecError) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Tool { action, path, source: Box::new(source) }
    }

    fn is_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::File { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::ImageMissing { .. }
            | Self::ImageCorrupt { .. }
            | Self::Image { .. }
            | Self::Damaged { .. }
            | Self::Tool { .. }
            | Self::ForeignMount { .. }
            | Self::Closed => false,
        }
    }
}

impl From<DiskError> for StepError {
    fn from(error: DiskError) -> Self {
        if error.is_full() {
            let message = "the host's storage is full: remove workspaces or try again later";
            return Self::caused(FailureCode::DiskFull, message, error);
        }
        match &error {
            DiskError::ImageMissing { image } => {
                let message = format!("image {image} is not on the host: build it, then try again");
                Self::caused(FailureCode::ImageMissing, message, error)
            }
            DiskError::ImageCorrupt { image, .. } => {
                let message = format!("image {image} is damaged: build it again, then try again");
                Self::caused(FailureCode::ImageCorrupt, message, error)
            }
            DiskError::Damaged { .. } => {
                let message = "the workspace's file system is damaged";
                Self::caused(FailureCode::DiskError, message, error)
            }
            DiskError::File { .. }
            | DiskError::Image { .. }
            | DiskError::Full { .. }
            | DiskError::Tool { .. }
            | DiskError::ForeignMount { .. }
            | DiskError::Closed => {
                let message = "the workspace's disk could not be made or changed";
                Self::caused(FailureCode::DiskError, message, error)
            }
        }
    }
}
