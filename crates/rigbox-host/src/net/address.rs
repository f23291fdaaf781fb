//! The addresses of the veth pairs: a range of this instance, two for each slot.
//! Invariant: the range is chosen once and kept, so that running workspaces keep their addresses.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use serde::{Deserialize, Serialize};

use super::NetError;
use crate::{Layout, config, durable, exec::Run};

/// Length of the prefix of a range that we choose: 8192 addresses, so 4096 workspaces.
const PREFIX: u8 = 19;

/// Where ranges are chosen from: the part of 10.0.0.0/8 that is used least.
const SPACE: Cidr = Cidr { base: Ipv4Addr::new(10, 192, 0, 0), prefix: 10 };

/// The smallest range that makes sense: 16 workspaces.
const LEAST_ADDRESSES: u32 = 32;

/// An IPv4 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Cidr {
    base: Ipv4Addr,
    prefix: u8,
}

/// The two ends of a slot's veth pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) host: Ipv4Addr,
    pub(crate) inner: Ipv4Addr,
}

#[derive(Serialize, Deserialize)]
struct Note {
    cidr: Cidr,
}

impl Cidr {
    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0)
    }

    fn addresses(self) -> u32 {
        1_u32.checked_shl(32 - u32::from(self.prefix)).unwrap_or(u32::MAX)
    }

    /// How many slots have addresses in it.
    pub(crate) fn slots(self) -> u32 {
        self.addresses() / 2
    }

    /// The addresses of a slot.
    pub(crate) fn pair(self, slot: u32) -> Pair {
        let first = self.base.to_bits() + 2 * (slot % self.slots());
        Pair { host: Ipv4Addr::from_bits(first), inner: Ipv4Addr::from_bits(first + 1) }
    }

    fn overlaps(self, other: Self) -> bool {
        let mask = self.mask() & other.mask();
        self.base.to_bits() & mask == other.base.to_bits() & mask
    }
}

impl FromStr for Cidr {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let wrong = || NetError::InvalidCidr { cidr: text.to_owned(), least: LEAST_ADDRESSES };
        let (base, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let base: Ipv4Addr = base.parse().map_err(|_| wrong())?;
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32).ok_or_else(wrong)?;
        let cidr = Self { base, prefix };
        if cidr.base.to_bits() & !cidr.mask() != 0 {
            return Err(wrong());
        }
        Ok(cidr)
    }
}

impl TryFrom<String> for Cidr {
    type Error = NetError;

    fn try_from(text: String) -> Result<Self, NetError> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// The range of this instance: the configured one, the one of the last start, or a free one.
pub(crate) async fn choose(layout: &Layout, config: &config::Network) -> Result<Cidr, NetError> {
    let path = layout.network();
    if let Some(text) = &config.cidr {
        let cidr: Cidr = text.parse()?;
        if cidr.addresses() < LEAST_ADDRESSES {
            return Err(NetError::InvalidCidr { cidr: text.clone(), least: LEAST_ADDRESSES });
        }
        return Ok(cidr);
    }
    let noted = durable::read(&path).map_err(NetError::file("read", &path))?;
    if let Some(note) = noted.and_then(|text| serde_json::from_slice::<Note>(&text).ok()) {
        return Ok(note.cidr);
    }
    let routes = Run::new("ip", &["-4", "-o", "route", "show", "table", "all"]);
    let routes = routes.output().await.map_err(NetError::tool("list", "routes"))?;
    let cidr = free_range(layout.tag(), &used(&routes)).ok_or(NetError::NoFreeRange)?;
    let note = serde_json::to_vec(&Note { cidr }).map_err(std::io::Error::from);
    note.and_then(|note| durable::write(&path, &note)).map_err(NetError::file("write", &path))?;
    Ok(cidr)
}

/// A range that no route leads to; the tag decides where the search begins, so that two instances
/// that start together do not choose the same.
fn free_range(tag: &str, used: &[Cidr]) -> Option<Cidr> {
    let count = 1_u32 << (PREFIX - SPACE.prefix);
    let start =
        tag.bytes().fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    (0..count).find_map(|step| {
        let index = start.wrapping_add(step) % count;
        let base = SPACE.base.to_bits() + (index << (32 - u32::from(PREFIX)));
        let range = Cidr { base: Ipv4Addr::from_bits(base), prefix: PREFIX };
        (!used.iter().any(|other| range.overlaps(*other))).then_some(range)
    })
}

/// The networks and addresses of a route table; a default route is none.
fn used(routes: &str) -> Vec<Cidr> {
    let words = routes.split_whitespace().filter(|word| !word.starts_with("0.0.0.0/"));
    words
        .filter_map(|word| match word.parse::<Ipv4Addr>() {
            Ok(base) => Some(Cidr { base, prefix: 32 }),
            Err(_) => word.parse().ok(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_have_addresses_of_their_own() {
        let cidr: Cidr = "10.200.32.0/19".parse().unwrap();
        assert_eq!(cidr.slots(), 4096);
        let pair = cidr.pair(4095);
        assert_eq!(pair.host, Ipv4Addr::new(10, 200, 63, 254));
        assert_eq!(pair.inner, Ipv4Addr::new(10, 200, 63, 255));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "a/8", "::/0"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_range_in_use_is_not_chosen() {
        let first = free_range("ab12", &[]).unwrap();
        let routes = format!("default via 10.255.0.1 dev eth0\n{first} dev wg0 scope link\n");
        let second = free_range("ab12", &used(&routes)).unwrap();
        assert!(!first.overlaps(second));
        assert!(second.overlaps(SPACE));
        assert_eq!(free_range("ab12", &[SPACE]), None);
    }
}
