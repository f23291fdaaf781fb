//! What is done inside a workspace: commands, files, logs, ports, metrics, services. Control asks
//! the workspace's host, which asks the agent; bodies pass through without being gathered.
//! Invariant: only a workspace whose status is `running` is asked, and only with a proof of the
//! right to it. Everything that comes back is the guest's word: bounded, never interpreted as ours.

pub(crate) mod agent;
mod console;
pub(crate) mod exec;
pub(crate) mod files;
pub(crate) mod lines;
pub(crate) mod live;
pub(crate) mod logs;
pub(crate) mod services;
pub(crate) mod stream;
