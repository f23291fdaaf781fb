use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
};

use super::*;

/// Serves one connection with `answer`, whatever is asked, and returns what the client makes of it.
async fn check(answer: &'static [u8]) -> Result<Bytes, VmmError> {
    let dir = tempfile::tempdir().expect("temporary directory");
    let root = Utf8PathBuf::try_from(dir.path().to_owned()).expect("UTF-8");
    std::fs::create_dir(root.join("run")).expect("create");
    let listener = UnixListener::bind(root.join("run/api.sock")).expect("bind");
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accept");
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.expect("read") > 0);
        stream.write_all(answer).await.expect("write");
    });
    let limit = Duration::from_secs(10);
    let result = Api::new(root).call(Method::GET, "/", Bytes::new(), limit).await;
    server.await.expect("the server does not panic");
    result
}

#[tokio::test]
async fn a_status_without_reason_phrase_and_body_is_success() {
    let answer = b"HTTP/1.1 204 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(check(answer).await.expect("success"), Bytes::new());
}

#[tokio::test]
async fn a_refusal_of_the_api_is_told_in_its_words() {
    let answer = b"HTTP/1.1 400 \r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n\
        {\"fault_message\":\"Not now\"}";
    let error = check(answer).await.expect_err("refused");
    assert_eq!(error.to_string(), "the VMM refused GET /: Not now");
}

#[tokio::test]
async fn a_refusal_of_the_http_layer_is_told_although_it_is_not_json() {
    let answer = b"HTTP/1.1 400 \r\nContent-Length: 81\r\n\r\n\
        { \"error\": \"Invalid request.\nAll previous unanswered requests will be dropped.\" }";
    let error = check(answer).await.expect_err("refused");
    let expected =
        "the VMM refused GET /: Invalid request. All previous unanswered requests will be dropped.";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn an_answer_that_closes_the_connection_is_heard() {
    let answer = b"HTTP/1.1 503 \r\nConnection: close\r\nContent-Length: 40\r\n\r\n\
        { \"error\": \"Too many open connections\" }";
    let error = check(answer).await.expect_err("refused");
    assert_eq!(error.to_string(), "the VMM refused GET /: Too many open connections");
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let answer: &'static [u8] = Vec::leak(
        [&b"HTTP/1.1 200 \r\nContent-Length: 9000000\r\n\r\n"[..], &[b'x'; 1 << 20]].concat(),
    );
    let error = check_large(answer).await;
    assert!(matches!(error, VmmError::Protocol { .. }), "{error:?}");
}

/// As `check`, for an answer that the client does not read to its end.
async fn check_large(answer: &'static [u8]) -> VmmError {
    let dir = tempfile::tempdir().expect("temporary directory");
    let root = Utf8PathBuf::try_from(dir.path().to_owned()).expect("UTF-8");
    std::fs::create_dir(root.join("run")).expect("create");
    let listener = UnixListener::bind(root.join("run/api.sock")).expect("bind");
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accept");
        // The client hangs up in the middle.
        stream.write_all(answer).await.ok();
    });
    let limit = Duration::from_secs(10);
    let error =
        Api::new(root).call(Method::GET, "/", Bytes::new(), limit).await.expect_err("too long");
    server.await.expect("the server does not panic");
    error
}

#[tokio::test]
async fn a_link_out_of_the_jail_is_not_followed() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let root = Utf8PathBuf::try_from(dir.path().join("jail")).expect("UTF-8");
    std::fs::create_dir_all(root.join("run")).expect("create");
    let outside = dir.path().join("host.sock");
    let _listener = UnixListener::bind(&outside).expect("bind");
    std::os::unix::fs::symlink(&outside, root.join("run/api.sock")).expect("link");
    let error = Api::new(root).state().await.expect_err("refused");
    assert!(matches!(error, VmmError::Control { .. }), "{error:?}");
}
