//! The running server: starts its parts, and drains and stops them at shutdown.

use crate::api;
use crate::auth::Tokens;
use crate::clock::WallClock;
use crate::config::Serving;
use crate::http::{self, Listener};
use crate::relay_driver::RelayDriver;
use crate::state::App;
use crate::store::{Store, StoreError};
use crate::token_upkeep::{delete_dead_tokens, remove_dead_tokens};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// Interval of the check whether running responses have ended, while the server drains.
const DRAIN_CHECK: Duration = Duration::from_millis(50);

/// Reason why a server ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data of an earlier run could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A background task ended. Without its timers the server would accept requests and never time
    /// them out, so it ends and a supervisor starts it again.
    #[error("a part of mcpd has ended unexpectedly ({0}); its log says why")]
    Ended(String),
}

/// Serves on `listener` until `shutdown` and the drain that follows it.
///
/// # Errors
/// [`ServeError`]: the store cannot be read at start, or a background task has ended.
pub async fn serve(
    listener: Listener,
    store: Arc<dyn Store>,
    serving: &Serving,
    shutdown: &CancellationToken,
) -> Result<(), ServeError> {
    serve_by(WallClock::system(), listener, store, serving, shutdown).await
}

/// As [`serve`], with tokens whose lifetimes go by this clock.
///
/// # Errors
/// As [`serve`].
pub async fn serve_by(
    clock: WallClock,
    listener: Listener,
    store: Arc<dyn Store>,
    serving: &Serving,
    shutdown: &CancellationToken,
) -> Result<(), ServeError> {
    let limits = relay::Limits::default().scaled(serving.time_scale);
    let driver = RelayDriver::new(Arc::clone(&store), limits).await?;
    let applied = store.last_revocation().await?;
    let tokens = Tokens::new(Arc::clone(&store), clock.clone(), applied);
    let app = App::new(Arc::clone(&driver), store, tokens, clock, serving);
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&driver).run(stop.clone()));
    tasks.spawn(driver.save_changes(stop.clone()));
    tasks.spawn(remove_dead_tokens(Arc::clone(&app), stop.clone()));
    tasks.spawn(delete_dead_tokens(Arc::clone(&app), stop.clone()));
    if let Some(tls) = &listener.tls {
        tasks.spawn(Arc::clone(tls).renew(app.times.certificate_check, stop.clone()));
    }
    let router = api::router(Arc::clone(&app), &serving.cors_origins);
    tokio::select! {
        () = http::serve(listener, router, app.times, drained(&app, shutdown)) => {}
        Some(ended) = tasks.join_next() => return Err(unexpected_end(ended)),
    }
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// Waits for `shutdown`, refuses new work, waits for running responses, and closes the control
/// channels.
async fn drained(app: &App, shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    app.drain();
    tracing::info!("shutting down: refusing new work, waiting for running responses");
    let ended = async {
        while app.relay.is_busy() {
            tokio::time::sleep(DRAIN_CHECK).await;
        }
    };
    if tokio::time::timeout(app.times.drain, ended).await.is_err() {
        tracing::warn!("cutting responses that did not end in time");
    }
    app.closing.cancel();
}

fn unexpected_end(ended: Result<(), JoinError>) -> ServeError {
    let why = ended.err().map_or_else(|| "without an error".to_owned(), |error| error.to_string());
    tracing::error!(%why, "a part of mcpd has ended unexpectedly: mcpd ends");
    ServeError::Ended(why)
}
