//! Documents between control and a host. Control says what should be (assignments), the host says
//! what it sees (observations); neither ever sends a command.

mod assignment;
mod backup;
mod observation;

pub use assignment::{
    AssignedScript, AssignedService, Assignment, Egress, EgressMode, GuestSetup, Resources, Speed,
    SshTrust, WatchEvent,
};
pub use backup::{CopyEvent, CopyState, DiskCopy, PutAnswer, PutEvent};
pub use observation::{
    Capacity, DriverName, HostAnnouncement, HostRegistration, HostReport, Observation, Sequence,
    SetupResult,
};
