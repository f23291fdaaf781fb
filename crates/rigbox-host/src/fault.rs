//! Places at which a test ends the process as `kill -9` would: before and after each side effect.
//! Invariant: without the feature `fault-points` they do nothing and cost nothing.
//! Does not make a step fail (a full disk or a missing image does that).

macro_rules! points {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// One place before or after a side effect.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point {
            $($(#[$doc])* #[doc = $name] $variant,)*
        }

        impl Point {
            /// Every point, in the order in which a life of a workspace meets them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name, such as `disk.clone.after`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

points! {
    ReserveBefore = "reserve.before",
    ReserveAfter = "reserve.after",
    DiskCloneBefore = "disk.clone.before",
    DiskCloneHalf = "disk.clone.half",
    DiskCloneAfter = "disk.clone.after",
    DiskGrowBefore = "disk.grow.before",
    DiskGrowAfter = "disk.grow.after",
    CgroupMakeBefore = "cgroup.make.before",
    CgroupMakeAfter = "cgroup.make.after",
    NetworkMakeBefore = "network.make.before",
    NetworkMakeHalf = "network.make.half",
    NetworkMakeAfter = "network.make.after",
    BootBefore = "boot.before",
    BootRecorded = "boot.recorded",
    AdmitBefore = "admit.before",
    AdmitRecorded = "admit.recorded",
    AdmitAfter = "admit.after",
    BootAfter = "boot.after",
    TellBefore = "tell.before",
    TellAfter = "tell.after",
    EgressBefore = "egress.before",
    EgressAfter = "egress.after",
    AskBefore = "ask.before",
    AskAfter = "ask.after",
    PressBefore = "press.before",
    PressAfter = "press.after",
    KillBefore = "kill.before",
    KillAfter = "kill.after",
    CleanBefore = "clean.before",
    CleanAfter = "clean.after",
    CgroupRemoveBefore = "cgroup.remove.before",
    CgroupRemoveAfter = "cgroup.remove.after",
    NetworkReleaseBefore = "network.release.before",
    NetworkReleaseHalf = "network.release.half",
    NetworkReleaseAfter = "network.release.after",
    DiskDeleteBefore = "disk.delete.before",
    DiskDeleteAfter = "disk.delete.after",
    FilesRemoveBefore = "files.remove.before",
    FilesRemoveAfter = "files.remove.after",
    ForgetBefore = "forget.before",
    ForgetAfter = "forget.after",
}

/// Ends the process here if a test asked for it: `RIGBOX_FAULT` names the point, or the file that
/// `RIGBOX_FAULT_FILE` names holds its name. The file is removed first, so that it happens once.
#[cfg(feature = "fault-points")]
pub fn point(point: Point) {
    use std::{env, fs};

    let asked = env::var("RIGBOX_FAULT").is_ok_and(|name| name == point.name())
        || env::var("RIGBOX_FAULT_FILE").is_ok_and(|path| {
            let named = fs::read_to_string(&path).is_ok_and(|text| text.trim() == point.name());
            named && fs::remove_file(&path).is_ok()
        });
    if asked {
        tracing::warn!(point = point.name(), "fault point: the process ends here");
        let own = rustix::process::getpid();
        if rustix::process::kill_process(own, rustix::process::Signal::KILL).is_err() {
            std::process::abort();
        }
    }
}

/// Does nothing: the fault points are not compiled in.
#[cfg(not(feature = "fault-points"))]
#[inline]
pub fn point(_: Point) {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_point_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Point::ALL.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), Point::ALL.len());
    }
}
