//! Finishes an ext4 file with `debugfs`: the file system gets its mount options, and every inode the
//! same times. `mke2fs -d` of e2fsprogs 1.47.0 copies change and access times, which nobody can set,
//! so that no two images would be the same.
//! Only inodes that are in use are touched, found in the free lists of `dumpe2fs`.

use std::{fmt::Write as _, fs, ops::RangeInclusive};

use camino::Utf8Path;

use super::{
    error::ImageError,
    tool::{DEBUGFS, DUMPE2FS, EPOCH, Run},
};

/// Inodes below this are the file system's own; of them the root directory, the one for resizing
/// and the journal are in use.
const FIRST_INODE: u32 = 11;
const RESERVED_IN_USE: [u32; 3] = [2, 7, 8];

/// Times that an inode has, each with its nanoseconds.
const FIELDS: [&str; 3] = ["atime", "ctime", "crtime"];

/// What a disk has grown by is a hole, zero already. Without this each guest would write zeros over
/// the inode tables in it: 16 MiB a GiB of the host's storage. In the superblock, so that it holds
/// whatever kernel and command line boot it.
const MOUNT_OPTIONS: &str = "noinit_itable";

/// Sets them all.
pub(super) async fn settle(
    image: &Utf8Path,
    work: &Utf8Path,
    lock: &fs::File,
) -> Result<(), ImageError> {
    let groups = Run::new(DUMPE2FS, [image.as_str()]).holding(lock).output().await?;
    let used = used_inodes(&groups).ok_or_else(|| ImageError::Corrupt {
        path: image.to_owned(),
        reason: "dumpe2fs names no inodes".to_owned(),
    })?;
    let script = work.join("times");
    fs::write(&script, commands(&used)).map_err(ImageError::file("write", &script))?;
    let mut refused = None;
    let run = Run::new(DEBUGFS, ["-w", "-f", script.as_str(), image.as_str()])
        .env("E2FSPROGS_FAKE_TIME", EPOCH.to_string())
        .holding(lock);
    run.lines(|line| {
        // It repeats each command and its own version; all else is a complaint, told by no status.
        let is_echo = line.starts_with("debugfs:") || line.starts_with("debugfs 1.");
        if !is_echo && refused.is_none() {
            refused = Some(line.to_owned());
        }
    })
    .await?;
    match refused {
        None => Ok(()),
        Some(reason) => Err(ImageError::Tool {
            tool: DEBUGFS.name.to_owned(),
            status: "a command was refused".to_owned(),
            reason,
        }),
    }
}

fn commands(used: &[u32]) -> String {
    let mut script = format!("ssv mount_opts {MOUNT_OPTIONS}\n");
    for inode in used {
        for field in FIELDS {
            // Writing to a String cannot fail.
            writeln!(script, "sif <{inode}> {field} @{EPOCH}").ok();
            writeln!(script, "sif <{inode}> {field}_extra 0").ok();
        }
    }
    for inode in RESERVED_IN_USE {
        writeln!(script, "sif <{inode}> mtime @{EPOCH}").ok();
        writeln!(script, "sif <{inode}> mtime_extra 0").ok();
    }
    script
}

/// All inodes less the free ones.
fn used_inodes(groups: &str) -> Option<Vec<u32>> {
    let count = groups.lines().find_map(|line| line.strip_prefix("Inode count:"))?;
    let count: u32 = count.trim().parse().ok()?;
    let free = groups.lines().filter_map(|line| line.trim().strip_prefix("Free inodes:"));
    let free: Vec<_> = free.flat_map(|list| list.split(',')).filter_map(range).collect();
    let mut used = RESERVED_IN_USE.to_vec();
    let mut next = FIRST_INODE;
    for range in free {
        used.extend(next..*range.start());
        next = next.max(range.end().saturating_add(1));
    }
    used.extend(next..=count);
    Some(used)
}

/// `12-8192` or `12`.
fn range(text: &str) -> Option<RangeInclusive<u32>> {
    let text = text.trim();
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inodes_in_use_are_those_that_no_group_calls_free() {
        let groups = "Inode count:              32\nGroup 0: (Blocks 0-32767)\n  \
                      Free blocks: 9-10\n  Free inodes: 14, 16\nGroup 1:\n  Free inodes: 18-30\n";
        assert_eq!(used_inodes(groups).unwrap(), [2, 7, 8, 11, 12, 13, 15, 17, 31, 32]);
        assert_eq!(used_inodes(""), None);
    }

    #[test]
    fn a_full_group_names_no_free_inode() {
        let groups = "Inode count: 12\n  Free inodes: \n";
        assert_eq!(used_inodes(groups).unwrap(), [2, 7, 8, 11, 12]);
    }
}
