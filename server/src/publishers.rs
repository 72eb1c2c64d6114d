//! The publishers' side: registration, control channel, and what they send for each task.

mod channel;
mod event;
mod frame_encoding;
pub(crate) mod protocol1;
mod registration;
pub(crate) mod results;
mod task;
mod uplink;

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
        .routes(routes!(results::result))
        .routes(routes!(uplink::uplink))
}
