//! Owns the instance's nft table in the host's namespace, and forwarding.
//! Invariant: a workspace's packet leaves towards the uplink or not at all: not to the host itself,
//! not to another workspace of any instance. The table's size does not depend on how many there are.

use std::{fs, io};

use camino::Utf8PathBuf;

use super::{NetError, VETH_GROUP, rules::FLOOR};
use crate::{Layout, durable, exec::Run};

const FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

/// How many connections the kernel remembers, and how many when it does not say.
const TRACKED: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
const TRACKED_LEAST: u32 = 65_536;

/// Most connections of all workspaces of an instance together. Counting costs the kernel time for
/// each of them, when one is added.
const FLOWS_MAX: u32 = 65_536;

/// The table as a transaction that replaces a former one.
///
/// Other tables of the machine may lead an address of the host's, which passes the floor of a
/// namespace, to one that would not (published ports of containers): so the floor is repeated here,
/// where the address is the one that the packet goes to. All instances' veths are in one group:
/// they do not talk to each other.
fn text(layout: &Layout, flows: u32) -> String {
    let (table, veths) = (layout.nft_table(), layout.veth_prefix());
    format!(
        r#"
table inet {table}
delete table inet {table}
table inet {table} {{
  set floor {{ type ipv4_addr; flags interval; elements = {{ {FLOOR} }} }}
  chain prerouting {{
    type filter hook prerouting priority raw; policy accept;
    iifname "{veths}*" meta nfproto != ipv4 drop
    iifname "{veths}*" fib saddr . iif oif missing drop
  }}
  chain input {{
    type filter hook input priority filter - 10; policy accept;
    iifname "{veths}*" reject with icmpx admin-prohibited
  }}
  chain forward {{
    type filter hook forward priority filter - 10; policy accept;
    iifname "{veths}*" ct status dnat reject with icmpx admin-prohibited
    iifname "{veths}*" ip daddr @floor reject with icmpx admin-prohibited
    iifname "{veths}*" oifgroup {VETH_GROUP} reject with icmpx admin-prohibited
    iifname "{veths}*" fib daddr type != unicast drop
    iifname "{veths}*" ct state new ct count over {flows} reject with icmpx admin-prohibited
    iifname "{veths}*" tcp flags syn tcp option maxseg size set rt mtu
    iifname "{veths}*" accept
    oifname "{veths}*" tcp flags syn tcp option maxseg size set rt mtu
    oifname "{veths}*" ct state established,related accept
    oifname "{veths}*" drop
  }}
  chain nat {{
    type nat hook postrouting priority srcnat; policy accept;
    iifname "{veths}*" masquerade
  }}
}}
"#
    )
}

/// Makes or replaces the table, and lets the machine forward.
pub(crate) async fn make(layout: &Layout) -> Result<(), NetError> {
    let text = text(layout, flows());
    let nft = Run::new("nft", &["-f", "-"]).input(&text).output().await;
    nft.map_err(NetError::tool("make table", layout.nft_table()))?;
    let failed = || NetError::file("read", FORWARD);
    if fs::read_to_string(FORWARD).map_err(failed())?.trim() == "0" {
        let note = forward_note(layout);
        durable::write(&note, b"was 0").map_err(NetError::file("write", &note))?;
        fs::write(FORWARD, "1").map_err(NetError::file("write", FORWARD))?;
    }
    Ok(())
}

/// What the workspaces may have of the connections that the kernel remembers: half, so that the
/// host itself always has the other.
fn flows() -> u32 {
    let tracked = fs::read_to_string(TRACKED).ok().and_then(|text| text.trim().parse().ok());
    let tracked: u32 = tracked.unwrap_or(TRACKED_LEAST);
    (tracked / 2).clamp(1, FLOWS_MAX)
}

/// Whether the table is there.
pub(crate) async fn is_there(layout: &Layout) -> Result<bool, NetError> {
    Ok(tables().await?.contains(&layout.nft_table()))
}

/// Removes the table. Forwarding goes back to what it was, unless another instance needs it.
pub(crate) async fn remove(layout: &Layout) -> Result<(), NetError> {
    let table = layout.nft_table();
    let text = format!("table inet {table}\ndelete table inet {table}\n");
    let nft = Run::new("nft", &["-f", "-"]).input(&text).output().await;
    nft.map_err(NetError::tool("remove table", &table))?;
    let note = forward_note(layout);
    if !note.exists() {
        return Ok(());
    }
    if !tables().await?.iter().any(|table| table.starts_with("rigbox_")) {
        match fs::write(FORWARD, "0") {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(NetError::file("write", FORWARD)(error)),
        }
    }
    durable::remove(&note).map_err(NetError::file("remove", &note))
}

async fn tables() -> Result<Vec<String>, NetError> {
    let listed = Run::new("nft", &["list", "tables", "inet"]).output().await;
    let listed = listed.map_err(NetError::tool("list", "tables"))?;
    Ok(listed.lines().filter_map(|line| line.split(' ').nth(2)).map(str::to_owned).collect())
}

fn forward_note(layout: &Layout) -> Utf8PathBuf {
    layout.host_dir().join("ip_forward")
}
