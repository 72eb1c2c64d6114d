//! The whole HTTP API: the routes of all rooms, what is answered elsewhere, and the OpenAPI
//! document.

use crate::http::cors::{self, CorsOrigins};
use crate::http::error::ApiError;
use crate::http::format_errors::format_errors;
use crate::http::openapi;
use crate::state::App;
use crate::{admin, callers, catalogue, health, publishers};
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use http::{Method, StatusCode, Uri, header};
use std::sync::Arc;
use wire::error::Code;
use wire::paths;

/// The router of every endpoint. Web pages of these origins may use those of callers.
pub(crate) fn router(app: Arc<App>, origins: &CorsOrigins) -> Router {
    let routes = openapi::router()
        .merge(publishers::routes())
        .merge(callers::routes(&app))
        .merge(catalogue::routes())
        .merge(admin::routes())
        .merge(health::routes());
    let (router, mut document) = routes.split_for_parts();
    openapi::complete(&mut document);
    let document = document.to_json().unwrap_or_default();
    let kind = [(header::CONTENT_TYPE, "application/json")];
    let router = router
        .route(paths::OPENAPI, get(async move || (kind, document.clone())))
        .fallback(async |method: Method, uri: Uri| {
            ApiError::no_such_endpoint(method.as_str(), uri.path())
        })
        .method_not_allowed_fallback(async |method: Method, uri: Uri| {
            let message = format!("wrong method: {} cannot be asked with {method}", uri.path());
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, Code::InvalidRequest, message)
        });
    let router = match origins {
        CorsOrigins::None => router,
        CorsOrigins::Any | CorsOrigins::These(_) => {
            router.layer(from_fn_with_state(origins.clone(), cors::allow_origins))
        }
    };
    router.layer(from_fn(format_errors)).with_state(app)
}
