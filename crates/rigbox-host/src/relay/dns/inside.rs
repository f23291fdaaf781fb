//! What a resolver knows of the machine and the network that it is in, and a workspace should not.
//! Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::{
    op::Query,
    rr::{Name, RData, Record, RecordType},
};

/// Below these, names are of addresses.
const REVERSE: [&str; 2] = ["in-addr.arpa.", "ip6.arpa."];

/// Whether a question is about the inside: a name of a single label (the machine itself, its
/// gateway, what its network calls short), or the name of an inner address. The zones at the top
/// have names of a single label, too: what holds for a zone may be asked for.
pub(super) fn asks(question: &Query) -> bool {
    let name = question.name.to_lowercase();
    let of_a_zone = matches!(
        question.query_type,
        RecordType::DS | RecordType::DNSKEY | RecordType::NS | RecordType::SOA
    );
    (name.num_labels() == 1 && !of_a_zone) || reversed(&name).is_some_and(is_inner)
}

/// Whether a record of an answer has an address of the inside.
pub(super) fn tells(record: &Record) -> bool {
    match &record.data {
        RData::A(address) => is_inner(address.0.into()),
        RData::AAAA(address) => is_inner(address.0.into()),
        _ => false,
    }
}

/// The address whose name is asked for.
fn reversed(name: &Name) -> Option<IpAddr> {
    let is_reverse = REVERSE.iter().any(|zone| name.to_ascii().ends_with(zone));
    is_reverse.then(|| name.parse_arpa_name().ok()).flatten().map(|network| network.addr())
}

fn is_inner(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_inner_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => is_inner_v4(address),
            None => is_inner_v6(address),
        },
    }
}

fn is_inner_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let is_shared = first == 100 && second & 0xc0 == 64;
    first == 0
        || is_shared
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
}

fn is_inner_v6(address: Ipv6Addr) -> bool {
    address.is_loopback()
        || address.is_unspecified()
        || address.is_unique_local()
        || address.is_unicast_link_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, kind: RecordType, expected: bool) {
        let question = Query::query(Name::from_ascii(name).unwrap(), kind);
        assert_eq!(asks(&question), expected, "{name} {kind}");
    }

    #[test]
    fn a_question_about_the_inside_is_known() {
        check("_gateway.", RecordType::A, true);
        check("myhost.", RecordType::AAAA, true);
        check("MyHost", RecordType::ANY, true);
        check("1.0.0.127.in-addr.arpa.", RecordType::PTR, true);
        check("7.1.168.192.IN-ADDR.arpa.", RecordType::PTR, true);
        check("8.8.8.8.in-addr.arpa.", RecordType::PTR, false);
        check("com.", RecordType::DS, false);
        check(".", RecordType::NS, false);
        check("a.example.", RecordType::A, false);
    }

    #[test]
    fn an_address_of_the_inside_is_known() {
        let inner = [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.53",
            "169.254.169.254",
            "172.31.0.1",
            "192.168.1.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ];
        for address in inner {
            assert!(is_inner(address.parse().unwrap()), "{address}");
        }
        for address in ["1.1.1.1", "100.128.0.1", "172.32.0.1", "2606:4700::1"] {
            assert!(!is_inner(address.parse().unwrap()), "{address}");
        }
    }
}
