//! Housekeeping: forgets what has served its time. Repeatable, and nothing depends on when it runs.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::control::Control;

/// How often.
const EVERY: Duration = Duration::from_secs(600);

/// Runs until the process ends.
pub(crate) async fn run(control: Arc<Control>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while control.shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(error) = control.store.idempotency().forget().await {
            tracing::warn!(%error, "old idempotency keys were not forgotten");
        }
        if let Err(error) = control.store.samples().forget().await {
            tracing::warn!(%error, "old samples were not forgotten");
        }
        if let Err(error) = control.audit.forget(&control.store).await {
            tracing::warn!(%error, "old audit entries were not cut off");
        }
        if let Err(error) = control.store.rates().forget().await {
            tracing::warn!(%error, "full rate buckets were not forgotten");
        }
        if let Err(error) = control.store.sessions().forget().await {
            tracing::warn!(%error, "ended sessions were not forgotten");
        }
        if let Err(error) = control.store.passwords().forget().await {
            tracing::warn!(%error, "ended links were not forgotten");
        }
        if let Err(error) = control.store.device_codes().forget().await {
            tracing::warn!(%error, "ended requests of command lines were not forgotten");
        }
        if let Err(error) = control.store.throttles().forget().await {
            tracing::warn!(%error, "old throttles were not forgotten");
        }
        if let Err(error) = control.store.app_visits().forget().await {
            tracing::warn!(%error, "ended cookies of apps were not forgotten");
        }
        if let Err(error) = control.store.ledger().forget().await {
            tracing::warn!(%error, "released holds of credits were not forgotten");
        }
        if let Err(error) = control.store.ai_calls().forget().await {
            tracing::warn!(%error, "old calls of AI providers were not forgotten");
        }
        if let Err(error) = control.store.feed().forget().await {
            tracing::warn!(%error, "old removals were not forgotten");
        }
    }
}
