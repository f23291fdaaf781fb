//! The nft rules of a namespace: the floor that no setting lifts, and the egress policy above it.
//! Invariant: one transaction replaces a policy as a whole; the size of the rules of a workspace
//! does not depend on how many there are. Pure: text in, text out.

use std::{net::Ipv4Addr, time::Duration};

use rigbox_types::host::{Egress, EgressMode};
use sha2::{Digest as _, Sha256};

/// RFC 6890's special-purpose ranges: this network, private, CGNAT, loopback, link-local with the
/// metadata address, protocol assignments, documentation, 6to4 relays, benchmarking, multicast,
/// reserved and broadcast.
macro_rules! floor {
    () => {
        "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, \
         192.0.0.0/24, 192.0.2.0/24, 192.31.196.0/24, 192.52.193.0/24, 192.88.99.0/24, \
         192.168.0.0/16, 192.175.48.0/24, 198.18.0.0/15, 198.51.100.0/24, 203.0.113.0/24, \
         224.0.0.0/4, 240.0.0.0/4"
    };
}

/// Ranges that no workspace reaches, for the elements of a set.
pub(super) const FLOOR: &str = floor!();

/// The base rules, the same in every namespace. What a guest can send is IPv4 and ARP with its own
/// addresses; where it can send that is decided in `outbound`.
///
/// Other workspaces and the host's private addresses are in the floor; the host's public ones are
/// refused in the host's own table.
///
/// Flows: a machine at work has a few hundred. Questions and new connections to the relays: each
/// costs the host work, and a page of a hundred names is asked for within the burst.
pub(super) const NAMESPACE: &str = concat!(
    r#"
table netdev rigbox {
  chain tap {
    type filter hook ingress device "tap0" priority -500; policy drop;
    ether saddr != 02:00:00:00:00:02 drop
    ether type ip ip saddr 172.16.0.2 accept
    ether type arp arp saddr ip 172.16.0.2 arp saddr ether 02:00:00:00:00:02 accept
  }
}
table inet rigbox {
  set floor {
    type ipv4_addr; flags interval
    elements = {
      "#,
    floor!(),
    r#"
    }
  }
  set allowed { type ipv4_addr; flags interval; auto-merge; }
  set resolved { type ipv4_addr; flags timeout; size 4096; }
  chain egress { }
  chain outbound {
    meta nfproto != ipv4 reject with icmpx admin-prohibited
    ip saddr != 172.16.0.2 drop
    ip daddr @floor reject with icmpx admin-prohibited
    fib daddr type { broadcast, anycast, multicast } drop
    ct state invalid drop
    ct state new ct count over 2048 drop
    jump egress
  }
  chain input {
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    iifname != "tap0" drop
    meta nfproto != ipv4 drop
    udp dport 53 limit rate over 200/second burst 400 packets drop
    tcp dport { 53, 9090 } ct state new limit rate over 50/second burst 100 packets drop
    ct state established,related accept
    ip daddr 172.16.0.1 udp dport 53 accept
    ip daddr 172.16.0.1 tcp dport { 53, 9090 } accept
    ip daddr 172.16.0.1 icmp type echo-request limit rate 10/second accept
    ip daddr 172.16.0.1 meta l4proto { tcp, udp } reject with icmpx admin-prohibited
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    iifname "tap0" oifname "ext0" jump outbound
    iifname "ext0" oifname "tap0" ct state established,related accept
  }
  chain output {
    type filter hook output priority filter; policy drop;
    oifname { "lo", "tap0" } accept
  }
  chain nat {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "ext0" masquerade
  }
}
"#
);

/// A transaction that replaces the egress policy.
///
/// Connections carry the mark of the policy that let them through: those of this policy go on
/// although what an address resolved to has timed out; those of another are judged again.
pub(crate) fn egress(policy: &Egress) -> String {
    let mark = mark(policy);
    let mut text = format!(
        "flush chain inet rigbox egress\n\
         flush set inet rigbox allowed\n\
         flush set inet rigbox resolved\n\
         add rule inet rigbox egress ct state established,related ct mark {mark} accept\n"
    );
    let pass = format!("ct mark set {mark} accept");
    let reject = "reject with icmpx admin-prohibited";
    let last = match policy.mode {
        EgressMode::Open => pass.as_str(),
        EgressMode::None => reject,
        EgressMode::Allow => {
            for network in policy.cidrs.iter().filter_map(|text| ipv4_network(text)) {
                line(&mut text, &format!("add element inet rigbox allowed {{ {network} }}"));
            }
            line(&mut text, &format!("add rule inet rigbox egress ip daddr @allowed {pass}"));
            line(&mut text, &format!("add rule inet rigbox egress ip daddr @resolved {pass}"));
            reject
        }
    };
    line(&mut text, &format!("add rule inet rigbox egress {last}"));
    text
}

/// The mark of a policy, as nft writes it.
pub(crate) fn mark(policy: &Egress) -> String {
    // A map that cannot be written as JSON does not exist among its fields.
    let text = serde_json::to_vec(policy).unwrap_or_default();
    let digest = Sha256::digest(text);
    let number = digest.iter().take(4).fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
    // Zero is the mark of a connection that was never marked.
    format!("{:#010x}", number | 1)
}

/// A transaction that lets addresses through, each for its time; one that is let through already is
/// let through for as long again.
pub(crate) fn resolved(addresses: &[(Ipv4Addr, Duration)]) -> String {
    let mut text = String::new();
    for (address, time) in addresses {
        let set = "element inet rigbox resolved";
        let add = format!("add {set} {{ {address} timeout {}s }}", time.as_secs().max(1));
        line(&mut text, &add);
        line(&mut text, &format!("delete {set} {{ {address} }}"));
        line(&mut text, &add);
    }
    text
}

/// An IPv4 network or address in a form that cannot be anything else to nft. Control has checked
/// it; what it let through and is none is left out, which refuses more, never less.
fn ipv4_network(text: &str) -> Option<String> {
    let (address, prefix) = text.split_once('/').unwrap_or((text, "32"));
    let address: Ipv4Addr = address.parse().ok()?;
    let prefix: u32 = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
    let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
    Some(format!("{}/{prefix}", Ipv4Addr::from_bits(address.to_bits() & mask)))
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mode: EgressMode, cidrs: &[&str], expected: &[&str]) {
        let cidrs = cidrs.iter().map(|&cidr| cidr.to_owned()).collect();
        let policy = Egress { mode, hosts: Vec::new(), cidrs };
        let text = egress(&policy).replace(&mark(&policy), "MARK");
        assert_eq!(text.lines().skip(4).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_policy_is_replaced_as_a_whole() {
        let reject = "add rule inet rigbox egress reject with icmpx admin-prohibited";
        let accept = "add rule inet rigbox egress ct mark set MARK accept";
        check(EgressMode::Open, &["1.2.3.0/24"], &[accept]);
        check(EgressMode::None, &["1.2.3.0/24"], &[reject]);
        check(
            EgressMode::Allow,
            &["1.2.3.4/24", "9.9.9.9", "0.0.0.0/0"],
            &[
                "add element inet rigbox allowed { 1.2.3.0/24 }",
                "add element inet rigbox allowed { 9.9.9.9/32 }",
                "add element inet rigbox allowed { 0.0.0.0/0 }",
                "add rule inet rigbox egress ip daddr @allowed ct mark set MARK accept",
                "add rule inet rigbox egress ip daddr @resolved ct mark set MARK accept",
                reject,
            ],
        );
    }

    #[test]
    fn another_policy_has_another_mark() {
        let open = Egress::default();
        let none = Egress { mode: EgressMode::None, ..Egress::default() };
        assert_ne!(mark(&open), mark(&none));
        assert_eq!(mark(&open).len(), "0x00000001".len());
    }

    #[test]
    fn nothing_but_a_network_reaches_nft() {
        let wrong = ["::/0", "1.2.3.4/33", "1.2.3.4 }; flush ruleset", "", "a/8", "1.2.3.4/-1"];
        for text in wrong {
            assert_eq!(ipv4_network(text), None, "{text}");
        }
    }
}
