//! What is configured and running, and the dispatch of calls.

use std::{collections::BTreeMap, fs::File, os::fd::OwnedFd, sync::Arc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    bodies::{BootSource, Drive, MachineConfig, MmdsConfig, NetworkInterface, Vsock},
    guest::Guest,
    vsock::Backend,
};

/// The one micro-VM of the process.
#[derive(Default)]
pub(crate) struct Machine {
    pub(crate) id: String,
    pub(crate) phase: Phase,
    /// Anything that a snapshot cannot be loaded over.
    pub(crate) configured: bool,
    pub(crate) config: Config,
    pub(crate) drives: BTreeMap<String, File>,
    pub(crate) taps: BTreeMap<String, OwnedFd>,
    pub(crate) vsock: Option<Backend>,
    pub(crate) mmds: Option<Value>,
    pub(crate) has_metrics: bool,
    pub(crate) guest: Option<Arc<Guest>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    NotStarted,
    Running,
    Paused,
}

/// What `/vm/config` shows and a snapshot keeps.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Config {
    pub(crate) machine: MachineConfig,
    pub(crate) boot_source: BootSource,
    pub(crate) drives: Vec<Drive>,
    pub(crate) interfaces: Vec<NetworkInterface>,
    pub(crate) vsock: Option<Vsock>,
    pub(crate) mmds: Option<MmdsConfig>,
    pub(crate) has_entropy: bool,
    pub(crate) serial_out_path: Option<String>,
}

/// What is answered, and what happens afterwards.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Option<Value>,
    pub(crate) then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    GoOn,
    Exit(i32),
}

/// A refusal in Firecracker's words.
pub(crate) struct Fault {
    pub(crate) status: u16,
    pub(crate) text: String,
    pub(crate) then: Then,
}

impl Fault {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { status: 400, text: text.into(), then: Then::GoOn }
    }

    /// One after which the process ends.
    pub(crate) fn fatal(text: impl Into<String>) -> Self {
        Self { then: Then::Exit(1), ..Self::new(text) }
    }
}

/// None: nothing to say.
pub(crate) type Outcome = Result<Option<Value>, Fault>;

impl Machine {
    pub(crate) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), ..Self::default() }
    }

    /// Answers one call.
    pub(crate) fn answer(&mut self, method: &str, path: &str, body: &[u8]) -> Answer {
        match self.dispatch(method, path, body) {
            Ok(body) => {
                let status = if body.is_some() { 200 } else { 204 };
                Answer { status, body, then: Then::GoOn }
            }
            Err(Fault { status, text, then }) => {
                Answer { status, body: Some(json!({ "fault_message": text })), then }
            }
        }
    }

    fn dispatch(&mut self, method: &str, path: &str, body: &[u8]) -> Outcome {
        let mut parts = path.trim_start_matches('/').split('/');
        let first = parts.next().unwrap_or_default();
        let second = parts.next().unwrap_or_default();
        // An unknown path is told by its first part only. A query string is part of it.
        let unknown =
            || Err(Fault::new(format!("Invalid request method and/or path: {method} {first}.")));
        match method {
            "GET" if !body.is_empty() => Err(Fault::new("GET request cannot have a body.")),
            "GET" => self.get(first, second).unwrap_or_else(unknown),
            "PUT" | "PATCH" if body.is_empty() => {
                Err(Fault::new(format!("Empty {method} request.")))
            }
            "PUT" => self
                .put_config(first, second, body)
                .or_else(|| self.put_action(first, second, body))
                .unwrap_or_else(unknown),
            "PATCH" => self.patch(first, second, body).unwrap_or_else(unknown),
            "DELETE" if first == "drives" && !second.is_empty() => {
                self.only_after_start()?;
                Err(Fault::new("Drive config error: PCI is not enabled"))
            }
            _ => unknown(),
        }
    }

    fn get(&self, first: &str, second: &str) -> Option<Outcome> {
        let answer = match (first, second) {
            ("", _) => json!({
                "id": self.id,
                "state": self.state(),
                "vmm_version": crate::firecracker::VERSION,
                "app_name": "Firecracker",
            }),
            ("version", _) => json!({ "firecracker_version": crate::firecracker::VERSION }),
            ("machine-config", _) => json!(self.config.machine),
            ("vm", "config") => self.show_config(),
            ("mmds", _) => return Some(self.get_mmds()),
            ("balloon", _) => {
                return Some(Err(Fault::new(match self.phase {
                    Phase::NotStarted => "Balloon config error: No balloon device found.",
                    Phase::Running | Phase::Paused => {
                        "Internal VMM error: Failed perform action on device: Device not found"
                    }
                })));
            }
            _ => return None,
        };
        Some(Ok(Some(answer)))
    }

    fn get_mmds(&self) -> Outcome {
        match (&self.mmds, self.phase) {
            (Some(data), _) => Ok(Some(data.clone())),
            (None, Phase::NotStarted) => Ok(Some(json!({}))),
            (None, Phase::Running | Phase::Paused) => {
                Err(Fault::new("MMDS error: The MMDS data store is not initialized."))
            }
        }
    }

    fn state(&self) -> &'static str {
        match self.phase {
            Phase::NotStarted => "Not started",
            Phase::Running => "Running",
            Phase::Paused => "Paused",
        }
    }

    fn show_config(&self) -> Value {
        let config = &self.config;
        json!({
            "balloon": null,
            "drives": config.drives,
            "boot-source": config.boot_source,
            "cpu-config": null,
            "logger": null,
            "machine-config": config.machine,
            "metrics": null,
            "mmds-config": config.mmds,
            "network-interfaces": config.interfaces,
            "vsock": config.vsock,
            "entropy": config.has_entropy.then(|| json!({ "rate_limiter": null })),
            "pmem": [],
            "memory-hotplug": null,
        })
    }

    /// Configuration comes before the start.
    pub(crate) fn only_before_start(&self) -> Result<(), Fault> {
        if self.phase == Phase::NotStarted {
            Ok(())
        } else {
            Err(Fault::new("The requested operation is not supported after starting the microVM."))
        }
    }

    /// Control comes after it.
    pub(crate) fn only_after_start(&self) -> Result<(), Fault> {
        if self.phase == Phase::NotStarted {
            Err(Fault::new("The requested operation is not supported before starting the microVM."))
        } else {
            Ok(())
        }
    }
}

/// A body, or serde's words about it, which are Firecracker's.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| bad_body(&format!("{error}.")))
}

/// What is wrong with a body.
pub(crate) fn bad_body(reason: &str) -> Fault {
    let prefix = "An error occurred when deserializing the json body of a request:";
    Fault::new(format!("{prefix} {reason}"))
}
