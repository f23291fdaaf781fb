//! Makes and removes the namespace of a slot, with everything in it but relays and VMM.
//! Invariant: making one that is half made, and removing one that is half removed, both succeed.

use std::{fs, io};

use rigbox_types::host::Egress;

use super::{
    GATEWAY, GUEST, GUEST_MAC, NetError, TAP, TAP_MAC, UPLINK, VETH_GROUP, address::Cidr,
    enter::Namespace, rules, tap,
};
use crate::{
    Layout,
    exec::{ExecError, Run},
    fault::{self, Point},
    layout::netns_path,
};

/// What is set below `/proc/sys/net` in every namespace, in this order.
const SETTINGS: &[(&str, &str)] = &[
    // No address, no neighbour discovery, nothing to filter: guests have IPv4 only.
    ("ipv6/conf/all/disable_ipv6", "1"),
    ("ipv6/conf/default/disable_ipv6", "1"),
    ("ipv4/ip_forward", "1"),
    ("ipv4/conf/all/rp_filter", "1"),
    ("ipv4/conf/tap0/rp_filter", "1"),
    ("ipv4/conf/ext0/rp_filter", "1"),
    // The tap answers for its own address only, and never for the veth's.
    ("ipv4/conf/all/arp_ignore", "1"),
    ("ipv4/conf/tap0/arp_ignore", "1"),
    ("ipv4/conf/ext0/arp_ignore", "1"),
    ("ipv4/conf/all/arp_announce", "2"),
    ("ipv4/conf/all/accept_redirects", "0"),
    ("ipv4/conf/tap0/accept_redirects", "0"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/tap0/send_redirects", "0"),
    ("ipv4/conf/all/accept_source_route", "0"),
    ("ipv4/conf/tap0/accept_source_route", "0"),
];

/// Makes the namespace of a slot, with the default egress policy. One of that name that is there
/// goes first: nothing is known of it.
pub(super) async fn make(layout: &Layout, cidr: Cidr, slot: u32) -> Result<(), NetError> {
    remove(layout, slot).await?;
    let (name, veth) = (layout.netns(slot), layout.veth(slot));
    let pair = cidr.pair(slot);
    let failed = || NetError::tool("make namespace", &name);
    Run::new("ip", &["netns", "add", &name]).output().await.map_err(failed())?;
    fault::point(Point::NetworkMakeHalf);
    let outside = format!(
        "link add {veth} type veth peer name {UPLINK} netns {name}\n\
         addr add {host}/31 dev {veth}\n\
         link set {veth} group {VETH_GROUP} up\n",
        host = pair.host,
    );
    Run::new("ip", &["-batch", "-"]).input(&outside).output().await.map_err(failed())?;
    let inside = format!(
        "link set lo up\n\
         tuntap add dev {TAP} mode tap\n\
         link set {TAP} address {TAP_MAC} up\n\
         addr add {GATEWAY}/30 dev {TAP}\n\
         neigh replace {GUEST} lladdr {GUEST_MAC} dev {TAP} nud permanent\n\
         addr add {inner}/31 dev {UPLINK}\n\
         link set {UPLINK} up\n\
         route add default via {host}\n",
        inner = pair.inner,
        host = pair.host,
    );
    Run::new("ip", &["-n", &name, "-batch", "-"]).input(&inside).output().await.map_err(failed())?;
    let path = netns_path(&name);
    let namespace = Namespace::open(&path).map_err(NetError::file("open", &path))?;
    namespace.within(set_all).await.map_err(NetError::file("set up", &path))?;
    // With the policy that most workspaces have, so that their starts need not set one.
    let rules = format!("{}{}", rules::NAMESPACE, rules::egress(&Egress::default()));
    let nft = Run::new("nft", &["-f", "-"]).input(&rules).within(namespace.fd());
    nft.output().await.map_err(NetError::tool("set the rules of", &name))?;
    Ok(())
}

/// Removes the namespace of a slot. What is half gone, or was never there, is success.
pub(super) async fn remove(layout: &Layout, slot: u32) -> Result<(), NetError> {
    let (name, veth) = (layout.netns(slot), layout.veth(slot));
    // The veth first: sockets that outlive the name would keep it, and its name is needed again.
    if fs::exists(format!("/sys/class/net/{veth}")).unwrap_or(true) {
        let removed = Run::new("ip", &["link", "del", &veth]).output().await;
        ignore_missing(removed, &format!("/sys/class/net/{veth}"))
            .map_err(NetError::tool("remove", &veth))?;
    }
    fault::point(Point::NetworkReleaseHalf);
    let path = netns_path(&name);
    if path.exists() {
        let removed = Run::new("ip", &["netns", "del", &name]).output().await;
        ignore_missing(removed, path.as_str()).map_err(NetError::tool("remove", &name))?;
    }
    Ok(())
}

/// Opens a namespace and gives its tap to a user.
pub(super) async fn take(layout: &Layout, slot: u32, uid: u32) -> Result<Namespace, NetError> {
    let path = netns_path(&layout.netns(slot));
    let failed = || NetError::file("open", &path);
    let namespace = Namespace::open(&path).map_err(failed())?;
    namespace
        .within(move || tap::give_to(uid))
        .await
        .map_err(NetError::file("give away the tap of", &path))?;
    Ok(namespace)
}

fn ignore_missing(removed: Result<String, ExecError>, path: &str) -> Result<(), ExecError> {
    match removed {
        Ok(_) => Ok(()),
        // Somebody was faster, which is as good.
        Err(error) if fs::exists(path).unwrap_or(true) => Err(error),
        Err(_) => Ok(()),
    }
}

fn set_all() -> io::Result<()> {
    for (name, value) in SETTINGS {
        match fs::write(format!("/proc/sys/net/{name}"), value) {
            Ok(()) => {}
            // A kernel without IPv6 has nothing to switch off.
            Err(error) if error.kind() == io::ErrorKind::NotFound && name.starts_with("ipv6/") => {}
            Err(error) => return Err(io::Error::new(error.kind(), format!("{name}: {error}"))),
        }
    }
    Ok(())
}
