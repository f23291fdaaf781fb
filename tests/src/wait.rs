//! Waits for a value, never for a time. The limit only bounds how long a broken product is watched.

use std::{
    fmt::Debug,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// How often a value is looked at.
const POLL: Duration = Duration::from_millis(100);

/// Looks at `value` until `wanted` says yes, and returns it.
///
/// # Errors
/// After `limit`, with the last value seen; or what `value` itself failed with last.
pub fn until<T: Debug>(
    what: &str,
    limit: Duration,
    mut value: impl FnMut() -> Result<T>,
    wanted: impl Fn(&T) -> bool,
) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        let last = value();
        match last {
            Ok(ref seen) if wanted(seen) => return last,
            _ if Instant::now() < end => thread::sleep(POLL),
            Ok(seen) => bail!("waited {limit:?} for {what}; last seen: {seen:?}"),
            Err(error) => return Err(error.context(format!("waited {limit:?} for {what}"))),
        }
    }
}
