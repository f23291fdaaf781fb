//! Tells the VMM processes of this machine from all others.
//! Reads `/proc` only; a process that ends meanwhile is none. Signals nothing.

use std::fs;

use rigbox_types::WorkspaceId;

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
}
