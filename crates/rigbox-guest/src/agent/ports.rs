//! What listens in the guest, from `/proc/net/tcp` and the descriptors of processes.

use std::{
    collections::{HashMap, HashSet},
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use rigbox_types::guest::{ListListeningPortsResponse, ListeningPort, ports::PORTS_MAX};

use super::{Guest, metrics::proc_file, refusal::Refusal};

/// State of a socket that listens.
const LISTEN: &str = "0A";

/// Most descriptors that are looked at: a process may have a million, and one answer must not take
/// seconds of the guest.
const DESCRIPTORS_MAX: usize = 200_000;

#[derive(Debug, PartialEq, Eq)]
struct Socket {
    address: IpAddr,
    port: u16,
    inode: u64,
}

struct Owner {
    pid: u32,
    name: String,
}

/// `GET /ports`.
pub(crate) async fn read(guest: &Guest) -> Result<ListListeningPortsResponse, Refusal> {
    let guest = guest.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let tables = ["net/tcp", "net/tcp6"].map(|name| proc_file(&guest.root, name));
        let sockets: Vec<Socket> = tables
            .iter()
            .flat_map(|table| table.lines().filter_map(parse))
            .take(PORTS_MAX)
            .collect();
        let owners = owners(&sockets.iter().map(|socket| socket.inode).collect());
        let mut ports: Vec<ListeningPort> = sockets
            .iter()
            .map(|socket| {
                let owner = owners.get(&socket.inode);
                ListeningPort {
                    port: socket.port,
                    address: socket.address.to_string(),
                    process: owner.map(|owner| owner.name.clone()),
                    pid: owner.map(|owner| owner.pid),
                    already_exposed: false,
                }
            })
            .collect();
        ports.sort_by(|a, b| (a.port, &a.address).cmp(&(b.port, &b.address)));
        ListListeningPortsResponse { ports }
    });
    reading.await.map_err(|error| Refusal::internal("ports", &error))
}

/// One line of the kernel's table, if it is of a socket that listens.
fn parse(line: &str) -> Option<Socket> {
    let mut words = line.split_whitespace();
    let (address, port) = words.nth(1)?.split_once(':')?;
    if words.nth(1)? != LISTEN {
        return None;
    }
    let inode = words.nth(5)?.parse().ok()?;
    Some(Socket {
        address: parse_address(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        inode,
    })
}

/// Words of four bytes, each as this machine keeps it.
fn parse_address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = hex.get(at.checked_mul(8)?..at.checked_add(1)?.checked_mul(8)?)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

/// Who has a socket open. A process that ends meanwhile has none.
fn owners(inodes: &HashSet<u64>) -> HashMap<u64, Owner> {
    let mut owners = HashMap::new();
    let mut looked_at: usize = 0;
    let Ok(processes) = fs::read_dir("/proc") else { return owners };
    for process in processes.filter_map(Result::ok) {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        for descriptor in descriptors.filter_map(Result::ok) {
            looked_at = looked_at.saturating_add(1);
            if looked_at > DESCRIPTORS_MAX || owners.len() == inodes.len() {
                return owners;
            }
            let Ok(link) = fs::read_link(descriptor.path()) else { continue };
            let inode = link.to_str().and_then(|link| {
                link.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok()
            });
            if let Some(inode) = inode.filter(|inode| inodes.contains(inode)) {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                owners.insert(inode, Owner { pid, name: name.trim().to_owned() });
            }
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernels_table_is_a_socket() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1";
        let local = Socket { address: Ipv4Addr::LOCALHOST.into(), port: 8080, inode: 4242 };
        assert_eq!(parse(line), Some(local));
        assert_eq!(parse(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(parse("  sl  local_address rem_address   st tx_queue"), None);
        let any = parse_address("00000000000000000000000000000000");
        assert_eq!(any, Some(Ipv6Addr::UNSPECIFIED.into()));
        let local = parse_address("00000000000000000000000001000000");
        assert_eq!(local, Some(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(parse_address("xyz"), None);
    }
}
