//! Tells the VMM processes of this machine from all others.
//! Reads `/proc` only; a process that ends meanwhile is none. Signals nothing.

use std::{fs, os::unix::fs::MetadataExt as _};

use camino::Utf8PathBuf;
use rigbox_types::WorkspaceId;
use rigbox_vmm::ProcessId;

use crate::Layout;

/// Which VMM a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Qemu,
    /// Or its jailer.
    Firecracker,
}

/// What the command line of a VMM says. Anybody can say that: it is no proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) kind: Kind,
    pub(crate) workspace: WorkspaceId,
}

/// What tells the processes of one instance from those of others.
#[derive(Debug, Clone)]
pub(crate) struct Ours {
    data: String,
    disks: Utf8PathBuf,
    cgroup: String,
    first_uid: u32,
}

impl Ours {
    pub(crate) fn new(layout: &Layout, first_uid: u32) -> Self {
        let disks = layout.disks_dir();
        Self { data: format!("{}/", layout.data()), disks, cgroup: layout.cgroup(), first_uid }
    }

    /// All of them, with the workspace of each.
    pub(crate) fn all(&self) -> Vec<(u32, String)> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(|pid| self.workspace(pid).map(|name| (pid, name))).collect()
    }

    /// The workspace that a process runs for, if it is ours and alive. Its cgroup says so: every VMM
    /// is in one before it runs. One that came to be outside is known by what no other process has
    /// together: a VMM's command line, a VMM's user, and a file of this instance.
    pub(crate) fn workspace(&self, pid: u32) -> Option<String> {
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let name = in_cgroup(&cgroups, &self.cgroup).or_else(|| {
            let named = vmm(pid)?;
            let is_ours = uid(pid)? >= self.first_uid && self.has_file(pid, &named.workspace);
            is_ours.then(|| named.workspace.to_string())
        })?;
        ProcessId::of(pid).is_ok_and(|process| process.is_alive()).then_some(name)
    }

    /// Whether it has a file of this instance open. In a jail a file has another name, so that the
    /// disk is known by its inode.
    fn has_file(&self, pid: u32, workspace: &WorkspaceId) -> bool {
        let disk = fs::metadata(self.disks.join(format!("{workspace}.ext4"))).ok();
        let disk = disk.map(|disk| (disk.dev(), disk.ino()));
        let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        entries.flatten().any(|entry| {
            let is_below = fs::read_link(entry.path())
                .is_ok_and(|path| path.to_string_lossy().starts_with(&self.data));
            let is_disk = || {
                let open = fs::metadata(entry.path()).ok();
                disk.is_some() && open.map(|open| (open.dev(), open.ino())) == disk
            };
            is_below || is_disk()
        })
    }
}

/// The name below `parent` in what `/proc/<pid>/cgroup` says, of either version.
fn in_cgroup(text: &str, parent: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let path = line.splitn(3, ':').nth(2)?;
        let mut parts = path.split('/').skip_while(|part| *part != parent);
        parts.nth(1).filter(|name| !name.is_empty()).map(str::to_owned)
    })
}

/// The user that a process really is.
fn uid(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// What the command line of a process says, where it is that of a VMM.
pub(crate) fn vmm(pid: u32) -> Option<Named> {
    parse(&fs::read(format!("/proc/{pid}/cmdline")).ok()?)
}

/// QEMU is told its guest's name, Firecracker and its jailer an id; both are the workspace's id.
fn parse(line: &[u8]) -> Option<Named> {
    let words: Vec<&str> =
        line.split(|byte| *byte == 0).filter_map(|word| std::str::from_utf8(word).ok()).collect();
    let named = |kind, text: &str| text.parse().ok().map(|workspace| Named { kind, workspace });
    let guest = words.iter().filter_map(|word| word.strip_prefix("guest="));
    let guest = guest.filter_map(|name| named(Kind::Qemu, name.split(',').next()?)).next();
    guest.or_else(|| {
        let mut pairs = words.iter().zip(words.iter().skip(1));
        pairs.find_map(|(option, value)| match option.strip_prefix("--id") {
            Some("") => named(Kind::Firecracker, value),
            Some(joined) => named(Kind::Firecracker, joined.strip_prefix('=')?),
            None => None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<Kind>) {
        let line = line.replace(' ', "\0");
        let found = parse(line.as_bytes());
        assert_eq!(found.as_ref().map(|named| named.kind), expected, "{line}");
        assert!(found.is_none_or(|named| named.workspace.as_str() == "ws-0123abcd"));
    }

    #[test]
    fn a_vmm_is_known_by_its_command_line() {
        let qemu = "/usr/bin/qemu-system-x86_64 -name guest=ws-0123abcd -M microvm";
        check(qemu, Some(Kind::Qemu));
        check("qemu -name guest=ws-0123abcd,debug-threads=on", Some(Kind::Qemu));
        check("/usr/local/bin/jailer --id ws-0123abcd --exec-file /f", Some(Kind::Firecracker));
        check("/firecracker --id=ws-0123abcd --api-sock /a", Some(Kind::Firecracker));
        check("qemu -name guest=other", None);
        check("vi /data/run/vm/ws-0123abcd/console", None);
        check("", None);
    }

    #[test]
    fn a_cgroup_of_either_version_names_the_workspace() {
        let one = "12:pids:/rigbox-ab12/ws-0123abcd\n4:memory:/\n0::/\n";
        let two = "0::/outer/rigbox-ab12/ws-0123abcd\n";
        for text in [one, two] {
            assert_eq!(in_cgroup(text, "rigbox-ab12").as_deref(), Some("ws-0123abcd"));
            assert_eq!(in_cgroup(text, "rigbox-ab1"), None);
        }
        assert_eq!(in_cgroup("0::/rigbox-ab12\n", "rigbox-ab12"), None);
    }

    /// What a VMM looks like from outside: its command line, its user, and a file that it has open.
    fn start(uid: u32, file: &camino::Utf8Path) -> std::process::Child {
        use std::{os::unix::process::CommandExt as _, process::Stdio};

        std::process::Command::new("/bin/sh")
            .args(["-c", "read x", "-name", "guest=ws-0123abcd"])
            .current_dir("/")
            .uid(uid)
            .stdin(Stdio::piped())
            .stdout(fs::File::create(file).unwrap())
            .spawn()
            .unwrap()
    }

    #[test]
    fn a_vmm_of_this_instance_is_told_from_all_others() {
        let dir = tempfile::tempdir().unwrap();
        let data = camino::Utf8Path::from_path(dir.path()).unwrap();
        let layout = Layout::open(&data.join("a")).unwrap();
        let ours = Ours::new(&layout, 2_000_000);
        let elsewhere = data.join("elsewhere");
        let here = layout.data().join("disk");
        let mut all = [start(2_000_001, &here), start(2_000_001, &elsewhere), start(0, &here)];
        // The child is the test itself until it has become the shell.
        while all.iter().any(|child| vmm(child.id()).is_none()) {
            std::thread::yield_now();
        }
        let found = all.each_ref().map(|child| ours.workspace(child.id()));
        assert_eq!(found, [Some("ws-0123abcd".to_owned()), None, None]);
        assert!(ours.all().contains(&(all[0].id(), "ws-0123abcd".to_owned())));
        for child in &mut all {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(ours.workspace(all[0].id()), None);
    }
}
