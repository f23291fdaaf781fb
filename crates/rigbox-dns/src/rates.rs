//! How much one network, and all together, may ask over UDP, where a sender can name anybody as
//! the one to answer.
//! Invariant: memory is bounded: of networks, at most [`NETWORKS_MAX`] are known at once.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use tokio::time::Instant;

/// Networks that are counted at once. When there are more, counting begins anew: the limit of all
/// together still holds.
const NETWORKS_MAX: usize = 8192;

/// Over which time is counted.
const PERIOD: Duration = Duration::from_secs(1);

/// Questions of one network (/24 or /56) in a period that are answered in full. A resolver asks
/// once an authority's vantage point.
const NETWORK_MAX: u32 = 50;

/// Questions of all together in a period that are answered at all.
const ALL_MAX: u32 = 5000;

/// What to do with a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Answer it.
    Answer,
    /// Have it come again over TCP.
    OverTcp,
    /// Say nothing.
    Drop,
}

/// Counts of the period under way.
pub(crate) struct Rates {
    began: Instant,
    all: u32,
    networks: HashMap<u64, u32>,
}

impl Rates {
    pub(crate) fn new(now: Instant) -> Self {
        Self { began: now, all: 0, networks: HashMap::new() }
    }

    pub(crate) fn count(&mut self, from: IpAddr, now: Instant) -> Verdict {
        if now.duration_since(self.began) >= PERIOD {
            (self.began, self.all) = (now, 0);
            self.networks.clear();
        }
        self.all = self.all.saturating_add(1);
        if self.all > ALL_MAX {
            return Verdict::Drop;
        }
        if self.networks.len() >= NETWORKS_MAX {
            self.networks.clear();
        }
        let count = self.networks.entry(network(from)).or_default();
        *count = count.saturating_add(1);
        if *count > NETWORK_MAX { Verdict::OverTcp } else { Verdict::Answer }
    }
}

/// The network that an address is from: /24, /56. The two do not meet: IPv6 in use has high bits.
pub(crate) fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits() >> 8),
        IpAddr::V6(address) => {
            let high = address.to_bits() >> 72;
            u64::try_from(high).unwrap_or(u64::MAX) | 1 << 63
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_has_a_limit_and_all_together_another() {
        let now = Instant::now();
        let mut rates = Rates::new(now);
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let sibling: IpAddr = "192.0.2.200".parse().unwrap();
        for _ in 0..NETWORK_MAX {
            assert_eq!(rates.count(one, now), Verdict::Answer);
        }
        assert_eq!(rates.count(sibling, now), Verdict::OverTcp);
        assert_eq!(rates.count("2001:db8::1".parse().unwrap(), now), Verdict::Answer);
        for n in 0..ALL_MAX {
            rates.count(IpAddr::from(n.to_be_bytes()), now);
        }
        assert_eq!(rates.count("198.51.100.1".parse().unwrap(), now), Verdict::Drop);
        assert_eq!(rates.count(one, now + PERIOD), Verdict::Answer);
    }

    #[test]
    fn memory_has_a_limit() {
        let now = Instant::now();
        let mut rates = Rates::new(now);
        for n in 0..100_000_u32 {
            rates.all = 0;
            rates.count(IpAddr::from((n << 8).to_be_bytes()), now);
            assert!(rates.networks.len() <= NETWORKS_MAX);
        }
    }
}
