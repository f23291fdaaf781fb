//! From here to a workspace.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::Path as LocalPath,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::Method;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use rigbox_types::guest::{ExecRequest, ExecResult, FileListResponse, FilePutResponse};
use tokio::sync::mpsc;

use super::{Copy, DEPTH_MAX, Place, place::below};
use crate::{
    client::{Body, Call, Document},
    error::{CommandError, CommandResult},
    input,
    session::{Verb, explain, workspace_path},
};

/// Makes `$1` with the mode `$2`, in any POSIX shell.
const MAKE_DIRECTORY: &str = r#"mkdir -p -- "$1" && chmod -- "$2" "$1""#;
/// Bytes of one read.
const CHUNK_BYTES: usize = 64 * 1024;

impl Copy<'_> {
    /// Copies a file, a directory or standard input into the workspace.
    pub(super) async fn upload(&mut self, source: &Place, target: &Place) -> CommandResult {
        let Place::Remote { path, .. } = target else { return Ok(()) };
        let Place::Local(source) = source else {
            if path.is_empty() || path.ends_with('/') {
                return Err(CommandError::usage(
                    "standard input has no name: name the file to write",
                ));
            }
            let chunks = receive(input::stdin_chunks()?);
            return self.put(path, None, false, self.body(chunks)).await;
        };
        let shown = source.display();
        let about = fs::metadata(source)
            .map_err(|error| CommandError::file(format!("read {shown}"), &error))?;
        if about.is_dir() && !self.is_recursive {
            return Err(Self::needs_recursive(&shown.to_string()));
        }
        let makes_parents = path.ends_with('/');
        let name = source.file_name().map(|name| name.to_str().ok_or(name)).transpose();
        let name = name.map_err(|_| CommandError::failed(format!("{shown} has no UTF-8 name")))?;
        let is_directory =
            makes_parents || path.is_empty() || self.is_remote_directory(path).await?;
        let path = match name {
            Some(name) if is_directory => below(path, name),
            // `.` and `/` have no name: what is in them goes right there.
            _ => path.clone(),
        };
        if about.is_dir() {
            self.upload_directory(source, &path, 0).await
        } else {
            self.upload_file(source, &path, makes_parents).await
        }
    }

    async fn is_remote_directory(&self, path: &str) -> CommandResult<bool> {
        let list: Result<Document<FileListResponse>, _> =
            self.session.client.get(self.files_path("/list", path)).await;
        match list {
            Ok(_) => Ok(true),
            // No such thing yet, or a file.
            Err(error) if error.is("not_found") || error.is("invalid_request") => Ok(false),
            Err(error) => Err(self.explain(error, path)),
        }
    }

    async fn upload_directory(
        &mut self,
        source: &LocalPath,
        path: &str,
        depth: usize,
    ) -> CommandResult {
        let shown = source.display();
        if depth > DEPTH_MAX {
            return Err(CommandError::failed(format!(
                "{shown} is deeper than {DEPTH_MAX} directories"
            )));
        }
        let denied = |error: io::Error| CommandError::file(format!("read {shown}"), &error);
        let mode = fs::metadata(source).map_err(denied)?.permissions().mode();
        self.make_directory(path, mode).await?;
        let entries: io::Result<Vec<_>> = fs::read_dir(source).map_err(denied)?.collect();
        let mut entries = entries.map_err(denied)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let local = entry.path();
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return Err(CommandError::failed(format!("{} has no UTF-8 name", local.display())));
            };
            let path = below(path, name);
            let kind = entry.file_type().map_err(denied)?;
            if kind.is_dir() {
                Box::pin(self.upload_directory(&local, &path, depth + 1)).await?;
            } else if kind.is_file() {
                self.upload_file(&local, &path, false).await?;
            } else {
                self.skip(&local.display().to_string());
            }
        }
        Ok(())
    }

    /// Makes a directory with its mode; its owner may always write to it, because files follow.
    async fn make_directory(&self, path: &str, mode: u32) -> CommandResult {
        let mode = format!("{:04o}", mode & 0o777 | 0o700);
        let path = if path.is_empty() { "." } else { path };
        let words = ["sh", "-c", MAKE_DIRECTORY, "sh", path, mode.as_str()];
        let request = ExecRequest {
            command: words.iter().map(|word| (*word).to_owned()).collect(),
            user: self.user.map(str::to_owned),
            ..ExecRequest::default()
        };
        let call = Call::new(Method::POST, workspace_path(&self.vm.id).then("/exec"));
        let done: Result<Document<ExecResult>, _> =
            self.session.client.fetch(call.json(&request)?).await;
        let done = done.map_err(|error| explain(error, Verb::Enter, self.vm.name.as_str()))?.value;
        if done.exit.exit_code == Some(0) {
            return Ok(());
        }
        let reason = done.stderr.trim().rsplit(": ").next().unwrap_or_default().to_lowercase();
        Err(CommandError::failed(format!("cannot make {}:{path}: {reason}", self.vm.name)))
    }

    async fn upload_file(
        &mut self,
        source: &LocalPath,
        path: &str,
        makes_parents: bool,
    ) -> CommandResult {
        let denied =
            |error: io::Error| CommandError::file(format!("read {}", source.display()), &error);
        let file = File::open(source).map_err(denied)?;
        let about = file.metadata().map_err(denied)?;
        // A pipe or a device has bytes, but permissions of its own kind.
        let mode = about.is_file().then(|| format!("{:04o}", about.permissions().mode() & 0o777));
        self.put(path, mode.as_deref(), makes_parents, self.body(read(file))).await
    }

    async fn put(
        &mut self,
        path: &str,
        mode: Option<&str>,
        makes_parents: bool,
        body: Body,
    ) -> CommandResult {
        let mut place = self.files_path("", path).query_some("mode", mode);
        if makes_parents {
            place = place.query("parents", "true");
        }
        let call = Call::new(Method::PUT, place);
        let done: Result<Document<FilePutResponse>, _> =
            self.session.client.upload(&call, body).await;
        done.map_err(|error| self.explain(error, path))?;
        self.files += 1;
        Ok(())
    }

    /// A body that counts.
    fn body(&self, chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Body {
        use futures_util::StreamExt as _;

        let counter: Arc<AtomicU64> = Arc::clone(&self.bytes);
        let frames = chunks.map(move |chunk| {
            chunk.map(|bytes| {
                counter
                    .fetch_add(u64::try_from(bytes.len()).unwrap_or_default(), Ordering::Relaxed);
                Frame::data(bytes)
            })
        });
        StreamBody::new(frames).boxed_unsync()
    }
}

/// The bytes of a file.
fn read(file: File) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(file, |mut file| async move {
        let mut buffer = vec![0_u8; CHUNK_BYTES];
        let length = loop {
            match file.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        buffer.truncate(length);
        Ok((length > 0).then(|| (Bytes::from(buffer), file)))
    })
}

/// The bytes of standard input.
fn receive(chunks: mpsc::Receiver<Vec<u8>>) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(chunks, |mut chunks| async move {
        let chunk = chunks.recv().await?;
        Some((Ok(Bytes::from(chunk)), chunks))
    })
}
