//! The callers' side: relays every inference endpoint as bytes.

mod account;
mod dialect;
mod headers;
mod inference;
mod response;
mod stream;

use crate::http::openapi::{also_takes_forms, route_as};
use crate::state::App;
use axum::middleware::from_fn_with_state;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use wire::paths;

/// The routes of this room; each of their requests has an account.
pub(crate) fn routes(app: &Arc<App>) -> OpenApiRouter<Arc<App>> {
    let mut router = OpenApiRouter::default();
    for path in paths::RELAYED {
        router = route_as(router, path, path, routes!(inference::relayed));
        if paths::FORMS.contains(path) {
            also_takes_forms(router.get_openapi_mut(), path);
        }
    }
    let (path, shown) = ("/api/v1/llms/{*name}", "/api/v1/llms/{name}/infer");
    let router = route_as(router, path, shown, routes!(inference::infer));
    router.route_layer(from_fn_with_state(Arc::clone(app), account::keep_account))
}
