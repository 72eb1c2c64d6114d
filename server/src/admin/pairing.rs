//! Pairing codes over HTTP: an admin creates a code for a user, and the first request that sends it
//! gets a token of that user.

use crate::auth::pairing_codes::{Claim, ClaimError, LimitReached, Moment};
use crate::auth::{self, ADMIN, Principal};
use crate::http::error::ApiError;
use crate::limits;
use crate::state::App;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use http::StatusCode;
use std::sync::Arc;
use wire::error::Code;
use wire::limits::PAIRING_MS;
use wire::paths;
use wire::token::{CreateToken, CreatedToken, Pair, Pairing, PairingList};

/// Creates a code that can be exchanged for a token
#[utoipa::path(
    post,
    path = paths::PAIRINGS,
    security(("bearer" = ["admin"])),
    request_body = CreateToken,
    responses((status = 201, body = Pairing), (status = 400), (status = 413), (status = 429)),
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    principal: Principal,
    body: Body,
) -> Result<(StatusCode, Json<Pairing>), ApiError> {
    principal.require(ADMIN)?;
    let request: CreateToken = app.bodies.json(body, limits::CONTROL_BODY).await?;
    let request = auth::validate(&request).map_err(|why| ApiError::invalid(why, None))?;
    let at = Moment { now: app.relay.now(), wall: app.clock.now() };
    let pairing = app.pairings.add(request, &principal, at).map_err(|limit| {
        let message = match limit {
            LimitReached::Maker => {
                "too many of your pairing codes wait to be used; take some back, or try again in \
                 ten minutes"
            }
            LimitReached::Total => {
                "too many pairing codes wait to be used; try again in ten minutes"
            }
        };
        too_many(message, PAIRING_MS / 1000)
    })?;
    let info = &pairing.info;
    tracing::info!(by = %info.made_by, user = %info.user, id = %info.id, "a pairing code was made");
    Ok((StatusCode::CREATED, Json(pairing)))
}

/// Lists the unused pairing codes, without the codes themselves
#[utoipa::path(
    get,
    path = paths::PAIRINGS,
    security(("bearer" = ["admin"])),
    responses((status = 200, body = PairingList)),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    principal: Principal,
) -> Result<Json<PairingList>, ApiError> {
    principal.require(ADMIN)?;
    Ok(Json(PairingList { pairings: app.pairings.list(app.relay.now()) }))
}

/// Withdraws a pairing code
#[utoipa::path(
    delete,
    path = "/api/v1/pairings/{id}",
    security(("bearer" = ["admin"])),
    params(("id" = String, Path)),
    responses((status = 204), (status = 404)),
)]
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    principal.require(ADMIN)?;
    if !app.pairings.remove(&id, app.relay.now()) {
        return Err(ApiError::not_found(
            "no pairing code with this id waits; it was used, taken back, or its time is over",
        ));
    }
    tracing::info!(by = %principal.info.user, %id, "a pairing code was taken back");
    Ok(StatusCode::NO_CONTENT)
}

/// Exchanges a pairing code for its token, once
#[utoipa::path(
    post,
    path = paths::PAIR,
    security(()),
    request_body = Pair,
    responses(
        (status = 201, body = CreatedToken),
        (status = 400), (status = 404), (status = 413), (status = 429),
    ),
)]
pub(super) async fn redeem(
    State(app): State<Arc<App>>,
    body: Body,
) -> Result<(StatusCode, Json<CreatedToken>), ApiError> {
    let pair: Pair = app.bodies.json(body, limits::PAIR_BODY).await?;
    let claim = match app.pairings.claim(&pair.code, app.relay.now()) {
        Ok(claim) => claim,
        Err(ClaimError::Claimed) => return Err(too_many("this pairing code is being used", 1)),
        Err(ClaimError::Unknown) => {
            tokio::time::sleep(limits::PAIRING_WRONG).await;
            return Err(unknown());
        }
    };
    let created = exchange(&app, claim).await?;
    tracing::info!(user = %created.info.user, id = %created.info.id, "a pairing code was used");
    Ok((StatusCode::CREATED, Json(created)))
}

/// Creates the code's token. The code stays valid until the token is stored.
async fn exchange(app: &App, claim: Claim<'_>) -> Result<CreatedToken, ApiError> {
    let now = app.clock.now();
    // The maker's key may have been revoked by another process within the last moment.
    let maker = app.store.token_with_id(&claim.maker.info.id).await.map_err(ApiError::internal)?;
    let may = |scopes: &[String]| scopes.iter().any(|scope| scope == ADMIN);
    if !maker.is_some_and(|maker| may(&maker.scopes) && !auth::is_dead(&maker, now)) {
        claim.consume();
        return Err(unknown());
    }
    let created = auth::create(app.store.as_ref(), &claim.request, now).await?;
    if !claim.consume() {
        // It was withdrawn while its token was stored.
        let id = &created.info.id;
        app.store.revoke_token(id, now).await.map_err(ApiError::internal)?;
        return Err(unknown());
    }
    Ok(created)
}

fn unknown() -> ApiError {
    ApiError::not_found(
        "this pairing code is not known here: it works once and for ten minutes; ask for a new one",
    )
}

fn too_many(message: &str, seconds: u64) -> ApiError {
    let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, message);
    ApiError { retry_after: Some(seconds), ..error }
}
