//! The product as its users meet it. Every test has a platform of its own, boots real micro-VMs
//! and must leave the machine as it found it.
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

mod adoption;
mod ai;
mod apps;
mod audit;
mod backup;
mod bad_days;
mod base;
mod browser;
mod capacity;
mod certificates;
mod contract;
mod isolation;
mod kills;
mod lifecycle;
mod ssh;
