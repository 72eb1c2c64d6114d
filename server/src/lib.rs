//! mcpd: lists virtual LLMs and relays calls to the machines that publish them.
//!
//! The decisions are [`relay`]'s; here are the sockets, the bytes, the tokens and the database.

mod admin;
pub mod auth;
mod body;
mod catalogue;
pub mod config;
mod driver;
pub mod error;
mod inference;
pub mod limits;
mod names;
mod openapi;
mod pairing;
mod pipe;
mod publisher;
mod routes;
mod serve;
mod state;
pub mod store;
pub mod untrusted;

use axum::Router;
use axum::routing::get;
use driver::Driver;
use error::ApiError;
use state::{App, Times};
use std::sync::Arc;
use store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use wire::paths;

fn router(app: Arc<App>) -> Router {
    let (router, document) = openapi::router(routes::all());
    let document = document.to_json().unwrap_or_default();
    let kind = [(http::header::CONTENT_TYPE, "application/json")];
    router
        .route(paths::OPENAPI, get(async move || (kind, document.clone())))
        .fallback(async || ApiError::not_found("there is no such endpoint"))
        .method_not_allowed_fallback(async || {
            let status = http::StatusCode::METHOD_NOT_ALLOWED;
            ApiError::new(status, wire::error::code::INVALID_REQUEST, "wrong method")
        })
        .layer(axum::middleware::from_fn(error::dress))
        .with_state(app)
}

/// Serves on `listener` until `shutdown` and the drain that follows it. Every time limit is
/// multiplied by `time_scale`.
///
/// # Errors
/// The store's, while the rows of an earlier run are read.
pub async fn serve(
    listener: TcpListener,
    store: Arc<dyn Store>,
    time_scale: f64,
    shutdown: &CancellationToken,
) -> Result<(), StoreError> {
    let limits = relay::Limits::default().scaled(time_scale);
    let driver = Driver::new(Arc::clone(&store), limits).await?;
    let app = App::new(Arc::clone(&driver), store, Times::scaled(time_scale));
    let stop = CancellationToken::new();
    let clock = tokio::spawn(driver.run(stop.clone()));
    let tokens = tokio::spawn(watch_tokens(Arc::clone(&app), stop.clone()));
    serve::accept(listener, router(Arc::clone(&app)), &app, shutdown).await;
    stop.cancel();
    let _ = tokio::join!(clock, tokens);
    Ok(())
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
