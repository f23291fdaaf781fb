//! The arguments of the product's QEMU as somebody would type them: where the product hands over
//! descriptors that it has opened, the raw QEMU opens files, sockets and the tap itself.
//! `-S` is left out: the product holds the guest until it has seen to everything, the peer has
//! nothing to see to. Everything else stays as it is.

use anyhow::{Context, Result, ensure};
use camino::Utf8Path;

/// What stands in the place of descriptors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Files<'a> {
    /// Name of the guest in the list of processes.
    pub(super) name: &'a str,
    /// Where the sockets are.
    pub(super) sockets: &'a Utf8Path,
    /// The disk.
    pub(super) disk: &'a Utf8Path,
    /// The kernel.
    pub(super) kernel: &'a Utf8Path,
    /// Its initial RAM file system.
    pub(super) initrd: Option<&'a Utf8Path>,
    /// The tap.
    pub(super) tap: &'a str,
}

/// Arguments that stand alone.
const SWITCHES: [&str; 4] = ["-nodefaults", "-no-user-config", "-no-reboot", "-S"];

/// How the product's disk is named.
const DISK_SET: &str = "/dev/fdset/1";

/// The arguments of the raw QEMU.
///
/// # Errors
/// When the product's are not what this knows: then the two would no longer be the same.
pub(super) fn arguments(of: &[String], files: &Files<'_>) -> Result<Vec<String>> {
    let mut made = Vec::new();
    let mut words = of.iter().map(String::as_str);
    while let Some(option) = words.next() {
        if SWITCHES.contains(&option) {
            if option != "-S" {
                made.push(option.to_owned());
            }
            continue;
        }
        let value = words.next().with_context(|| format!("{option} has no value"))?;
        if let Some(value) = translated(option, value, files)? {
            made.extend([option.to_owned(), value]);
        }
    }
    for word in &made {
        let descriptor = word.contains("/proc/self/fd") || word.contains("/dev/fdset");
        let descriptor = descriptor || word.split(',').any(|field| field.starts_with("fd="));
        ensure!(!descriptor, "'{word}' names a descriptor that the raw QEMU does not have");
    }
    Ok(made)
}

/// The value for the raw QEMU; none where the option is only about a descriptor.
fn translated(option: &str, value: &str, files: &Files<'_>) -> Result<Option<String>> {
    let socket = |value: &str| -> Result<String> {
        let id = value.split(',').find_map(|field| field.strip_prefix("id="));
        let id = id.with_context(|| format!("'{value}' has no id"))?;
        let path = format!("path={}", files.sockets.join(format!("{id}.sock")));
        Ok(with_field(value, "fd=", &path))
    };
    Ok(Some(match option {
        "-add-fd" => return Ok(None),
        "-name" => format!("guest={}", files.name),
        "-kernel" => files.kernel.to_string(),
        "-initrd" => files.initrd.context("the product's record names no initrd")?.to_string(),
        "-chardev" => socket(value)?,
        "-netdev" => {
            let tap = format!("ifname={},script=no,downscript=no", files.tap);
            with_field(value, "fd=", &tap)
        }
        // An anonymous file of the same kind, only that QEMU makes it.
        "-object" if value.starts_with("memory-backend-file,") => {
            let value = with_field(value, "mem-path=", "");
            value.replacen("memory-backend-file", "memory-backend-memfd", 1)
        }
        "-blockdev" => value.replace(DISK_SET, files.disk.as_str()),
        _ => value.to_owned(),
    }))
}

/// The value with the field that begins so replaced, or without it.
fn with_field(value: &str, begin: &str, new: &str) -> String {
    let fields = value.split(',').map(|field| if field.starts_with(begin) { new } else { field });
    fields.filter(|field| !field.is_empty()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files<'static> {
        Files {
            name: "raw-1",
            sockets: Utf8Path::new("/s"),
            disk: Utf8Path::new("/d.ext4"),
            kernel: Utf8Path::new("/k"),
            initrd: Some(Utf8Path::new("/i")),
            tap: "tap0",
        }
    }

    fn check(before: &[&str], after: &[&str]) {
        let before: Vec<String> = before.iter().map(|&word| word.to_owned()).collect();
        assert_eq!(arguments(&before, &files()).unwrap(), after);
    }

    #[test]
    fn descriptors_become_what_they_lead_to() {
        check(&["-name", "guest=ws-1"], &["-name", "guest=raw-1"]);
        check(&["-kernel", "/proc/self/fd/11"], &["-kernel", "/k"]);
        check(&["-initrd", "/proc/self/fd/12"], &["-initrd", "/i"]);
        check(&["-add-fd", "fd=10,set=1"], &[]);
        check(
            &["-blockdev", r#"{"driver":"file","filename":"/dev/fdset/1"}"#],
            &["-blockdev", r#"{"driver":"file","filename":"/d.ext4"}"#],
        );
        check(
            &[
                "-object",
                "memory-backend-file,id=memory,size=128M,mem-path=/proc/self/fd/13,share=on",
            ],
            &["-object", "memory-backend-memfd,id=memory,size=128M,share=on"],
        );
        check(
            &["-netdev", "tap,id=net0,fd=14"],
            &["-netdev", "tap,id=net0,ifname=tap0,script=no,downscript=no"],
        );
        check(
            &["-chardev", "socket,id=agent,fd=16,server=on,wait=off"],
            &["-chardev", "socket,id=agent,path=/s/agent.sock,server=on,wait=off"],
        );
    }

    #[test]
    fn everything_else_stays_but_the_hold() {
        check(&["-m", "128", "-nodefaults", "-S"], &["-m", "128", "-nodefaults"]);
    }

    #[test]
    fn a_descriptor_that_is_not_known_is_refused() {
        let words = ["-incoming", "fd=18"].map(str::to_owned);
        assert!(arguments(&words, &files()).is_err());
    }
}
