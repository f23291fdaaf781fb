//! `PUT /files`: replaces a file whole or not at all. The bytes go to a file beside it, which takes
//! its place when all of them are on the disk.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use rigbox_types::{
    api::error::ErrorCode,
    guest::{
        FilePutResponse,
        files::{MODE_PARAM, PARENTS_PARAM},
    },
    limits::FILE_MAX_BYTES,
};

use super::{Target, octal};
use crate::agent::{
    exchange::{self, Answer},
    query::Query,
    refusal::Refusal,
    sys::rights::with_rights_of,
};

/// Permission bits of a file that was not there.
const MODE_NEW: u32 = 0o644;

/// Longest pause within the bytes that are sent to us.
const PAUSE_MAX: Duration = Duration::from_secs(120);

/// Links to follow to the file that is meant, as the kernel does.
const LINKS_MAX: u32 = 40;

/// The file beside, which is gone when it is dropped before it has taken the place of the other.
struct Beside {
    target: Target,
    path: PathBuf,
    /// What it will replace; not `target.path` where that is a link.
    place: PathBuf,
    file: Option<File>,
    mode: u32,
}

pub(super) async fn answer(
    target: Target,
    query: &Query,
    request: Request<Incoming>,
) -> Result<Answer, Refusal> {
    let mode = query.text(MODE_PARAM).map(parse_mode).transpose()?;
    let parents = query.flag(PARENTS_PARAM)?;
    let length = request.body().size_hint().exact();
    if length.is_some_and(|length| length > FILE_MAX_BYTES) {
        return Err(too_large());
    }
    let mut beside = target.act(move |target| Beside::make(target, mode, parents)).await?;
    let size_bytes = receive(&mut beside, request.into_body()).await?;
    let mode = beside.mode;
    target.act(move |_| beside.take_place()).await?;
    Ok(exchange::json(&FilePutResponse { path: target.shown, size_bytes, mode: octal(mode) }))
}

fn parse_mode(text: &str) -> Result<u32, Refusal> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| Refusal::field(MODE_PARAM, "must be octal, such as 0644"))
}

fn too_large() -> Refusal {
    Refusal::new(ErrorCode::TooLarge, format!("a file may have at most {FILE_MAX_BYTES} bytes"))
}

async fn receive(beside: &mut Beside, mut body: Incoming) -> Result<u64, Refusal> {
    let mut received: u64 = 0;
    loop {
        let frame = match tokio::time::timeout(PAUSE_MAX, body.frame()).await {
            Ok(None) => return Ok(received),
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) | Err(_) => return Err(Refusal::field("body", "was cut")),
        };
        let Ok(bytes) = frame.into_data() else { continue };
        received = received.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if received > FILE_MAX_BYTES {
            return Err(too_large());
        }
        beside.write(bytes).await?;
    }
}

impl Beside {
    fn make(target: &Target, mode: Option<u32>, parents: bool) -> io::Result<Self> {
        let place = follow(target)?;
        let (folder, name) =
            place.parent().zip(place.file_name()).ok_or(io::ErrorKind::IsADirectory)?;
        if parents {
            fs::create_dir_all(folder)?;
        }
        let former = fs::symlink_metadata(&place).ok();
        if former.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let former = former.map(|former| former.permissions().mode() & 0o7777);
        let mode = mode.or(former).unwrap_or(MODE_NEW);
        let path = folder.join(beside_name(&name.to_string_lossy())?);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { target: target.clone(), path, place, file: Some(file), mode })
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), Refusal> {
        let Some(mut file) = self.file.take() else {
            return Err(Refusal::internal("file", &"closed"));
        };
        let writing = tokio::task::spawn_blocking(move || file.write_all(&bytes).map(|()| file));
        match writing.await {
            Ok(Ok(file)) => {
                self.file = Some(file);
                Ok(())
            }
            Ok(Err(error)) => Err(Refusal::of_path(&self.target.shown, &error)),
            Err(error) => Err(Refusal::internal("file", &error)),
        }
    }

    fn take_place(mut self) -> io::Result<()> {
        let file = self.file.take().ok_or(io::ErrorKind::NotFound)?;
        file.set_permissions(fs::Permissions::from_mode(self.mode))?;
        file.sync_all()?;
        fs::rename(&self.path, &self.place)?;
        // From here on there is nothing to clean up.
        self.path = PathBuf::new();
        let folder = self.place.parent().unwrap_or_else(|| Path::new("/"));
        // The name is on the disk, too. A folder that may be written to but not read cannot be
        // synced by its user; the name gets there by itself within seconds.
        match File::open(folder) {
            Ok(folder) => folder.sync_all(),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if self.path.as_os_str().is_empty() {
            return;
        }
        let removed = with_rights_of(&self.target.user, || fs::remove_file(&self.path));
        if let Err(error) = removed {
            tracing::warn!(path = %self.path.display(), %error, "unfinished file not removed");
        }
    }
}

/// The file that is meant: what a link leads to, as for every program that writes to it.
fn follow(target: &Target) -> io::Result<PathBuf> {
    let mut place = target.path.clone();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&place) {
            Ok(link) => {
                let folder = place.parent().unwrap_or_else(|| Path::new("/"));
                place =
                    if link.is_absolute() { target.root.path(&link) } else { folder.join(link) };
            }
            Err(_) => return Ok(place),
        }
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

/// A name that nothing else has, and that fits where the file's own name fits.
fn beside_name(name: &str) -> io::Result<String> {
    let mut random = [0; 6];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let name: String = name.chars().take(50).collect();
    Ok(format!(".{name}.{random}.rigbox-put"))
}
