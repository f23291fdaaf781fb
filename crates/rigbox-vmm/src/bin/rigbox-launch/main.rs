//! `rigbox-launch`: waits for one specification on standard input, prepares what it says, and
//! becomes the VMM. See `rigbox_vmm::launch` for the contract.
//! Invariants: without a specification it does nothing but end; every descriptor that the VMM
//! inherits is named in the specification; what fails is reported on standard output, which is
//! closed by a success.

mod descriptors;
mod kvm;
mod memory;
mod network;
mod privileges;

use std::{
    convert::Infallible,
    fmt::Display,
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{Command, ExitCode},
};

use rigbox_vmm::launch::{FD_MIN, LaunchSpec, REPORT_MAX_BYTES, SPEC_MAX_BYTES};

fn main() -> ExitCode {
    let Ok(report) = descriptors::close_inherited().and_then(|()| move_report_away()) else {
        return ExitCode::FAILURE;
    };
    let spec = match read_spec() {
        Ok(Some(spec)) => spec,
        // The parent is gone or has changed its mind.
        Ok(None) => return ExitCode::SUCCESS,
        Err(failure) => return fail(report, &failure),
    };
    match launch(&spec) {
        Ok(never) => match never {},
        Err(failure) => fail(report, &failure),
    }
}

/// A step that failed, and why.
struct Failure {
    step: String,
    cause: String,
}

impl Failure {
    /// For `map_err`.
    fn at<E: Display>(step: impl Into<String>) -> impl FnOnce(E) -> Self {
        let step = step.into();
        move |cause| Self { step, cause: cause.to_string() }
    }
}

fn fail(report: OwnedFd, failure: &Failure) -> ExitCode {
    let limit = usize::try_from(REPORT_MAX_BYTES).unwrap_or(usize::MAX);
    let mut text = format!("{}: {}", failure.step, failure.cause).into_bytes();
    text.truncate(limit);
    // Nobody is left to be told if the parent does not listen any more.
    drop(File::from(report).write_all(&text));
    ExitCode::FAILURE
}

/// Standard output becomes the VMM's own: the report moves to a number that `execve` closes. A new
/// session at once, so that no signal from the parent's terminal reaches the VMM.
fn move_report_away() -> io::Result<OwnedFd> {
    rustix::process::setsid()?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    Ok(rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3)?)
}

fn read_spec() -> Result<Option<LaunchSpec>, Failure> {
    let mut line = Vec::new();
    BufReader::new(io::stdin().lock().take(SPEC_MAX_BYTES))
        .read_until(b'\n', &mut line)
        .map_err(Failure::at("read the specification"))?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => {
            serde_json::from_slice(&line).map(Some).map_err(Failure::at("parse the specification"))
        }
        // Half a line: the parent died while it wrote, or it is longer than any specification.
        Some(_) => Err(Failure {
            step: "read the specification".to_owned(),
            cause: format!("no end of line in {} bytes", line.len()),
        }),
    }
}

fn launch(spec: &LaunchSpec) -> Result<Infallible, Failure> {
    let mut inherited = descriptors::open(spec)?;
    if let Some(memory) = &spec.memory {
        inherited.push(memory::make(memory)?);
    }
    if let Some(network) = &spec.network {
        inherited.push(network::enter(network)?);
    }
    if let Some(node) = &spec.kvm_node {
        kvm::show(node, spec.identity)?;
    }
    descriptors::redirect(spec)?;
    privileges::limit(&spec.limits).map_err(Failure::at("set resource limits"))?;
    privileges::drop_to(spec.identity)?;
    let error = Command::new(&spec.program).args(&spec.args).env_clear().exec();
    Err(Failure::at(format!("execute {}", spec.program))(error))
}

/// Gives `fd` the number that the specification names and lets it pass through `execve`.
fn place(fd: &OwnedFd, number: i32) -> Result<OwnedFd, Failure> {
    use std::os::fd::AsRawFd;

    let step = || format!("place descriptor {number}");
    if number < FD_MIN {
        return Err(Failure { step: step(), cause: format!("must be at least {FD_MIN}") });
    }
    let placed = rustix::io::fcntl_dupfd_cloexec(fd, number).map_err(Failure::at(step()))?;
    if placed.as_raw_fd() != number {
        return Err(Failure { step: step(), cause: "it is in use".to_owned() });
    }
    rustix::io::fcntl_setfd(&placed, rustix::io::FdFlags::empty()).map_err(Failure::at(step()))?;
    Ok(placed)
}
