//! Lists come in pages.

use serde_json::json;

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_walked_by_its_cursor_newest_first() {
    let world = World::start().await;
    for n in 0..5 {
        world.create(&format!("w{n}")).await;
    }
    let mut names = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = world.api.get(&format!("/workspaces?max_results=2{cursor}")).await.expect(200);
        let vms = page["vms"].as_array().unwrap();
        assert!(vms.len() <= 2);
        names.extend(vms.iter().map(|vm| vm["name"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["w4", "w3", "w2", "w1", "w0"]);
    let other = world.api.get("/setup-scripts?max_results=1").await.expect(200);
    assert_eq!(other, json!({ "scripts": [], "next_cursor": null }));
}
