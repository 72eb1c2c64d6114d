//! Token administration over HTTP, for scope `admin`; and whether the server is alive and ready.

use crate::auth::{self, Principal};
use crate::body;
use crate::error::ApiError;
use crate::state::App;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use http::StatusCode;
use std::sync::Arc;
use wire::token::{CreateToken, CreatedToken, TokenList};

/// `POST /api/v1/tokens`.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    principal: Principal,
    body: Body,
) -> Result<(StatusCode, Json<CreatedToken>), ApiError> {
    principal.require("admin")?;
    let wish: CreateToken = body::json(body, app.times.body_idle).await?;
    let created = auth::create(app.store.as_ref(), &wish, app.driver.now()).await?;
    tracing::info!(by = %principal.info.user, id = %created.info.id, "a token was created");
    Ok((StatusCode::CREATED, Json(created)))
}

/// `GET /api/v1/tokens`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    principal: Principal,
) -> Result<Json<TokenList>, ApiError> {
    principal.require("admin")?;
    let tokens = app.store.tokens().await.map_err(ApiError::internal)?;
    Ok(Json(TokenList { tokens }))
}

/// `DELETE /api/v1/tokens/:id`.
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    principal.require("admin")?;
    let now = app.driver.now();
    if !app.store.revoke_token(&id, now).await.map_err(ApiError::internal)? {
        return Err(ApiError::not_found("no token has this id; see the list of tokens"));
    }
    app.settle_tokens().await.map_err(ApiError::internal)?;
    tracing::info!(by = %principal.info.user, %id, "a token was revoked");
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /healthz`: the process and its database are alive.
pub(crate) async fn healthz(State(app): State<Arc<App>>) -> Result<&'static str, ApiError> {
    app.store.ping().await.map_err(ApiError::internal)?;
    Ok("ok")
}

/// `GET /readyz`: the process takes work.
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str, ApiError> {
    if app.is_draining() {
        return Err(ApiError::shutting_down());
    }
    Ok("ready")
}
