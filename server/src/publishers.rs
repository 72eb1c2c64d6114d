//! The publishers' side: registration, control channel, and what they send for each task.

mod channel;
pub(crate) mod chunked_upload;
mod event;
mod frame_encoding;
pub(crate) mod protocol1;
mod registration;
mod responses;
pub(crate) mod results;
mod task;
pub(crate) mod upload;

use crate::state::App;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this room.
pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(registration::register))
        .routes(routes!(registration::heartbeat))
        .routes(routes!(channel::stream))
        .routes(routes!(channel::poll))
        .routes(routes!(channel::probe))
        .routes(routes!(task::request))
        .routes(routes!(task::acknowledge))
        .routes(routes!(responses::response))
        .routes(routes!(results::result))
}
