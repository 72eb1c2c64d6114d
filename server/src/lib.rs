//! mcpd: lists virtual LLMs and relays calls to the machines that publish them.
//!
//! The decisions are [`relay`]'s; here are the sockets, the bytes, the tokens and the database.

mod admin;
pub mod auth;
mod body;
mod catalogue;
pub mod config;
pub mod driver;
pub mod error;
mod inference;
pub mod limits;
pub mod pipe;
mod publisher;
pub mod serve;
pub mod state;
pub mod store;

use axum::Router;
use axum::routing::{delete, get, post};
use error::ApiError;
use publisher::answer;
use state::App;
use std::sync::Arc;
use wire::paths;

/// Every route, on one page.
pub fn router(app: Arc<App>) -> Router {
    let task = |end: &str| format!("{}/{{id}}/{end}", paths::TASK_PREFIX);
    let mut router = Router::new()
        // publishers
        .route(paths::REGISTER, post(publisher::register))
        .route(
            paths::STREAM,
            get(publisher::stream).post(publisher::stream),
        )
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
        .route("/api/v1/llms/{name}", get(catalogue::llm))
        .route("/api/v1/llms/{name}/infer", post(inference::infer))
        // admins
        .route(paths::TOKENS, get(admin::list).post(admin::create))
        .route("/api/v1/tokens/{id}", delete(admin::revoke))
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

/// Looks for tokens that died, and writes down which were used, until `stop`.
pub async fn watch_tokens(app: Arc<App>, stop: tokio_util::sync::CancellationToken) {
    let mut looked = app.driver.now();
    let mut saved = looked;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(limits::TOKEN_CHECK) => {}
        }
        let now = app.driver.now();
        // Another process may write a moment later than its own clock said.
        let since = looked.saturating_sub(5_000);
        match app.tokens.settle(since, now).await {
            Ok(()) => looked = now,
            Err(error) => tracing::warn!(%error, "revoked tokens could not be looked for"),
        }
        if now - saved >= u64::try_from(limits::TOKEN_SAVE.as_millis()).unwrap_or(u64::MAX) {
            saved = now;
            if let Err(error) = app.tokens.save_used().await {
                tracing::warn!(%error, "uses of tokens could not be written down");
            }
        }
    }
}
