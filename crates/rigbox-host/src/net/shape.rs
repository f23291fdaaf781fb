//! Limits how fast a workspace's network is, in both directions, for drivers that cannot.

use super::{NetError, TAP, UPLINK, enter::Namespace};
use crate::exec::Run;

/// What may go out at once, as a part of a second's amount: 50 ms, and at least a full segment of
/// an offloading card.
const BURST_DIVISOR: u64 = 20;
const BURST_MIN_BYTES: u64 = 128 * 1024;

/// How long a packet may wait in the queue before it is dropped.
const LATENCY: &str = "100ms";

/// Limits the tap (towards the guest) and the veth (towards the world), or takes their limit away.
pub(crate) async fn limit(
    namespace: &Namespace,
    bytes_per_second: Option<u64>,
) -> Result<(), NetError> {
    for device in [TAP, UPLINK] {
        let words = qdisc(device, bytes_per_second);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let tc = Run::new("tc", &words).within(namespace.fd());
        tc.output().await.map_err(NetError::tool("limit", device))?;
    }
    Ok(())
}

fn qdisc(device: &str, bytes_per_second: Option<u64>) -> Vec<String> {
    let words = match bytes_per_second {
        None => format!("qdisc del dev {device} root"),
        Some(rate) => {
            let burst = (rate / BURST_DIVISOR).max(BURST_MIN_BYTES);
            format!(
                "qdisc replace dev {device} root tbf rate {rate}bps burst {burst} latency {LATENCY}"
            )
        }
    };
    words.split(' ').map(str::to_owned).collect()
}
