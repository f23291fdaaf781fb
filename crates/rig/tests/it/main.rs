//! `rig` as its users meet it: the built program, a real terminal where one is needed, and a server
//! at the wire whose answers are the contract's.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

mod access;
mod account;
mod ai;
mod api_keys;
mod app_look;
mod app_share;
mod apps;
mod copy;
mod credits;
mod events;
mod exec;
mod inside;
mod login;
mod patience;
mod pty;
mod secure;
mod server;
mod ssh;
mod terminal;
mod usage;
mod workspaces;
mod world;
