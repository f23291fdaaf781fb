//! How many of something each address has.
//! Invariant: an address is remembered only as long as it has one.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// Counts by address.
#[derive(Default)]
pub(crate) struct OfAddresses(Mutex<HashMap<IpAddr, usize>>);

/// One that is counted as long as this lives.
pub(crate) struct OfAddress {
    all: Arc<OfAddresses>,
    address: IpAddr,
}

impl OfAddresses {
    /// Counts one more of `address`, unless it has `max`.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr, max: usize) -> Option<OfAddress> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(OfAddress { all: Arc::clone(self), address })
    }
}

impl Drop for OfAddress {
    fn drop(&mut self) {
        let mut counts = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_and_is_then_forgotten() {
        let all = Arc::new(OfAddresses::default());
        let take = |address: &str| all.take(address.parse().unwrap(), 2);
        let (first, second) = (take("192.0.2.1").unwrap(), take("192.0.2.1").unwrap());
        assert!(take("192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some(), "of another");
        drop(first);
        assert!(take("192.0.2.1").is_some());
        drop(second);
        assert!(all.0.lock().unwrap().is_empty());
    }
}
