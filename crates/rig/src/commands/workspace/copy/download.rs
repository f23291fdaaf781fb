//! From a workspace to here.
//! Invariant: nothing is written outside the target that was named, whatever the workspace says.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path as LocalPath, PathBuf},
    sync::atomic::Ordering,
    time::Duration,
};

use http::{Method, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use rigbox_types::guest::{FILE_MODE_HEADER, FileKind, FileListResponse};
use tokio::time::timeout;

use super::{
    Copy, DEPTH_MAX, Place,
    place::{below, is_name, last_name, mode_bits},
};
use crate::{
    client::{Call, ClientError, Document},
    error::{CommandError, CommandResult},
};

/// Longest pause in a file: the server ends one that stands still for two minutes.
const SILENCE_MAX: Duration = Duration::from_secs(180);

impl Copy<'_> {
    /// Copies a file or a directory of the workspace to a path here, or a file to standard output.
    pub(super) async fn download(&mut self, source: &Place, target: &Place) -> CommandResult {
        let Place::Remote { path, .. } = source else { return Ok(()) };
        let Place::Local(target) = target else {
            let response = self.open(path).await?;
            return self.pour(response, None).await;
        };
        let target = match last_name(path) {
            Some(name) if target.is_dir() => target.join(name),
            _ => target.clone(),
        };
        // A link of the user's own is followed where it was named, and nowhere below.
        let target = fs::canonicalize(&target).unwrap_or(target);
        if self.is_recursive
            && let Some(list) = self.list(path).await?
        {
            return self.download_directory(path, &list, &target, 0).await;
        }
        self.download_file(path, &target).await
    }

    async fn open(&self, path: &str) -> CommandResult<Response<Incoming>> {
        let call = Call::new(Method::GET, self.files_path("", path));
        match self.session.client.open(&call).await {
            Ok(response) => Ok(response),
            Err(error) => Err(self.refused(error, path).await),
        }
    }

    /// Says that a directory is one, where that is why it cannot be read as a file.
    async fn refused(&self, error: ClientError, path: &str) -> CommandError {
        let is_odd = error.refusal().is_some_and(|it| it.code == "invalid_request");
        if is_odd && !self.is_recursive && matches!(self.list(path).await, Ok(Some(_))) {
            return Self::needs_recursive(&format!("{}:{path}", self.vm.name));
        }
        self.explain(error, path)
    }

    /// What is in a directory; none where it is a file.
    async fn list(&self, path: &str) -> CommandResult<Option<FileListResponse>> {
        let list: Result<Document<FileListResponse>, _> =
            self.session.client.get(self.files_path("/list", path)).await;
        match list {
            Ok(list) => Ok(Some(list.value)),
            Err(error) if error.is("invalid_request") => Ok(None),
            Err(error) => Err(self.explain(error, path)),
        }
    }

    async fn download_directory(
        &mut self,
        path: &str,
        list: &FileListResponse,
        target: &LocalPath,
        depth: usize,
    ) -> CommandResult {
        if depth > DEPTH_MAX {
            let name = &self.vm.name;
            return Err(CommandError::failed(format!(
                "{name}:{path} is deeper than {DEPTH_MAX} directories"
            )));
        }
        if list.truncated {
            let what = format!("{}:{path} has more entries than can be listed", self.vm.name);
            return Err(CommandError::failed(what).coded("too_large"));
        }
        match fs::create_dir(target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_directory(target) => {}
            made => made.map_err(|error| denied(target, &error))?,
        }
        for entry in &list.entries {
            let remote = below(path, &entry.name);
            if !is_name(&entry.name) || matches!(entry.kind, FileKind::Symlink | FileKind::Other) {
                self.skip(&format!("{}:{remote}", self.vm.name));
                continue;
            }
            let local = target.join(&entry.name);
            if entry.kind == FileKind::File {
                self.download_file(&remote, &local).await?;
            } else if let Some(list) = self.list(&remote).await? {
                Box::pin(self.download_directory(&remote, &list, &local, depth + 1)).await?;
                // Its owner may always write to it, so that the next copy can.
                let mode = mode_bits(&entry.mode).unwrap_or(0o755) | 0o700;
                let mode = fs::Permissions::from_mode(mode);
                fs::set_permissions(&local, mode).map_err(|error| denied(&local, &error))?;
            }
        }
        Ok(())
    }

    async fn download_file(&mut self, path: &str, target: &LocalPath) -> CommandResult {
        let response = self.open(path).await?;
        let mode = response.headers().get(FILE_MODE_HEADER).and_then(|mode| mode.to_str().ok());
        let mode = mode.and_then(mode_bits).unwrap_or(0o644);
        // A device or a pipe is written to; only a file is replaced.
        let is_special = fs::metadata(target).is_ok_and(|about| !about.is_file());
        if is_special {
            let options = OpenOptions::new().write(true).open(target);
            let mut file = options.map_err(|error| denied(target, &error))?;
            return self.pour(response, Some((&mut file, target))).await;
        }
        let mut draft = Draft::beside(target).map_err(|error| denied(target, &error))?;
        self.pour(response, Some((&mut draft.file, target))).await?;
        draft.become_file(target, mode).map_err(|error| denied(target, &error))
    }

    async fn pour(
        &mut self,
        response: Response<Incoming>,
        mut into: Option<(&mut File, &LocalPath)>,
    ) -> CommandResult {
        let mut body = response.into_body();
        loop {
            let next = timeout(SILENCE_MAX, body.frame()).await;
            let next = next.map_err(|_| {
                CommandError::failed(format!("{} sends no more bytes", self.vm.name))
            })?;
            let Some(frame) = next else { break };
            let frame = frame.map_err(|error| self.session.client.broken(&error))?;
            let Ok(bytes) = frame.into_data() else { continue };
            let length = u64::try_from(bytes.len()).unwrap_or_default();
            self.bytes.fetch_add(length, Ordering::Relaxed);
            match &mut into {
                Some((file, path)) => {
                    file.write_all(&bytes).map_err(|error| denied(path, &error))?
                }
                None => self.session.output.bytes(&bytes)?,
            }
        }
        self.files += 1;
        Ok(())
    }
}

/// Whether there is a directory, and not a link to one.
fn is_directory(path: &LocalPath) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| about.is_dir())
}

fn denied(path: &LocalPath, error: &io::Error) -> CommandError {
    CommandError::file(format!("write {}", path.display()), error)
}

/// A file that is not whole yet, beside the one that it will be; dropped early, it is gone.
struct Draft {
    file: File,
    path: Option<PathBuf>,
}

impl Draft {
    fn beside(target: &LocalPath) -> io::Result<Self> {
        let name = target.file_name().ok_or_else(|| io::Error::other("this is no file name"))?;
        let mut draft = std::ffi::OsString::from(".");
        draft.push(name);
        draft.push(format!(".rig-{}", std::process::id()));
        let path = target.with_file_name(draft);
        // A draft of a process that had our id and was killed is of no use to anybody.
        fs::remove_file(&path).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { file, path: Some(path) })
    }

    fn become_file(mut self, target: &LocalPath, mode: u32) -> io::Result<()> {
        self.file.set_permissions(fs::Permissions::from_mode(mode))?;
        self.file.sync_all()?;
        if let Some(path) = &self.path {
            fs::rename(path, target)?;
        }
        self.path = None;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // It is ours alone; where it cannot be removed, there is nothing else to do about it.
            fs::remove_file(path).unwrap_or_default();
        }
    }
}
