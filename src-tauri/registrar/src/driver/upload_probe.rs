//! Finds out whether a proxy holds request bodies back until they end: an upload whose first bytes
//! the server confirms through the control channel while the upload is still open.

use crate::mcpd_client::Delivery;
use crate::server_link::ServerLink;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use reqwest::Body;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// A probe that runs.
pub(super) struct UploadProbe {
    id: String,
    /// The first bytes have arrived; the upload may end.
    confirmed: CancellationToken,
    deadline: Instant,
    upload: AbortOnDropHandle<Delivery>,
}

impl UploadProbe {
    /// Begins an upload that stays open until it is confirmed, for at most `wait`.
    pub(super) fn start(link: &Arc<ServerLink>, wait: Duration) -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let confirmed = CancellationToken::new();
        let deadline = Instant::now() + wait;
        let (link, name, end) = (Arc::clone(link), id.clone(), confirmed.clone());
        let upload = tokio::spawn(async move {
            let rest = stream::once(async move {
                tokio::time::timeout_at(deadline, end.cancelled()).await.ok();
                Ok::<_, std::io::Error>(Bytes::new())
            });
            let body = stream::once(async { Ok(Bytes::from_static(b"probe")) }).chain(rest);
            link.mcpd.probe(&link.session, &name, Body::wrap_stream(body)).await
        });
        Self { id, confirmed, deadline, upload: AbortOnDropHandle::new(upload) }
    }

    /// Records the server's confirmation.
    pub(super) fn confirm(&mut self, id: &str) {
        if self.id == id {
            self.confirmed.cancel();
        }
    }

    /// Waits for the result: true if uploads are held back; `None` if no probe runs. A server without
    /// probes, and a probe that fails for another reason, prove nothing.
    pub(super) async fn result(probe: &mut Option<Self>) -> Option<bool> {
        let probe = probe.as_mut()?;
        tokio::select! {
            biased;
            () = probe.confirmed.cancelled() => {
                // It ends by itself, so that its connection can be used again.
                let _ = (&mut probe.upload).await;
                Some(false)
            }
            ended = &mut probe.upload => {
                Some(matches!(ended, Ok(Delivery::Delivered)) && !probe.confirmed.is_cancelled())
            }
            () = sleep_until(probe.deadline) => Some(true),
        }
    }
}
