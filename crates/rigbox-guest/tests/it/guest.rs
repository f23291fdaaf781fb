use std::net::TcpListener;

use crate::world::{World, code};

#[tokio::test]
async fn the_agent_says_what_it_is() {
    let world = World::serial().await;
    let hello = world.agent.hello().await.unwrap();
    assert_eq!(hello.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(hello.boot_id.len(), 36);
    assert!(hello.uptime_ms > 0 && hello.workspace.is_none());
}

#[tokio::test]
async fn a_port_that_listens_is_shown_with_its_process() {
    let world = World::vsock().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let find = async || {
        let ports = world.agent.ports().await.unwrap().ports;
        ports.into_iter().find(|open| open.port == port)
    };
    let open = find().await.unwrap();
    assert_eq!((open.address.as_str(), open.pid), ("127.0.0.1", Some(std::process::id())));
    assert!(open.process.is_some() && !open.already_exposed);
    drop(listener);
    assert_eq!(find().await, None);
}

#[tokio::test]
async fn metrics_are_those_of_the_guest() {
    let world = World::serial().await;
    let metrics = world.agent.metrics().await.unwrap();
    assert!(metrics.cpus > 0 && metrics.cpu_busy_ms > 0);
    assert!((0.0..=100.0).contains(&metrics.cpu_percent));
    assert!(
        metrics.memory_used_bytes > 0 && metrics.memory_used_bytes < metrics.memory_total_bytes
    );
    assert!(metrics.disk_used_bytes > 0 && metrics.disk_used_bytes <= metrics.disk_total_bytes);
}

#[tokio::test]
async fn a_guest_without_systemd_has_no_services() {
    let world = World::vsock().await;
    assert!(world.agent.services().await.unwrap().services.is_empty());
}

#[tokio::test]
async fn what_is_not_there_is_refused() {
    let world = World::vsock().await;
    for (method, path) in
        [("GET", "/"), ("GET", "/nope"), ("POST", "/hello"), ("DELETE", "/exec/x")]
    {
        let answer = world.call(method, path, "").await;
        assert_eq!(
            (answer.status().as_u16(), code(&answer).as_str()),
            (404, "not_found"),
            "{method} {path}"
        );
    }
    let broken = world.call("PUT", "/setup", "{").await;
    assert_eq!((broken.status().as_u16(), code(&broken).as_str()), (400, "invalid_request"));
    let large = world.call("PUT", "/time", vec![b' '; 2 * 1024 * 1024]).await;
    assert_eq!((large.status().as_u16(), code(&large).as_str()), (413, "too_large"));
}
