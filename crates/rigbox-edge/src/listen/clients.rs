//! Who is connected, by address: how many connections each has and how fast it asks.
//! Invariant: an address is forgotten only when it has no connection and its bucket is full again, so
//! that reconnecting gains nothing. An IPv6 client is its /64: the rest of it is its own to choose.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
};

use rigbox_types::rate::{Draw, Rate};

/// Most addresses that are kept; strangers beyond share one entry.
const MAX: usize = 200_000;

/// Entries after which those that are forgotten are looked for.
const SWEEP_AT: usize = 4_096;

/// All clients.
#[derive(Default)]
pub(crate) struct Clients {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_address: HashMap<IpAddr, Arc<Client>>,
    sweep_at: usize,
}

/// One client address.
#[derive(Default)]
pub(crate) struct Client {
    connections: AtomicU32,
    in_flight: AtomicU32,
    full_at: AtomicI64,
}

/// A connection that is counted as long as this lives.
pub(crate) struct Place(Arc<Client>);

/// A request that is under way, counted as its client's as long as this lives.
pub(crate) struct Turn(Arc<Client>);

impl Clients {
    /// A place for a further connection, unless the client has `max`.
    pub(crate) fn enter(&self, address: IpAddr, max: u32, now: i64) -> Option<Place> {
        let client = self.client(network(address), now);
        let taken = client.connections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
            (open < max).then_some(open + 1)
        });
        taken.is_ok().then(|| Place(client))
    }

    fn client(&self, address: IpAddr, now: i64) -> Arc<Client> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = known.by_address.get(&address) {
            return client.clone();
        }
        if known.by_address.len() >= known.sweep_at.max(SWEEP_AT) {
            known.by_address.retain(|_, client| {
                // Whoever holds one may be about to count a connection.
                Arc::strong_count(client) > 1 || client.full_at.load(Ordering::Relaxed) > now
            });
            known.sweep_at = (known.by_address.len() * 2).min(MAX);
        }
        let address =
            if known.by_address.len() < MAX { address } else { Ipv6Addr::UNSPECIFIED.into() };
        known.by_address.entry(address).or_default().clone()
    }
}

impl Place {
    /// Counts a request as under way, unless the client has `max`: those whose answers it does not take
    /// keep their places at their app.
    pub(crate) fn begin(&self, max: u32) -> Option<Turn> {
        let begun = self.0.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
            (open < max).then_some(open + 1)
        });
        begun.is_ok().then(|| Turn(self.0.clone()))
    }

    /// Counts a request; the seconds to wait where it is one too many.
    pub(crate) fn draw(&self, rate: Rate, now: i64) -> Result<(), u32> {
        draw(&self.0.full_at, rate, now)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Draws one token from a bucket that several threads use.
pub(crate) fn draw(bucket: &AtomicI64, rate: Rate, now: i64) -> Result<(), u32> {
    let mut seen = bucket.load(Ordering::Relaxed);
    loop {
        match rate.draw(seen, now, 1) {
            Draw::Empty { retry_after_s } => return Err(retry_after_s),
            Draw::Passed { full_at, .. } => {
                let swapped = bucket.compare_exchange_weak(
                    seen,
                    full_at,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
                match swapped {
                    Ok(_) => return Ok(()),
                    Err(now_there) => seen = now_there,
                }
            }
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => address.into(),
            None => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        },
        IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_so_many_connections_and_no_more() {
        let clients = Clients::default();
        let enter = |address: &str| clients.enter(address.parse().unwrap(), 2, 0);
        let (first, _second) = (enter("2001:db8::1"), enter("2001:db8::2"));
        assert!(enter("2001:db8::3").is_none(), "of the same network");
        assert!(enter("2001:db8:0:1::1").is_some() && enter("192.0.2.1").is_some(), "of others");
        drop(first);
        assert!(enter("2001:db8::3").is_some());
    }

    #[test]
    fn coming_again_does_not_fill_the_bucket() {
        let rate = Rate { limit: 2, window_s: 60 };
        let clients = Clients::default();
        let ask = || clients.enter("192.0.2.1".parse().unwrap(), 9, 0).unwrap().draw(rate, 0);
        assert_eq!((ask(), ask()), (Ok(()), Ok(())));
        for other in 0..SWEEP_AT * 2 {
            let address = Ipv6Addr::from_bits(u128::try_from(other).unwrap() << 64);
            drop(clients.enter(address.into(), 9, 0));
        }
        assert_eq!(ask(), Err(30));
    }
}
