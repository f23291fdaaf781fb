//! What one sees when the platform works: where it is, and what to type next.

use std::net::SocketAddr;

use camino::Utf8Path;

use super::Up;
use crate::{
    api::{Api, CallError},
    output,
};

/// Shows it. `rig` is set where the invoking user's `rig` was signed in, `setup` where nobody has
/// set the operator's password yet.
pub(super) fn show(up: &Up<'_>, at: (SocketAddr, u16), rig: Option<&str>, setup: Option<&str>) {
    for line in lines(up, at, (rig, setup)) {
        output::data(&line);
    }
}

/// The link by which the operator sets an address and a password, as long as there is none.
///
/// # Errors
/// Where the API makes none.
pub(super) async fn setup_link(api: &Api) -> Result<Option<String>, CallError> {
    let user = api.own_account().await?.user;
    if user.has_password {
        return Ok(None);
    }
    Ok(Some(api.user_link_create(user.id).await?.url))
}

/// A port as addresses with TLS name it.
fn port(https_port: u16) -> String {
    match https_port {
        443 => String::new(),
        other => format!(":{other}"),
    }
}

fn lines(
    up: &Up<'_>,
    (address, https_port): (SocketAddr, u16),
    (rig, setup): (Option<&str>, Option<&str>),
) -> Vec<String> {
    let layout = up.layout;
    let logs = layout.log("control");
    let logs = logs.parent().unwrap_or_else(|| Utf8Path::new("/"));
    let first = Some(up.config.first.workspace.as_str()).filter(|name| !name.is_empty());
    let mut lines = vec![
        String::new(),
        "Rigbox is up.".to_owned(),
        format!("  API        http://{address}/api/v1"),
        format!("  apps       https://NAME.{}{}", up.config.domain, port(https_port)),
        format!("  admin key  {} (only root can read it)", layout.admin_key()),
        format!("  data       {}", layout.data()),
        format!("  logs       {logs}"),
        String::new(),
    ];
    if let Some(link) = setup {
        lines.push(
            "To sign in with a browser, set your e-mail address and password there:".to_owned(),
        );
        lines.push(format!("  {link}"));
        lines.push("The link works once, for a day; the next start prints another.".to_owned());
        lines.push(String::new());
    }
    match rig {
        Some(user) => {
            lines.push(format!("rig is signed in for {user}. Type, in another terminal:"))
        }
        None => {
            lines.push("Type, in another terminal:".to_owned());
            lines.push(format!("  export RIGBOX_API_URL=http://{address}"));
            lines.push(format!("  sudo cat {} | rig login --import-token -", layout.admin_key()));
        }
    }
    lines.push("  rig status".to_owned());
    lines.extend(first.map(|name| format!("  rig shell {name}")));
    lines.push("  rig workspace spawn --name another".to_owned());
    lines.push(String::new());
    lines.push(format!(
        "Ctrl-C ends the platform and leaves workspaces running; `{}` ends all.",
        layout.command("down")
    ));
    lines.push(String::new());
    lines
}
