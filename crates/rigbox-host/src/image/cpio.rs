//! Writes cpio archives of the `newc` format, which the kernel unpacks as its initial file system.
//! Invariant: the same entries give the same bytes: no times, no owners, numbered in order.

/// One archive.
#[derive(Debug, Default)]
pub(super) struct Cpio {
    bytes: Vec<u8>,
    entries: u32,
}

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_777;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// The name of the entry that ends an archive.
const TRAILER: &str = "TRAILER!!!";

impl Cpio {
    pub(super) fn directory(&mut self, name: &str) {
        self.entry(name, DIRECTORY, (0, 0), &[]);
    }

    pub(super) fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entry(name, FILE | mode, (0, 0), content);
    }

    pub(super) fn link(&mut self, name: &str, target: &str) {
        self.entry(name, LINK, (0, 0), target.as_bytes());
    }

    pub(super) fn character_device(&mut self, name: &str, major: u32, minor: u32) {
        self.entry(name, CHARACTER_DEVICE, (major, minor), &[]);
    }

    /// The finished archive.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.header(0, (TRAILER, 0), (0, 0), 0);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries = self.entries.saturating_add(1);
        // Everything in an initramfs is far below 4 GiB.
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
        self.header(self.entries, (name, mode), device, length);
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn header(&mut self, number: u32, entry: (&str, u32), device: (u32, u32), length: u32) {
        let (name, mode) = entry;
        let links = if mode & DIRECTORY == DIRECTORY & !0o777 { 2 } else { 1 };
        let name_length = u32::try_from(name.len().saturating_add(1)).unwrap_or(u32::MAX);
        // inode, mode, uid, gid, links, time, length, device of the file system, device, name, sum
        let fields =
            [number, mode, 0, 0, links, 0, length, 0, 0, device.0, device.1, name_length, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn another_cpio_reads_what_was_written() {
        let mut cpio = Cpio::default();
        cpio.directory("dev");
        cpio.character_device("dev/console", 5, 1);
        cpio.file("init", 0o755, b"#!/bin/sh\n");
        cpio.link("bin", "sbin");
        let bytes = cpio.end();
        let mut list = Command::new("cpio")
            .args(["-itv", "--quiet", "--numeric-uid-gid"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        list.stdin.take().unwrap().write_all(&bytes).unwrap();
        let text = String::from_utf8(list.wait_with_output().unwrap().stdout).unwrap();
        let seen: Vec<(&str, &str)> = text
            .lines()
            .map(|line| (line.split(' ').next().unwrap(), line.rsplit("1970 ").next().unwrap()))
            .collect();
        let expected = [
            ("drwxr-xr-x", "dev"),
            ("crw-------", "dev/console"),
            ("-rwxr-xr-x", "init"),
            ("lrwxrwxrwx", "bin -> sbin"),
        ];
        assert_eq!(seen, expected, "{text}");
    }
}
