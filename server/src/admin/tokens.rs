//! Token administration over HTTP, for scope `admin`.

use crate::auth::{self, ADMIN, Principal};
use crate::http::error::ApiError;
use crate::limits;
use crate::state::App;
use crate::store::TokenQuery;
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use serde::Deserialize;
use std::sync::Arc;
use wire::limits::TOKEN_PAGE;
use wire::paths;
use wire::token::{CreateToken, CreatedToken, RevokedTokens, TokenList};

/// Creates a token
#[utoipa::path(
    post,
    path = paths::TOKENS,
    security(("bearer" = ["admin"])),
    request_body = CreateToken,
    responses((status = 201, body = CreatedToken), (status = 400), (status = 413)),
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    principal: Principal,
    body: Body,
) -> Result<(StatusCode, Json<CreatedToken>), ApiError> {
    principal.require(ADMIN)?;
    let request: CreateToken = app.bodies.json(body, limits::CONTROL_BODY).await?;
    let created = auth::create(app.store.as_ref(), &request, app.clock.now()).await?;
    tracing::info!(by = %principal.info.user, id = %created.info.id, "a token was created");
    Ok((StatusCode::CREATED, Json(created)))
}

/// Query that selects tokens.
#[derive(Debug, Deserialize)]
pub(super) struct Selection {
    /// Tokens of this user only.
    user: Option<String>,
    /// Tokens created before the one with this id.
    after: Option<String>,
    /// Largest number of tokens.
    limit: Option<u32>,
}

type SelectionQuery = Result<Query<Selection>, QueryRejection>;

fn selection(query: SelectionQuery) -> Result<Selection, ApiError> {
    let query = query.map_err(|why| ApiError::invalid(why.body_text(), None))?;
    Ok(query.0)
}

/// Lists tokens, newest first, without their text
#[utoipa::path(
    get,
    path = paths::TOKENS,
    security(("bearer" = ["admin"])),
    params(
        ("user" = Option<String>, Query),
        ("after" = Option<String>, Query),
        ("limit" = Option<String>, Query),
    ),
    responses((status = 200, body = TokenList), (status = 400)),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    principal: Principal,
    query: SelectionQuery,
) -> Result<Json<TokenList>, ApiError> {
    principal.require(ADMIN)?;
    let selected = selection(query)?;
    let page = u32::try_from(TOKEN_PAGE).unwrap_or(u32::MAX);
    let most = selected.limit.unwrap_or(page).clamp(1, page);
    // One more than the page shows that there is a next one.
    let (user, after) = (selected.user.as_deref(), selected.after.as_deref());
    let query = TokenQuery { user, after, most: most + 1 };
    let mut tokens = app.store.tokens(&query).await.map_err(ApiError::internal)?;
    let more = tokens.len() > most as usize;
    tokens.truncate(most as usize);
    let next = tokens.last().filter(|_| more).map(|last| last.id.clone());
    Ok(Json(TokenList { tokens, next }))
}

/// Revokes a token
#[utoipa::path(
    delete,
    path = "/api/v1/tokens/{id}",
    security(("bearer" = ["admin"])),
    params(("id" = String, Path)),
    responses((status = 204), (status = 404)),
)]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    principal.require(ADMIN)?;
    let now = app.clock.now();
    if !app.store.revoke_token(&id, now).await.map_err(ApiError::internal)? {
        return Err(ApiError::not_found("no token has this id; see the list of tokens"));
    }
    app.revoke_dead_tokens().await.map_err(ApiError::internal)?;
    tracing::info!(by = %principal.info.user, %id, "a token was revoked");
    Ok(StatusCode::NO_CONTENT)
}

/// Revokes all tokens of a user, and withdraws the pairing codes for that user
#[utoipa::path(
    delete,
    path = paths::TOKENS,
    security(("bearer" = ["admin"])),
    params(("user" = Option<String>, Query)),
    responses((status = 200, body = RevokedTokens), (status = 400), (status = 404)),
)]
pub(super) async fn revoke_user(
    State(app): State<Arc<App>>,
    principal: Principal,
    query: SelectionQuery,
) -> Result<Json<RevokedTokens>, ApiError> {
    principal.require(ADMIN)?;
    let user = selection(query)?.user.filter(|user| !user.is_empty());
    let user = user.ok_or_else(|| {
        ApiError::invalid("`?user=` must name whose tokens are revoked", Some("user"))
    })?;
    let now = app.clock.now();
    let tokens = app.store.revoke_user(&user, now).await.map_err(ApiError::internal)?;
    let pairings = app.pairings.remove_user(&user);
    app.revoke_dead_tokens().await.map_err(ApiError::internal)?;
    if tokens == 0 && pairings == 0 {
        return Err(ApiError::not_found(
            "this user has no valid token and no pairing code; see the list of tokens for the \
             right spelling",
        ));
    }
    tracing::info!(by = %principal.info.user, %user, tokens, "all tokens of a user were revoked");
    Ok(Json(RevokedTokens { tokens, pairings }))
}
