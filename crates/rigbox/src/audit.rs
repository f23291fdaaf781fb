//! `rigbox audit`: verifies and exports the record of who asked for what. Reads the database itself,
//! beside a running control or without one: an auditor need not trust what control says. Changes
//! no entry; opening the database brings its schema up to this program's, as control does.

use std::{process::ExitCode, str::FromStr};

use anyhow::{Context, bail};
use rigbox_control::{AuditRecord, Verdict};
use serde_json::json;

use crate::{
    control, output,
    up::{Up, require_root},
};

/// A number and a hash that a former verification has printed: `<seq>:<hash>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    seq: u64,
    hash: String,
}

impl FromStr for Kept {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str = "must be what `rigbox audit verify` has printed: <number>:<hash>";
        let (seq, hash) = text.split_once(':').ok_or(RULE)?;
        let seq = seq.parse().map_err(|_| RULE)?;
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hash { Ok(Self { seq, hash: hash.to_ascii_lowercase() }) } else { Err(RULE) }
    }
}

/// Follows the whole chain. Exit code 1 where it is broken.
///
/// # Errors
/// Where the record cannot be read.
pub(crate) fn verify(up: &Up<'_>, kept: Option<&Kept>, json: bool) -> anyhow::Result<ExitCode> {
    let verdict = with_record(up, async |record| {
        let kept = kept.map(|kept| (kept.seq, kept.hash.as_str()));
        record.verify(kept).await.context("verify the audit record")
    })?;
    let (document, line, code) = match verdict {
        Verdict::Whole { entries, last_seq, last_hash } => (
            json!({
                "whole": true, "entries": entries, "last_seq": last_seq, "last_hash": last_hash,
            }),
            format!(
                "the audit record is whole: {entries} entries; the last is {last_seq}:{last_hash}"
            ),
            ExitCode::SUCCESS,
        ),
        Verdict::Broken { at_seq, what } => (
            json!({ "whole": false, "at_seq": at_seq, "what": what }),
            format!("the audit record is broken at entry {at_seq}: {what}"),
            ExitCode::FAILURE,
        ),
    };
    if json {
        output::data(&document.to_string());
    } else {
        output::data(&line);
        output::note("keep the last entry elsewhere; `rigbox audit verify --kept` looks for it");
    }
    Ok(code)
}

/// Prints every entry, oldest first, one JSON document a line.
///
/// # Errors
/// Where the record cannot be read.
pub(crate) fn export(up: &Up<'_>) -> anyhow::Result<ExitCode> {
    with_record(up, async |record| {
        let mut seq = 0;
        loop {
            let entries = record.after(seq).await.context("read the audit record")?;
            let Some(last) = entries.last() else { return Ok(ExitCode::SUCCESS) };
            seq = last.seq;
            for entry in &entries {
                output::data(&serde_json::to_string(entry)?);
            }
        }
    })
}

fn with_record<T>(
    up: &Up<'_>,
    act: impl AsyncFnOnce(&AuditRecord) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    require_root("audit")?;
    let secrets = up.layout.control();
    if !secrets.exists() {
        bail!("there is no platform in {} yet\nhint: rigbox up", up.layout.data());
    }
    let store = control::store_url(
        &secrets.join("rigbox.db"),
        up.config.control.database_url_file.as_deref(),
    )?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let record = AuditRecord::open(&store, &secrets).await?;
        let done = act(&record).await;
        record.close().await;
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_printed_is_read_back() {
        let hash = "0a".repeat(32);
        let kept: Kept = format!("7:{}", hash.to_uppercase()).parse().unwrap();
        assert_eq!(kept, Kept { seq: 7, hash });
        for wrong in ["", "7", "7:", "x:00", "7:zz", ":"] {
            assert!(wrong.parse::<Kept>().is_err(), "{wrong}");
        }
    }
}
