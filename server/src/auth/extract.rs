//! Authenticates a request for handlers that take a [`Principal`].

use super::{Principal, Tokens};
use crate::http::connection::Connection;
use crate::http::error::ApiError;
use axum::extract::FromRequestParts;
use http::request::Parts;
use std::sync::Arc;

impl<S: AsRef<Tokens> + Send + Sync> FromRequestParts<Arc<S>> for Principal {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<S>) -> Result<Self, ApiError> {
        for name in ["authorization", "x-api-key"] {
            if parts.headers.get_all(name).iter().nth(1).is_some() {
                let message = format!("the header {name} was sent twice; send one key, once");
                return Err(ApiError::invalid(message, None));
            }
        }
        let bearer = parts.headers.get(http::header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        let bearer = bearer.and_then(|v| v.split_once(' ')).and_then(|(scheme, token)| {
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        let key = parts.headers.get("x-api-key").and_then(|v| v.to_str().ok());
        let Some(token) = bearer.or(key) else {
            return Err(ApiError::unauthorized("no key was sent: use `Authorization: Bearer …`"));
        };
        let tokens: &Tokens = state.as_ref().as_ref();
        let principal = tokens.principal(token).await?;
        if let Some(connection) = parts.extensions.get::<Arc<Connection>>() {
            connection.prove()?;
        }
        Ok(principal)
    }
}
