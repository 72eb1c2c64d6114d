//! Administration over HTTP: tokens, pairing codes, names.

mod names;
mod pairing;
mod tokens;

use crate::http::openapi::route_as;
use crate::state::App;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this room.
pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    let router = OpenApiRouter::default()
        .routes(routes!(tokens::list, tokens::create, tokens::revoke_user))
        .routes(routes!(tokens::revoke))
        .routes(routes!(pairing::list, pairing::create))
        .routes(routes!(pairing::remove))
        .routes(routes!(pairing::redeem))
        .routes(routes!(names::list));
    let one = "/api/v1/names/{*name}";
    let router = route_as(router, one, "/api/v1/names/{name}/share", routes!(names::share));
    route_as(router, one, "/api/v1/names/{name}", routes!(names::release))
}
