//! `h2load`: requests over connections that stay open, HTTP/1.1 or HTTP/2.
//! Invariant: a run in which any answer is not the one that was asked for is no measurement.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use camino::Utf8Path;
use tokio::process::Command;

use super::{found::Found, product::NAME};

/// Before what is measured: connections are open, buffers have their size. A second is enough for
/// as many handshakes as there are connections here.
pub(super) const WARM_UP: Duration = Duration::from_millis(1_500);

/// What is asked, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) to: SocketAddr,
    pub(super) is_h2: bool,
    pub(super) path: &'a str,
    pub(super) connections: u32,
    /// Requests at once on one HTTP/2 connection.
    pub(super) streams: u32,
    /// Requests of one connection that are begun in a second; as many as go where none is given.
    pub(super) rate: Option<u32>,
    pub(super) seconds: u32,
}

/// Loads until it is over.
pub(super) async fn load(ask: &Ask<'_>, folder: &Utf8Path) -> Result<Found> {
    let log = folder.join("h2load.log");
    // It appends.
    std::fs::remove_file(&log).ok();
    let mut command = Command::new("h2load");
    command.arg("--connect-to").arg(ask.to.to_string());
    command.args(["-t", "1", "-c", &ask.connections.to_string(), "-m", &ask.streams.to_string()]);
    command.args(["-D", &ask.seconds.to_string(), "--warm-up-time"]);
    command.arg(format!("{}ms", WARM_UP.as_millis())).kill_on_drop(true);
    command.arg(format!("--log-file={log}"));
    if !ask.is_h2 {
        command.arg("--h1");
    }
    if let Some(rate) = ask.rate {
        command.arg(format!("--rps={rate}"));
    }
    command.arg(format!("https://{NAME}/{}", ask.path));
    let output = command.output().await.context("start h2load: scripts/setup --bench")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "h2load: {said}{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&log).with_context(|| format!("read {log}"))?;
    let mut found = found(&said, &text).with_context(|| format!("h2load said: {said}"))?;
    ensure!(!found.took_us.is_empty(), "nothing was answered: {said}");
    found.took_us.sort_unstable();
    Ok(found)
}

/// Reads what it says and what it has logged.
fn found(said: &str, log: &str) -> Result<Found> {
    let line = |begins: &str| {
        said.lines().find_map(|line| line.strip_prefix(begins)).with_context(|| begins.to_owned())
    };
    let mut finished = line("finished in ")?.split(", ").skip(1);
    let per_second = finished.next().and_then(|word| word.strip_suffix(" req/s"));
    let per_second = per_second.context("requests in a second")?.parse()?;
    let requests = line("requests: ")?;
    let count = |what: &str| -> Result<u64> {
        let words = requests.split(", ").find_map(|word| word.strip_suffix(what));
        Ok(words.with_context(|| what.to_owned())?.trim().parse()?)
    };
    ensure!(count(" failed")? == 0 && count(" errored")? == 0, "requests failed");
    let statuses = line("status codes: ")?;
    ensure!(statuses.contains("0 3xx, 0 4xx, 0 5xx"), "requests were refused");
    let took = |line: &str| line.rsplit('\t').next().and_then(|field| field.parse().ok());
    let took_us = log.lines().filter_map(took).collect();
    Ok(Found { per_second, took_us })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "progress: 100% of clients started\n\
        finished in 2.00s, 1234.50 req/s, 1.50MB/s\n\
        requests: 2469 total, 2473 started, 2469 done, 2469 succeeded, 0 failed, 0 errored, 0 timeout\n\
        status codes: 2469 2xx, 0 3xx, 0 4xx, 0 5xx\n";

    #[test]
    fn what_it_says_is_read() {
        let found =
            found(SAID, "1700000000000000\t200\t900\n1700000000000001\t200\t800\n").unwrap();
        assert_eq!(found.per_second, 1234.5);
        assert_eq!(found.took_us, [900, 800]);
    }

    #[test]
    fn an_answer_that_was_not_asked_for_is_no_measurement() {
        assert!(found(&SAID.replace("0 5xx", "1 5xx"), "").is_err());
        assert!(found(&SAID.replace("0 failed", "1 failed"), "").is_err());
    }
}
