//! Opens files and sockets at the numbers that the specification names, and the standard streams.

use std::os::{
    fd::OwnedFd,
    unix::{fs::PermissionsExt, net::UnixListener},
};

use camino::Utf8Path;
use rigbox_vmm::launch::{Access, LaunchSpec, OpenFile, Output};
use rustix::fs::{FileType, Mode, OFlags};

use crate::{Failure, place};

/// Closes every descriptor beyond the standard streams: what the parent forgot to mark would pass to
/// the VMM, and would stand in the way of the numbers of a specification. Must be the first thing
/// that the process does.
#[expect(unsafe_code, reason = "there is no safe way to close what one does not own")]
pub(crate) fn close_inherited() -> std::io::Result<()> {
    // SAFETY: nothing in this process owns a descriptor above 2 yet: this is called first in `main`,
    // with one thread, and the standard library opens none before it. The call takes no pointers.
    let result = unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Opens the files and binds the sockets.
pub(crate) fn open(spec: &LaunchSpec) -> Result<Vec<OwnedFd>, Failure> {
    let mut inherited = Vec::new();
    for file in &spec.files {
        inherited.push(place(&open_file(file)?, file.fd)?);
    }
    for socket in &spec.sockets {
        let listener = listen(&socket.path)?;
        inherited.push(place(&listener, socket.fd)?);
    }
    Ok(inherited)
}

/// Gives the VMM its standard streams.
pub(crate) fn redirect(spec: &LaunchSpec) -> Result<(), Failure> {
    let null = open_path("/dev/null".into(), OFlags::RDWR)?;
    rustix::stdio::dup2_stdin(&null).map_err(Failure::at("redirect standard input"))?;
    let stdout = open_output(&spec.stdout)?;
    rustix::stdio::dup2_stdout(&stdout).map_err(Failure::at("redirect standard output"))?;
    let stderr = open_output(&spec.stderr)?;
    rustix::stdio::dup2_stderr(&stderr).map_err(Failure::at("redirect standard error"))
}

fn open_file(file: &OpenFile) -> Result<OwnedFd, Failure> {
    let flags = match file.access {
        Access::Read => OFlags::RDONLY,
        Access::ReadWrite => OFlags::RDWR,
    };
    open_path(&file.path, flags | OFlags::NOFOLLOW)
}

fn open_output(output: &Output) -> Result<OwnedFd, Failure> {
    let path = match output {
        Output::Null => return open_path("/dev/null".into(), OFlags::RDWR),
        Output::Pipe(path) => path,
    };
    let pipe = open_path(path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW)?;
    let stat = rustix::fs::fstat(&pipe).map_err(Failure::at(format!("look at {path}")))?;
    // A plain file here would grow without bound.
    if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo {
        return Err(Failure { step: format!("open {path}"), cause: "not a named pipe".to_owned() });
    }
    Ok(pipe)
}

fn open_path(path: &Utf8Path, flags: OFlags) -> Result<OwnedFd, Failure> {
    rustix::fs::open(path.as_std_path(), flags | OFlags::CLOEXEC, Mode::empty())
        .map_err(Failure::at(format!("open {path}")))
}

fn listen(path: &Utf8Path) -> Result<OwnedFd, Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Failure::at(format!("remove {path}"))(error));
        }
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(Failure::at(format!("listen on {path}")))?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600))
        .map_err(Failure::at(format!("close {path} to others")))?;
    Ok(listener.into())
}
