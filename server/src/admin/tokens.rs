//! Token administration over HTTP, for scope `admin`.

use crate::auth::{self, Principal};
use crate::http::body;
use crate::http::error::ApiError;
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
use wire::token::{CreateToken, CreatedToken, RevokedTokens, TokenList};

/// `POST /api/v1/tokens`.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    principal: Principal,
    body: Body,
) -> Result<(StatusCode, Json<CreatedToken>), ApiError> {
    principal.require("admin")?;
    let wish: CreateToken = body::json(body, app.times.body_idle).await?;
    let created = auth::create(app.store.as_ref(), &wish, app.clock.now()).await?;
    tracing::info!(by = %principal.info.user, id = %created.info.id, "a token was created");
    Ok((StatusCode::CREATED, Json(created)))
}

/// Query of the list, and of what is revoked.
#[derive(Debug, Deserialize)]
pub(crate) struct Which {
    /// Tokens of this user only.
    user: Option<String>,
    /// Those made before the token with this id.
    after: Option<String>,
    /// At most so many.
    limit: Option<u32>,
}

type WhichQuery = Result<Query<Which>, QueryRejection>;

fn which(query: WhichQuery) -> Result<Which, ApiError> {
    let query = query.map_err(|why| ApiError::invalid(why.body_text(), None))?;
    Ok(query.0)
}

/// `GET /api/v1/tokens`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    principal: Principal,
    query: WhichQuery,
) -> Result<Json<TokenList>, ApiError> {
    principal.require("admin")?;
    let which = which(query)?;
    let page = u32::try_from(TOKEN_PAGE).unwrap_or(u32::MAX);
    let most = which.limit.unwrap_or(page).clamp(1, page);
    // One more tells whether there is a next page.
    let (user, after) = (which.user.as_deref(), which.after.as_deref());
    let query = TokenQuery { user, after, most: most + 1 };
    let mut tokens = app.store.tokens(&query).await.map_err(ApiError::internal)?;
    let more = tokens.len() > most as usize;
    tokens.truncate(most as usize);
    let next = tokens.last().filter(|_| more).map(|last| last.id.clone());
    Ok(Json(TokenList { tokens, next }))
}

/// `DELETE /api/v1/tokens/:id`.
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    principal.require("admin")?;
    let now = app.clock.now();
    if !app.store.revoke_token(&id, now).await.map_err(ApiError::internal)? {
        return Err(ApiError::not_found("no token has this id; see the list of tokens"));
    }
    app.settle_tokens().await.map_err(ApiError::internal)?;
    tracing::info!(by = %principal.info.user, %id, "a token was revoked");
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/v1/tokens?user=NAME`: everything that the user has, pairing codes too.
pub(crate) async fn revoke_user(
    State(app): State<Arc<App>>,
    principal: Principal,
    query: WhichQuery,
) -> Result<Json<RevokedTokens>, ApiError> {
    principal.require("admin")?;
    let user = which(query)?.user.filter(|user| !user.is_empty());
    let user = user.ok_or_else(|| {
        ApiError::invalid("`?user=` must name whose tokens are revoked", Some("user"))
    })?;
    let now = app.clock.now();
    let tokens = app.store.revoke_user(&user, now).await.map_err(ApiError::internal)?;
    let pairings = app.pairings.remove_user(&user);
    app.settle_tokens().await.map_err(ApiError::internal)?;
    if tokens == 0 && pairings == 0 {
        return Err(ApiError::not_found(
            "this user has no valid token and no pairing code; see the list of tokens for the \
             right spelling",
        ));
    }
    tracing::info!(by = %principal.info.user, %user, tokens, "all tokens of a user were revoked");
    Ok(Json(RevokedTokens { tokens, pairings }))
}
