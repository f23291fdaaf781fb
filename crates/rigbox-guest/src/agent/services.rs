//! How the guest's init and the workspace's units are.

use rigbox_types::guest::{
    ServiceStatus, ServicesResponse, SystemState, services::UNIT_PREFIX, units::WRAP_PREFIX,
};
use tracing::debug;

use super::{Guest, program::Program, refusal::Refusal, setup, wrap};

/// Follows the boot to its end.
pub(crate) async fn watch_boot(guest: &Guest) {
    if !guest.kernel.has_systemd() || !guest.root.is_real() {
        return;
    }
    guest.system.send_replace(SystemState::Starting);
    let asked = loop {
        // Comes back when the boot is over, or with an error when its time is.
        match Program::new("systemctl").args(["is-system-running", "--wait"]).run().await {
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {}
            asked => break asked,
        }
    };
    match asked {
        Ok(output) => {
            let state = match output.stdout().trim() {
                "running" => SystemState::Running,
                "degraded" => SystemState::Degraded,
                "stopping" => SystemState::Stopping,
                "initializing" | "starting" => SystemState::Starting,
                _ => SystemState::Unknown,
            };
            guest.system.send_replace(state);
        }
        Err(error) => debug!(%error, "init does not say how it is"),
    }
}

/// `GET /services`.
pub(crate) async fn read(guest: &Guest) -> Result<ServicesResponse, Refusal> {
    if !guest.kernel.has_systemd() {
        return Ok(ServicesResponse { services: Vec::new() });
    }
    let mut units = setup::units(guest);
    units.extend(wrap::units(guest));
    if units.is_empty() {
        return Ok(ServicesResponse { services: Vec::new() });
    }
    let properties = "Id,ActiveState,SubState,MainPID,NRestarts,ExecMainStatus,ExecMainCode";
    let output = Program::new("systemctl")
        .args(["show", "--property", properties, "--"])
        .args(units)
        .run()
        .await
        .map_err(|error| Refusal::unavailable(format!("systemd does not answer: {error}")))?;
    Ok(ServicesResponse { services: parse(&output.stdout()) })
}

/// Reads blocks of `Name=value` with an empty line between them.
fn parse(text: &str) -> Vec<ServiceStatus> {
    let mut services: Vec<ServiceStatus> = text.split("\n\n").filter_map(service).collect();
    services.sort_by(|a, b| a.name.cmp(&b.name));
    services
}

fn service(block: &str) -> Option<ServiceStatus> {
    let property =
        |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let number = |name: &str| property(name).and_then(|text| text.parse::<u32>().ok());
    let unit = property("Id")?;
    let name = unit.strip_prefix(UNIT_PREFIX).or_else(|| unit.strip_prefix(WRAP_PREFIX))?;
    let name = name.strip_suffix(".service")?;
    // 1 is CLD_EXITED: only then is the status an exit code.
    let has_exited = number("ExecMainCode") == Some(1);
    let exit_code = property("ExecMainStatus").and_then(|code| code.parse().ok());
    Some(ServiceStatus {
        name: name.to_owned(),
        unit: unit.to_owned(),
        active_state: property("ActiveState").unwrap_or_default().to_owned(),
        sub_state: property("SubState").unwrap_or_default().to_owned(),
        pid: number("MainPID").filter(|pid| *pid != 0),
        restarts: number("NRestarts").unwrap_or_default(),
        exit_code: exit_code.filter(|_| has_exited),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_from_the_answer_of_systemctl() {
        let services = parse(
            "Id=rigbox-svc-web.service\nActiveState=active\nSubState=running\nMainPID=42\n\
             NRestarts=3\nExecMainStatus=0\nExecMainCode=0\n\n\
             ExecMainCode=1\nExecMainStatus=7\nMainPID=0\nId=rigbox-svc-api.service\n\
             ActiveState=failed\nSubState=failed\n\nId=ssh.service\n",
        );
        let [api, web] = services.as_slice() else { panic!("{services:?}") };
        assert_eq!((api.name.as_str(), api.pid, api.exit_code), ("api", None, Some(7)));
        assert_eq!((web.name.as_str(), web.pid, web.exit_code), ("web", Some(42), None));
        assert_eq!((web.restarts, web.active_state.as_str()), (3, "active"));
    }
}
