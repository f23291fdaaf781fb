//! Finds out where each cgroup controller is: in the one tree of version 2, or in one of its own.
//! Invariant: a controller that is in neither is absent; one that is in version 2 is taken from there.

use std::{fs, io};

use camino::{Utf8Path, Utf8PathBuf};

/// What can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controller {
    Cpu,
    Memory,
    Pids,
    Io,
}

/// The version of a hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

impl Controller {
    pub(super) const ALL: [Self; 4] = [Self::Cpu, Self::Memory, Self::Pids, Self::Io];

    pub(super) fn name(self) -> &'static str {
        self.v2_name()
    }

    pub(super) fn v2_name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Io => "io",
        }
    }

    fn v1_name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Io => "blkio",
        }
    }
}

/// Where the controllers are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hierarchies {
    found: Vec<(Controller, Version, Utf8PathBuf)>,
}

impl Hierarchies {
    /// Reads the mount table and what version 2 offers at its root.
    pub(super) fn read() -> io::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        Ok(Self::parse(&mounts, |root| {
            fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default()
        }))
    }

    fn parse(mounts: &str, offered: impl Fn(&Utf8Path) -> String) -> Self {
        let mounts: Vec<Mount> = mounts.lines().filter_map(Mount::parse).collect();
        let found = Controller::ALL.into_iter().filter_map(|controller| {
            let two = mounts.iter().find(|mount| {
                mount.kind == "cgroup2"
                    && offered(&mount.path)
                        .split_whitespace()
                        .any(|word| word == controller.v2_name())
            });
            let one = || {
                mounts.iter().find(|mount| {
                    mount.kind == "cgroup"
                        && mount.options.split(',').any(|word| word == controller.v1_name())
                })
            };
            let two = two.map(|mount| (controller, Version::Two, mount.path.clone()));
            two.or_else(|| one().map(|mount| (controller, Version::One, mount.path.clone())))
        });
        Self { found: found.collect() }
    }

    /// Where a controller is.
    pub(super) fn of(&self, controller: Controller) -> Option<(Version, &Utf8Path)> {
        let found = self.found.iter().find(|(found, _, _)| *found == controller);
        found.map(|(_, version, path)| (*version, path.as_path()))
    }

    /// Each hierarchy once.
    pub(super) fn roots(&self) -> Vec<(Version, &Utf8Path)> {
        let mut roots: Vec<_> =
            self.found.iter().map(|(_, version, path)| (*version, path.as_path())).collect();
        roots.sort_by_key(|(_, path)| path.as_str());
        roots.dedup_by_key(|(_, path)| *path);
        roots
    }
}

struct Mount {
    path: Utf8PathBuf,
    kind: String,
    options: String,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        // A bind mount of a part of a hierarchy is not its root.
        let (root, path) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let (kind, options) = (after.next()?, after.nth(1)?);
        (root == "/").then(|| Self {
            path: path.into(),
            kind: kind.to_owned(),
            options: options.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        38 31 0:35 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio\n\
        39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
    const TWO: &str = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    fn check(mounts: &str, offered: &str, expected: [Option<(Version, &str)>; 4]) {
        let found = Hierarchies::parse(mounts, |_| offered.to_owned());
        let found = Controller::ALL.map(|c| found.of(c).map(|(v, path)| (v, path.as_str())));
        assert_eq!(found, expected);
    }

    #[test]
    fn each_controller_is_taken_from_where_it_is() {
        use Version::{One, Two};
        let v1 = [
            Some((One, "/sys/fs/cgroup/cpu,cpuacct")),
            Some((One, "/sys/fs/cgroup/memory")),
            Some((One, "/sys/fs/cgroup/pids")),
            Some((One, "/sys/fs/cgroup/blkio")),
        ];
        check(ONE, "", v1);
        check(&format!("{ONE}{TWO}"), "hugetlb", v1);
        let unified = Some((Two, "/sys/fs/cgroup/unified"));
        check(TWO, "cpuset cpu io memory pids", [unified; 4]);
        check(&format!("{ONE}{TWO}"), "pids", [v1[0], v1[1], unified, v1[3]]);
        check("", "", [None; 4]);
    }

    #[test]
    fn each_hierarchy_is_listed_once() {
        let found = Hierarchies::parse(TWO, |_| "cpu io memory pids".to_owned());
        assert_eq!(found.roots().len(), 1);
    }
}
