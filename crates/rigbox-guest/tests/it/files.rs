use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use rigbox_guest::client::ForwardLimits;
use rigbox_types::guest::{FILE_MODE_HEADER, FileKind, FileListResponse, FilePutResponse};

use crate::world::{PATIENCE, World, code, developer_uid, is_root, mode, until};

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 253) as u8).collect()
}

#[tokio::test]
async fn a_file_is_read_back_as_it_was_put() {
    for world in [World::vsock().await, World::serial().await] {
        let content = bytes(3_000_001);
        let put =
            world.call("PUT", "/files?path=a/b.bin&mode=0750&parents=true", content.clone()).await;
        let answer: FilePutResponse = serde_json::from_slice(put.body()).unwrap();
        assert_eq!(answer.path, "/home/developer/a/b.bin");
        assert_eq!((answer.size_bytes, answer.mode.as_str()), (3_000_001, "0750"));
        let file = world.guest_path("/home/developer/a/b.bin");
        assert_eq!((mode(&file), fs::metadata(&file).unwrap().uid()), (0o750, developer_uid()));

        let got = world.call("GET", "/files?path=%2Fhome%2Fdeveloper%2Fa%2Fb.bin", "").await;
        assert_eq!(got.headers()[header::CONTENT_LENGTH], "3000001");
        assert_eq!(got.headers()[FILE_MODE_HEADER], "0750");
        assert!(got.body() == &content, "{} bytes", got.body().len());
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_keeps_its_mode_and_a_link_its_target() {
    let world = World::vsock().await;
    let home = world.guest_path("/home/developer");
    world.call("PUT", "/files?path=real&mode=0600", "one").await;
    symlink("real", home.join("link")).unwrap();
    let put = world.call("PUT", "/files?path=link", "two").await;
    assert_eq!(put.status(), 200);
    assert_eq!(fs::read_to_string(home.join("real")).unwrap(), "two");
    assert_eq!(mode(&home.join("real")), 0o600);
    assert!(fs::symlink_metadata(home.join("link")).unwrap().is_symlink());
}

#[tokio::test]
async fn who_reads_while_a_file_is_replaced_gets_one_or_the_other() {
    let world = World::serial().await;
    let (old, new) = (vec![b'o'; 500_000], vec![b'n'; 700_000]);
    world.call("PUT", "/files?path=f", old.clone()).await;
    let path = world.guest_path("/home/developer/f");
    let (begun, mut begins) = tokio::sync::watch::channel(false);
    let reader = std::thread::spawn(move || {
        let mut seen = (false, false);
        while !seen.1 {
            let content = fs::read(&path).unwrap();
            assert!(content.len() == 500_000 || content.len() == 700_000);
            assert!(content.iter().all(|byte| *byte == content[0]));
            if content[0] == b'o' {
                seen.0 = true
            } else {
                seen.1 = true
            }
            begun.send_replace(true);
        }
        seen
    });
    begins.wait_for(|begun| *begun).await.unwrap();
    for content in [&old, &old, &new] {
        world.call("PUT", "/files?path=f", content.clone()).await;
    }
    assert_eq!(
        tokio::task::spawn_blocking(move || reader.join().unwrap()).await.unwrap(),
        (true, true)
    );
}

#[tokio::test]
async fn a_put_that_is_cut_changes_nothing_and_leaves_nothing() {
    let world = World::serial().await;
    world.call("PUT", "/files?path=f", "whole").await;
    let home = world.guest_path("/home/developer");
    let count = || fs::read_dir(&home).unwrap().count();
    assert_eq!(count(), 1);
    let frames = [
        Ok(Frame::data(Bytes::from(bytes(100_000)))),
        Err(std::io::Error::other("the client is gone")),
    ];
    let body = StreamBody::new(futures_util::stream::iter(frames));
    let request =
        Request::put("/files?path=f").header(header::CONTENT_LENGTH, 200_000).body(body).unwrap();
    let limits = ForwardLimits {
        head_timeout: PATIENCE,
        request_bytes: usize::MAX,
        response_bytes: usize::MAX,
    };
    assert!(world.agent.forward(request, limits).await.is_err());
    until("the unfinished file is gone", || count() == 1).await;
    assert_eq!(fs::read_to_string(home.join("f")).unwrap(), "whole");
}

#[tokio::test]
async fn a_body_over_the_limit_of_the_host_does_not_arrive() {
    let world = World::vsock().await;
    let limits =
        ForwardLimits { head_timeout: PATIENCE, request_bytes: 1000, response_bytes: 1000 };
    let request = Request::put("/files?path=f").body(Full::from(bytes(1001))).unwrap();
    assert!(world.agent.forward(request, limits).await.is_err());
    assert!(!world.guest_path("/home/developer/f").exists());
    world.call("PUT", "/files?path=f", bytes(1001)).await;
    let request = Request::get("/files?path=f").body(Full::<Bytes>::default()).unwrap();
    let answer = world.agent.forward(request, limits).await.unwrap();
    assert!(answer.into_body().collect().await.is_err());
}

#[tokio::test]
async fn what_is_no_file_or_not_the_users_is_refused() {
    let world = World::vsock().await;
    let home = world.guest_path("/home/developer");
    fs::create_dir(home.join("folder")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, home.join("pipe"), rustix::fs::Mode::RUSR).unwrap();
    let check = async |method: &str, path: &str, status: u16, expected: &str| {
        let answer = world.call(method, path, "").await;
        assert_eq!(
            (answer.status().as_u16(), code(&answer).as_str()),
            (status, expected),
            "{method} {path}"
        );
    };
    check("GET", "/files?path=missing", 404, "not_found").await;
    check("GET", "/files?path=folder", 400, "invalid_request").await;
    check("GET", "/files", 400, "invalid_request").await;
    check("GET", "/files?path=a%00b", 400, "invalid_request").await;
    check("GET", "/files?path=f&user=nobody-here", 400, "invalid_request").await;
    check("PUT", "/files?path=folder", 400, "invalid_request").await;
    check("PUT", "/files?path=missing/f", 404, "not_found").await;
    check("PUT", "/files?path=f&mode=9", 400, "invalid_request").await;
    check("PUT", "/files?path=f&mode=77777", 400, "invalid_request").await;
    check("PUT", &format!("/files?path={}", "n".repeat(300)), 400, "invalid_request").await;
    check("DELETE", "/files?path=missing", 404, "not_found").await;
    check("POST", "/files?path=f", 404, "not_found").await;
    check("GET", "/files/list?path=pipe", 400, "invalid_request").await;
    // Reading a pipe would wait for ever.
    let pipe = world.call("GET", "/files?path=pipe", "").await;
    assert!(!pipe.status().is_success());
    if is_root() {
        fs::write(world.guest_path("/etc/secret"), "s").unwrap();
        fs::set_permissions(world.guest_path("/etc/secret"), fs::Permissions::from_mode(0o600))
            .unwrap();
        symlink(world.guest_path("/etc/secret"), home.join("link")).unwrap();
        check("GET", "/files?path=link", 403, "forbidden").await;
        check("PUT", "/files?path=/etc/new", 403, "forbidden").await;
        check("DELETE", "/files?path=/etc/secret", 403, "forbidden").await;
        let as_root = world.call("GET", "/files?path=/etc/secret&user=root", "").await;
        assert_eq!(as_root.body(), "s");
    }
}

#[tokio::test]
async fn a_directory_is_listed_and_removed() {
    let world = World::vsock().await;
    world.call("PUT", "/files?path=d/z&parents=true", "12345").await;
    world.call("PUT", "/files?path=d/sub/x&parents=true", "").await;
    symlink("/etc", world.guest_path("/home/developer/d/link")).unwrap();
    let answer = world.call("GET", "/files/list?path=d", "").await;
    let list: FileListResponse = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!((list.path.as_str(), list.truncated), ("/home/developer/d", false));
    let seen: Vec<_> =
        list.entries.iter().map(|e| (e.name.as_str(), e.kind, e.mode.as_str())).collect();
    let expected = [
        ("link", FileKind::Symlink, "0777"),
        ("sub", FileKind::Directory, "0755"),
        ("z", FileKind::File, "0644"),
    ];
    assert_eq!(seen, expected);
    assert_eq!((list.entries[2].size_bytes, list.entries[2].owner.as_str()), (5, "developer"));

    let refused = world.call("DELETE", "/files?path=d", "").await;
    assert_eq!(refused.status(), 400);
    let removed = world.call("DELETE", "/files?path=d&recursive=true", "").await;
    assert_eq!(removed.status(), 200);
    assert!(!world.guest_path("/home/developer/d").exists());
    assert!(world.guest_path("/etc/passwd").exists(), "a link is removed, not followed");
}

#[tokio::test]
async fn a_file_without_a_length_is_read_to_its_end() {
    let world = World::vsock().await;
    let proc = world.guest_path("/proc");
    symlink("/proc", &proc).unwrap();
    let answer = world.call("GET", "/files?path=/proc/self/status", "").await;
    assert!(String::from_utf8_lossy(answer.body()).contains("Pid:"));
}
