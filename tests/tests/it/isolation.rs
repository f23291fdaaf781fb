//! What root inside a workspace reaches: what egress allows, and nothing else.

use std::{fs, process::Child};

use rigbox_tests::{
    internet::{self, FORBIDDEN, Internet, PUBLIC, WORDS},
    platform::{Options, Platform, Shell},
};
use serde_json::json;

/// Ends a server with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn wget(platform: &Platform, from: &str, url: &str) -> Shell {
    platform.sh(from, &format!("timeout 4 wget -q -O - {url}")).unwrap()
}

fn reaches(platform: &Platform, from: &str, url: &str) -> bool {
    wget(platform, from, url).exit_code == Some(0)
}

/// Every IPv4 address of this machine, and of the namespaces of this platform but the guest's own.
fn addresses(platform: &Platform) -> Vec<String> {
    let tag = fs::read_to_string(platform.data().join("instance")).unwrap();
    let mut listings = vec![internet::ip(&["-4", "-o", "addr"]).unwrap()];
    for line in internet::ip(&["netns", "list"]).unwrap().lines() {
        let name = line.split(' ').next().unwrap();
        if name.starts_with(&format!("rb-{}-", tag.trim())) {
            listings.push(internet::ip(&["-n", name, "-4", "-o", "addr"]).unwrap());
        }
    }
    listings
        .iter()
        .flat_map(|listing| listing.lines())
        .filter_map(|line| line.split_whitespace().skip_while(|word| *word != "inet").nth(1))
        .filter_map(|cidr| cidr.split('/').next().map(str::to_owned))
        // Its own loopback and its own gateway are the guest's to reach.
        .filter(|address| !address.starts_with("127.") && address != "172.16.0.1")
        .collect()
}

#[test]
fn root_in_a_workspace_reaches_the_internet_and_nothing_else() {
    let internet = Internet::start().unwrap();
    let platform = Platform::start().unwrap();
    let (a, b) = (platform.spawn("a").unwrap(), platform.spawn("b").unwrap());
    // Something to reach: a server in the other workspace and one on every address of the host.
    platform
        .sh(&b, "mkdir -p /tmp/www; echo other > /tmp/www/index.html; httpd -p 8000 -h /tmp/www")
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("index.html"), "host").unwrap();
    let port = std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let _server = Ended(internet::serve(None, folder.path(), port).unwrap());
    rigbox_tests::wait::until(
        "the host's server",
        std::time::Duration::from_secs(20),
        || Ok(internet::fetch(&format!("http://127.0.0.1:{port}/"))),
        |words| words == "host",
    )
    .unwrap();

    assert_eq!(wget(&platform, &a, &format!("http://{PUBLIC}/")).stdout, WORDS);
    for address in FORBIDDEN {
        assert!(!reaches(&platform, &a, &format!("http://{address}/")), "{address}");
    }
    let tries: Vec<String> = addresses(&platform)
        .iter()
        .flat_map(|address| {
            let urls = [port, 8000, 22, 7070].map(|port| format!("http://{address}:{port}/"));
            let gets =
                urls.map(|url| format!("(timeout 4 wget -q -O - {url} && echo REACHED {url}) &"));
            let ping = format!("(ping -c 1 -W 3 {address} >/dev/null && echo REACHED {address}) &");
            gets.into_iter().chain([ping]).collect::<Vec<_>>()
        })
        .collect();
    // Side by side, because most of them end only by their time; a few at once, for a small guest.
    for few in tries.chunks(40) {
        let tried = platform.sh(&a, &format!("{} wait", few.join(" "))).unwrap();
        assert!(!tried.stdout.contains("REACHED"), "{}", tried.stdout);
    }
    // The gateway is the gateway and nothing more.
    assert!(wget(&platform, &a, "http://172.16.0.1:9090/rig/v1/whoami").stdout.contains(&a));
    for port in [port, 22, 80, 7070] {
        assert!(!reaches(&platform, &a, &format!("http://172.16.0.1:{port}/")), "gateway:{port}");
    }
    // A claimed identity is worth nothing.
    let claimed = platform
        .sh(&a, &format!("timeout 4 wget -q -O - --header 'X-Rigbox-Workspace: {b}' http://172.16.0.1:9090/rig/v1/whoami"))
        .unwrap();
    assert!(claimed.stdout.contains(&a) && !claimed.stdout.contains(&b), "{}", claimed.stdout);
    // One disk: its own.
    let disks = platform.sh(&a, "ls /sys/block | grep -v -e loop -e ram").unwrap();
    assert_eq!(disks.stdout.trim(), "vda");
    drop(internet);
}

#[test]
fn a_forged_source_address_or_mac_goes_nowhere() {
    let _internet = Internet::start().unwrap();
    let platform = Platform::start().unwrap();
    let a = platform.spawn("a").unwrap();
    let ping = |args: &str| {
        platform.sh(&a, &format!("ping -c 2 -W 2 {args} {PUBLIC}")).unwrap().exit_code == Some(0)
    };
    assert!(ping(""), "the honest way works");
    platform
        .sh(&a, "ip addr add 172.16.0.3/32 dev eth0; ip addr add 203.0.113.9/32 dev eth0")
        .unwrap();
    assert!(!ping("-I 172.16.0.3"), "a forged source in the own subnet");
    assert!(!ping("-I 203.0.113.9"), "a forged public source");
    let with_mac = |mac: &str| {
        let script = format!(
            "ip link set eth0 down; ip link set eth0 address {mac}; ip link set eth0 up; \
             ip route add default via 172.16.0.1"
        );
        platform.sh(&a, &script).unwrap();
    };
    with_mac("02:00:00:00:00:99");
    assert!(!ping(""), "a forged MAC");
    with_mac("02:00:00:00:00:02");
    assert!(ping(""), "the honest way works again");
    // Nobody but the gateway answers on the wire, in either protocol.
    let arp = platform.sh(&a, "arping -c 2 -w 3 -I eth0 172.16.0.3").unwrap();
    assert_ne!(arp.exit_code, Some(0), "{}", arp.stdout);
    let six = platform.sh(&a, "ping -6 -c 2 -W 2 -I eth0 ff02::2").unwrap();
    assert_ne!(six.exit_code, Some(0), "{}", six.stdout);
}

#[test]
fn egress_none_reaches_nothing_and_an_allow_list_only_what_is_listed() {
    let _internet = Internet::start().unwrap();
    let platform = Platform::start().unwrap();
    let client = platform.client().unwrap();
    let with_egress = |name: &str, egress: serde_json::Value| {
        let body = json!({"name": name, "template_id": "tiny", "egress": egress});
        let answer = client.post("/workspaces", &body).unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text);
        let id = answer.text_at("/vm/id");
        platform.act(&id, "start").unwrap();
        platform.wait_status(&id, "running").unwrap();
        id
    };
    let url = format!("http://{PUBLIC}/");
    let nothing = with_egress("nothing", json!({"mode": "none"}));
    assert!(!reaches(&platform, &nothing, &url));
    let listed = with_egress("listed", json!({"mode": "allow", "cidrs": ["11.198.51.0/24"]}));
    assert!(reaches(&platform, &listed, &url));
    let other = with_egress("other", json!({"mode": "allow", "cidrs": ["203.0.113.0/24"]}));
    assert!(!reaches(&platform, &other, &url));
    // No setting lifts the floor.
    let body = json!({"name": "floor", "template_id": "tiny",
                      "egress": {"mode": "allow", "cidrs": ["10.0.0.0/8"]}});
    let answer = client.post("/workspaces", &body).unwrap();
    if answer.status == 201 {
        let id = answer.text_at("/vm/id");
        platform.act(&id, "start").unwrap();
        platform.wait_status(&id, "running").unwrap();
        assert!(!reaches(&platform, &id, "http://10.55.0.1/"));
    } else {
        assert_eq!(answer.status, 400, "{}", answer.text);
    }
}

#[test]
fn a_hog_hurts_only_itself() {
    let platform = Platform::start_with(&Options::default()).unwrap();
    let (hog, other) = (platform.spawn("hog").unwrap(), platform.spawn("other").unwrap());
    let well = |what: &str| {
        let shell = platform.sh(&other, "echo well").unwrap();
        assert_eq!(shell.stdout, "well\n", "after a {what}");
        assert_eq!(platform.client().unwrap().get("/workspaces").unwrap().status, 200);
    };
    platform.sh(&hog, "(while :; do echo flood > /dev/console; done) >/dev/null 2>&1 &").unwrap();
    platform.sh(&hog, "dd if=/dev/zero of=/root/fill bs=1M 2>/dev/null; rm /root/fill").unwrap();
    well("full disk");
    // The kernel of the hog may end the shell that carries the command: any answer will do.
    platform.sh(&hog, "timeout 20 tail /dev/zero").ok();
    well("full memory");
    platform.sh(&hog, "bomb() { bomb | bomb & }; (bomb) 2>/dev/null & sleep 3").ok();
    well("fork bomb");
    let size = std::process::Command::new("du").arg("-sm").arg(platform.data()).output().unwrap();
    let mib: u64 = String::from_utf8_lossy(&size.stdout)
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap();
    // Images, two disks of the tiny template and bounded logs.
    assert!(mib < 4096, "the platform uses {mib} MiB");
}
