//! Whose request it is, as handlers ask for it.

use super::Principal;
use crate::error::ApiError;
use crate::state::App;
use axum::extract::FromRequestParts;
use http::request::Parts;
use std::sync::Arc;

impl FromRequestParts<Arc<App>> for Principal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let bearer = parts.headers.get(http::header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        let bearer = bearer.and_then(|v| v.split_once(' ')).and_then(|(scheme, token)| {
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        let key = parts.headers.get("x-api-key").and_then(|v| v.to_str().ok());
        let Some(token) = bearer.or(key) else {
            return Err(ApiError::unauthorized("no key was sent: use `Authorization: Bearer …`"));
        };
        app.tokens.principal(token, app.clock.now()).await
    }
}
