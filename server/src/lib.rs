//! mcpd: lists virtual LLMs and relays calls to the machines that publish them.
//!
//! The decisions are [`relay`]'s; here are the sockets, the bytes, the tokens and the database.

mod admin;
pub mod auth;
mod callers;
mod catalogue;
pub mod clock;
pub mod config;
pub mod fuzzing;
pub mod http;
pub mod limits;
pub mod lock;
mod publishers;
mod relay_driver;
mod state;
pub mod store;
pub mod telemetry;

use crate::http::error::{self, ApiError};
use crate::http::{openapi, routes};
use ::http::{Method, StatusCode, Uri};
use auth::Tokens;
use axum::Router;
use axum::routing::get;
use clock::WallClock;
use config::Serving;
use relay_driver::Driver;
use state::App;
use std::sync::Arc;
use store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use wire::paths;

/// Why a server ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The rows of an earlier run could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A task of the server's own is gone. Without its clock it would answer and never time out: it
    /// ends, so that a supervisor starts it again.
    #[error("a part of mcpd has ended unexpectedly ({0}); its log says why")]
    Ended(String),
}

fn router(app: Arc<App>) -> Router {
    let (router, document) = openapi::router(routes::all());
    let document = document.to_json().unwrap_or_default();
    let kind = [(::http::header::CONTENT_TYPE, "application/json")];
    router
        .route(paths::OPENAPI, get(async move || (kind, document.clone())))
        .fallback(async |method: Method, uri: Uri| {
            ApiError::no_such_endpoint(method.as_str(), uri.path())
        })
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            let message = format!("wrong method: {} cannot be asked with {method}", uri.path());
            let status = StatusCode::METHOD_NOT_ALLOWED;
            ApiError::new(status, wire::error::Code::InvalidRequest, message)
        })
        .layer(axum::middleware::from_fn(error::dress))
        .with_state(app)
}

/// Serves on `listener` until `shutdown` and the drain that follows it.
///
/// # Errors
/// [`ServeError`].
pub async fn serve(
    listener: TcpListener,
    store: Arc<dyn Store>,
    serving: &Serving,
    shutdown: &CancellationToken,
) -> Result<(), ServeError> {
    serve_by(WallClock::system(), listener, store, serving, shutdown).await
}

/// As [`serve`], with tokens that live by this clock.
///
/// # Errors
/// [`ServeError`].
pub async fn serve_by(
    clock: WallClock,
    listener: TcpListener,
    store: Arc<dyn Store>,
    serving: &Serving,
    shutdown: &CancellationToken,
) -> Result<(), ServeError> {
    let limits = relay::Limits::default().scaled(serving.time_scale);
    let driver = Driver::new(Arc::clone(&store), limits).await?;
    let tokens = Tokens::new(Arc::clone(&store), store.last_revocation().await?);
    let app = App::new(Arc::clone(&driver), store, tokens, clock, serving);
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&driver).run(stop.clone()));
    tasks.spawn(driver.save_changes(stop.clone()));
    tasks.spawn(watch_tokens(Arc::clone(&app), stop.clone()));
    tasks.spawn(delete_tokens(Arc::clone(&app), stop.clone()));
    let router = router(Arc::clone(&app));
    tokio::select! {
        () = http::accept(listener, router, &app, shutdown) => {}
        Some(ended) = tasks.join_next() => return Err(unexpected(ended)),
    }
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    Ok(())
}

fn unexpected(ended: Result<(), JoinError>) -> ServeError {
    let why = ended.err().map_or_else(|| "without an error".to_owned(), |error| error.to_string());
    tracing::error!(%why, "a part of mcpd has ended unexpectedly: mcpd ends");
    ServeError::Ended(why)
}

/// Looks for tokens that died, and writes down which were used, until `stop`.
async fn watch_tokens(app: Arc<App>, stop: CancellationToken) {
    let mut look = tokio::time::interval(limits::TOKEN_CHECK);
    let mut save = tokio::time::interval(limits::TOKEN_SAVE);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopped = false;
    while !stopped {
        tokio::select! {
            () = stop.cancelled() => stopped = true,
            _ = save.tick() => {}
            _ = look.tick() => {
                if let Err(error) = app.settle_tokens().await {
                    tracing::warn!(%error, "revoked tokens could not be looked for");
                }
                continue;
            }
        }
        if let Err(error) = app.tokens.save_used().await {
            tracing::warn!(%error, "uses of tokens could not be written down");
        }
    }
}

/// Deletes tokens that have been dead for long, once an hour until `stop`.
async fn delete_tokens(app: Arc<App>, stop: CancellationToken) {
    let first = Instant::now() + limits::TOKEN_SWEEP;
    let mut sweep = tokio::time::interval_at(first, limits::TOKEN_SWEEP);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = sweep.tick() => {}
        }
        if let Err(error) = app.delete_dead_tokens().await {
            tracing::warn!(%error, "tokens that died a month ago could not be deleted");
        }
    }
}
