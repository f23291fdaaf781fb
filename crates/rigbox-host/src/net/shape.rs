//! Limits how fast a workspace's network is, in both directions, for drivers that cannot.

use super::{NetError, TAP, UPLINK, enter::Namespace};
use crate::exec::Run;

/// What may go out at once, as a part of a second's amount: 50 ms, and at least a full segment of
/// an offloading card.
const BURST_DIVISOR: u64 = 20;
const BURST_MIN_BYTES: u64 = 128 * 1024;

/// How long a packet may wait in the queue before it is dropped.
const LATENCY: &str = "100ms";

/// Limits the tap (towards the guest) and the veth (towards the world).
pub(crate) async fn limit(namespace: &Namespace, bytes_per_second: u64) -> Result<(), NetError> {
    let rate = format!("{bytes_per_second}bps");
    let burst = (bytes_per_second / BURST_DIVISOR).max(BURST_MIN_BYTES).to_string();
    for device in [TAP, UPLINK] {
        let words = [
            "qdisc", "replace", "dev", device, "root", "tbf", "rate", &rate, "burst", &burst,
            "latency", LATENCY,
        ];
        let tc = Run::new("tc", &words).within(namespace.fd());
        tc.output().await.map_err(NetError::tool("limit", device))?;
    }
    Ok(())
}
