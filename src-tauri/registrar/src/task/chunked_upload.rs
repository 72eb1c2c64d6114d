//! The way up through a proxy that holds a request body back until it ends: the answer goes up in
//! numbered pieces, the first at once, then whatever has come while the last one was under way.

use super::token_usage::Tail;
use super::{ServerLink, broke_off, taken};
use crate::backends::BackendResponse;
use crate::limits::{PIECE, PIECES};
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use reqwest::header::HeaderMap;
use tokio::sync::mpsc;
use wire::publisher::TaskFailure;

pub(super) async fn deliver(
    link: &ServerLink,
    task: &str,
    head: HeaderMap,
    answer: BackendResponse,
    tail: &Tail,
) -> Result<(), TaskFailure> {
    let (sender, receiver) = mpsc::channel(PIECES);
    tokio::try_join!(read(answer, sender, tail), send(link, task, &head, receiver)).map(|_| ())
}

async fn read(
    mut answer: BackendResponse,
    sender: mpsc::Sender<Bytes>,
    tail: &Tail,
) -> Result<(), TaskFailure> {
    while let Some(bytes) = answer.try_next().await.map_err(|_| broke_off())? {
        tail.pass(&bytes);
        if sender.send(bytes).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn send(
    link: &ServerLink,
    task: &str,
    head: &HeaderMap,
    mut receiver: mpsc::Receiver<Bytes>,
) -> Result<(), TaskFailure> {
    let mut seq = 0;
    loop {
        let first = receiver.recv().await;
        let mut piece = BytesMut::from(first.unwrap_or_default());
        while piece.len() < PIECE
            && let Ok(more) = receiver.try_recv()
        {
            piece.extend_from_slice(&more);
        }
        // Empty and closed: the backend's answer was complete.
        let last = receiver.is_closed() && receiver.is_empty();
        let (head, body) = (head.clone(), piece.freeze());
        let delivery = link.mcpd.respond_piece(&link.session, task, head, seq, last, body).await;
        taken(delivery)?;
        if last {
            return Ok(());
        }
        seq += 1;
    }
}
