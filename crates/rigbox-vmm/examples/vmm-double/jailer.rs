//! The jailer: makes a root of a directory tree and goes on in it as Firecracker. Its steps are in
//! the jailer's order, so that what fails leaves behind what it leaves there.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, makedev},
    process::{Gid, Resource, Rlimit, Uid},
    thread::LinkNameSpaceType,
};

use crate::{complain, console, firecracker, os};

#[derive(Debug, Default)]
struct Arguments {
    id: Option<String>,
    exec_file: Option<String>,
    uid: Option<String>,
    gid: Option<String>,
    base: Option<String>,
    netns: Option<String>,
    limits: Vec<String>,
    cgroups: Vec<String>,
    parent_cgroup: Option<String>,
    rest: Vec<String>,
}

/// Runs as Firecracker in the end; the exit code of what fails before.
pub(crate) fn run(args: Vec<String>) -> i32 {
    if args.iter().any(|arg| arg == "--version") {
        console(&format!("Jailer v{}\n", firecracker::VERSION));
        return 0;
    }
    match jail(args) {
        Ok(args) => firecracker::run(&args),
        Err(text) => {
            complain(&text);
            complain(&format!("Error: {text:?}"));
            1
        }
    }
}

fn jail(args: Vec<String>) -> Result<Vec<String>, String> {
    let arguments = parse(args)?;
    let required = |name: &str, value: &Option<String>| {
        value.clone().ok_or_else(|| {
            format!("Failed to parse arguments: Argument '{name}' required, but not found.")
        })
    };
    let id = required("id", &arguments.id)?;
    if let Some(bad) = id.chars().position(|c| c != '-' && !c.is_ascii_alphanumeric()) {
        let character = id.chars().nth(bad).unwrap_or_default();
        return Err(format!("Invalid instance ID: Invalid char ({character}) at position {bad}"));
    }
    let exec_file = canonicalize(&required("exec-file", &arguments.exec_file)?)?;
    let uid = number("uid", &required("uid", &arguments.uid)?)?;
    let gid = number("gid", &required("gid", &arguments.gid)?)?;
    let base = canonicalize(arguments.base.as_deref().unwrap_or("/srv/jailer"))?;
    check_cgroups(&arguments)?;
    let root = base.join(exec_file.file_name().unwrap_or_default()).join(&id).join("root");
    fs::create_dir_all(&root).map_err(|error| format!("Failed to create {root:?}: {error}"))?;
    copy_program(&exec_file, &root, (uid, gid))?;
    if let Some(netns) = &arguments.netns {
        join_netns(netns)?;
    }
    set_limits(&arguments.limits)?;
    enter(&root)?;
    make_devices(uid, gid)?;
    write_pid()?;
    drop_to(uid, gid)?;
    Ok([vec!["--id".to_owned(), id], arguments.rest].concat())
}

fn parse(args: Vec<String>) -> Result<Arguments, String> {
    let mut parsed = Arguments::default();
    let mut args = args.into_iter();
    while let Some(name) = args.next() {
        let mut value = || {
            args.next().ok_or_else(|| {
                format!("Failed to parse arguments: The argument '{name}' requires a value.")
            })
        };
        match name.as_str() {
            "--id" => parsed.id = Some(value()?),
            "--exec-file" => parsed.exec_file = Some(value()?),
            "--uid" => parsed.uid = Some(value()?),
            "--gid" => parsed.gid = Some(value()?),
            "--chroot-base-dir" => parsed.base = Some(value()?),
            "--netns" => parsed.netns = Some(value()?),
            "--resource-limit" => parsed.limits.push(value()?),
            "--cgroup" => parsed.cgroups.push(value()?),
            "--parent-cgroup" => parsed.parent_cgroup = Some(value()?),
            "--cgroup-version" => drop(value()?),
            "--" => {
                parsed.rest = args.collect();
                break;
            }
            // With these the pid changes, which is nothing that the product uses.
            _ => {
                return Err(format!(
                    "Failed to parse arguments: Found argument '{name}' which wasn't expected."
                ));
            }
        }
    }
    Ok(parsed)
}

fn canonicalize(path: &str) -> Result<PathBuf, String> {
    fs::canonicalize(path).map_err(|error| format!("Failed to canonicalize path {path}: {error}"))
}

fn number(name: &str, text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("Invalid {name}: {text}"))
}

fn check_cgroups(arguments: &Arguments) -> Result<(), String> {
    if let Some(bad) = arguments.cgroups.iter().find(|cgroup| !cgroup.contains('=')) {
        return Err(format!("Invalid format for cgroups: {bad}"));
    }
    let parent = arguments.parent_cgroup.as_deref().unwrap_or_default();
    if parent.starts_with('/') || parent.split('/').any(|part| part == ".." || part == ".") {
        return Err(
            "Parent cgroup path is invalid. Path should not be absolute or contain '..' or \
                    '.'"
            .to_owned(),
        );
    }
    Ok(())
}

fn copy_program(exec_file: &Path, root: &Path, (uid, gid): (u32, u32)) -> Result<(), String> {
    let to = root.join(exec_file.file_name().unwrap_or_default());
    if fs::metadata(&to).is_ok_and(|metadata| metadata.nlink() > 1) {
        return Err(format!("Detected hard link at: {}", to.display()));
    }
    fs::copy(exec_file, &to).and_then(|_| chown(&to, Some(uid), Some(gid))).map_err(|error| {
        format!("Failed to copy {} to {}: {error}", exec_file.display(), to.display())
    })
}

fn join_netns(path: &str) -> Result<(), String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let netns = rustix::fs::open(path, flags, Mode::empty())
        .map_err(|error| format!("Failed to open file {path}: {}", os(error)))?;
    let kind = Some(LinkNameSpaceType::Network);
    rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&netns), kind)
        .map_err(|error| format!("Failed to join network namespace: netns: {}", os(error)))
}

fn set_limits(limits: &[String]) -> Result<(), String> {
    for limit in limits {
        let invalid = || format!("Invalid resource argument: {limit}");
        let (name, value) = limit
            .split_once('=')
            .ok_or_else(|| format!("Invalid format for resources limits: {limit}"))?;
        let resource = match name {
            "no-file" => Resource::Nofile,
            "fsize" => Resource::Fsize,
            _ => return Err(invalid()),
        };
        let value = Some(value.parse().map_err(|_| invalid())?);
        rustix::process::setrlimit(resource, Rlimit { current: value, maximum: value })
            .map_err(|error| format!("Failed to set limit for resource: {}", os(error)))?;
    }
    Ok(())
}

fn enter(root: &Path) -> Result<(), String> {
    rustix::process::chroot(root)
        .and_then(|()| rustix::process::chdir("/"))
        .map_err(|error| format!("Failed to change root: {}", os(error)))
}

fn make_devices(uid: u32, gid: u32) -> Result<(), String> {
    let own = |path: &str| {
        chown(path, Some(uid), Some(gid))
            .map_err(|error| format!("Failed to change owner of {path}: {error}"))
    };
    for dir in ["/", "/dev", "/dev/net", "/run"] {
        fs::create_dir_all(dir).map_err(|error| format!("Failed to create {dir}: {error}"))?;
        fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .map_err(|error| format!("Failed to chmod {dir}: {error}"))?;
        own(dir)?;
    }
    for (path, major, minor) in
        [("/dev/net/tun", 10, 200), ("/dev/kvm", 10, 232), ("/dev/urandom", 1, 9)]
    {
        let mode = Mode::from_raw_mode(0o600);
        let device = makedev(major, minor);
        rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, mode, device).map_err(
            |error| format!("Failed to create {path} via mknod inside the jail: {}", os(error)),
        )?;
        own(path)?;
    }
    Ok(())
}

/// Of root, and always written.
fn write_pid() -> Result<(), String> {
    let path = "/firecracker.pid";
    let pid = std::process::id().to_string();
    fs::File::create_new(path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, pid.as_bytes()))
        .map_err(|error| format!("Failed to open file {path}: {error}"))
}

fn drop_to(uid: u32, gid: u32) -> Result<(), String> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_thread_groups(&[])
        .and_then(|()| rustix::thread::set_thread_res_gid(gid, gid, gid))
        .and_then(|()| rustix::thread::set_thread_res_uid(uid, uid, uid))
        .map_err(|error| format!("Failed to exec into Firecracker: {}", os(error)))
}
