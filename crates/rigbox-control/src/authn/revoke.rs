//! Keys and sessions that end, and request rates that change, in another process of the platform: the
//! store's feed tells of them.
//! Invariant: a wake-up that is missed costs no more than the age that the cache allows.

use std::sync::Arc;

use rigbox_store::feed::{Subscription, Wake};
use rigbox_types::Credential;

use crate::control::Control;

/// Forgets what the feed tells of, until the store is closed.
pub(crate) async fn revoke(control: Arc<Control>, mut wakes: Subscription) {
    while let Some(wake) = wakes.next().await {
        match wake {
            Wake::ApiKey(id) => control.forget(Some(Credential::Key(id))),
            Wake::Session(id) => control.forget(Some(Credential::Session(id))),
            Wake::Throttle(account) => control.rates.forget_profile(Some(account)),
            Wake::Everything => {
                control.forget(None);
                control.rates.forget_profile(None);
            }
            Wake::Workspace { .. } | Wake::App(_) | Wake::Access(_) | Wake::Certificates => {}
        }
    }
}
