//! What is counted of the edge as a whole, and how Prometheus reads it.
//! Invariant: no label names an app or a visitor; moving a number takes no lock.

use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;

/// A number that only grows, or one that also shrinks.
#[derive(Default)]
pub(crate) struct Number(AtomicU64);

impl Number {
    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, by: u64) {
        self.0.fetch_sub(by, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, to: u64) {
        self.0.store(to, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! metrics {
    ($($name:ident $kind:literal $text:literal,)+) => {
        /// All of them.
        #[derive(Default)]
        pub(crate) struct Metrics {
            $(#[doc = $text] pub(crate) $name: Number,)+
            answers: [Number; 5],
        }

        impl Metrics {
            fn lines(&self, text: &mut String) {
                $(line(text, concat!("rigbox_edge_", stringify!($name)), $kind, $text,
                    self.$name.now());)+
            }
        }
    };
}

metrics! {
    connections_open "gauge" "Connections of visitors that are open.",
    connections_total "counter" "Connections of visitors.",
    connections_refused_total "counter" "Connections closed at once: too many of one client or in all.",
    handshakes_failed_total "counter" "TLS handshakes that failed or took too long.",
    handshakes_resumed_total "counter" "TLS handshakes that went on with a session.",
    requests_open "gauge" "Requests under way.",
    upgrades_open "gauge" "WebSockets that are open.",
    rate_limited_total "counter" "Requests refused because of a rate or a number at once.",
    misdirected_total "counter" "Requests over a connection that was made for another name.",
    bytes_out "counter" "Bytes of bodies sent to visitors.",
    dials_total "counter" "Connections opened to workspaces and control.",
    dials_failed_total "counter" "Connections that could not be opened.",
    upstream_reused_total "counter" "Requests over a connection that was open already.",
    upstream_retried_total "counter" "Requests sent again because an idle connection had ended.",
    upstream_failed_total "counter" "Requests that got no answer from a workspace.",
    events_total "counter" "Events that control told.",
    events_refused_total "counter" "Events that were of no use.",
    control_connected "gauge" "Whether the edge is told of changes.",
    apps "gauge" "Apps that are known.",
    certificates "gauge" "Certificates that are known.",
    revision "gauge" "Up to where the edge has followed.",
    log_lines_lost_total "counter" "Lines of the access log that were not written in time.",
}

impl Metrics {
    pub(crate) fn answered(&self, status: StatusCode) {
        if let Some(count) = self.answers.get(usize::from(status.as_u16() / 100).saturating_sub(1))
        {
            count.add(1);
        }
    }

    /// All numbers, as Prometheus reads them.
    pub(crate) fn text(&self) -> String {
        let mut text = String::with_capacity(8 * 1024);
        self.lines(&mut text);
        let name = "rigbox_edge_answers_total";
        text.push_str(&format!("# HELP {name} Answers, by class.\n# TYPE {name} counter\n"));
        for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().zip(&self.answers) {
            text.push_str(&format!("{name}{{class=\"{class}\"}} {}\n", count.now()));
        }
        text
    }
}

fn line(text: &mut String, name: &str, kind: &str, help: &str, value: u64) {
    text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"));
}
