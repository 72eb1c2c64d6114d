//! Opens the account of each caller's request, before anything can refuse it.

use crate::http::error::ApiError;
use crate::state::App;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;

/// Runs the request with an account among its extensions, and records the head of the response. If
/// the caller leaves before there is a response, this is dropped, and with it the account.
pub(super) async fn keep_account(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = request.headers().get(wire::headers::REQUEST_ID).and_then(|id| id.to_str().ok());
    let id = id.unwrap_or_default().to_owned();
    let account = app.accounting.open(id, request.uri().path().to_owned());
    request.extensions_mut().insert(Arc::clone(&account));
    let response = next.run(request).await;
    let code = response.extensions().get::<ApiError>().map(|error| error.code);
    account.responded(response.status().as_u16(), code);
    // Only the body of a relayed response holds the account any longer.
    if Arc::strong_count(&account) == 1 {
        account.completed();
    }
    response
}
