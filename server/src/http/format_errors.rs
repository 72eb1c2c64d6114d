//! The outermost layer: gives each error the shape of its path, and each response an
//! `x-request-id`.
//!
//! OpenAI's shape on `/v1/*` and `…/infer`, Anthropic's on `/v1/messages*`, RFC 9457 problem
//! details on the endpoints of publishers and administrators.

use super::error::ApiError;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderValue, header};

/// Longest `x-request-id` that is taken from a client; longer ones are replaced.
const REQUEST_ID_BYTES: usize = 128;

/// Runs the request and formats its response.
pub(crate) async fn format_errors(mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let given = request.headers().get(wire::headers::REQUEST_ID).cloned();
    let id = given.filter(|id| id.len() <= REQUEST_ID_BYTES).unwrap_or_else(|| {
        let id = format!("{:032x}", rand::random::<u128>());
        HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("none"))
    });
    request.headers_mut().insert(wire::headers::REQUEST_ID, id.clone());
    let mut response = next.run(request).await;
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        let (kind, body) = if wire::paths::is_anthropic(&path) {
            ("application/json", error.anthropic())
        } else if path.starts_with("/v1/") || path.ends_with("/infer") {
            ("application/json", error.openai())
        } else {
            ("application/problem+json", error.problem())
        };
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        *response.body_mut() = body.into();
    }
    response.headers_mut().insert(wire::headers::REQUEST_ID, id);
    // A browser must not run as a page what a publisher or caller has written.
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}
