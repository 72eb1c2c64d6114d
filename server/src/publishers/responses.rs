//! `/response` (protocol 2): a backend's response as one streamed upload or as numbered parts.

use super::chunked_upload::{Part, take_part};
use super::task::NamedTask;
use super::upload::{UploadGuard, forward, response_head};
use crate::http::error::ApiError;
use crate::http::openapi::{SessionHeaders, TaskErrors};
use crate::relay_driver::ResponseWriter;
use crate::state::App;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http_body::Body as _;
use relay::TaskRefusal;
use std::sync::Arc;
use wire::paths;

/// Takes the backend's response body, byte for byte, as fast as the caller reads it
#[utoipa::path(
    post,
    context_path = paths::TASK_PREFIX,
    path = "/{id}/response",
    security(("bearer" = ["publish"])),
    params(("id" = String, Path), SessionHeaders),
    request_body(content = serde_json::Value, content_type = "application/octet-stream"),
    responses((status = 200), (status = 204), TaskErrors),
)]
pub(super) async fn response(
    State(app): State<Arc<App>>,
    NamedTask { principal, from, task }: NamedTask,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let mut head = response_head(&headers)?;
    if let Some(part) = Part::announced(&headers)? {
        // Checked before the body is read: to another publisher the task does not exist.
        app.relay.with(|relay, now, _| relay.acknowledge(&from, task, now))?;
        let (key, limit) = (&principal.info.id, wire::limits::RESPONSE_PIECE);
        let data = app.bodies.read(key, body, limit).await?;
        return take_part(&app, &from, task, head, part, data).await;
    }
    let target = app.relay.upload_target(task).ok_or(TaskRefusal::Unknown)?;
    app.relay.with(|relay, now, _| relay.answer_begins(&from, task, now))?;
    let guard = UploadGuard::new(&app, task);
    head.length = body.size_hint().exact();
    let response = ResponseWriter::new(task, head, target);
    Ok(forward(&app, &principal, response, body, guard).await?.into_response())
}
