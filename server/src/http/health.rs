//! Health probes for supervisors and load balancers.

use crate::http::error::ApiError;
use crate::state::App;
use axum::extract::State;
use std::sync::Arc;

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
