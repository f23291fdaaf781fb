//! A double of Firecracker and of its jailer, for tests on machines where the real ones cannot run
//! a guest. Its name decides which of the two it is.
//!
//! It answers as Firecracker 1.17 was measured to: texts, status lines, what is opened when, what
//! is left behind, which exit code says nothing. Behind the API is no virtual machine but a
//! stand-in for a guest (see `guest`), which a kernel file that begins with `#!double` configures.
//! The jail is real: namespace, chroot, device nodes and user, so permissions and taps fail as they
//! do there. One thing differs: the jailer does not execute the file that it copied, which could
//! find no libraries in the jail, but goes on as Firecracker itself.

mod bodies;
mod configure;
mod firecracker;
mod guest;
mod http;
mod jailer;
mod lifecycle;
mod machine;
mod tap;
mod tiny;
mod vsock;

use std::{
    io::{self, Write},
    path::Path,
};

fn main() {
    let mut args = std::env::args();
    let program = args.next().unwrap_or_default();
    let name = Path::new(&program).file_name().map(|name| name.to_string_lossy().into_owned());
    let args: Vec<String> = args.collect();
    let code = match name.as_deref() {
        Some("jailer") => jailer::run(args),
        _ => firecracker::run(&args),
    };
    end(code)
}

/// Ends the process as Firecracker does: without cleaning up.
#[expect(clippy::exit, reason = "other threads run, and nothing is to be cleaned up")]
fn end(code: i32) -> ! {
    std::process::exit(code)
}

/// Writes to standard output, which is the guest's serial port. What does not fit is dropped.
fn console(text: &str) {
    rustix::io::write(io::stdout(), text.as_bytes()).ok();
}

/// Writes a line to standard error.
fn complain(text: &str) {
    writeln!(io::stderr(), "{text}").ok();
}

/// `No such file or directory (os error 2)` and so on, which is how Rust shows an error of the
/// system.
fn os(errno: rustix::io::Errno) -> String {
    io::Error::from(errno).to_string()
}
