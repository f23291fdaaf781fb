//! The machine under the tests: what a platform may leave behind there, which is everything that
//! `rigbox down` must remove.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::{Context, Result};

/// Kernel objects and processes that belong to one platform, one line each.
///
/// # Errors
/// When the machine cannot be read.
pub fn leftovers(tag: &str, data: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let data = data.to_string_lossy();
    let ours =
        |line: &str| line.contains(&format!("rb-{tag}")) || line.contains(&format!("rb{tag}"));
    for line in lines("ip", &["netns", "list"])? {
        if ours(&line) {
            found.insert(format!("netns {line}"));
        }
    }
    for line in lines("ip", &["-o", "link", "show"])? {
        if ours(&line) {
            found.insert(format!("link {line}"));
        }
    }
    for line in lines("nft", &["list", "tables"])? {
        if line.contains(tag) {
            found.insert(format!("nft {line}"));
        }
    }
    for line in fs::read_to_string("/proc/self/mountinfo")?.lines() {
        if line.contains(&*data) || ours(line) {
            found.insert(format!("mount {line}"));
        }
    }
    for line in lines("losetup", &["--list", "--noheadings", "--output", "NAME,BACK-FILE"])? {
        if line.contains(&*data) {
            found.insert(format!("loop {line}"));
        }
    }
    for line in
        lines("find", &["/sys/fs/cgroup", "-type", "d", "-name", &format!("rigbox-{tag}*")])?
    {
        found.insert(format!("cgroup {line}"));
    }
    for (pid, command) in processes()? {
        if pid != std::process::id() && (command.contains(&*data) || holds(pid, &data)) {
            found.insert(format!("process {pid} {command}"));
        }
    }
    Ok(found)
}

/// Whether a process has a file below `data` open: a VMM names no path in its arguments.
fn holds(pid: u32, data: &str) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files
        .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
        .any(|target| target.to_string_lossy().starts_with(data))
}

/// Every process with its command line.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn processes() -> Result<Vec<(u32, String)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may end between the listing and the look.
        let Ok(raw) = fs::read(format!("/proc/{pid}/cmdline")) else { continue };
        let command = String::from_utf8_lossy(&raw).replace('\0', " ");
        if !command.is_empty() {
            all.push((pid, command));
        }
    }
    Ok(all)
}

/// The VMM of a workspace: its pid and command line.
///
/// # Errors
/// When `/proc` cannot be read, or there is none.
pub fn vmm(workspace: &str) -> Result<(u32, String)> {
    let is_vmm = |command: &str| {
        let program = command.split(' ').next().unwrap_or_default();
        (program.contains("qemu-system") || program.ends_with("firecracker"))
            && command.contains(workspace)
    };
    processes()?
        .into_iter()
        .find(|(_, command)| is_vmm(command))
        .with_context(|| format!("no process of a VMM has {workspace} in its arguments"))
}

fn lines(program: &str, args: &[&str]) -> Result<Vec<String>> {
    let output =
        Command::new(program).args(args).output().with_context(|| format!("run {program}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}
