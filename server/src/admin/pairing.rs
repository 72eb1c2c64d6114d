//! Pairing codes: what a person can type instead of a token that nobody can. An admin makes one for
//! a user; whoever sends it first gets a token of that user's, once, within ten minutes.
//!
//! Codes live in memory only, and no longer than the key that made them. They have 60 random bits:
//! a million tries a second for ten minutes find one of a thousand codes once in two million times.
//! So nobody is kept from trying; a wrong code is merely answered a little later.

pub(crate) mod codes;

use crate::auth::{self, Principal};
use crate::http::body;
use crate::http::error::ApiError;
use crate::limits;
use crate::state::App;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use codes::{Claim, Full, Moment, Refused};
use http::StatusCode;
use std::sync::Arc;
use wire::error::Code;
use wire::limits::PAIRING_MS;
use wire::token::{CreateToken, CreatedToken, Pair, Pairing, PairingList};

/// `POST /api/v1/pairings`.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    principal: Principal,
    body: Body,
) -> Result<(StatusCode, Json<Pairing>), ApiError> {
    principal.require("admin")?;
    let wish: CreateToken = body::json(body, app.times.body_idle).await?;
    let wish = auth::accept(&wish).map_err(|why| ApiError::invalid(why, None))?;
    let at = Moment { now: app.relay.now(), wall: app.clock.now() };
    let pairing = app.pairings.add(wish, &principal, at).map_err(|full| {
        let message = match full {
            Full::Maker => {
                "too many of your pairing codes wait to be used; take some back, or \
                            try again in ten minutes"
            }
            Full::All => "too many pairing codes wait to be used; try again in ten minutes",
        };
        too_many(message, PAIRING_MS / 1000)
    })?;
    let info = &pairing.info;
    tracing::info!(by = %info.made_by, user = %info.user, id = %info.id, "a pairing code was made");
    Ok((StatusCode::CREATED, Json(pairing)))
}

/// `GET /api/v1/pairings`.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    principal: Principal,
) -> Result<Json<PairingList>, ApiError> {
    principal.require("admin")?;
    Ok(Json(PairingList { pairings: app.pairings.list(app.relay.now()) }))
}

/// `DELETE /api/v1/pairings/:id`.
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    principal.require("admin")?;
    if !app.pairings.remove(&id, app.relay.now()) {
        return Err(ApiError::not_found(
            "no pairing code with this id waits; it was used, taken back, or its time is over",
        ));
    }
    tracing::info!(by = %principal.info.user, %id, "a pairing code was taken back");
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/v1/pair`: needs no token, for it gives one.
pub(crate) async fn redeem(
    State(app): State<Arc<App>>,
    body: Body,
) -> Result<(StatusCode, Json<CreatedToken>), ApiError> {
    let pair: Pair = body::json_within(body, limits::PAIR_BODY, app.times.body_idle).await?;
    let claim = match app.pairings.claim(&pair.code, app.relay.now()) {
        Ok(claim) => claim,
        Err(Refused::Claimed) => return Err(too_many("this pairing code is being used", 1)),
        Err(Refused::Unknown) => {
            tokio::time::sleep(limits::PAIRING_WRONG).await;
            return Err(unknown());
        }
    };
    let created = spend(&app, claim).await?;
    tracing::info!(user = %created.info.user, id = %created.info.id, "a pairing code was used");
    Ok((StatusCode::CREATED, Json(created)))
}

/// The code's token, once it is stored: until then the code stays good.
async fn spend(app: &App, claim: Claim<'_>) -> Result<CreatedToken, ApiError> {
    let now = app.clock.now();
    // The maker's key may have died behind the server's back, within the last moment.
    let maker = app.store.token_with_id(&claim.maker.info.id).await.map_err(ApiError::internal)?;
    let may = |scopes: &[String]| scopes.iter().any(|scope| scope == "admin");
    if !maker.is_some_and(|maker| may(&maker.scopes) && !auth::is_dead(&maker, now)) {
        claim.used();
        return Err(unknown());
    }
    let created = auth::create(app.store.as_ref(), &claim.wish, now).await?;
    if !claim.used() {
        // It was taken back while its token was stored.
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
