//! Reading a request's body whole, with a limit and a deadline between pieces.

use crate::error::ApiError;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt as _;
use std::time::Duration;
use wire::error::code;

/// The whole body.
///
/// # Errors
/// 413 above `limit`, decided by `content-length` where it is given; 408 when it pauses for longer
/// than `idle`; 400 when it breaks off.
pub(crate) async fn read(body: Body, limit: usize, idle: Duration) -> Result<Bytes, ApiError> {
    let mut body = body;
    let announced = http_body::Body::size_hint(&body).lower();
    if announced > limit as u64 {
        return Err(ApiError::too_large(limit));
    }
    let mut whole = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0));
    loop {
        let frame = tokio::time::timeout(idle, body.frame()).await.map_err(|_| {
            let message = "the request body did not arrive in time";
            ApiError::new(StatusCode::REQUEST_TIMEOUT, code::INVALID_REQUEST, message)
        })?;
        let Some(frame) = frame else {
            return Ok(whole.freeze());
        };
        let frame = frame.map_err(|_| ApiError::invalid("the request body broke off", None))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if whole.len() + data.len() > limit {
            return Err(ApiError::too_large(limit));
        }
        whole.extend_from_slice(&data);
    }
}

/// A small JSON body of a publisher or an admin.
///
/// # Errors
/// As [`read`]; 400 with line and column.
pub(crate) async fn json<T: serde::de::DeserializeOwned>(
    body: Body,
    idle: Duration,
) -> Result<T, ApiError> {
    let bytes = read(body, crate::limits::CONTROL_BODY, idle).await?;
    serde_json::from_slice(&bytes)
        .map_err(|e| ApiError::invalid(format!("the body is not usable: {e}"), None))
}
