//! Background work on tokens: ends what dead ones hold open, and deletes old ones.

use crate::limits;
use crate::state::App;
use std::sync::Arc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// Removes tokens that were revoked or have expired, and stores which tokens were used, until
/// `stop`.
pub(crate) async fn remove_dead_tokens(app: Arc<App>, stop: CancellationToken) {
    let mut check = tokio::time::interval(limits::TOKEN_CHECK);
    let mut save = tokio::time::interval(limits::TOKEN_SAVE);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopped = false;
    while !stopped {
        tokio::select! {
            () = stop.cancelled() => stopped = true,
            _ = save.tick() => {}
            _ = check.tick() => {
                if let Err(error) = app.revoke_dead_tokens().await {
                    tracing::warn!(%error, "cannot check for revoked tokens");
                }
                continue;
            }
        }
        if let Err(error) = app.tokens.save_used().await {
            tracing::warn!(%error, "cannot store when tokens were last used");
        }
    }
}

/// Deletes tokens that have been dead for a month, once an hour until `stop`.
pub(crate) async fn delete_dead_tokens(app: Arc<App>, stop: CancellationToken) {
    let first = Instant::now() + limits::TOKEN_SWEEP;
    let mut sweep = tokio::time::interval_at(first, limits::TOKEN_SWEEP);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = sweep.tick() => {}
        }
        if let Err(error) = app.delete_dead_tokens().await {
            tracing::warn!(%error, "cannot delete tokens that died a month ago");
        }
    }
}
