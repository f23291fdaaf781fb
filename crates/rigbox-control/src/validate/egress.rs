//! What a workspace may reach. The floor that no setting lifts is the host's affair; here only the
//! form of the allow-list is checked.

use rigbox_types::{
    host::{Egress, EgressMode},
    limits::EGRESS_MAX_ENTRIES,
    text::{HostPattern, NetworkText},
};

use crate::error::Invalid;

/// Checks an egress policy.
pub(crate) fn check(egress: &Egress) -> Result<(), Invalid> {
    let entries = egress.hosts.len().saturating_add(egress.cidrs.len());
    if entries > EGRESS_MAX_ENTRIES {
        let rule = format!("may have at most {EGRESS_MAX_ENTRIES} hosts and cidrs");
        return Err(Invalid::new("egress", rule));
    }
    if egress.mode != EgressMode::Allow && entries > 0 {
        return Err(Invalid::new("egress.mode", "must be allow where hosts or cidrs are listed"));
    }
    for (n, host) in egress.hosts.iter().enumerate() {
        if !HostPattern::is(host) {
            let rule = "must be a lower-case DNS name, or *. and one";
            return Err(Invalid::new(format!("egress.hosts[{n}]"), rule));
        }
    }
    for (n, cidr) in egress.cidrs.iter().enumerate() {
        if !NetworkText::is(cidr) {
            let rule = "must be a network such as 203.0.113.0/24, without bits beyond its length";
            return Err(Invalid::new(format!("egress.cidrs[{n}]"), rule));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(hosts: &[&str], cidrs: &[&str]) -> Egress {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Egress { mode: EgressMode::Allow, hosts: own(hosts), cidrs: own(cidrs) }
    }

    #[test]
    fn names_and_networks_have_their_form() {
        for host in ["example.com", "*.example.com", "localhost", "a-1.b"] {
            assert_eq!(check(&allow(&[host], &[])), Ok(()), "{host}");
        }
        for host in ["", "*", "*.", "a..b", "Example.com", "-a.b", "a_b.c", "10.0.0.1", "a b", "a/"]
        {
            assert!(check(&allow(&[host], &[])).is_err(), "{host}");
        }
        for cidr in ["203.0.113.0/24", "0.0.0.0/0", "1.2.3.4/32", "2001:db8::/32", "::/0"] {
            assert_eq!(check(&allow(&[], &[cidr])), Ok(()), "{cidr}");
        }
        for cidr in ["203.0.113.1/24", "1.2.3.4", "1.2.3.4/33", "1.2.3.4/+8", "::1/64", "a/8", "/8"]
        {
            assert!(check(&allow(&[], &[cidr])).is_err(), "{cidr}");
        }
    }

    #[test]
    fn a_list_needs_the_mode_that_reads_it() {
        let open = Egress { mode: EgressMode::Open, ..allow(&["example.com"], &[]) };
        assert_eq!(check(&open).unwrap_err().field, "egress.mode");
        assert_eq!(check(&Egress::default()), Ok(()));
        let many: Vec<&str> = vec!["example.com"; EGRESS_MAX_ENTRIES + 1];
        assert!(check(&allow(&many, &[])).is_err());
    }
}
