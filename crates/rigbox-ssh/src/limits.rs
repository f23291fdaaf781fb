//! How many connections there may be: in all, of one address, and of those that are not let in yet.
//! Invariant: a connection is counted until it ends.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What a gateway may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most connections at once.
    pub connections: usize,
    /// Most of them that are not let in yet.
    pub strangers: usize,
    /// Most connections of one address (of IPv6: of one /64).
    pub of_address: usize,
    /// Most of them that are not let in yet.
    pub strangers_of_address: usize,
    /// How long somebody may take to be let in.
    pub login_grace: Duration,
    /// How long the last words of a session may take.
    pub farewell: Duration,
    /// Keys are renewed after so many bytes of one direction ...
    pub rekey_bytes: u64,
    /// ... and after so long, as soon as there is something to send.
    pub rekey_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            strangers: 256,
            of_address: 512,
            strangers_of_address: 32,
            // OpenSSH's own is two minutes, which is for people who type a password.
            login_grace: Duration::from_secs(60),
            farewell: Duration::from_secs(2),
            // RFC 4253, section 9.
            rekey_bytes: 1 << 30,
            rekey_after: Duration::from_secs(60 * 60),
        }
    }
}

/// Counts connections.
#[derive(Clone)]
pub(crate) struct Places(Arc<Shared>);

struct Shared {
    limits: Limits,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    all: Count,
    by_address: HashMap<IpAddr, Count>,
}

#[derive(Default, Clone, Copy)]
struct Count {
    connections: usize,
    strangers: usize,
}

/// A connection that is counted as long as this lives.
pub(crate) struct Standing {
    places: Places,
    address: IpAddr,
    is_stranger: bool,
}

impl Places {
    pub(crate) fn new(limits: Limits) -> Self {
        Self(Arc::new(Shared { limits, counts: Mutex::default() }))
    }

    /// Counts one more, unless there are too many.
    pub(crate) fn enter(&self, address: IpAddr) -> Option<Standing> {
        let (address, limits) = (network(address), self.0.limits);
        let mut counts = self.0.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let own = counts.by_address.get(&address).copied().unwrap_or_default();
        let is_full = counts.all.connections >= limits.connections
            || counts.all.strangers >= limits.strangers
            || own.connections >= limits.of_address
            || own.strangers >= limits.strangers_of_address;
        if is_full {
            return None;
        }
        counts.change(address, |count| {
            count.connections += 1;
            count.strangers += 1;
        });
        Some(Standing { places: self.clone(), address, is_stranger: true })
    }
}

impl Counts {
    fn change(&mut self, address: IpAddr, change: impl Fn(&mut Count)) {
        change(&mut self.all);
        let own = self.by_address.entry(address).or_default();
        change(own);
        if own.connections == 0 {
            self.by_address.remove(&address);
        }
    }
}

impl Standing {
    /// It is nobody unknown any longer.
    pub(crate) fn is_let_in(&mut self) {
        if std::mem::take(&mut self.is_stranger) {
            self.change(|count| count.strangers -= 1);
        }
    }

    fn change(&self, change: impl Fn(&mut Count)) {
        let mut counts = self.places.0.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.change(self.address, change);
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let strangers = usize::from(self.is_stranger);
        self.change(|count| {
            count.connections -= 1;
            count.strangers -= strangers;
        });
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_of_one_address_leave_room_for_others_and_for_who_is_known() {
        let limits = Limits { strangers_of_address: 2, strangers: 3, ..Limits::default() };
        let places = Places::new(limits);
        let enter = |address: &str| places.enter(address.parse().unwrap());
        let (mut one, two) = (enter("192.0.2.1").unwrap(), enter("192.0.2.1").unwrap());
        assert!(enter("192.0.2.1").is_none());
        let other = enter("2001:db8::1").unwrap();
        assert!(enter("2001:db8:1::1").is_none(), "in all");
        one.is_let_in();
        assert!(enter("192.0.2.1").is_some());
        drop((one, two, other));
        assert!(places.0.counts.lock().unwrap().by_address.is_empty());
    }
}
