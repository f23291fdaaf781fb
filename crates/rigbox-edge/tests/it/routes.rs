//! Routes as control tells them, and without control.

use rigbox_types::{
    Generation, Revision,
    edge::{EdgeEvent, Visibility},
};

use crate::world::{World, app, echo, raw_app, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_route_is_in_effect_when_it_is_acknowledged() {
    let world = World::new().await;
    world.host.port(3_000, raw_app(echo).await);
    world.host.port(
        3_001,
        raw_app(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother".to_vec()).await,
    );
    for round in 0..10 {
        world.routes([app(1, "a", 3_000)]).await;
        assert!(world.ask("a.apps.example", "/", &[]).await.contains("GET / HTTP"), "{round}");
        world.routes([app(1, "a", 3_001)]).await;
        assert!(world.ask("a.apps.example", "/", &[]).await.ends_with("other"), "{round}");
        let gone = app(1, "a", 0).app;
        world.control.tell([EdgeEvent::Gone { revision: Revision(0), app: gone }]).await;
        assert!(world.ask("a.apps.example", "/", &[]).await.contains(" 404 "), "{round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_boot_gets_connections_of_its_own() {
    let world = World::new().await;
    world.serves("a", raw_app(echo).await).await;
    world.ask("a.apps.example", "/", &[]).await;
    let mut route = app(1, "a", 3_000);
    route.generation = Generation(2);
    world.routes([route]).await;
    world.ask("a.apps.example", "/", &[]).await;
    assert_eq!(world.host.dials(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_edge_serves_again_without_control() {
    let mut world = World::new().await;
    world.serves("a", raw_app(echo).await).await;
    let mut private = app(2, "b", 3_000);
    private.visibility = Visibility::Public;
    world.routes([private.clone()]).await;
    private.visibility = Visibility::Private;
    world.routes([private]).await;
    let spare = world.folder.join("spare");
    std::fs::create_dir(&spare).unwrap();
    let other = crate::control::Control::start(&spare).await;
    let gone = std::mem::replace(&mut world.control, other);
    let client = gone.client.clone();
    gone.stop().await;
    world.kill().await;
    world.control.client = client;
    world.start().await;
    assert!(world.ask("a.apps.example", "/", &[]).await.contains("GET / HTTP"));
    // The last thing that was acknowledged holds.
    assert!(world.ask("b.apps.example", "/", &[]).await.contains(" 401 "));
    assert_eq!(world.metric("rigbox_edge_control_connected").await, 0);
    use std::os::unix::fs::MetadataExt as _;
    let file = std::fs::metadata(world.folder.join("edge/table.jsonl")).unwrap();
    let folder = std::fs::metadata(world.folder.join("edge")).unwrap();
    assert_eq!((file.mode() & 0o777, folder.mode() & 0o777), (0o600, 0o700));
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_line_on_disk_is_left_out() {
    let mut world = World::new().await;
    world.serves("a", raw_app(echo).await).await;
    world.kill().await;
    let path = world.folder.join("edge/table.jsonl");
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("not json\n{\"event\":\"gone\",\"revi");
    std::fs::write(&path, text).unwrap();
    world.start().await;
    assert!(world.ask("a.apps.example", "/", &[]).await.contains("GET / HTTP"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_route_is_refused_and_the_others_are_served() {
    let world = World::new().await;
    world.serves("a", raw_app(echo).await).await;
    let mut bad = app(1, "x", 3_000);
    bad.names = vec!["not a name".to_owned()];
    world.routes([bad, app(2, "b", 3_000)]).await;
    assert!(world.ask("a.apps.example", "/", &[]).await.contains("GET / HTTP"));
    assert!(world.ask("b.apps.example", "/", &[]).await.contains("GET / HTTP"));
    assert_eq!(world.metric("rigbox_edge_events_refused_total").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_leads_to_the_same_however_large_the_table() {
    let world = World::new().await;
    world.serves("a", raw_app(echo).await).await;
    for count in [10, 2_000] {
        world.routes((100..100 + count).map(|n| app(n, &format!("n{n}"), 3_000))).await;
        for host in ["N105.apps.example", "n105.APPS.example.", "n105.apps.example:99"] {
            let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let answer = world.say("n105.apps.example", text.as_bytes()).await;
            assert!(answer.contains("GET / HTTP"), "{host}: {answer}");
        }
        assert!(world.ask("n99.apps.example", "/", &[]).await.contains(" 404 "));
    }
    until("counted", async || world.metric("rigbox_edge_apps").await == 2_001).await;
}
