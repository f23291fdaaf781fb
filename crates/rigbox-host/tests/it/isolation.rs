//! What a workspace reaches and what it does not, tried from inside as root, with real packets
//! through the real namespaces. Two workspaces and an internet that stands in.
//! What guests do blocks a thread, so that control answers in another.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Instant,
};

use rigbox_fabric::dial::{DialClient, Purpose};
use rigbox_types::{
    AccountId, ApiKeyId, Credential, Desired, KeyScopes, Observed, Principal, Right, WorkspaceId,
    authz::{Resource, Standing, authorise},
    host::{Egress, EgressMode},
};
use tokio::io::AsyncReadExt as _;

use crate::{
    wire::{PATIENCE, Space, greeting, plug, serve, within},
    world::{World, assignment, run},
};

const PORT: u16 = 8080;

/// Two running workspaces with kernels of their own, and an internet.
struct Net {
    // The namespaces go before the world is taken down.
    guests: Vec<Space>,
    internet: Space,
    world: World,
    /// Addresses of the internet, and of the host towards it.
    beyond: Ipv4Addr,
    uplink: Ipv4Addr,
    resolver: Ipv4Addr,
}

impl Net {
    async fn new() -> Self {
        let seed = std::process::id().to_be_bytes();
        let resolver = Ipv4Addr::new(127, 77, seed[2], seed[3]);
        let more = format!("[network]\npool_size = 2\nresolvers = ['{resolver}']");
        let mut world = World::new(&more).await;
        world.start();
        for n in [1, 2] {
            let wanted = assignment(n, Desired::Running);
            let (id, control) = (wanted.workspace.clone(), &world.control);
            control.wait_for(&id, control.assign(wanted), Observed::Running).await;
        }
        let tag = world.tag();
        let guests = [1, 2].map(|n| {
            let slot = world.slot(&assignment(n, Desired::Running).workspace);
            plug(&format!("rb-{tag}-{slot}"), format!("rbt-{tag}-guest{n}"))
        });
        // Random, so that two tests do not have the same; not private, so that it is let through.
        let (beyond, uplink) = (net(seed, 9), net(seed, 1));
        let internet = Space::new(format!("rbt-{tag}-inet"));
        let veth = format!("it{tag}");
        run("ip", &["link", "add", &veth, "type", "veth", "peer", "up0", "netns", &internet.name]);
        run("ip", &["addr", "add", &format!("{uplink}/24"), "dev", &veth]);
        run("ip", &["link", "set", &veth, "up"]);
        internet.ip("link set lo up");
        internet.ip(&format!("addr add {beyond}/24 dev up0"));
        internet.ip("link set up0 up");
        internet.serve(PORT);
        Self { world, guests: guests.into(), internet, beyond, uplink, resolver }
    }

    fn internet(&self) -> SocketAddr {
        SocketAddr::from((self.beyond, PORT))
    }

    /// The first workspace with another egress policy, in force.
    async fn set_egress(&self, egress: Egress) {
        let mut wanted = assignment(1, Desired::Running);
        wanted.egress = egress;
        let (id, control) = (wanted.workspace.clone(), &self.world.control);
        let generation = control.assign(wanted);
        // The generation is done once its rules hold.
        control.wait_for(&id, generation, Observed::Running).await;
    }

    /// The address of a workspace towards the host.
    fn inner(&self, n: u8) -> IpAddr {
        let slot = self.world.slot(&assignment(n, Desired::Running).workspace);
        let shown = run(
            "ip",
            &[
                "-n",
                &format!("rb-{}-{slot}", self.world.tag()),
                "-4",
                "-o",
                "addr",
                "show",
                "dev",
                "ext0",
            ],
        );
        shown.split_whitespace().nth(3).unwrap().split('/').next().unwrap().parse().unwrap()
    }
}

/// 45.x.y.host: a public range, of which no machine that runs these tests has a part.
fn net(seed: [u8; 4], host: u8) -> Ipv4Addr {
    Ipv4Addr::new(45, seed[2], seed[3], host)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_reaches_the_internet_and_nothing_of_the_host_or_its_neighbours() {
    let net = Net::new().await;
    let (guest, other) = (&net.guests[0], &net.guests[1]);
    let beyond = net.internet();
    let seen = guest.within(move || {
        let stream = TcpStream::connect_timeout(&beyond, PATIENCE).unwrap();
        greeting(stream).unwrap()
    });
    assert_eq!(seen, net.uplink.to_string(), "behind the host's own address");
    assert!(guest.reaches_by_datagram(IpAddr::from([172, 16, 0, 2]), beyond));

    // The host listens everywhere, and is reached nowhere.
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    serve(listener, UdpSocket::bind(("0.0.0.0", port)).unwrap());
    let veth_of_host = match net.inner(1) {
        IpAddr::V4(inner) => Ipv4Addr::from_bits(inner.to_bits() - 1),
        IpAddr::V6(_) => unreachable!(),
    };
    for address in [net.uplink, veth_of_host] {
        let to = SocketAddr::from((address, port));
        assert!(guest.is_cut_off(to), "{to}");
        assert!(guest.is_cut_off_by_datagram(IpAddr::from([172, 16, 0, 2]), to), "{to}");
    }

    // The neighbour listens, and so does whatever stands at its address.
    other.serve(PORT);
    for address in [net.inner(2), net.inner(1)] {
        let to = SocketAddr::from((address, PORT));
        assert!(guest.is_cut_off(to), "{to}");
        assert!(guest.is_cut_off_by_datagram(IpAddr::from([172, 16, 0, 2]), to), "{to}");
    }

    // Only two ports of the gateway.
    assert!(guest.is_cut_off(SocketAddr::from(([172, 16, 0, 1], 22))));

    // Nothing comes in from outside, although a route is made.
    net.internet.ip(&format!("route add {} via {}", net.inner(1), net.uplink));
    guest.serve(PORT);
    assert!(net.internet.is_cut_off(SocketAddr::from((net.inner(1), PORT))));
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_that_are_nobodys_are_not_reached_although_they_answer() {
    let net = Net::new().await;
    assert!(net.guests[0].reaches(net.internet()));
    let seed = std::process::id().to_be_bytes();
    let floor = [
        Ipv4Addr::new(10, seed[2], seed[3], 1),
        Ipv4Addr::new(192, 168, seed[3], 1),
        Ipv4Addr::new(100, 64, seed[3], 1),
        Ipv4Addr::new(169, 254, seed[2], seed[3]),
        Ipv4Addr::new(198, 18, seed[2], seed[3]),
    ];
    for address in floor {
        net.internet.ip(&format!("addr add {address}/32 dev lo"));
        run("ip", &["route", "add", &format!("{address}/32"), "via", &net.beyond.to_string()]);
        let to = SocketAddr::from((address, PORT));
        assert!(TcpStream::connect(to).is_ok(), "{to} answers the host");
        assert!(net.guests[0].is_cut_off(to), "{to}");
    }
    // Both the host's rules and the namespace's refuse them: each must hold alone.
    let refused = |by: &str| {
        for address in floor {
            let to = SocketAddr::from((address, PORT));
            assert!(net.guests[0].is_cut_off(to), "{to} is not refused by {by}");
        }
    };
    let tag = net.world.tag();
    let host = format!("rigbox_{tag}");
    run("nft", &["flush", "set", "inet", &host, "floor"]);
    refused("the namespace");
    let ranges = "{ 10.0.0.0/8, 192.168.0.0/16, 100.64.0.0/10, 169.254.0.0/16, 198.18.0.0/15 }";
    run("nft", &["add", "element", "inet", &host, "floor", ranges]);
    let space = format!("rb-{tag}-{}", net.world.slot(&workspace(1)));
    run("ip", &["netns", "exec", &space, "nft", "flush", "set", "inet", "rigbox", "floor"]);
    refused("the host");
}

/// Another program's table on this machine, which leads ports of the host elsewhere.
struct Published(String);

impl Published {
    fn new(tag: &str, host: Ipv4Addr, ports: &[(u16, SocketAddr)]) -> Self {
        let table = format!("rbt_{tag}");
        run("nft", &["add", "table", "ip", &table]);
        let published = Self(table.clone());
        let chain = "{ type nat hook prerouting priority dstnat; }";
        run("nft", &["add", "chain", "ip", &table, "published", chain]);
        for (port, to) in ports {
            let rule = format!("ip daddr {host} tcp dport {port} dnat to {to}");
            run("nft", &["add", "rule", "ip", &table, "published", &rule]);
        }
        published
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        run("nft", &["delete", "table", "ip", &self.0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_the_host_publishes_for_another_is_not_reached() {
    let net = Net::new().await;
    let seed = std::process::id().to_be_bytes();
    let private = Ipv4Addr::new(10, seed[2], seed[3], 1);
    net.internet.ip(&format!("addr add {private}/32 dev lo"));
    run("ip", &["route", "add", &format!("{private}/32"), "via", &net.beyond.to_string()]);
    let to = [SocketAddr::from((private, PORT)), net.internet()];
    // A neighbour of the host's, who is let through.
    let [near, here] = [9, 1].map(|n| Ipv4Addr::new(46, seed[2], seed[3], n));
    let neighbour = Space::new(format!("rbt-{}-near", net.world.tag()));
    let veth = format!("in{}", net.world.tag());
    run("ip", &["link", "add", &veth, "type", "veth", "peer", "up0", "netns", &neighbour.name]);
    run("ip", &["addr", "add", &format!("{here}/24"), "dev", &veth]);
    run("ip", &["link", "set", &veth, "up"]);
    neighbour.ip(&format!("addr add {near}/24 dev up0"));
    neighbour.ip("link set up0 up");
    neighbour.ip(&format!("route add default via {here}"));
    net.internet.ip(&format!("route add {near} via {}", net.uplink));
    let published = Published::new(&net.world.tag(), net.uplink, &[(4001, to[0]), (4002, to[1])]);
    for port in [4001, 4002] {
        let at = SocketAddr::from((net.uplink, port));
        assert!(neighbour.reaches(at), "{at} is published");
        assert!(net.guests[0].is_cut_off(at), "{at}");
    }
    drop(published);
    assert!(net.guests[0].reaches(net.internet()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_of_somebody_elses_may_begin_as_ours_do() {
    let net = Net::new().await;
    let (veth, address) = (format!("it{}", net.world.tag()), net.internet());
    let other = format!("rb{}", &net.world.tag()[..2]);
    run("ip", &["link", "set", &veth, "down"]);
    run("ip", &["link", "set", &veth, "name", &other]);
    run("ip", &["link", "set", &other, "up"]);
    assert!(net.guests[0].reaches(address));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_floods_its_relays_is_slowed_down() {
    let net = Net::new().await;
    let (answers, took) = net.guests[0].within(|| {
        let began = Instant::now();
        let socket = UdpSocket::bind("172.16.0.2:0").unwrap();
        socket.connect("172.16.0.1:53").unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut answers = 0;
        // Each is answered at once, because it is no question.
        for burst in 0..250 {
            for _ in 0..if burst < 150 { 20 } else { 0 } {
                socket.send(&[0, 7, 1, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0xff]).unwrap();
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
            while socket.recv(&mut [0; 512]).is_ok() {
                answers += 1;
            }
        }
        // Those that a busy machine is late with.
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        while answers < 100 && socket.recv(&mut [0; 512]).is_ok() {
            answers += 1;
        }
        (answers, began.elapsed().as_secs())
    });
    // At once and then each second, of which the last has begun; a few are let through late.
    let most = 400 + 200 * (took + 1) + 20;
    assert!((100..=most).contains(&answers), "{answers} of 3000 in {took} s");
    let (connected, took) = net.guests[0].within(|| {
        let began = Instant::now();
        let patience = std::time::Duration::from_millis(20);
        let to = SocketAddr::from(([172, 16, 0, 1], 9090));
        let tries = (0..400).filter(|_| TcpStream::connect_timeout(&to, patience).is_ok());
        (tries.count(), began.elapsed().as_secs())
    });
    let most = 100 + 50 * (usize::try_from(took).unwrap() + 1) + 10;
    assert!(connected <= most, "{connected} of 400 in {took} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_has_so_many_connections_and_all_of_them_together_too() {
    let net = Net::new().await;
    let (beyond, before) = (net.internet(), net.internet.datagrams());
    let arrived = || net.internet.datagrams() - before;
    for sent in (0..3_000).step_by(50) {
        net.guests[0].within(move || {
            for port in 10_000 + sent..10_050 + sent {
                UdpSocket::bind(("172.16.0.2", port)).unwrap().send_to(b"hello", beyond).unwrap();
            }
        });
        // No more at a time than queues hold on a busy machine; of what is too many, some do not come.
        let to_come = u64::from(sent + 50).min(1_900);
        net.world.until("most of them", || arrived() >= to_come).await;
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(arrived() <= 2048, "{}", arrived());
    assert!(net.guests[0].is_cut_off(beyond));
    assert!(net.guests[1].reaches(beyond));
    let table = format!("rigbox_{}", net.world.tag());
    let forward = run("nft", &["list", "chain", "inet", &table, "forward"]);
    assert!(forward.contains("ct count over"), "{forward}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoofed_source_mac_or_protocol_goes_nowhere() {
    let net = Net::new().await;
    let guest = &net.guests[0];
    let (own, beyond) = (IpAddr::from([172, 16, 0, 2]), net.internet());
    assert!(guest.reaches_by_datagram(own, beyond));

    for spoofed in [net.inner(2), IpAddr::from([9, 9, 9, 9])] {
        guest.ip(&format!("addr add {spoofed}/32 dev eth0"));
        guest.ip(&format!("route replace {}/32 via 172.16.0.1 src {spoofed}", net.beyond));
        let before = net.internet.datagrams();
        assert!(guest.is_cut_off_by_datagram(spoofed, beyond), "{spoofed}");
        assert_eq!(net.internet.datagrams(), before, "{spoofed} arrived");
    }
    guest.ip(&format!("route del {}/32", net.beyond));
    assert!(guest.reaches_by_datagram(own, beyond));

    // The tap answers for its own address only.
    let inner = net.inner(1);
    guest.ip(&format!("route add {inner}/32 dev eth0"));
    assert!(guest.is_cut_off_by_datagram(own, SocketAddr::from((inner, PORT))));
    let neighbours = guest.ip("neigh show dev eth0");
    let answered = neighbours
        .lines()
        .any(|line| line.starts_with(&inner.to_string()) && line.contains("lladdr"));
    assert!(!answered, "{neighbours}");

    // IPv6 finds no neighbour, although the guest has an address.
    guest.ip("addr add fd99::2/64 dev eth0 nodad");
    let space = format!("rb-{}-{}", net.world.tag(), net.world.slot(&workspace(1)));
    let address =
        within(&space, || std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap());
    assert!(!address.contains("tap0"), "{address}");
    assert!(guest.is_cut_off("[fd99::1]:53".parse().unwrap()));

    // Whom it wants to reach it knows, so that not only its question for the address is dropped.
    guest.ip("link set eth0 address 02:00:00:00:00:03");
    guest.ip("neigh replace 172.16.0.1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent");
    let before = net.internet.datagrams();
    assert!(guest.is_cut_off_by_datagram(own, beyond));
    assert_eq!(net.internet.datagrams(), before);
    guest.ip("link set eth0 address 02:00:00:00:00:02");
    assert!(guest.reaches_by_datagram(own, beyond));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_egress_policy_holds_for_addresses_and_names() {
    let net = Net::new().await;
    let guest = &net.guests[0];
    let beyond = net.beyond;
    answer_names(net.resolver, beyond);
    assert!(guest.reaches(net.internet()));
    assert_eq!(resolve(guest, "allowed.example"), Some(0));

    net.set_egress(Egress { mode: EgressMode::None, ..Egress::default() }).await;
    assert!(guest.is_cut_off(net.internet()));
    // The resolver is told after the rules are made.
    net.world.until("a refusal", || resolve(guest, "allowed.example") == Some(5)).await;

    let cidrs = vec![format!("{}/24", Ipv4Addr::from_bits(beyond.to_bits() & 0xffff_ff00))];
    net.set_egress(Egress { mode: EgressMode::Allow, hosts: Vec::new(), cidrs }).await;
    assert!(guest.reaches(net.internet()));

    let hosts = vec!["*.example".to_owned()];
    net.set_egress(Egress { mode: EgressMode::Allow, hosts, cidrs: Vec::new() }).await;
    assert!(guest.is_cut_off(net.internet()), "before it was asked for");
    assert_eq!(resolve(guest, "other.test"), Some(5), "refused");
    assert!(guest.is_cut_off(net.internet()));
    assert_eq!(resolve(guest, "allowed.example"), Some(0));
    assert!(guest.reaches(net.internet()), "after it was asked for");
    assert!(net.guests[1].reaches(net.internet()), "the neighbour has a policy of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_is_known_by_its_namespace_whatever_it_says() {
    let net = Net::new().await;
    for (n, guest) in net.guests.iter().enumerate() {
        let answer = guest.within(|| {
            let mut stream = TcpStream::connect("172.16.0.1:9090").unwrap();
            let request = "GET /rig/v1/whoami HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                X-Rigbox-Workspace: ws-11111111\r\nX_Rigbox_Workspace: ws-11111111\r\n\r\n";
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let id = workspace(u8::try_from(n + 1).unwrap());
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(id.as_str()), "{answer}");
    }
    let asked = [1, 2].map(|n| format!("{} rig/v1/whoami", workspace(n)));
    assert_eq!(net.world.control.asked(), asked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dial_opens_a_port_of_the_workspace_that_it_is_for() {
    let net = Net::new().await;
    net.guests[0].serve(PORT);
    let dials = DialClient::Local(net.world.data().join("run/dial.sock"));
    let dial = async |n: u8, port: u16| {
        let (id, owner) = (workspace(n), AccountId::from_random([1; 16]));
        let credential = Credential::Key(ApiKeyId::from_random([1; 16]));
        let (standing, scopes) = (Standing::User, KeyScopes::full());
        let who = Principal::Key { credential, account: owner, standing, scopes };
        let resource = Resource::Workspace { id: id.clone(), owner, granted: None };
        let to = authorise(&who, Right::WorkspaceEnter, &resource, id).unwrap();
        dials.dial(to, port.try_into().unwrap(), Purpose::App).await
    };
    let mut stream = dial(1, PORT).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "172.16.0.1");
    assert!(dial(1, PORT + 1).await.is_err());
    assert!(dial(2, PORT).await.is_err(), "the neighbour does not listen");
    assert!(dial(3, PORT).await.is_err());
}

fn workspace(n: u8) -> WorkspaceId {
    assignment(n, Desired::Running).workspace
}

/// Answers every question with one address.
fn answer_names(at: Ipv4Addr, address: Ipv4Addr) {
    let socket = UdpSocket::bind((at, 53)).unwrap();
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            let mut answer = question[..length].to_vec();
            answer[2] |= 0x80;
            answer[7] = 1;
            answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            answer.extend_from_slice(&address.octets());
            socket.send_to(&answer, from).unwrap();
        }
    });
}

/// The code of the answer that a guest gets.
fn resolve(guest: &Space, name: &'static str) -> Option<u8> {
    guest.within(move || {
        let socket = UdpSocket::bind("172.16.0.2:0").unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            question.push(u8::try_from(label.len()).unwrap());
            question.extend_from_slice(label.as_bytes());
        }
        question.extend_from_slice(&[0, 0, 1, 0, 1]);
        socket.send_to(&question, "172.16.0.1:53").unwrap();
        let mut answer = [0; 512];
        socket.recv_from(&mut answer).ok().map(|_| answer[3] & 0x0f)
    })
}
