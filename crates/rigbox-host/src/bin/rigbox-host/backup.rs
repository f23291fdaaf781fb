//! The lines that pass between this executable and `rigbox backup` or `rigbox restore`.

use std::{
    io::{self, BufRead as _},
    process::ExitCode,
};

use rigbox_host::Config;
use serde::Serialize;

use crate::output;

/// Copies all disks and keeps the copies until standard input ends, which it does when whoever started
/// this is gone.
pub(crate) async fn copy(config: &Config) -> anyhow::Result<ExitCode> {
    let ended = async {
        let read = tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink()));
        // However it ends, it ends.
        drop(read.await);
    };
    rigbox_host::copy_disks(config, &mut |event| say(event), ended).await?;
    Ok(ExitCode::SUCCESS)
}

/// Puts disks back.
pub(crate) async fn put(config: &Config) -> anyhow::Result<ExitCode> {
    let mut next = || {
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&line)?)
    };
    rigbox_host::put_disks(config, &mut next, &mut |answer| say(answer)).await?;
    Ok(ExitCode::SUCCESS)
}

fn say(document: &impl Serialize) -> io::Result<()> {
    output::line(&serde_json::to_string(document)?)
}
