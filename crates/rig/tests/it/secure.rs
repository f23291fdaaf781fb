//! Servers with TLS: trusted by a file, else refused.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::Arc,
    thread,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};

use crate::world::World;

/// A server with a certificate of its own making; answers everything with the capacity.
fn server(world: &World) -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(world.path("ca.pem"), made.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            let mut head = Vec::new();
            let mut byte = [0];
            // A client that does not trust us never sends a request.
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
                head.push(byte[0]);
            }
            let body = r#"{"available":1,"total":1,"used":0}"#;
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).unwrap_or_default();
        }
    });
    format!("https://localhost:{port}")
}

#[test]
fn a_certificate_is_trusted_by_a_file_and_by_nothing_else() {
    let world = World::new();
    let url = server(&world);
    let rig = |line: &str| {
        let mut command = world.stranger(line);
        command.env("RIGBOX_API_URL", &url);
        world.run(command, None)
    };
    let ended = rig("capacity --ca ca.pem");
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
    let ended = rig("capacity");
    assert_eq!(ended.code, 1, "{ended:?}");
    let expected = format!("error: no secure connection to {url}: ");
    assert!(ended.stderr.starts_with(&expected), "{ended:?}");
    assert!(ended.stderr.ends_with("hint: rig doctor --ca CA_FILE\n"), "{ended:?}");
    fs::write(world.path("empty.pem"), "").unwrap();
    let ended = rig("capacity --ca empty.pem");
    assert!(ended.stderr.contains("empty.pem has no certificate"), "{ended:?}");
}
