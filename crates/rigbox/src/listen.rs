//! The ports of roles: bound by the supervisor and handed to them, so that they stay ours while a role
//! restarts, what comes meanwhile waits, and no role needs the right to bind one.
//! Says who has the port where it is taken.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener, UdpSocket},
};

use anyhow::{Context, bail};
use camino::Utf8Path;

/// The API's key.
pub(crate) const API: &str = "api.listen";

/// Binds the address of a key of the configuration, or says who has it and what to do.
///
/// # Errors
/// Where it is taken or not an address of this machine.
pub(crate) fn bind(
    key: &str,
    address: SocketAddr,
    config: &Utf8Path,
) -> anyhow::Result<TcpListener> {
    explained(key, address, config, TcpListener::bind(address))
}

/// Whether nobody else has an address at which a role binds sockets itself, for streams and datagrams.
/// Roles that follow each other share it, so their own binding would not notice another platform's.
///
/// # Errors
/// Where it is taken or not an address of this machine.
pub(crate) fn check_free(key: &str, address: SocketAddr, config: &Utf8Path) -> anyhow::Result<()> {
    let both = TcpListener::bind(address).and_then(|tcp| {
        // Of port 0 each gets one of its own anyway.
        UdpSocket::bind((address.ip(), tcp.local_addr()?.port()))
    });
    explained(key, address, config, both).map(drop)
}

fn explained<T>(
    key: &str,
    address: SocketAddr,
    config: &Utf8Path,
    bound: io::Result<T>,
) -> anyhow::Result<T> {
    match bound {
        Ok(bound) => Ok(bound),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => bail!(
            "port {} of {} is taken by {}\n\
             hint: end that program, or choose another port: {key} in {config}{}",
            address.port(),
            address.ip(),
            holder(address.port()),
            option(key, address),
        ),
        Err(error) => {
            Err(error).with_context(|| format!("listen on {address} ({key} in {config})"))
        }
    }
}

/// What else chooses it.
fn option(key: &str, address: SocketAddr) -> String {
    match key {
        API => format!(", or rigbox up --listen {}:PORT", address.ip()),
        _ => String::new(),
    }
}

/// The program that listens on a port, as far as `/proc` shows it.
pub(crate) fn holder(port: u16) -> String {
    let unknown = || "another program".to_owned();
    let Some(inode) = listening_inode(port) else { return unknown() };
    let socket = format!("socket:[{inode}]");
    let Ok(processes) = fs::read_dir("/proc") else { return unknown() };
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        // Processes end, and those of other users cannot be looked into without root.
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let holds = descriptors
            .flatten()
            .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
            .any(|target| target.to_str() == Some(socket.as_str()));
        if holds {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            return format!("{} (process {pid})", name.trim());
        }
    }
    unknown()
}

fn listening_inode(port: u16) -> Option<u64> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| table.lines().skip(1).find_map(|line| inode_of(line, port)))
}

/// The inode in a line of `/proc/net/tcp`, if it is a socket that listens on this port.
fn inode_of(line: &str, port: u16) -> Option<u64> {
    /// State `TCP_LISTEN` of the kernel.
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    let (_, local_port) = local.rsplit_once(':')?;
    let matches = *state == LISTEN && u16::from_str_radix(local_port, 16) == Ok(port);
    matches.then(|| inode.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_its_holder_and_the_option() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let said = bind(API, address, "/data/rigbox.toml".into()).unwrap_err().to_string();
        let own = format!("(process {})", std::process::id());
        assert!(said.contains(&format!("port {} of 127.0.0.1 is taken", address.port())), "{said}");
        assert!(said.contains(&own), "{said}");
        assert!(said.contains("rigbox up --listen"), "{said}");
    }

    #[test]
    fn an_address_for_streams_and_datagrams_is_free_only_where_both_are() {
        let free = rigbox_test_ports::free_address().unwrap();
        check_free("edge.dns", free, "/data/rigbox.toml".into()).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let taken = udp.local_addr().unwrap();
        let said = check_free("edge.dns", taken, "/data/rigbox.toml".into()).unwrap_err();
        assert!(said.to_string().contains("edge.dns in /data/rigbox.toml"), "{said}");
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(check_free("edge.dns", tcp.local_addr().unwrap(), "/x".into()).is_err());
    }

    #[test]
    fn only_a_listening_socket_of_the_port_counts() {
        let line = |state| {
            format!("  0: 0100007F:1B9E 00000000:0000 {state} 00000000:00000000 00:0 0 0 0 4711 1")
        };
        assert_eq!(inode_of(&line("0A"), 7070), Some(4711));
        assert_eq!(inode_of(&line("01"), 7070), None);
        assert_eq!(inode_of(&line("0A"), 7071), None);
        assert_eq!(inode_of("", 7070), None);
    }
}
