//! The relays of one workspace: opens their sockets in its namespace, and lets through the firewall
//! what an allowed name resolved to. Owns their tasks for as long as the workspace has its
//! namespace. Does not answer anything itself (see `relay`).

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use rigbox_fabric::task;
use rigbox_types::{
    WorkspaceId,
    host::{Egress, EgressMode},
};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{API_PORT, DNS_PORT, GATEWAY, enter::Namespace, rules};
use crate::{
    exec::Run,
    relay::{
        dns::{AddressGate, DnsRelay, NamePolicy},
        gateway::{Gateway, Ways},
    },
};

/// Where the machine says which resolvers it uses.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Most resolvers of the machine that are used: as many as the C library does.
const MAX_RESOLVERS: usize = 3;

/// Most addresses whose time is remembered; the kernel's set is as large.
const MAX_PASSED: usize = 4096;

/// What relays need of the host, the same for all workspaces.
#[derive(Clone)]
pub(crate) struct Upstreams {
    pub(crate) resolvers: Vec<Ipv4Addr>,
    /// Where the gateways lead.
    pub(crate) ways: Ways,
}

/// The relays of one workspace.
#[derive(Debug)]
pub(crate) struct Relays {
    policy: watch::Sender<NamePolicy>,
    cancel: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Relays {
    /// Opens the sockets in the namespace and starts to answer.
    pub(crate) async fn start(
        workspace: &WorkspaceId,
        namespace: &Namespace,
        egress: &Egress,
        upstreams: &Upstreams,
    ) -> io::Result<Self> {
        let datagrams = UdpSocket::from_std(namespace.datagrams(GATEWAY, DNS_PORT).await?)?;
        let streams = TcpListener::from_std(namespace.listen(GATEWAY, DNS_PORT).await?)?;
        let api = TcpListener::from_std(namespace.listen(GATEWAY, API_PORT).await?)?;
        let (policy, watched) = watch::channel(names(egress));
        let cancel = CancellationToken::new();
        let gate = Arc::new(Firewall::new(namespace.clone()));
        let dns = DnsRelay::new(resolvers(&upstreams.resolvers), watched, gate);
        let gateway = Gateway::new(workspace.clone(), upstreams.ways.clone());
        let tasks = vec![
            task::spawn("host.relay.dns", dns.serve(datagrams, streams, cancel.clone())),
            task::spawn("host.relay.gateway", gateway.serve(api, cancel.clone())),
        ];
        Ok(Self { policy, cancel, tasks })
    }

    /// Names are answered by another policy from now on.
    pub(crate) fn set_policy(&self, egress: &Egress) {
        self.policy.send_replace(names(egress));
    }

    /// Stops answering and closes the sockets.
    pub(crate) async fn stop(mut self) {
        self.cancel.cancel();
        for task in self.tasks.drain(..) {
            // A panic was logged where it happened.
            drop(task.await);
        }
    }
}

impl Drop for Relays {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// What the egress policy means for names. A name carries data to its resolver, so that a policy
/// which lets nothing through, or only networks, lets no name through either.
fn names(egress: &Egress) -> NamePolicy {
    match egress.mode {
        EgressMode::Open => NamePolicy::All,
        EgressMode::None => NamePolicy::Nothing,
        // What control let through and is no name is left out, which refuses more, never less.
        EgressMode::Allow => {
            NamePolicy::Listed(egress.hosts.iter().filter_map(|host| host.parse().ok()).collect())
        }
    }
}

/// Lets resolved addresses through the rules of a namespace.
struct Firewall {
    namespace: Namespace,
    /// Until when addresses are let through, so that not every answer runs `nft`.
    passed: Mutex<BTreeMap<Ipv4Addr, Instant>>,
    /// One `nft` at a time: a guest that asks for many names starts no crowd of processes.
    turn: Semaphore,
}

impl Firewall {
    fn new(namespace: Namespace) -> Self {
        Self { namespace, passed: Mutex::default(), turn: Semaphore::new(1) }
    }

    /// Those that are not let through for at least half of their time already; an error where the
    /// kernel's set has no room for them.
    fn missing(&self, addresses: &[(Ipv4Addr, Duration)]) -> io::Result<Vec<(Ipv4Addr, Duration)>> {
        let now = Instant::now();
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        passed.retain(|_, until| *until > now);
        let enough = |(address, time): &&(Ipv4Addr, Duration)| {
            passed.get(address).is_none_or(|until| *until < now + *time / 2)
        };
        let missing: Vec<_> = addresses.iter().filter(enough).copied().collect();
        let new = missing.iter().filter(|(address, _)| !passed.contains_key(address)).count();
        if passed.len().saturating_add(new) > MAX_PASSED {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(missing)
    }

    fn note(&self, addresses: &[(Ipv4Addr, Duration)]) {
        let now = Instant::now();
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        for (address, time) in addresses {
            passed.insert(*address, now + *time);
        }
    }
}

#[async_trait]
impl AddressGate for Firewall {
    async fn admit(&self, addresses: &[(Ipv4Addr, Duration)]) -> io::Result<()> {
        if self.missing(addresses)?.is_empty() {
            return Ok(());
        }
        let _turn = self.turn.acquire().await.map_err(io::Error::other)?;
        // Whoever had the turn before may have let the same addresses through.
        let missing = self.missing(addresses)?;
        if missing.is_empty() {
            return Ok(());
        }
        let text = rules::resolved(&missing);
        let nft = Run::new("nft", &["-f", "-"]).input(&text).within(self.namespace.fd());
        nft.output().await.map_err(io::Error::other)?;
        self.note(&missing);
        Ok(())
    }
}

/// The configured resolvers, else those of the machine.
fn resolvers(configured: &[Ipv4Addr]) -> Vec<SocketAddr> {
    if configured.is_empty() {
        return parse(&fs::read_to_string(RESOLV_CONF).unwrap_or_default());
    }
    configured.iter().map(|address| SocketAddr::from((*address, DNS_PORT))).collect()
}

/// The name servers of a `resolv.conf`.
fn parse(text: &str) -> Vec<SocketAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = (words.next() == Some("nameserver")).then(|| words.next()).flatten()?;
        address.parse::<IpAddr>().ok().map(|address| SocketAddr::from((address, DNS_PORT)))
    });
    servers.take(MAX_RESOLVERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read() {
        let text = "# nameserver 9.9.9.9\nsearch a.b\nnameserver 10.0.0.53\nnameserver ::1\n\
            nameserver fe80::1%eth0\nnameserver";
        let expected = ["10.0.0.53:53", "[::1]:53"].map(|address| address.parse().unwrap());
        assert_eq!(parse(text), expected);
    }

    #[tokio::test]
    async fn a_full_set_lets_nothing_more_through_and_runs_nothing() {
        // Not the namespace of a guest: `nft` would fail in it, or worse.
        let namespace = Namespace::open("/proc/self/ns/net".into()).unwrap();
        let firewall = Firewall::new(namespace);
        let hour = Duration::from_secs(3600);
        let address = |n: usize| (Ipv4Addr::from_bits(u32::try_from(n).unwrap()), hour);
        let all: Vec<_> = (0..MAX_PASSED).map(address).collect();
        firewall.note(&all);
        firewall.admit(&all).await.unwrap();
        let refused = firewall.admit(&[address(MAX_PASSED)]).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::QuotaExceeded);
    }

    #[tokio::test]
    async fn addresses_are_let_through_by_one_process_at_a_time() {
        let namespace = Namespace::open("/proc/self/ns/net".into()).unwrap();
        let firewall = Firewall::new(namespace);
        let turn = firewall.turn.acquire().await.unwrap();
        let address = [(Ipv4Addr::new(9, 9, 9, 9), Duration::from_secs(60))];
        let mut admitting = std::pin::pin!(firewall.admit(&address));
        let limit = Duration::from_millis(100);
        assert!(tokio::time::timeout(limit, admitting.as_mut()).await.is_err());
        // It was let through meanwhile, so that there is nothing left to do.
        firewall.note(&address);
        drop(turn);
        admitting.await.unwrap();
    }

    #[test]
    fn a_policy_of_networks_answers_no_name() {
        let cidrs = vec!["1.2.3.0/24".to_owned()];
        let egress = Egress { mode: EgressMode::Allow, hosts: Vec::new(), cidrs };
        assert_eq!(names(&egress), NamePolicy::Listed(Arc::new([])));
    }
}
