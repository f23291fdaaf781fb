//! What leads the services of a workspace to AI: a file of variables, and the lines that have systemd
//! load it, which newer images have already.
//! Invariant: no key of the owner's is in the file: systemd reads it as root, for services of whatever
//! user. Does not reload systemd: it looks at the file whenever it starts a service, and finds lines that
//! are new at the next boot.

use std::{collections::BTreeMap, io};

use rigbox_types::guest::ai;

use crate::agent::{
    environment,
    root::{Root, remove_if_there},
};

/// Variables for every service, and for shells of root.
pub(super) const FILE: &str = "/etc/rigbox/ai.env";

macro_rules! of_image {
    ($path:literal) => {
        ($path, include_str!(concat!("../../../../../images/base/files", $path)))
    };
}

/// Lines for systemd, as the base image has them.
const LINES: [(&str, &str); 4] = [
    of_image!("/etc/systemd/system/service.d/10-rigbox.conf"),
    of_image!("/etc/systemd/system/rigbox-svc-.service.d/10-rigbox.conf"),
    of_image!("/etc/systemd/system/user@.service.d/10-rigbox.conf"),
    of_image!("/etc/systemd/user/service.d/10-rigbox.conf"),
];

/// Writes them: the variables first, so that those of an AI that is off are gone whatever else fails.
pub(super) fn write(root: &Root, proxy_env: Option<&BTreeMap<String, String>>) -> io::Result<()> {
    let variables = keyless(proxy_env);
    if variables.is_empty() {
        remove_if_there(&root.path(FILE))?;
    } else {
        root.write_told(FILE, environment::render(&variables).as_bytes(), 0o644)?;
    }
    for (path, text) in LINES {
        // Whoever has changed one has meant it.
        if !root.exists(path) {
            root.write_told(path, text.as_bytes(), 0o644)?;
        }
    }
    Ok(())
}

/// What anybody may read: what leads to the gateway, as we know it. Keys are something else.
fn keyless(proxy_env: Option<&BTreeMap<String, String>>) -> BTreeMap<String, String> {
    let mut open = ai::through_gateway();
    open.retain(|name, value| proxy_env.is_some_and(|env| env.get(name) == Some(value)));
    open
}
