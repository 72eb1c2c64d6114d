//! Sends a backend's response to the server: one file for each [`UploadMode`].

mod chunked_upload;
mod upload;

use crate::protocol1;
use crate::relayed_response::RelayedResponse;
use crate::server_link::ServerLink;
use crate::transport::UploadMode;
use wire::publisher::TaskFailure;

/// Sends the response of a task and returns when the server has taken all of it.
///
/// # Errors
/// The backend broke off, the server does not want the response any more, or it did not arrive.
pub(crate) async fn send(
    link: &ServerLink,
    task: &str,
    response: RelayedResponse,
) -> Result<(), TaskFailure> {
    match link.upload_mode() {
        UploadMode::Stream => upload::send(link, task, response).await,
        UploadMode::Chunks => chunked_upload::send(link, task, response).await,
        UploadMode::Results => protocol1::send_results(link, task, response).await,
    }
}
