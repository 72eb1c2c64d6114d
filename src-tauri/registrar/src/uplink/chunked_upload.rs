//! The way through a proxy that holds a request body back until it ends: the response goes up in
//! numbered chunks, the first one at once, each further one with everything that has arrived during
//! the last request.

use crate::limits::{CHUNK, CHUNK_READS};
use crate::relayed_response::RelayedResponse;
use crate::server_link::ServerLink;
use crate::task_failure::check_delivery;
use bytes::{Bytes, BytesMut};
use reqwest::header::HeaderMap;
use tokio::sync::mpsc;
use wire::publisher::TaskFailure;

pub(super) async fn send(
    link: &ServerLink,
    task: &str,
    response: RelayedResponse,
) -> Result<(), TaskFailure> {
    let headers = response.upload_headers();
    let (sender, receiver) = mpsc::channel(CHUNK_READS);
    let (read, upload) = (read(response, sender), upload(link, task, &headers, receiver));
    tokio::try_join!(read, upload).map(|_| ())
}

async fn read(
    mut response: RelayedResponse,
    sender: mpsc::Sender<Bytes>,
) -> Result<(), TaskFailure> {
    while let Some(bytes) = response.next().await? {
        if sender.send(bytes).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn upload(
    link: &ServerLink,
    task: &str,
    headers: &HeaderMap,
    mut receiver: mpsc::Receiver<Bytes>,
) -> Result<(), TaskFailure> {
    let mut seq = 0;
    loop {
        let first = receiver.recv().await;
        let mut chunk = BytesMut::from(first.unwrap_or_default());
        while chunk.len() < CHUNK
            && let Ok(more) = receiver.try_recv()
        {
            chunk.extend_from_slice(&more);
        }
        // Empty and closed: the backend's response is complete.
        let last = receiver.is_closed() && receiver.is_empty();
        let (headers, body) = (headers.clone(), chunk.freeze());
        let sent = link.mcpd.respond_piece(&link.session, task, headers, seq, last, body);
        check_delivery(sent.await)?;
        if last {
            return Ok(());
        }
        seq += 1;
    }
}
