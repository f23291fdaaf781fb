//! What hostile clients send: documents that are none, too large, too deep or ambiguous, and texts
//! that look like others. Each is refused with a document that says why, and nothing is made of it.

use std::time::Duration;

use axum::body::Body;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::{
    client::{Client, PATIENCE},
    world::World,
};

/// Everything that takes a document.
const TAKERS: [(&str, &str); 7] = [
    ("POST", "/workspaces"),
    ("POST", "/setup-scripts"),
    ("POST", "/service-specs"),
    ("POST", "/ssh-keys"),
    ("POST", "/api-keys"),
    ("POST", "/users"),
    ("PUT", "/users/me/settings"),
];

async fn refused_everywhere(api: &Client, body: &[u8]) {
    for (method, path) in TAKERS {
        let shown: String = String::from_utf8_lossy(body).chars().take(60).collect();
        let answer = api.bytes(method, path, body.to_vec()).await;
        assert_eq!(answer.status, 400, "{method} {path} {shown}: {answer:?}");
        answer.refused(400, "invalid_request");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_json_is_refused_by_everything_that_takes_it() {
    let world = World::start().await;
    let utf16: Vec<u8> =
        "\u{feff}{\"name\":\"a\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let bodies: [&[u8]; 20] = [
        b"\xff\xfe\x00",
        b"{\"name\":\"\xc3\x28\"}",
        b"{\"name\":\"\xed\xa0\x80\"}",
        &utf16,
        b"\xef\xbb\xbf{\"name\":\"a\"}",
        b"{\"name\":\"\\ud800\"}",
        b"{\"name\":NaN}",
        b"{\"name\":Infinity}",
        b"{\"name\":-Infinity}",
        b"{\"name\":1e999}",
        b"{\"name\":0x10}",
        b"{\"name\":01}",
        b"{\"name\":\"a\",}",
        b"{'name':'a'}",
        b"{\"name\":\"a\"}{\"name\":\"b\"}",
        b"{\"name\":\"a\"} // no",
        b"{\"name\":\"a\nb\"}",
        b"{\"name\":\"a",
        b"\0",
        b"name=a",
    ];
    for body in bodies {
        refused_everywhere(&world.api, body).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn depth_repetition_and_huge_numbers_are_refused() {
    let world = World::start().await;
    let deep = |open: &str, close: &str| {
        format!("{{\"name\":{}1{}}}", open.repeat(10_000), close.repeat(10_000))
    };
    refused_everywhere(&world.api, deep("[", "]").as_bytes()).await;
    refused_everywhere(&world.api, deep("{\"a\":", "}").as_bytes()).await;
    refused_everywhere(&world.api, b"{\"name\":\"a\",\"name\":\"a\"}").await;
    refused_everywhere(&world.api, b"{\"name\":\"a\",\"n\\u0061me\":\"b\"}").await;
    let huge = "9".repeat(400);
    for number in ["1e308", "-1", "4294967296", "18446744073709551616", "0.5", huge.as_str()] {
        let body = format!("{{\"name\":\"a\",\"ram_mb\":{number}}}");
        world.api.bytes("POST", "/workspaces", body).await.refused(400, "invalid_request");
    }
    // JSON has one kind of number.
    let body = r#"{"name":"whole","template_id":"tiny","ram_mb":128.0,"disk_size_mb":512e0}"#;
    world.api.bytes("POST", "/workspaces", body).await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_mebibytes_are_refused_wherever_they_are() {
    let world = World::start().await;
    let large = "x".repeat(10 << 20);
    for (method, path) in TAKERS {
        let body = json!({ "name": large }).to_string();
        let refused = world.api.bytes(method, path, body).await.refused(413, "too_large");
        assert_eq!(refused["details"]["maximum"], 1_048_576);
    }
    // Half a MiB is read, and then refused by the rule of its field.
    let half = "x".repeat(1 << 19);
    for (path, body) in [
        ("/workspaces", json!({ "name": half })),
        ("/setup-scripts", json!({ "name": half, "content": "" })),
        ("/setup-scripts", json!({ "name": "a", "content": half })),
        ("/service-specs", json!({ "name": "a", "exec_start": half })),
        ("/ssh-keys", json!({ "name": "a", "public_key": half })),
        ("/api-keys", json!({ "name": half })),
        ("/users", json!({ "email": format!("{half}@example.com") })),
    ] {
        let answer = world.api.json("POST", path, body).await;
        // A refusal never sends back what it refuses.
        assert!(answer.bytes.len() < 4_096, "{path}: {} bytes", answer.bytes.len());
        answer.refused(400, "invalid_request");
    }
    let text = "x".repeat(64 << 10);
    let mut request = world.api.request("GET", "/workspaces", Body::empty());
    request.headers_mut().insert("x-request-id", text.parse().unwrap());
    let status = world.api.send(request).await.status;
    assert!(matches!(status, 200 | 431), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_that_look_like_others_are_refused() {
    let world = World::start().await;
    let field = async |method, path, body: Value, field: &str| {
        let refused = world.api.json(method, path, body.clone()).await;
        assert_eq!(refused.refused(400, "invalid_request")["details"]["field"], field, "{body}");
    };
    // Cyrillic, full width, ligature, zero width, soft hyphen, combining, no-break space, capital K.
    let odd =
        ["\u{430}", "\u{ff41}", "\u{fb01}", "\u{200b}", "\u{ad}", "\u{301}", "\u{a0}", "\u{212a}"];
    for odd in odd {
        let name = format!("a{odd}b");
        field("POST", "/workspaces", json!({ "name": name }), "name").await;
        let body = json!({ "name": name, "exec_start": "/bin/true" });
        field("POST", "/service-specs", body, "name").await;
        field("POST", "/users", json!({ "email": format!("{name}@example.com") }), "email").await;
        let body = json!({ "name": "a", "env_vars": { name: "" }, "template_id": "tiny" });
        let refused = world.api.json("POST", "/workspaces", body).await;
        refused.refused(400, "invalid_request");
    }
    // Line ends of all kinds, terminal escapes, changes of direction, the byte order mark.
    let hiding =
        ["\n", "\r", "\0", "\u{1b}", "\u{85}", "\u{2028}", "\u{202e}", "\u{2066}", "\u{feff}"];
    for hiding in hiding {
        let name = format!("a{hiding}b");
        field("POST", "/api-keys", json!({ "name": name }), "name").await;
        field("POST", "/setup-scripts", json!({ "name": name, "content": "" }), "name").await;
        field("PUT", "/users/me/settings", json!({ "display_name": name }), "display_name").await;
        let body = json!({ "name": "a", "exec_start": format!("/bin/{name}") });
        field("POST", "/service-specs", body, "exec_start").await;
        let body = json!({ "email": "a@example.com", "display_name": name });
        field("POST", "/users", body, "display_name").await;
    }
    field("POST", "/setup-scripts", json!({ "name": "a", "content": "a\0" }), "content").await;
    let words = json!({ "name": "Käse – 芝士 🧀 עברית", "content": "" });
    world.api.json("POST", "/setup-scripts", words).await.expect(201);
    let list = world.api.get("/workspaces").await.expect(200);
    assert_eq!(list["vms"], json!([]));
}

/// A connection from one of this machine's own addresses.
async fn from(address: [u8; 4], world: &World) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address, 0).into()).unwrap();
    let at = world.api.base.strip_prefix("http://").unwrap().split('/').next().unwrap();
    socket.connect(at.parse().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_cannot_take_the_connections_of_all() {
    let world = World::without_host().await;
    let mut silent = Vec::new();
    for _ in 0..256 {
        silent.push(from([127, 0, 0, 9], &world).await);
    }
    let closed = async {
        loop {
            let mut one_more = from([127, 0, 0, 9], &world).await;
            // Until all of those before are counted, it may be let in and have no answer.
            let read = timeout(Duration::from_millis(200), one_more.read_u8()).await;
            match read {
                Ok(read) => break read.is_err(),
                Err(_) => silent.push(one_more),
            }
        }
    };
    assert!(timeout(PATIENCE, closed).await.unwrap());
    // Others come through.
    let mut other = from([127, 0, 0, 8], &world).await;
    other
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, other.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    drop(silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_cannot_take_the_places_of_all_with_bodies_that_do_not_come() {
    let world = World::without_host().await;
    let head = "POST /api/v1/auth/session HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
                Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    let mut slow = Vec::new();
    let refused = async {
        loop {
            let mut stream = from([127, 0, 0, 9], &world).await;
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = vec![0; 1_024];
            // One that has a place is not answered before its body is there.
            match timeout(Duration::from_millis(200), stream.read(&mut answer)).await {
                Ok(read) => break String::from_utf8_lossy(&answer[..read.unwrap()]).into_owned(),
                Err(_) => slow.push(stream),
            }
        }
    };
    let answer = timeout(PATIENCE, refused).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("\"limit\":32"), "{answer}");
    // A refusal that was slow to come was taken for a place.
    assert!(slow.len() >= 32, "{}", slow.len());
    // Who comes from elsewhere, or shows a key, is answered.
    world.api.get("/workspaces").await.expect(200);
}
