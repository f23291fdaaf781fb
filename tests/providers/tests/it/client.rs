use std::io;

use rigbox_test_providers::{Counts, Provider, Providers};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What came back.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) status: u16,
    pub(crate) head: String,
    /// The body, out of its chunks.
    pub(crate) body: Vec<u8>,
    /// How long each chunk was.
    pub(crate) chunks: Vec<usize>,
    /// Whether the body came to its end.
    pub(crate) is_whole: bool,
}

impl Came {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The documents of a stream's events, without what ends it.
    pub(crate) fn events(&self) -> Vec<Value> {
        let text = self.text();
        let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
        data.filter_map(|data| serde_json::from_str(data.trim()).ok()).collect()
    }
}

/// A request of HTTP/1.1 that is the only one of its connection.
pub(crate) async fn send(providers: &Providers, head: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(providers.address()).await.unwrap();
    let request = format!(
        "{head}host: simulator\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

pub(crate) async fn receive(mut stream: TcpStream) -> Came {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes).await {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
    let at = memchr::memmem::find(&bytes, b"\r\n\r\n").unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..at]).to_lowercase();
    let rest = bytes.get(at + 4..).unwrap_or_default();
    let status = head.split(' ').nth(1).map_or(0, |status| status.parse().unwrap());
    let length = head.split("content-length: ").nth(1);
    let length = length.map(|length| length.lines().next().unwrap().parse::<usize>().unwrap());
    match length {
        Some(length) => {
            let is_whole = rest.len() == length;
            Came { status, head, body: rest.to_vec(), chunks: vec![rest.len()], is_whole }
        }
        None => unchunked(status, head, rest),
    }
}

fn unchunked(status: u16, head: String, mut rest: &[u8]) -> Came {
    let (mut body, mut chunks, mut is_whole) = (Vec::new(), Vec::new(), false);
    while let Some(at) = memchr::memmem::find(rest, b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..at]).unwrap(), 16).unwrap();
        if length == 0 {
            is_whole = true;
            break;
        }
        let end = (at + 2 + length).min(rest.len());
        body.extend_from_slice(&rest[at + 2..end]);
        chunks.push(length);
        rest = rest.get(end + 2..).unwrap_or_default();
    }
    Came { status, head, body, chunks, is_whole }
}

/// One way to ask a provider for words.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    Chat,
    Completions,
    Responses,
    Messages,
    Contents,
    ContentsArray,
    Router,
}

pub(crate) const WAYS: [Way; 7] = [
    Way::Chat,
    Way::Completions,
    Way::Responses,
    Way::Messages,
    Way::Contents,
    Way::ContentsArray,
    Way::Router,
];

impl Way {
    pub(crate) const fn provider(self) -> Provider {
        match self {
            Self::Chat | Self::Completions | Self::Responses => Provider::OpenAi,
            Self::Messages => Provider::Anthropic,
            Self::Contents | Self::ContentsArray => Provider::Google,
            Self::Router => Provider::OpenRouter,
        }
    }

    /// Head and body of a request that is to behave so.
    pub(crate) fn request(self, is_stream: bool, behaviour: &Value) -> (String, String) {
        let prompt = format!("hi [[sim {behaviour}]]");
        let messages = json!([{ "role": "user", "content": prompt }]);
        let (path, mut body) = match self {
            Self::Chat => ("/v1/chat/completions", json!({ "messages": messages })),
            Self::Router => ("/api/v1/chat/completions", json!({ "messages": messages })),
            Self::Completions => ("/v1/completions", json!({ "prompt": prompt })),
            Self::Responses => ("/v1/responses", json!({ "input": prompt })),
            Self::Messages => {
                ("/v1/messages", json!({ "messages": messages, "max_tokens": 9_000 }))
            }
            Self::Contents | Self::ContentsArray => {
                let path = match (is_stream, self) {
                    (false, _) => "/v1beta/models/m:generateContent",
                    (true, Self::Contents) => "/v1beta/models/m:streamGenerateContent?alt=sse",
                    (true, _) => "/v1beta/models/m:streamGenerateContent",
                };
                (path, json!({ "contents": [{ "parts": [{ "text": prompt }] }] }))
            }
        };
        if self.provider() != Provider::Google {
            body["model"] = "m".into();
            body["stream"] = is_stream.into();
        }
        if matches!(self, Self::Chat | Self::Completions) && is_stream {
            body["stream_options"] = json!({ "include_usage": true });
        }
        let key = match self.provider() {
            Provider::Anthropic => "x-api-key: key\r\nanthropic-version: 2023-06-01",
            Provider::Google => "x-goog-api-key: key",
            _ => "authorization: Bearer key",
        };
        let prefix = self.provider().prefix();
        (format!("POST {prefix}{path} HTTP/1.1\r\n{key}\r\n"), body.to_string())
    }

    pub(crate) async fn ask(
        self,
        providers: &Providers,
        is_stream: bool,
        behaviour: Value,
    ) -> Came {
        let (head, body) = self.request(is_stream, &behaviour);
        receive(send(providers, &head, &body).await).await
    }
}

pub(crate) async fn start() -> Providers {
    Providers::start(rigbox_test_providers::Options::default()).await.unwrap()
}

/// What the only request was charged.
pub(crate) fn charged(providers: &Providers) -> Counts {
    let billed = providers.billed();
    assert_eq!(billed.len(), 1, "{billed:?}");
    billed[0].counts
}
