//! Names of LLMs and pools over HTTP: whose each is, and an admin's word on who may serve it.

use crate::auth::Principal;
use crate::http::body;
use crate::http::error::ApiError;
use crate::state::App;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use http::StatusCode;
use relay::NameRefusal;
use std::sync::Arc;
use wire::names::{NameInfo, NameList, ShareName};

/// `GET /api/v1/names`: all for an admin, a publisher's own for a publisher.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    principal: Principal,
) -> Result<Json<NameList>, ApiError> {
    let admin = principal.has("admin");
    if !admin {
        principal.require("publish")?;
    }
    let owner = &principal.info.user;
    let mut names = app.relay.with(|relay, _, _| relay.names());
    names.retain(|info| admin || info.owner == *owner);
    Ok(Json(NameList { names }))
}

/// `PUT /api/v1/names/:name/share`.
pub(crate) async fn share(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(path): Path<String>,
    body: Body,
) -> Result<Json<NameInfo>, ApiError> {
    principal.require("admin")?;
    let Some(name) = path.strip_suffix("/share") else {
        return Err(ApiError::no_such_endpoint("PUT", &format!("{}/{path}", wire::paths::NAMES)));
    };
    let wish: ShareName = body::json(body, app.times.body_idle).await?;
    let shared = app.relay.with(|relay, now, out| relay.share_name(name, &wish.with, now, out))?;
    app.relay.save().await.map_err(ApiError::internal)?;
    tracing::info!(by = %principal.info.user, name = shared.name, "a name was shared");
    Ok(Json(shared))
}

/// `DELETE /api/v1/names/:name`.
pub(crate) async fn free(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    principal.require("admin")?;
    app.relay.with(|relay, now, out| relay.free_name(&name, now, out))?;
    app.relay.save().await.map_err(ApiError::internal)?;
    tracing::info!(by = %principal.info.user, name = name.to_ascii_lowercase(), "a name was freed");
    Ok(StatusCode::NO_CONTENT)
}

impl From<NameRefusal> for ApiError {
    fn from(refusal: NameRefusal) -> Self {
        match refusal {
            NameRefusal::Unknown => Self::not_found(refusal.to_string()),
            NameRefusal::Invalid(why) => Self::invalid(why, Some("with")),
        }
    }
}
