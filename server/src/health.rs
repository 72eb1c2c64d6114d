//! Health probes for supervisors and load balancers.

use crate::http::error::ApiError;
use crate::state::App;
use axum::extract::State;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use wire::paths;

/// The routes of this room.
pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default().routes(routes!(healthz)).routes(routes!(readyz))
}

/// Reports whether the process and its database respond
#[utoipa::path(get, path = paths::HEALTHZ, security(()), responses((status = 200)))]
async fn healthz(State(app): State<Arc<App>>) -> Result<&'static str, ApiError> {
    app.store.ping().await.map_err(ApiError::internal)?;
    Ok("ok")
}

/// Reports whether the process accepts work: not while it drains
#[utoipa::path(
    get,
    path = paths::READYZ,
    security(()),
    responses((status = 200), (status = 503)),
)]
async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str, ApiError> {
    if app.is_draining() {
        return Err(ApiError::shutting_down());
    }
    Ok("ready")
}
