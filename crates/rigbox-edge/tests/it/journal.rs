//! What control tells, on disk and in what order it takes effect, where something goes wrong.

use std::sync::Arc;

use rigbox_types::{
    Revision, Timestamp,
    edge::{EdgeEvent, EdgeSettings, TicketKey},
};

use crate::{
    control::{Control, Told},
    world::{DOMAIN, World, app, certificate, echo, raw_app, until},
};

const NAME: &str = "a.apps.example";

async fn world() -> World {
    let world = World::new().await;
    world.serves("a", raw_app(echo).await).await;
    world
}

/// Has control go away; where it was, and what it has told.
async fn without_control(world: &mut World) -> (camino::Utf8PathBuf, Arc<Told>) {
    let spare = tempfile::tempdir_in(&world.folder).unwrap().keep();
    let spare = camino::Utf8PathBuf::from_path_buf(spare).unwrap();
    let other = Control::start(&spare).await;
    let gone = std::mem::replace(&mut world.control, other);
    world.control.client = gone.client.clone();
    gone.stop().await
}

/// Keeps an edge, which has read what is there, from writing its table as long as this is there.
async fn hinder(world: &World) -> camino::Utf8PathBuf {
    // It shows metrics after it has looked at its folder.
    world.metrics().await;
    // The edge is of this process, and cannot make its file where this is.
    let hindrance = world.folder.join(format!("edge/table.jsonl.{}", std::process::id()));
    std::fs::create_dir(&hindrance).unwrap();
    hindrance
}

/// An edge that was told something while it cannot write its table; what keeps it from that, and what it
/// had acknowledged before.
async fn hindered() -> (World, camino::Utf8PathBuf, Vec<u64>) {
    let mut world = world().await;
    world.kill().await;
    let (path, told) = without_control(&mut world).await;
    world.start().await;
    let hindrance = hinder(&world).await;
    let before = told.acks();
    world.control = Control::at(path, told).await;
    until("it is told", async || world.metric("rigbox_edge_control_connected").await == 1).await;
    (world, hindrance, before)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_which_a_line_is_damaged_is_told_anew() {
    let mut world = world().await;
    world.kill().await;
    world.start().await;
    until("it follows", async || world.control.followed().len() == 2).await;
    assert!(world.control.followed()[1].is_some(), "a good table is gone on from");
    world.kill().await;
    let path = world.folder.join("edge/table.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    // In the middle, so it is not what a crash cuts off.
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| line.contains(NAME)).unwrap();
    assert!(at + 1 < lines.len());
    let damaged = text.replacen(lines[at], &lines[at][..10], 1);
    std::fs::write(&path, damaged).unwrap();
    world.start().await;
    until("it follows", async || world.control.followed().len() == 3).await;
    assert_eq!(world.control.followed()[2], None, "all of it");
    until("all is told", async || world.ask(NAME, "/", &[]).await.contains("GET / HTTP")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_written_is_in_effect_and_not_acknowledged() {
    let (world, hindrance, before) = hindered().await;
    let revision = before.last().copied().unwrap();
    assert!(world.ask(NAME, "/", &[]).await.contains("GET / HTTP"));
    std::fs::remove_dir(&hindrance).unwrap();
    world.routes([app(2, "b", 3_000)]).await;
    let acks = world.control.acks();
    assert!(acks[before.len()..].iter().all(|acked| *acked > revision), "{before:?}: {acks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_no_writing_acknowledges_nothing_that_is_not_written() {
    let (mut world, hindrance, before) = hindered().await;
    let revision = world.control.say([world.route(app(2, "b", 3_000))]).await;
    until("it is told of b", async || {
        world.ask("b.apps.example", "/", &[]).await.contains("GET / HTTP")
    })
    .await;
    let events = world.metric("rigbox_edge_events_total").await;
    world.control.pass_on(&[EdgeEvent::Mark { mark: 7 }, EdgeEvent::Heartbeat]).await;
    until("it is told the mark", async || {
        world.metric("rigbox_edge_events_total").await >= events + 2
    })
    .await;
    assert_eq!(world.control.acks(), before, "nothing of it is written");
    std::fs::remove_dir(&hindrance).unwrap();
    world.control.pass_on(&[EdgeEvent::Heartbeat]).await;
    world.control.acked(revision).await;
    assert_eq!(world.control.told.mark(), Some(7), "what came with what was not written");
    world.kill().await;
    let _gone = without_control(&mut world).await;
    world.start().await;
    until("it serves", async || world.ask("b.apps.example", "/", &[]).await.contains("GET / HTTP"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_just_before_a_new_table_is_in_effect_whatever_becomes_of_that() {
    let world = world().await;
    let gone = app(1, "a", 0).app;
    // A part of a new table, of which no more comes.
    world
        .control
        .script(vec![EdgeEvent::Gone { revision: Revision(100), app: gone }, EdgeEvent::Reset]);
    until("it is gone", async || world.ask(NAME, "/", &[]).await.contains(" 404 ")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_went_while_nobody_told_is_let_go() {
    let mut world = world().await;
    let own = certificate("own", &["own.example"]);
    let wildcard = certificate("wildcard", &["*.apps.example", DOMAIN]);
    world.authority = [own.chain_pem.as_str(), &wildcard.chain_pem].concat();
    world.control.tell([EdgeEvent::Certificate(Box::new(own))]).await;
    let world = world;
    let shown = async |name: &str| {
        let config = Arc::new(world.tls(&["h2"]));
        world.shake(config, name).await.is_ok()
    };
    assert!(shown("own.example").await);
    // Gone on from where it was, so nothing is told anew but what has no revision.
    let settings = EdgeSettings {
        domain: DOMAIN.to_owned(),
        sign_in_origin: format!("https://{DOMAIN}"),
        dashboard_host: None,
        https_port: world.https.port(),
    };
    let key = TicketKey { secret: "5a".repeat(32), created_at: Timestamp::from_micros(0) };
    world.control.script(vec![
        EdgeEvent::Settings(settings),
        EdgeEvent::Certificate(Box::new(wildcard)),
        EdgeEvent::TicketKeys { keys: vec![key] },
        EdgeEvent::Synced { revision: Revision(100) },
    ]);
    world.control.acked(100).await;
    assert!(!shown("own.example").await);
    assert!(shown(NAME).await);
    assert!(world.ask(NAME, "/", &[]).await.contains("GET / HTTP"), "apps stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rewrite_left_that_was_cut_off_is_removed() {
    let mut world = world().await;
    world.kill().await;
    let folder = world.folder.join("edge");
    for name in ["table.jsonl.1", "table.jsonl.4194304"] {
        std::fs::write(folder.join(name), "a key").unwrap();
    }
    std::fs::write(folder.join("tables"), "not of ours").unwrap();
    world.start().await;
    // It listens before it looks at its folder, and answers after that.
    assert!(world.ask(NAME, "/", &[]).await.contains("GET / HTTP"));
    // One of its own may be there: it writes the table anew while it serves.
    let own = format!("table.jsonl.{}", std::process::id());
    let mut left: Vec<_> = folder
        .read_dir_utf8()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_owned())
        .filter(|name| *name != own)
        .collect();
    left.sort();
    assert_eq!(left, ["table.jsonl", "tables"]);
}
