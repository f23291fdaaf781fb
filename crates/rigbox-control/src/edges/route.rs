//! An app as an edge has to know it, and the names that lead to it. Pure.

use camino::Utf8Path;
use rigbox_store::apps::AppRow;
use rigbox_types::{
    AppName, Status,
    api::apps::AppKind,
    edge::{EdgeSettings, Route, RouteState},
};

use crate::config::EdgeConfig;

/// The socket beside the one that a host registers with.
const DIAL_SOCKET: &str = "dial.sock";

/// The app as a route; none where it has none: nothing visits a program.
pub(super) fn route(row: &AppRow, config: &EdgeConfig) -> Option<Route> {
    if row.kind == AppKind::Cli {
        return None;
    }
    let is = &row.published;
    Some(Route {
        app: row.id.clone(),
        names: names(row, config),
        workspace: row.workspace.clone(),
        owner: row.account,
        generation: row.generation,
        host: row
            .address
            .as_deref()
            .map(|address| dial_address(address, config.dial_socket.as_deref())),
        port: is.port,
        state: match (is.active && !row.owner_disabled, row.status) {
            (false, _) => RouteState::AppStopped,
            (true, Status::Running) => RouteState::Serving,
            (true, _) => RouteState::WorkspaceStopped,
        },
        visibility: is.visibility,
        allowed_emails: is.allowed_emails.clone(),
    })
}

/// What an edge is told first.
pub(super) fn settings(config: &EdgeConfig) -> EdgeSettings {
    EdgeSettings {
        domain: config.domain.clone(),
        sign_in_origin: config.sign_in_origin.clone(),
        dashboard_host: config.dashboard_host.clone(),
        https_port: config.https_port,
    }
}

/// The host names that lead to an app, its own first.
pub(crate) fn names(row: &AppRow, config: &EdgeConfig) -> Vec<String> {
    let own = host_name(&row.published.name, config);
    [own].into_iter().chain(row.published.verified().map(str::to_owned)).collect()
}

/// The host name of an app of this name.
pub(crate) fn host_name(name: &AppName, config: &EdgeConfig) -> String {
    format!("{name}.{}", config.domain)
}

/// Where a host name is visited.
pub(crate) fn origin(host_name: &str, config: &EdgeConfig) -> String {
    match config.https_port {
        443 => format!("https://{host_name}"),
        port => format!("https://{host_name}:{port}"),
    }
}

/// Where connections into the workspaces of a host are opened: on one machine a socket of its own
/// passes them, elsewhere they are streams to where it listens.
pub(crate) fn dial_address(address: &str, socket: Option<&Utf8Path>) -> String {
    let Some(path) = address.strip_prefix("unix:") else { return address.to_owned() };
    match (socket, path.rsplit_once('/')) {
        (Some(socket), _) => format!("unix:{socket}"),
        (None, Some((folder, _))) => format!("unix:{folder}/{DIAL_SOCKET}"),
        (None, None) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_its_port_where_that_is_not_the_usual_one() {
        let mut config = EdgeConfig::local("http://127.0.0.1:1");
        assert_eq!(origin("a.b", &config), "https://a.b");
        config.https_port = 8443;
        assert_eq!(origin("a.b", &config), "https://a.b:8443");
    }

    #[test]
    fn a_host_of_this_machine_is_dialled_through_a_socket_of_its_own() {
        assert_eq!(dial_address("unix:/r/host.sock", None), "unix:/r/dial.sock");
        assert_eq!(dial_address("https://h:1", None), "https://h:1");
        let socket = Some(Utf8Path::new("/x.sock"));
        assert_eq!(dial_address("unix:/r/host.sock", socket), "unix:/x.sock");
    }
}
