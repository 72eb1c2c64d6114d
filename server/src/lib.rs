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
mod pairing;
mod pipe;
mod publisher;
mod serve;
mod state;
pub mod store;
pub mod untrusted;

use axum::Router;
use axum::routing::{delete, get, post};
use driver::Driver;
use error::ApiError;
use publisher::answer;
use state::{App, Times};
use std::sync::Arc;
use store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use wire::paths;

/// Every route, on one page.
fn router(app: Arc<App>) -> Router {
    let task = |end: &str| format!("{}/{{id}}/{end}", paths::TASK_PREFIX);
    let mut router = Router::new()
        // publishers
        .route(paths::REGISTER, post(publisher::register))
        .route(paths::STREAM, get(publisher::stream).post(publisher::stream))
        .route(paths::POLL, get(publisher::poll))
        .route(paths::HEARTBEAT, post(publisher::heartbeat))
        .route(paths::PROBE, post(publisher::probe))
        .route(&task("request"), get(answer::request))
        .route(&task("ack"), post(answer::ack))
        .route(&task("response"), post(answer::response))
        .route(&task("result"), post(answer::result))
        // callers
        .route("/v1/models", get(catalogue::models))
        .route("/v1/models/{*id}", get(catalogue::model))
        .route(paths::LLMS, get(catalogue::llms))
        // names may contain slashes: the end `/infer` is looked for in the handler
        .route("/api/v1/llms/{*name}", get(catalogue::llm).post(inference::infer))
        // admins
        .route(paths::TOKENS, get(admin::list).post(admin::create))
        .route("/api/v1/tokens/{id}", delete(admin::revoke))
        .route(paths::PAIRINGS, post(pairing::create))
        .route(paths::PAIR, post(pairing::redeem))
        // probes
        .route(paths::HEALTHZ, get(admin::healthz))
        .route(paths::READYZ, get(admin::readyz));
    for path in paths::RELAYED {
        router = router.route(path, post(inference::relayed));
    }
    router
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
