//! `rig ssh-config`: entries in `~/.ssh/config` and `known_hosts` by which `ssh NAME` reaches a workspace
//! and knows the gateway.
//! Invariant: of both files only what is ours is changed, and each is replaced whole or not at all.

use std::{
    collections::HashSet,
    env, fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path as FilePath, PathBuf},
};

use rigbox_types::api::{
    accounts::{ListRegionsResponse, RegionSsh},
    workspaces::{ListWorkspacesResponse, Vm},
};
use serde_json::json;

use super::workspace::shared;
use crate::{
    cli::SshConfigArgs,
    client::{Document, Path},
    config::read_bounded,
    error::{CommandError, CommandResult},
    session::Session,
    words::count,
};

/// What our part of the configuration is between; the address of the server follows both.
const BEGIN: &str = "# rigbox: begin";
const END: &str = "# rigbox: end";

/// Does what the command says.
pub(super) async fn run(session: &Session, args: &SshConfigArgs) -> CommandResult {
    let server = session.profile.url.to_string();
    let (hosts, gateways) = if args.remove {
        (Vec::new(), Vec::new())
    } else {
        session.output.progress("reading the workspaces");
        let regions: Document<ListRegionsResponse> =
            session.client.get(Path::api("/users/me/regions")).await?;
        let gateways: Vec<_> = regions.value.ssh.into_iter().filter(|it| it.enabled).collect();
        if gateways.is_empty() {
            return Err(CommandError::failed("this installation has no SSH gateway")
                .coded("unavailable")
                .hint("rig shell NAME"));
        }
        (hosts(session).await?, gateways)
    };
    let entries = entries(&hosts, &gateways);
    if args.print {
        session.output.text(&section(&server, &entries))?;
        return session
            .output
            .text(&known(&server, &gateways).join("\n"))
            .and_then(|()| session.output.text("\n"));
    }
    let (config, known_hosts) = files(args)?;
    change(&config, |text| with_section(text, &server, &entries))?;
    change(&known_hosts, |text| with_known(text, &server, &gateways))?;
    if !session.output.is_human() {
        let hosts: Vec<_> = entries.iter().map(|entry| json!({ "names": entry.names, "user": entry.user, "host": entry.gateway.host, "port": entry.gateway.port })).collect();
        return session
            .output
            .document(&json!({ "config": config, "known_hosts": known_hosts, "hosts": hosts }));
    }
    if args.remove {
        return session
            .output
            .line(format!("removed what rig had written to {}", config.display()));
    }
    session.output.line(format!(
        "wrote {} to {}",
        count(entries.len(), "host"),
        config.display()
    ))?;
    if let Some(first) = entries.first().and_then(|entry| entry.names.first()) {
        session.output.hint(&format!("ssh {first}"));
    }
    Ok(())
}

/// The account's workspaces, then those that others share with it.
async fn hosts(session: &Session) -> CommandResult<Vec<Vm>> {
    let own: Document<ListWorkspacesResponse> =
        session.client.list(Path::api("/workspaces"), "vms").await?;
    let shared: Document<ListWorkspacesResponse> = session.client.list(shared(), "vms").await?;
    Ok(own.value.vms.into_iter().chain(shared.value.vms).collect())
}

/// One `Host` of the configuration.
#[derive(Debug)]
struct Entry<'a> {
    names: Vec<String>,
    user: String,
    gateway: &'a RegionSsh,
}

/// A workspace goes by its name, where no other one before it does, and by its user name.
fn entries<'a>(hosts: &[Vm], gateways: &'a [RegionSsh]) -> Vec<Entry<'a>> {
    let mut taken = HashSet::new();
    let mut entries = Vec::new();
    for vm in hosts {
        let Some(gateway) = gateways.iter().find(|gateway| gateway.region == vm.region) else {
            continue;
        };
        let user = format!("{}-{}", vm.name, vm.id.suffix());
        let names = [vm.name.to_string(), user.clone()];
        let names: Vec<String> =
            names.into_iter().filter(|name| taken.insert(name.clone())).collect();
        if !names.is_empty() {
            entries.push(Entry { names, user, gateway });
        }
    }
    entries
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

/// The configuration with our part at its beginning: of several entries for a host the first one counts.
fn with_section(text: &str, server: &str, entries: &[Entry<'_>]) -> String {
    let (begin, end) = (format!("{BEGIN} {server} "), format!("{END} {server}"));
    let mut rest = String::new();
    let mut is_ours = false;
    for line in text.split_inclusive('\n') {
        if line.starts_with(&begin) && has_end(text, &end) {
            is_ours = true;
        }
        if !is_ours {
            rest.push_str(line);
        }
        if line.trim_end() == end {
            is_ours = false;
        }
    }
    format!("{}{rest}", section(server, entries))
}

/// Whether our part is whole: what is behind a part that lost its end is not ours to take away.
fn has_end(text: &str, end: &str) -> bool {
    text.lines().any(|line| line.trim_end() == end)
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

/// Replaces a file by what `change` makes of it. One that is a link stays a link.
fn change(path: &FilePath, change: impl FnOnce(&str) -> String) -> CommandResult {
    let denied = |error| CommandError::file(format!("write {}", path.display()), &error);
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let text = match read_bounded(&target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => {
            read.map_err(|error| CommandError::file(format!("read {}", path.display()), &error))?
        }
    };
    let changed = change(&text);
    if changed == text {
        return Ok(());
    }
    replace(&target, &changed).map_err(denied)
}

fn replace(path: &FilePath, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| FilePath::new("/"));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mode = fs::metadata(path).map_or(0o600, |metadata| metadata.permissions().mode() & 0o777);
    let draft = path.with_extension(format!("rig.{}", std::process::id()));
    let written = (|| {
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    })();
    if written.is_err() {
        // The reason that is told is why it was not written; the draft may not even exist.
        fs::remove_file(&draft).unwrap_or_default();
    }
    written
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
        let torn = format!("{BEGIN} {SERVER} (torn)\n{own}");
        assert_eq!(with_section(&torn, SERVER, &[]), torn);
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
    fn a_link_stays_a_link_and_a_new_file_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("dotfiles"), dir.path().join("ssh/config"));
        fs::create_dir(dir.path().join("ssh")).unwrap();
        fs::write(&file, "a\n").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        change(&link, |text| format!("{text}b\n")).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "a\nb\n");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let new = dir.path().join("new/config");
        change(&new, |_| "c\n".to_owned()).unwrap();
        let mode = |path: &FilePath| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&new), mode(new.parent().unwrap())), (0o600, 0o700));
    }
}
