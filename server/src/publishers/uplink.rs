//! The uplink: one long request whose body brings the answers of all tasks of a session, in frames.

use super::channel::session_header;
use crate::auth::{self, PUBLISH, Principal};
use crate::http::error::ApiError;
use crate::http::openapi::SessionHeader;
use crate::relay_driver::{RelayDriver, Uplink};
use crate::state::App;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use std::sync::Arc;
use wire::error::Code;
use wire::frames::{Decoder, Frame, Invalid};
use wire::paths;

/// Takes the answers of all tasks of this machine, in frames, for as long as its body lasts
#[utoipa::path(
    post,
    path = paths::UPLINK,
    security(("bearer" = ["publish"])),
    params(SessionHeader),
    request_body(content = serde_json::Value, content_type = wire::frames::CONTENT_TYPE),
    responses((status = 204), (status = 400), (status = 404), (status = 409), (status = 503)),
)]
pub(super) async fn uplink(
    State(app): State<Arc<App>>,
    principal: Principal,
    headers: HeaderMap,
    mut body: Body,
) -> Result<StatusCode, ApiError> {
    principal.require(PUBLISH)?;
    let session = session_header(&headers)?;
    let uplink = app.relay.open_uplink(&principal.owner().id, session)?;
    let mut open = OpenUplink { driver: Arc::clone(&app.relay), uplink };
    let mut decoder = Decoder::default();
    loop {
        let frame = tokio::select! {
            biased;
            () = principal.alive.cancelled() => return Err(ApiError::unauthorized(auth::REVOKED)),
            () = open.uplink.superseded.cancelled() => return Err(superseded()),
            () = app.closing.cancelled() => return Err(ApiError::shutting_down()),
            frame = body.frame() => frame,
        };
        match frame.map(|frame| frame.map(http_body::Frame::into_data)) {
            Some(Ok(Ok(bytes))) => open.take(&mut decoder, bytes)?,
            Some(Ok(Err(_trailers))) => {}
            Some(Err(_)) => return Err(invalid("the uplink broke off")),
            None if decoder.is_inside_frame() => {
                return Err(invalid("the uplink ended inside a frame"));
            }
            None => return Ok(StatusCode::NO_CONTENT),
        }
    }
}

/// An uplink whose request is open; dropping it closes it.
struct OpenUplink {
    driver: Arc<RelayDriver>,
    uplink: Uplink,
}

impl OpenUplink {
    /// Takes the frames that end in these bytes. What follows bytes that are no frames is not read.
    fn take(&mut self, decoder: &mut Decoder, bytes: Bytes) -> Result<(), ApiError> {
        decoder.feed(bytes);
        let mut broken = None;
        let frames = std::iter::from_fn(|| next_frame(decoder, &mut broken));
        self.driver.take_frames(&mut self.uplink, frames);
        broken.map_or(Ok(()), |why| Err(invalid(&why.to_string())))
    }
}

impl Drop for OpenUplink {
    fn drop(&mut self) {
        self.driver.close_uplink(&self.uplink);
    }
}

fn next_frame(decoder: &mut Decoder, broken: &mut Option<Invalid>) -> Option<Frame> {
    decoder.next_frame().unwrap_or_else(|why| {
        *broken = Some(why);
        None
    })
}

fn invalid(why: &str) -> ApiError {
    ApiError::invalid(why, None)
}

fn superseded() -> ApiError {
    let message = "a newer uplink of this session is open";
    ApiError::new(StatusCode::CONFLICT, Code::Superseded, message)
}
