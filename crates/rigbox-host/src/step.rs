//! The steps that a plan is made of. Each is one reversible side effect, or one change of the record.
//! Does not decide when a step is due (see `plan`) and does nothing (see `execute`).

use rigbox_types::failure::FailureCode;

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Strike out a failure that no longer counts.
    ForgetTrouble,
    /// Write down that something went wrong which no step of ours did.
    Fail(Mishap),
    /// Promise resources, pick user and slot, and note what is about to be made.
    Reserve,
    /// Make the disk from the image.
    CloneDisk,
    /// Make the disk larger.
    GrowDisk,
    /// Make the cgroup, or give it other limits.
    MakeCgroup,
    /// Take a namespace, give its tap to the VMM's user, set its rules, start its relays.
    MakeNetwork,
    /// Start the VMM.
    Boot,
    /// Tell the guest its name, keys and environment, in the background.
    TellGuest,
    /// Replace the egress rules.
    ApplyEgress,
    /// Ask the guest to shut down.
    AskGuest,
    /// Press the power button.
    PressPower,
    /// End the VMM.
    Kill,
    /// Remove what the driver left behind.
    CleanVm,
    /// Remove the cgroup.
    RemoveCgroup,
    /// Stop the relays and remove the namespace.
    ReleaseNetwork,
    /// Promise no longer vCPUs and memory.
    ReleaseCompute,
    /// Remove the disk.
    DeleteDisk,
    /// Remove sockets and console.
    RemoveFiles,
    /// Remove the record.
    Forget,
}

/// What can go wrong without a step of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// The VMM ended although it should run.
    Exited,
    /// The guest did not become ready in time.
    BootTimeout,
    /// The VMM is there but cannot be talked to.
    Unreachable,
    /// The namespace of a running VM is gone.
    NetworkGone,
    /// The file of a disk that was made is gone.
    DiskGone,
    /// What is wanted cannot be done here.
    Unsupported,
}

impl Mishap {
    /// What the user reads.
    #[must_use]
    pub fn words(self) -> (FailureCode, &'static str) {
        match self {
            Self::Exited => (FailureCode::VmmExited, "the workspace ended by itself"),
            Self::BootTimeout => {
                (FailureCode::BootTimeout, "the workspace did not become ready in time")
            }
            Self::Unreachable => {
                (FailureCode::HostError, "the workspace could not be taken over and was ended")
            }
            Self::NetworkGone => (FailureCode::NetworkError, "the workspace's network is gone"),
            Self::DiskGone => (FailureCode::DiskError, "the workspace's disk is gone"),
            Self::Unsupported => {
                (FailureCode::Unsupported, "this host cannot keep the memory of a workspace")
            }
        }
    }
}
