//! The only reader of the wall clock. Waiting is measured by tokio's monotonic one.

use std::time::{SystemTime, UNIX_EPOCH};

use rigbox_types::Timestamp;

/// Now. A clock before 1970 counts as 1970.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
