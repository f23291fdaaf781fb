//! The HTTP layer, with its peculiarities: no reason phrase, keep-alive whatever the client asks,
//! ten connections, bodies of 51,200 bytes, errors that are not JSON and after which the rest of a
//! body is parsed as further requests.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::Value;

use crate::machine::{Answer, Machine, Then};

/// Serves for as long as the process lives. Calls are served one after another, also across
/// connections.
pub(crate) fn serve(listener: &UnixListener, machine: &Arc<Mutex<Machine>>) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        if open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::SeqCst);
            let body = r#"{ "error": "Too many open connections" }"#;
            let head = "HTTP/1.1 503\r\nServer: Firecracker API\r\nConnection: close\r\n";
            send(&mut stream, &format!("{head}{}{body}", length(body)));
            continue;
        }
        let (machine, open) = (Arc::clone(machine), Arc::clone(&open));
        thread::spawn(move || {
            Connection { stream, buffer: Vec::new() }.serve(&machine);
            open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

struct Connection {
    stream: UnixStream,
    buffer: Vec<u8>,
}

/// A request, or what is wrong with it.
enum Incoming {
    Request { method: String, path: String, body: Vec<u8> },
    Bad(String),
    End,
}

impl Connection {
    fn serve(mut self, machine: &Mutex<Machine>) {
        loop {
            match self.next() {
                Incoming::Request { method, path, body } => {
                    let Ok(mut machine) = machine.lock() else { return };
                    let answer = machine.answer(&method, &path, &body);
                    let then = answer.then;
                    self.reply(&answer);
                    if then == Then::Exit(1) {
                        crate::end(1);
                    }
                }
                Incoming::Bad(reason) => {
                    let rest = "All previous unanswered requests will be dropped.";
                    let body = format!("{{ \"error\": \"{reason}\n{rest}\" }}");
                    self.send_with_body(400, &body);
                }
                Incoming::End => return,
            }
        }
    }

    fn next(&mut self) -> Incoming {
        let Some(head) = self.take_head() else { return Incoming::End };
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, path, version) = (words.next(), words.next(), words.next());
        let (Some(method), Some(path), Some("HTTP/1.0" | "HTTP/1.1")) = (method, path, version)
        else {
            return Incoming::Bad("Invalid request.".to_owned());
        };
        if !["GET", "PUT", "PATCH", "DELETE"].contains(&method) {
            return Incoming::Bad("Invalid HTTP Method: Unsupported HTTP method.".to_owned());
        }
        let header = |name: &str| header(&head, name);
        // A chunked body is not understood: there is none, as far as it can tell.
        let Ok(size) = header("content-length").unwrap_or("0").parse::<usize>() else {
            return Incoming::Bad("Invalid request.".to_owned());
        };
        if size > BODY_MAX_BYTES {
            // The body stays where it is and is taken for requests.
            return Incoming::Bad(format!(
                "Request payload with size {size} is larger than the limit of {BODY_MAX_BYTES} \
                 allowed by server."
            ));
        }
        if header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            send(&mut self.stream, "HTTP/1.1 100 \r\n\r\n");
        }
        let (method, path) = (method.to_owned(), relative(path).to_owned());
        match self.take(size) {
            Some(body) => Incoming::Request { method, path, body },
            None => Incoming::End,
        }
    }

    /// Up to the empty line, or as much as a head may have.
    fn take_head(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let mut head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                head.truncate(end);
                return Some(head);
            }
            if self.buffer.len() >= HEAD_MAX_BYTES {
                return Some(std::mem::take(&mut self.buffer));
            }
            self.fill()?;
        }
    }

    fn take(&mut self, size: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < size {
            self.fill()?;
        }
        Some(self.buffer.drain(..size).collect())
    }

    fn fill(&mut self) -> Option<()> {
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk) {
            Ok(0) | Err(_) => None,
            Ok(count) => {
                self.buffer.extend_from_slice(chunk.get(..count)?);
                Some(())
            }
        }
    }

    fn reply(&mut self, answer: &Answer) {
        match &answer.body {
            None => {
                let head = "Server: Firecracker API\r\nConnection: keep-alive\r\n\r\n";
                send(&mut self.stream, &format!("HTTP/1.1 {} \r\n{head}", answer.status));
            }
            Some(body) => self.send_with_body(answer.status, &Value::to_string(body)),
        }
    }

    fn send_with_body(&mut self, status: u16, body: &str) {
        let head = format!(
            "HTTP/1.1 {status} \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\
             Content-Type: application/json\r\n"
        );
        send(&mut self.stream, &format!("{head}{}{body}", length(body)));
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n")
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// An absolute URI is accepted.
fn relative(path: &str) -> &str {
    let Some(rest) = path.strip_prefix("http://") else { return path };
    rest.find('/').and_then(|start| rest.get(start..)).unwrap_or("/")
}

fn length(body: &str) -> String {
    format!("Content-Length: {}\r\n\r\n", body.len())
}

fn send(stream: &mut UnixStream, text: &str) {
    // A client that does not listen is not Firecracker's concern.
    stream.write_all(text.as_bytes()).ok();
}

const CONNECTIONS_MAX: usize = 10;
const BODY_MAX_BYTES: usize = 51_200;
const HEAD_MAX_BYTES: usize = 4096;
