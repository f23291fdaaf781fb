//! `rig ssh-config`: entries in `~/.ssh/config` and `known_hosts` by which `ssh NAME` reaches a workspace
//! and knows the gateway.
//! Invariant: of both files only what is ours is changed, and each is replaced whole or not at all.

use std::{collections::HashSet, env, path::PathBuf};

use rigbox_types::{
    Ed25519Key,
    api::{
        accounts::{ListRegionsResponse, RegionSsh},
        workspaces::{ListWorkspacesResponse, Vm},
    },
};
use serde_json::json;

use super::workspace::shared;
use crate::{
    cli::SshConfigArgs,
    client::{Document, Path},
    error::{CommandError, CommandResult},
    kept_file::File,
    session::Session,
    words::count,
};

/// What our part of the configuration is between; the address of the server follows both.
const BEGIN: &str = "# rigbox: begin";
const END: &str = "# rigbox: end";

/// Longest name of a host.
const HOST_MAX_LEN: usize = 253;

/// Does what the command says.
pub(super) async fn run(session: &Session, args: &SshConfigArgs) -> CommandResult {
    let server = session.profile.url.to_string();
    let (hosts, gateways) = if args.remove {
        (Hosts { own: Vec::new(), shared: Vec::new() }, Vec::new())
    } else {
        session.output.progress("reading the workspaces");
        let regions: Document<ListRegionsResponse> =
            session.client.get(Path::api("/users/me/regions")).await?;
        let gateways: Vec<_> = regions.value.ssh.into_iter().filter(|it| it.enabled).collect();
        if let Some(odd) = gateways.iter().find(|gateway| !is_sound(gateway)) {
            // It would become lines of the configuration.
            let message =
                format!("the server tells no place and key for the region {}", odd.region);
            return Err(CommandError::failed(message));
        }
        if gateways.is_empty() {
            return Err(CommandError::failed("this installation has no SSH gateway")
                .coded("unavailable")
                .hint("rig shell NAME"));
        }
        (hosts(session).await?, gateways)
    };
    let (config, known_hosts) = files(args)?;
    let (config, known_hosts) = (File::read(config)?, File::read(known_hosts)?);
    let taken = own_names(&without_section(&config.text, &server));
    let entries = entries(&hosts, &gateways, &taken);
    if args.print {
        session.output.text(&section(&server, &entries))?;
        return session
            .output
            .text(&known(&server, &gateways).join("\n"))
            .and_then(|()| session.output.text("\n"));
    }
    config.replace(&with_section(&config.text, &server, &entries))?;
    known_hosts.replace(&with_known(&known_hosts.text, &server, &gateways))?;
    if !session.output.is_human() {
        let hosts: Vec<_> = entries.iter().map(|entry| json!({ "names": entry.names, "user": entry.user, "host": entry.gateway.host, "port": entry.gateway.port })).collect();
        return session.output.document(
            &json!({ "config": config.path, "known_hosts": known_hosts.path, "hosts": hosts }),
        );
    }
    if args.remove {
        return session
            .output
            .line(format!("removed what rig had written to {}", config.path.display()));
    }
    session.output.line(format!(
        "wrote {} to {}",
        count(entries.len(), "host"),
        config.path.display()
    ))?;
    if let Some(first) = entries.first().and_then(|entry| entry.names.first()) {
        session.output.hint(&format!("ssh {first}"));
    }
    Ok(())
}

/// Workspaces by whose they are.
struct Hosts {
    own: Vec<Vm>,
    /// Those that others share with the account.
    shared: Vec<Vm>,
}

async fn hosts(session: &Session) -> CommandResult<Hosts> {
    let own: Document<ListWorkspacesResponse> =
        session.client.list(Path::api("/workspaces"), "vms").await?;
    let shared: Document<ListWorkspacesResponse> = session.client.list(shared(), "vms").await?;
    Ok(Hosts { own: own.value.vms, shared: shared.value.vms })
}

/// Whether what a server tells of a gateway is a place and a key, and nothing else.
fn is_sound(gateway: &RegionSsh) -> bool {
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:".contains(&byte);
    let host = &gateway.host;
    let is_named = !host.is_empty() && !host.starts_with('-') && host.bytes().all(is_host);
    is_named && host.len() <= HOST_MAX_LEN && gateway.host_key.parse::<Ed25519Key>().is_ok()
}

/// The names that a configuration has hosts for, our part apart.
fn own_names(text: &str) -> HashSet<String> {
    let lines = text.lines().filter_map(|line| {
        let (key, names) = line.trim().split_once([' ', '\t', '='])?;
        key.eq_ignore_ascii_case("host").then_some(names)
    });
    lines.flat_map(str::split_whitespace).map(|name| name.trim_matches('"').to_owned()).collect()
}

/// One `Host` of the configuration.
#[derive(Debug)]
struct Entry<'a> {
    names: Vec<String>,
    user: String,
    gateway: &'a RegionSsh,
}

/// A workspace goes by its user name, and one of the account's own also by its name, where that is no other
/// host's already: nobody else's choice of a name changes where `ssh NAME` leads.
fn entries<'a>(
    hosts: &Hosts,
    gateways: &'a [RegionSsh],
    taken: &HashSet<String>,
) -> Vec<Entry<'a>> {
    let own = hosts.own.iter().map(|vm| (vm, true));
    let all = own.chain(hosts.shared.iter().map(|vm| (vm, false)));
    let entries = all.filter_map(|(vm, is_own)| {
        let gateway = gateways.iter().find(|gateway| gateway.region == vm.region)?;
        let user = format!("{}-{}", vm.name, vm.id.suffix());
        let name = vm.name.to_string();
        let is_free = is_own && !taken.contains(&name) && name != "localhost";
        let names = is_free.then_some(name).into_iter().chain([user.clone()]).collect();
        Some(Entry { names, user, gateway })
    });
    entries.collect()
}

/// Our part of the configuration. It ends with what holds for every host again, because the first lines of
/// a file may stand under no host.
fn section(server: &str, entries: &[Entry<'_>]) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let mut text = format!("{BEGIN} {server} (written by `rig ssh-config`, which replaces it)\n");
    for Entry { names, user, gateway } in entries {
        text.push_str(&format!(
            "Host {}\n  HostName {}\n  Port {}\n  User {user}\n",
            names.join(" "),
            gateway.host,
            gateway.port,
        ));
    }
    text.push_str(&format!("Host *\n{END} {server}\n"));
    text
}

/// The configuration without our part. A part that has lost its end stays: what is behind it is not ours to
/// take away.
fn without_section(text: &str, server: &str) -> String {
    let (begin, end) = (format!("{BEGIN} {server} "), format!("{END} {server}"));
    let (mut rest, mut part) = (String::new(), None::<String>);
    for line in text.split_inclusive('\n') {
        if line.starts_with(&begin) {
            rest.push_str(&part.take().unwrap_or_default());
            part = Some(String::new());
            continue;
        }
        match &mut part {
            None => rest.push_str(line),
            Some(_) if line.trim_end() == end => part = None,
            Some(part) => part.push_str(line),
        }
    }
    rest + &part.unwrap_or_default()
}

/// The configuration with our part at its beginning: of several entries for a host the first one counts.
fn with_section(text: &str, server: &str, entries: &[Entry<'_>]) -> String {
    format!("{}{}", section(server, entries), without_section(text, server))
}

/// The gateways' keys as `known_hosts` has keys, marked as ours.
fn known(server: &str, gateways: &[RegionSsh]) -> Vec<String> {
    let lines = gateways.iter().map(|gateway| {
        let host = match gateway.port {
            22 => gateway.host.clone(),
            port => format!("[{}]:{port}", gateway.host),
        };
        format!("{host} {} rigbox {server}", gateway.host_key)
    });
    lines.collect()
}

fn with_known(text: &str, server: &str, gateways: &[RegionSsh]) -> String {
    let mark = format!(" rigbox {server}");
    let mut out = String::new();
    for line in text.lines().filter(|line| !line.trim_end().ends_with(&mark)) {
        out.push_str(line);
        out.push('\n');
    }
    for line in known(server, gateways) {
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// Where the two files are.
fn files(args: &SshConfigArgs) -> CommandResult<(PathBuf, PathBuf)> {
    let home = env::var_os("HOME").map(PathBuf::from);
    let folder = home.map(|home| home.join(".ssh"));
    let missing = || CommandError::usage("where is ~/.ssh? HOME is not set");
    let of = |given: &Option<PathBuf>, name| match (given, &folder) {
        (Some(file), _) => Ok(file.clone()),
        (None, Some(folder)) => Ok(folder.join(name)),
        (None, None) => Err(missing()),
    };
    Ok((of(&args.config, "config")?, of(&args.known_hosts, "known_hosts")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "http://127.0.0.1:7070";

    fn gateway() -> RegionSsh {
        RegionSsh {
            region: "local".parse().unwrap(),
            host: "127.0.0.1".to_owned(),
            port: 2222,
            enabled: true,
            host_key: "ssh-ed25519 AAAA".to_owned(),
            fingerprint: "SHA256:x".to_owned(),
        }
    }

    fn entry(gateway: &RegionSsh) -> Entry<'_> {
        let names = vec!["shop".to_owned(), "shop-ctbxi8lb".to_owned()];
        Entry { names, user: "shop-ctbxi8lb".to_owned(), gateway }
    }

    #[test]
    fn what_is_written_is_replaced_and_the_rest_stays() {
        let gateway = gateway();
        let own = "Compression yes\nHost other\n  User me\n";
        let first = with_section(own, SERVER, &[entry(&gateway)]);
        assert!(first.starts_with(BEGIN) && first.ends_with(own), "{first}");
        assert!(first.contains("Host shop shop-ctbxi8lb\n  HostName 127.0.0.1\n  Port 2222\n"));
        assert_eq!(with_section(&first, SERVER, &[entry(&gateway)]), first);
        let other = with_section(&first, "https://other.example", &[entry(&gateway)]);
        assert_eq!(with_section(&other, "https://other.example", &[]), first);
        assert_eq!(with_section(&first, SERVER, &[]), own);
        // What is behind a part that lost its end stays, however often ours is written.
        let torn = format!("{BEGIN} {SERVER} (torn)\n{own}");
        assert_eq!(without_section(&torn, SERVER), own);
        let again = with_section(&torn, SERVER, &[entry(&gateway)]);
        assert_eq!(with_section(&again, SERVER, &[entry(&gateway)]), again);
        assert!(again.ends_with(own), "{again}");
    }

    #[test]
    fn a_gateway_is_known_by_its_port_and_by_one_key() {
        let text = with_known("github.com ssh-ed25519 BBBB\n", SERVER, &[gateway()]);
        let line = format!("[127.0.0.1]:2222 ssh-ed25519 AAAA rigbox {SERVER}\n");
        assert_eq!(text, format!("github.com ssh-ed25519 BBBB\n{line}"));
        let moved = RegionSsh { port: 22, host_key: "ssh-ed25519 CCCC".to_owned(), ..gateway() };
        let text = with_known(&text, SERVER, &[moved]);
        let line = format!("127.0.0.1 ssh-ed25519 CCCC rigbox {SERVER}\n");
        assert_eq!(text, format!("github.com ssh-ed25519 BBBB\n{line}"));
    }

    #[test]
    fn what_a_server_tells_is_a_place_and_a_key_or_nothing() {
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFe/Ax+M0FkUbzSDx7IV3PX2Wul55/mgElLv5gyGQK0b";
        let sound = RegionSsh { host_key: key.to_owned(), ..gateway() };
        assert!(is_sound(&sound));
        for host in ["", "-oProxyCommand=x", "a b", "a\n  ProxyCommand x", "a/b", "%h"] {
            assert!(!is_sound(&RegionSsh { host: host.to_owned(), ..sound.clone() }), "{host}");
        }
        let odd = format!("{key}\n@cert-authority * {key}");
        assert!(!is_sound(&RegionSsh { host_key: odd, ..sound }));
    }

    #[test]
    fn names_that_the_configuration_has_are_left_to_it() {
        let names = own_names("Host prod \"other\"\n  User me\nhost=third\nMatch all\n");
        assert_eq!(names, ["prod", "other", "third"].map(str::to_owned).into());
    }
}
