//! The provider that all sides pass calls on to: chat completions of OpenAI's form, in a process of its own.
//! What it does is said in the call's own text, so that no side has to be told: how long it thinks, how many
//! pieces it writes, how far apart, and whether it falls silent after the first.
//! Invariants: each piece says when it was written, between two [`MARK`]s, which are nowhere else; the counts
//! of tokens are always the same, so that it is known what a call costs.

use std::{convert::Infallible, io, pin::Pin, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use super::clock::{Timer, now_ns};
use crate::{output::data, process::until_input_ends};

/// Stands around what callers look for in an answer.
pub(super) const MARK: u8 = b'@';
/// What it writes last in a stream.
pub(super) const DONE: &[u8] = b"data: [DONE]";
/// Asked for, it lets streams that it is silent in end.
pub(super) const RELEASE: &str = "/release";
/// The model that is asked for, and the tokens of every call.
pub(super) const MODEL: &str = "gpt-4o-mini";
const PROMPT_TOKENS: u32 = 100;
const COMPLETION_TOKENS: u32 = 50;
/// What such a call costs in micro-credits, at 15 and 60 micro-credits a token.
pub(super) const COST_MICRO: i64 = 100 * 15 + 50 * 60;

/// Largest request that is read.
const REQUEST_MAX_BYTES: usize = 64 * 1024;
/// Letters of a whole answer's text: with what is around it the answer has about 1 KiB.
const TEXT_LEN: usize = 560;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What a call asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// Before anything is written.
    pub(super) think: Duration,
    /// Pieces of a stream, and the time between them.
    pub(super) chunks: u32,
    pub(super) gap: Duration,
    /// Whether it falls silent after the first piece, until it is released.
    pub(super) holds: bool,
}

impl Wish {
    /// The words that say it.
    pub(super) fn words(&self) -> String {
        let Self { think, chunks, gap, holds } = self;
        let (think, gap) = (think.as_millis(), gap.as_millis());
        format!("think={think} chunks={chunks} gap={gap} hold={}", u8::from(*holds))
    }

    fn read(body: &[u8]) -> Option<Self> {
        Some(Self {
            think: Duration::from_millis(number(body, b"think=")?),
            chunks: u32::try_from(number(body, b"chunks=")?).ok()?,
            gap: Duration::from_millis(number(body, b"gap=")?),
            holds: number(body, b"hold=")? > 0,
        })
    }
}

/// The number behind a word.
fn number(body: &[u8], word: &[u8]) -> Option<u64> {
    let rest = body.get(find(body, word)? + word.len()..)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
    Some(
        digits.fold(0_u64, |all, digit| {
            all.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
        }),
    )
}

fn find(within: &[u8], what: &[u8]) -> Option<usize> {
    within.windows(what.len()).position(|window| window == what)
}

/// Serves until standard input ends.
///
/// # Errors
/// When it cannot serve.
pub(crate) fn serve() -> Result<()> {
    rigbox_fabric::descriptors::raise_limit().context("raise the limit of open files")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        data(&listener.local_addr()?.to_string());
        let shutdown = CancellationToken::new();
        until_input_ends(shutdown.clone());
        let provider = Arc::new(Provider { released: watch::channel(0).0, whole: whole() });
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.cancelled() => return Ok(()),
            };
            let (stream, _) = accepted.context("accept")?;
            // Callers that go away end it.
            let provider = provider.clone();
            tokio::spawn(async move { provider.converse(stream).await.ok() });
        }
    })
}

struct Provider {
    /// How often streams were released.
    released: watch::Sender<u64>,
    whole: Bytes,
}

impl Provider {
    async fn converse(self: Arc<Self>, stream: TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let timer = Arc::new(Timer::new()?);
        let service = service_fn(move |request| {
            let (provider, timer) = (self.clone(), timer.clone());
            async move { provider.answer(request, timer).await }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        served.await.context("converse")
    }

    async fn answer(
        &self,
        request: http::Request<Incoming>,
        timer: Arc<Timer>,
    ) -> Result<Response<Body>> {
        let (head, body) = request.into_parts();
        if head.uri.path() == RELEASE {
            self.released.send_modify(|times| *times += 1);
            return Ok(text(StatusCode::OK, Bytes::from_static(b"released")));
        }
        let came = now_ns();
        let body = http_body_util::Limited::new(body, REQUEST_MAX_BYTES).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        let is_chat = head.uri.path().ends_with("/chat/completions");
        let Some(wish) = Wish::read(&body).filter(|_| is_chat) else {
            return Ok(text(StatusCode::NOT_FOUND, Bytes::from_static(b"no such call")));
        };
        timer.until(came.saturating_add(nanos(wish.think))).await?;
        let is_stream = [&b"\"stream\":true"[..], b"\"stream\": true"];
        if !is_stream.iter().any(|word| find(&body, word).is_some()) {
            return Ok(text(StatusCode::OK, self.whole.clone()));
        }
        let begins = now_ns();
        let released = self.released.subscribe();
        let tells = find(&body, b"include_usage").is_some();
        let talk = Talk { wish, tells, begins, said: 0, timer, released };
        let body = StreamBody::new(Box::pin(talk.pieces()) as Pieces).boxed_unsync();
        let mut answer = Response::new(body);
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        Ok(answer)
    }
}

type Pieces = Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>;

/// A stream that is being written.
struct Talk {
    wish: Wish,
    /// Whether it says in the end how many tokens there were.
    tells: bool,
    begins: u64,
    said: u32,
    timer: Arc<Timer>,
    released: watch::Receiver<u64>,
}

impl Talk {
    fn pieces(self) -> impl Stream<Item = io::Result<Frame<Bytes>>> + Send {
        stream::unfold(self, |mut talk| async move {
            let piece = talk.piece().await.transpose()?;
            Some((piece.map(Frame::data), talk))
        })
    }

    /// The next one; none after the last.
    async fn piece(&mut self) -> io::Result<Option<Bytes>> {
        let nth = self.said;
        self.said = nth.saturating_add(1);
        if nth > self.wish.chunks {
            return Ok(None);
        }
        if nth == self.wish.chunks {
            return Ok(Some(end(self.tells).into()));
        }
        if nth == 1 && self.wish.holds {
            // Where nobody can release it any more, it ends as well.
            self.released.changed().await.ok();
        }
        if !self.wish.gap.is_zero() {
            let due = nanos(self.wish.gap).saturating_mul(nth.into());
            self.timer.until(self.begins.saturating_add(due)).await?;
        }
        let now = now_ns();
        let mark = char::from(MARK);
        let delta = format!(r#"{{"content":"{mark}{now}{mark} "}}"#);
        Ok(Some(event(&choices(&delta, "null")).into()))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn choices(delta: &str, finish: &str) -> String {
    format!(
        r#""choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}],"usage":null"#
    )
}

fn event(rest: &str) -> String {
    format!(
        r#"data: {{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"{MODEL}","service_tier":"default","system_fingerprint":"fp_bench",{rest}}}"#
    ) + "\n\n"
}

fn usage() -> String {
    let total = PROMPT_TOKENS + COMPLETION_TOKENS;
    format!(
        r#""usage":{{"prompt_tokens":{PROMPT_TOKENS},"completion_tokens":{COMPLETION_TOKENS},"total_tokens":{total},"prompt_tokens_details":{{"cached_tokens":0,"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}}"#
    )
}

/// What a stream ends with.
fn end(tells: bool) -> String {
    let mut all = event(&choices("{}", r#""stop""#));
    if tells {
        all.push_str(&event(&format!(r#""choices":[],{}"#, usage())));
    }
    all + &String::from_utf8_lossy(DONE) + "\n\n"
}

/// A whole answer.
fn whole() -> Bytes {
    let (mark, text, usage) = (char::from(MARK), "word ".repeat(TEXT_LEN / 5), usage());
    let answer = format!(
        r#"{{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"{MODEL}","choices":[{{"index":0,"message":{{"role":"assistant","content":"{mark}{text}{mark}","refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"stop"}}],{usage},"service_tier":"default","system_fingerprint":"fp_bench"}}"#
    );
    answer.into()
}

fn text(status: StatusCode, body: Bytes) -> Response<Body> {
    let body = Full::new(body).map_err(|never: Infallible| match never {}).boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_read_as_it_was_said() {
        let (think, gap) = (Duration::from_millis(50), Duration::from_millis(20));
        let wish = Wish { think, chunks: 40, gap, holds: true };
        let body = format!("{{\"content\": \"{} and more\"}}", wish.words());
        assert_eq!(Wish::read(body.as_bytes()), Some(wish));
        assert_eq!(Wish::read(b"{}"), None);
    }

    #[test]
    fn a_whole_answer_is_a_document_of_about_a_kibibyte() {
        let whole = whole();
        serde_json::from_slice::<serde_json::Value>(&whole).unwrap();
        assert!((900..1300).contains(&whole.len()), "{}", whole.len());
        assert_eq!(whole.iter().filter(|byte| **byte == MARK).count(), 2);
    }
}
