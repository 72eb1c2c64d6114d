//! Registration and heartbeats of publishers.

use crate::auth::{PUBLISH, Principal};
use crate::http::error::ApiError;
use crate::limits;
use crate::state::App;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::StatusCode;
use relay::{Action, Actions, RegisterRefusal, SessionRefusal};
use std::sync::Arc;
use tokio::time::Instant;
use wire::error::Code;
use wire::paths;
use wire::publisher::{Heartbeat, HeartbeatReply, Register, Registered};

/// Characters of a session id in the log: session ids are secrets.
const SHOWN_ID: usize = 8;

/// Registers everything that this machine publishes
#[utoipa::path(
    post,
    path = paths::REGISTER,
    security(("bearer" = ["publish"])),
    request_body = Register,
    responses(
        (status = 201, body = Registered),
        (status = 400), (status = 408), (status = 409),
        (status = 413), (status = 429), (status = 503),
    ),
)]
pub(super) async fn register(
    State(app): State<Arc<App>>,
    principal: Principal,
    body: Body,
) -> Result<(StatusCode, Json<Registered>), ApiError> {
    principal.require(PUBLISH)?;
    let key = &principal.info.id;
    let request: Register = app.bodies.json_within_budget(key, body, limits::CONTROL_BODY).await?;
    at_most(limits::INFLIGHT, "inflight", request.inflight.len())?;
    let began = Instant::now();
    let owner = principal.owner();
    let mut registered = app.relay.with(|relay, now, out| {
        let registered = relay.register(&owner, &request, now, out);
        // Under the lock, so that the log has the relay's order.
        registered.inspect(|registered| log_changes(registered, out))
    })?;
    app.relay.add_offsets(&mut registered.resume);
    // The catalogue must survive a crash that follows the response.
    app.relay.save().await.map_err(ApiError::internal)?;
    tracing::info!(
        owner = %owner.id,
        session = registered.provider_session_id.get(..SHOWN_ID),
        llms = registered.llms.len(),
        rejected = registered.rejected.len(),
        ms = began.elapsed().as_millis(),
        "a publisher registered"
    );
    Ok((StatusCode::CREATED, Json(registered)))
}

/// Logs which models are published now, and which are withdrawn.
fn log_changes(registered: &Registered, actions: &Actions) {
    for llm in &registered.llms {
        tracing::debug!(llm = llm.name, "a model is published");
    }
    for action in actions {
        if let Action::Withdrawn { name } = action {
            tracing::debug!(llm = name, "a model is withdrawn");
        }
    }
}

/// Reports that the publisher lives, the state of its backends, and its running tasks
#[utoipa::path(
    post,
    path = paths::HEARTBEAT,
    security(("bearer" = ["publish"])),
    request_body = Heartbeat,
    responses(
        (status = 200, body = HeartbeatReply),
        (status = 400), (status = 404), (status = 408),
        (status = 409), (status = 413), (status = 429),
    ),
)]
pub(super) async fn heartbeat(
    State(app): State<Arc<App>>,
    principal: Principal,
    body: Body,
) -> Result<Json<HeartbeatReply>, ApiError> {
    principal.require(PUBLISH)?;
    let (key, limit) = (&principal.info.id, limits::HEARTBEAT_BODY);
    let heartbeat: Heartbeat = app.bodies.json_within_budget(key, body, limit).await?;
    at_most(wire::limits::LLMS_PER_OWNER, "llms", heartbeat.llms.len())?;
    at_most(limits::INFLIGHT, "inflight", heartbeat.inflight.as_ref().map_or(0, Vec::len))?;
    let owner = principal.owner().id;
    let reply = app.relay.with(|relay, now, out| relay.heartbeat(&owner, &heartbeat, now, out))?;
    Ok(Json(reply))
}

/// Refuses a list that is longer than any publisher can need.
fn at_most(most: usize, name: &'static str, found: usize) -> Result<(), ApiError> {
    if found <= most {
        return Ok(());
    }
    let message = format!("`{name}` has at most {most} entries, not {found}");
    Err(ApiError::invalid(message, Some(name)))
}

impl From<RegisterRefusal> for ApiError {
    fn from(refusal: RegisterRefusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            RegisterRefusal::Invalid(_) => Self::invalid(message, None),
            RegisterRefusal::SessionConflict => {
                Self::new(StatusCode::CONFLICT, Code::SessionConflict, message)
            }
            RegisterRefusal::TooManySessions(_) => {
                let error = Self::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, message);
                Self { retry_after: Some(60), ..error }
            }
            RegisterRefusal::Draining => Self::shutting_down(),
        }
    }
}

impl From<SessionRefusal> for ApiError {
    fn from(refusal: SessionRefusal) -> Self {
        match refusal {
            SessionRefusal::Unknown => Self::not_found(refusal.to_string()),
            SessionRefusal::StaleEpoch => {
                Self::new(StatusCode::CONFLICT, Code::StaleEpoch, refusal.to_string())
            }
        }
    }
}
