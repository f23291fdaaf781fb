//! Firecracker's command line.

use std::{
    fs,
    os::unix::net::UnixListener,
    sync::{Arc, Mutex},
};

use serde_json::Value;

use crate::{complain, console, http, machine::Machine, tiny};

/// What is known of its arguments.
#[derive(Debug, Default)]
struct Arguments {
    id: Option<String>,
    api_sock: Option<String>,
    config_file: Option<String>,
    no_api: bool,
}

/// Runs until the guest ends it; the exit code of what fails before.
pub(crate) fn run(args: &[String]) -> i32 {
    if args.iter().any(|arg| arg == "--version") {
        console(&format!("Firecracker v{VERSION}\n\n2026-11-23T00:00:00 [main] exit_code=0\n"));
        return 0;
    }
    let arguments = match parse(args) {
        Ok(arguments) => arguments,
        Err(text) => {
            complain(&format!("Arguments parsing error: {text}"));
            return BAD_ARGUMENTS;
        }
    };
    let id = arguments.id.as_deref().unwrap_or("anonymous-instance");
    if let Some(bad) = id.chars().position(|c| c != '-' && !c.is_ascii_alphanumeric()) {
        complain(&format!(
            "Invalid instance ID: InvalidChar('{}', {bad})",
            id.chars().nth(bad).unwrap_or_default()
        ));
        std::process::abort();
    }
    if arguments.no_api {
        return arguments.config_file.map_or(BAD_ARGUMENTS, |path| run_config(&path));
    }
    let socket = arguments.api_sock.as_deref().unwrap_or("/run/firecracker.socket");
    let Ok(listener) = UnixListener::bind(socket) else {
        complain(&format!(
            "Failed to open the API socket at: {socket}. Check that it is not already used."
        ));
        return 1;
    };
    http::serve(&listener, &Arc::new(Mutex::new(Machine::new(id))));
    0
}

/// Without API only kernels of a few instructions run here.
fn run_config(path: &str) -> i32 {
    let Ok(text) = fs::read_to_string(path) else { std::process::abort() };
    let config: Value = serde_json::from_str(&text).unwrap_or_default();
    let kernel = config.pointer("/boot-source/kernel_image_path").and_then(Value::as_str);
    let kernel = kernel.and_then(|path| fs::read(path).ok()).unwrap_or_default();
    if config.get("drives").is_none() || !tiny::run(&kernel) {
        complain("Configuration error");
    }
    1
}

fn parse(args: &[String]) -> Result<Arguments, String> {
    let mut parsed = Arguments::default();
    let mut args = args.iter();
    while let Some(name) = args.next() {
        let mut value = || {
            args.next().cloned().ok_or_else(|| format!("The argument '{name}' requires a value."))
        };
        match name.as_str() {
            "--id" => parsed.id = Some(value()?),
            "--api-sock" => parsed.api_sock = Some(value()?),
            "--config-file" => parsed.config_file = Some(value()?),
            "--no-api" => parsed.no_api = true,
            "--enable-pci" | "--boot-timer" | "--show-level" | "--show-log-origin"
            | "--no-seccomp" => {}
            "--level"
            | "--log-path"
            | "--module"
            | "--metrics-path"
            | "--metadata"
            | "--http-api-max-payload-size"
            | "--mmds-size-limit"
            | "--seccomp-filter"
            | "--start-time-us"
            | "--start-time-cpu-us"
            | "--parent-cpu-time-us" => drop(value()?),
            _ => return Err(format!("Found argument '{name}' which wasn't expected.")),
        }
    }
    Ok(parsed)
}

/// What it says it is.
pub(crate) const VERSION: &str = "1.17.0-dev";
const BAD_ARGUMENTS: i32 = 153;
