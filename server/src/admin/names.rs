//! Names of LLMs and pools over HTTP: their owners, and with whom an admin shares them.

use crate::auth::{ADMIN, PUBLISH, Principal};
use crate::http::error::ApiError;
use crate::limits;
use crate::state::App;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use http::StatusCode;
use relay::NameRefusal;
use std::sync::Arc;
use wire::names::{NameInfo, NameList, ShareName};
use wire::paths;

/// Lists names with their owners and who may serve them: all for an admin, a publisher's own
/// otherwise
#[utoipa::path(
    get,
    path = paths::NAMES,
    security(("bearer" = ["admin"]), ("bearer" = ["publish"])),
    responses((status = 200, body = NameList)),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    principal: Principal,
) -> Result<Json<NameList>, ApiError> {
    let admin = principal.has(ADMIN);
    if !admin {
        principal.require(PUBLISH)?;
    }
    let owner = &principal.info.user;
    let mut names = app.relay.with(|relay, _, _| relay.names());
    names.retain(|info| admin || info.owner == *owner);
    Ok(Json(NameList { names }))
}

/// Shares a name with users and groups, beside its owner
#[utoipa::path(
    put,
    path = "/api/v1/names/{name}/share",
    security(("bearer" = ["admin"])),
    params(("name" = String, Path)),
    request_body = ShareName,
    responses((status = 200, body = NameInfo), (status = 400), (status = 404), (status = 413)),
)]
pub(super) async fn share(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(path): Path<String>,
    body: Body,
) -> Result<Json<NameInfo>, ApiError> {
    principal.require(ADMIN)?;
    let Some(name) = path.strip_suffix("/share") else {
        return Err(ApiError::no_such_endpoint("PUT", &format!("{}/{path}", wire::paths::NAMES)));
    };
    let ShareName { with } = app.bodies.json(body, limits::CONTROL_BODY).await?;
    let shared = app.relay.with(|relay, now, out| relay.share_name(name, &with, now, out))?;
    app.relay.save().await.map_err(ApiError::internal)?;
    tracing::info!(by = %principal.info.user, name = shared.name, "a name was shared");
    Ok(Json(shared))
}

/// Releases a name from its owner
#[utoipa::path(
    delete,
    path = "/api/v1/names/{name}",
    security(("bearer" = ["admin"])),
    params(("name" = String, Path)),
    responses((status = 204), (status = 404)),
)]
pub(super) async fn release(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    principal.require(ADMIN)?;
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
