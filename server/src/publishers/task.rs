//! A publisher's requests that name a task: who may name it, and the task's body.

use crate::auth::{PUBLISH, Principal};
use crate::http::error::ApiError;
use crate::http::openapi::{SessionHeaders, TaskErrors};
use crate::state::App;
use axum::extract::{FromRequestParts, Path, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use relay::{TaskId, TaskRefusal, TaskSender};
use std::sync::Arc;
use wire::error::Code;
use wire::paths;

/// The task that a publisher's request names, and the publisher.
pub(super) struct NamedTask {
    pub(super) principal: Principal,
    pub(super) from: TaskSender,
    pub(super) task: TaskId,
}

impl FromRequestParts<Arc<App>> for NamedTask {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let principal = Principal::from_request_parts(parts, app).await?;
        principal.require(PUBLISH)?;
        let Path(id) = Path::<String>::from_request_parts(parts, app)
            .await
            .map_err(|_| TaskRefusal::Unknown)?;
        let task = id.parse().map_err(|_| TaskRefusal::Unknown)?;
        let session = parts.headers.get(wire::headers::SESSION).and_then(|v| v.to_str().ok());
        let session = session.map(str::parse).transpose().map_err(|_| TaskRefusal::Unknown)?;
        let from = TaskSender { owner: principal.owner().id, session };
        Ok(Self { principal, from, task })
    }
}

/// Returns the body of a task as its caller sent it, which also acknowledges the task
#[utoipa::path(
    get,
    context_path = paths::TASK_PREFIX,
    path = "/{id}/request",
    security(("bearer" = ["publish"])),
    params(("id" = String, Path), SessionHeaders),
    responses((status = 200), TaskErrors),
)]
pub(super) async fn request(
    State(app): State<Arc<App>>,
    NamedTask { from, task, .. }: NamedTask,
) -> Result<Response, ApiError> {
    app.relay.with(|relay, now, _| relay.acknowledge(&from, task, now))?;
    let request = app.relay.request(task).ok_or(TaskRefusal::Gone)?;
    let kind = request.headers.get("content-type").and_then(|v| HeaderValue::from_str(v).ok());
    let kind = kind.unwrap_or(HeaderValue::from_static("application/json"));
    Ok(([(header::CONTENT_TYPE, kind)], request.body.clone()).into_response())
}

impl From<TaskRefusal> for ApiError {
    fn from(refusal: TaskRefusal) -> Self {
        let status = match refusal {
            TaskRefusal::Unknown => StatusCode::NOT_FOUND,
            TaskRefusal::Answered => StatusCode::CONFLICT,
            TaskRefusal::Gone => StatusCode::GONE,
        };
        Self::new(status, Code::NotFound, refusal.to_string())
    }
}
