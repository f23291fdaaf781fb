//! What one request costs in connections and in the app's own time: nothing that grows.

use crate::world::{World, app, echo, raw_app};

#[tokio::test(flavor = "multi_thread")]
async fn apps_at_the_same_port_do_not_share_connections() {
    let world = World::new().await;
    world.host.port(3_000, raw_app(echo).await);
    world.routes([app(1, "a", 3_000), app(2, "b", 3_000)]).await;
    for _ in 0..3 {
        world.ask("a.apps.example", "/", &[]).await;
        world.ask("b.apps.example", "/", &[]).await;
    }
    assert_eq!(world.host.dials(), 2);
    assert_eq!(world.metric("rigbox_edge_upstream_reused_total").await, 4);
}
