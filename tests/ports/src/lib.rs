//! Ports of this machine that a test has to know before somebody listens there: it is written into a
//! configuration, or the listener goes away and comes back.
//! Invariants: no two processes that ask here have the same port at a time; the kernel gives none of
//! them to whoever asks it for any port, as it might with one that was bound and let go again.
//! Does not listen: a program that does not ask here may still take one.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr as Name, UnixListener},
    },
    sync::{Mutex, PoisonError},
};

/// The first port that is given out: programs that are installed listen below.
const FIRST: u16 = 20_000;

/// Where the kernel says from where to where it takes a port for who asks for any.
const ANY: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// The process's own ports, by names that nobody else can have as long as it lives.
static OWN: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// A port that nobody has, neither for streams nor for datagrams, and that is this process's own until
/// its end.
///
/// # Errors
/// When there is none.
pub fn free() -> io::Result<u16> {
    let ports = ports(&fs::read_to_string(ANY)?);
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    // Not all processes begin at the same one. Each has a few, so the next process is a few further on.
    let begin = usize::try_from(std::process::id()).unwrap_or_default().wrapping_mul(16);
    let begin = begin.checked_rem(ports.len()).unwrap_or_default();
    for port in ports.iter().cycle().skip(begin).take(ports.len()) {
        // A name goes with its process, however that ends, and no file is left.
        let name = Name::from_abstract_name(format!("rigbox-test-port-{port}"))?;
        let Ok(name) = UnixListener::bind_addr(&name) else { continue };
        if is_free(*port) {
            own.push(name);
            return Ok(*port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "all ports of tests are taken"))
}

/// The same as an address of this machine.
///
/// # Errors
/// When there is none.
pub fn free_address() -> io::Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, free()?).into())
}

/// Those that the kernel gives nobody who asks for any.
fn ports(any: &str) -> Vec<u16> {
    let mut ends = any.split_whitespace().filter_map(|word| word.parse::<u16>().ok());
    let (low, high) = (ends.next().unwrap_or(FIRST), ends.next().unwrap_or(u16::MAX));
    (FIRST..=u16::MAX).filter(|port| !(low..=high).contains(port)).collect()
}

fn is_free(port: u16) -> bool {
    let address = (Ipv4Addr::LOCALHOST, port);
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_gives_to_anyone_is_left_out() {
        let found = ports("32768\t60999\n");
        assert_eq!((found.first(), found.last()), (Some(&FIRST), Some(&u16::MAX)));
        assert!(found.contains(&32_767) && found.contains(&61_000));
        assert!(!found.contains(&32_768) && !found.contains(&60_999));
        assert_eq!(ports("1024 65535"), []);
    }

    #[test]
    fn a_port_is_given_once_and_one_that_somebody_has_is_not() {
        let first = free().unwrap();
        // The next one, if nobody else was faster.
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first + 1));
        let others: Vec<_> = (0..20).map(|_| free().unwrap()).collect();
        assert!(!others.contains(&first));
        assert!(taken.is_err() || !others.contains(&(first + 1)));
    }
}
