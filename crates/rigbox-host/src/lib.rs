//! The host agent: records, plans and steps that make a workspace what it should be.
//!
//! ```text
//! control ── assignments ──▶ agent ──▶ one task a workspace ──▶ plan ──▶ execute
//!         ◀── observations ─┘                │ record (durable)      │ disk net cgroup vmm
//! ```
//!
//! Owns every kernel object and file of the workspaces of one data directory. Invariants: a side
//! effect is on record before it is made and until it is gone; VMs outlive this process; nothing
//! here holds a key of a provider or the password of a database.
//! Does not choose what should run, and does not know users.

pub mod config;
pub mod fault;
pub mod image;
pub mod observe;
pub mod plan;
pub mod record;
pub mod relay;
pub mod step;
pub mod trouble;

mod admission;
mod agent;
mod backup;
mod cgroup;
mod clock;
mod control;
mod disk;
mod down;
mod drivers;
mod durable;
mod exec;
mod host;
mod layout;
mod lock;
mod metrics;
mod net;
mod process;
mod reports;
mod salvage;
mod serve;
mod sweep;
mod table;
mod task;
mod workspace;

pub use agent::{HostError, run};
pub use backup::{BackupError, copy_disks, put_disks};
pub use config::Config;
pub use down::{Leftovers, down, leftovers};
pub use drivers::{DriverSource, Drivers};
pub use layout::{Layout, LayoutError};
pub use lock::{DataLock, LockError};
