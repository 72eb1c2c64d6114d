//! Pairing codes: what a person can type instead of a token that nobody can. An admin makes one for
//! a user; whoever sends it first gets a token of that user's, once, within ten minutes.
//!
//! Codes live in memory only. They have 40 random bits, so wrong ones are counted: after a few
//! nobody may try for a minute, and guessing all of them would take a hundred thousand years.

pub(crate) mod codes;

use crate::auth::{self, Principal};
use crate::body;
use crate::error::ApiError;
use crate::limits;
use crate::state::App;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use codes::Refused;
use http::StatusCode;
use std::sync::Arc;
use wire::error::code;
use wire::limits::PAIRING_MS;
use wire::token::{CreateToken, CreatedToken, Pair, Pairing};

/// `POST /api/v1/pairings`.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    principal: Principal,
    body: Body,
) -> Result<(StatusCode, Json<Pairing>), ApiError> {
    principal.require("admin")?;
    let wish: CreateToken = body::json(body, app.times.body_idle).await?;
    auth::check(&wish).map_err(|why| ApiError::invalid(why, None))?;
    let user = wish.user.clone();
    let Some(pairing) = app.pairings.add(wish, app.driver.now()) else {
        let message = "too many pairing codes wait to be used; try again in ten minutes";
        return Err(too_many(message, PAIRING_MS / 1000));
    };
    tracing::info!(by = %principal.info.user, %user, "a pairing code was made");
    Ok((StatusCode::CREATED, Json(pairing)))
}

/// `POST /api/v1/pair`: needs no token, for it gives one.
pub(crate) async fn redeem(
    State(app): State<Arc<App>>,
    body: Body,
) -> Result<(StatusCode, Json<CreatedToken>), ApiError> {
    let pair: Pair = body::json_within(body, limits::PAIR_BODY, app.times.body_idle).await?;
    let now = app.driver.now();
    let wish = app.pairings.take(&pair.code, now).map_err(|refused| match refused {
        Refused::Unknown => ApiError::not_found(
            "this pairing code is not known here: it works once and for ten minutes; ask for a new one",
        ),
        Refused::TooMany(seconds) => {
            too_many("too many wrong pairing codes were tried; wait a minute", seconds)
        }
    })?;
    let created = auth::create(app.store.as_ref(), &wish, now).await?;
    tracing::info!(user = %created.info.user, id = %created.info.id, "a pairing code was used");
    Ok((StatusCode::CREATED, Json(created)))
}

fn too_many(message: &str, seconds: u64) -> ApiError {
    let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, code::RATE_LIMITED, message);
    ApiError { retry_after: Some(seconds), ..error }
}
