use std::{fs, io::Write as _};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use rigbox_guest::client::ForwardLimits;
use rigbox_types::guest::{GetWorkspaceLogsResponse, LogLine};

use crate::world::{PATIENCE, World};

async fn page(world: &World, query: &str) -> GetWorkspaceLogsResponse {
    let answer = world.call("GET", &format!("/logs?{query}"), "").await;
    serde_json::from_slice(answer.body()).unwrap()
}

fn texts(page: &GetWorkspaceLogsResponse) -> Vec<&str> {
    page.lines.iter().map(|line| line.message.as_str()).collect()
}

#[tokio::test]
async fn pages_go_on_at_their_cursor_in_both_directions() {
    let world = World::serial().await;
    fs::create_dir_all(world.guest_path("/var/log")).unwrap();
    let lines: String = (1..=10).map(|number| format!("line {number}\n")).collect();
    fs::write(world.guest_path("/var/log/messages"), lines).unwrap();
    let newest = page(&world, "lines=3").await;
    assert_eq!((texts(&newest), newest.has_more), (vec!["line 8", "line 9", "line 10"], true));
    let numbers: Vec<u64> = newest.lines.iter().map(|line| line.line_number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let before = page(&world, &format!("lines=3&cursor={}", newest.cursor.unwrap())).await;
    assert_eq!(texts(&before), ["line 5", "line 6", "line 7"]);
    let oldest = page(&world, "lines=9&direction=oldest").await;
    assert_eq!((oldest.lines.len(), oldest.has_more), (9, true));
    let rest = page(&world, &format!("direction=oldest&cursor={}", oldest.cursor.unwrap())).await;
    assert_eq!((texts(&rest), rest.has_more), (vec!["line 10"], false));
}

#[tokio::test]
async fn a_log_is_followed_from_a_cursor_on() {
    let world = World::serial().await;
    fs::create_dir_all(world.guest_path("/var/log")).unwrap();
    let path = world.guest_path("/var/log/messages");
    fs::write(&path, "one\ntwo\n").unwrap();
    let first = page(&world, "lines=1&direction=oldest").await.cursor.unwrap();
    let request = Request::get(format!("/logs/stream?cursor={first}"));
    let limits = ForwardLimits { head_timeout: PATIENCE, request_bytes: 0, response_bytes: 65_536 };
    let request = request.body(Full::<Bytes>::default()).unwrap();
    let mut body = world.agent.forward(request, limits).await.unwrap().into_body();
    let mut next = async || {
        let frame = tokio::time::timeout(PATIENCE, body.frame()).await.unwrap().unwrap().unwrap();
        serde_json::from_slice::<LogLine>(&frame.into_data().unwrap()).unwrap().message
    };
    assert_eq!(next().await, "two");
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"three\n").unwrap();
    assert_eq!(next().await, "three");
}
