//! Learns whether a proxy holds request bodies back until they end: an upload whose first bytes the
//! server confirms through the control channel while the upload is still open.

use crate::mcpd_client::Delivery;
use crate::task::ServerLink;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use reqwest::Body;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// A probe under way.
pub(super) struct UploadProbe {
    id: String,
    /// The first bytes are there; the upload may end.
    confirmed: CancellationToken,
    deadline: Instant,
    upload: AbortOnDropHandle<Delivery>,
}

impl UploadProbe {
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

    pub(super) fn confirm(&mut self, id: &str) {
        if self.id == id {
            self.confirmed.cancel();
        }
    }

    /// Whether uploads are held back, as soon as it is known. A server that knows no probes, or a
    /// probe that failed in another way, proves nothing.
    pub(super) async fn verdict(probe: &mut Option<Self>) -> Option<bool> {
        let probe = probe.as_mut()?;
        tokio::select! {
            biased;
            () = probe.confirmed.cancelled() => {
                // Let it end on its own, so that the connection can be used again.
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
