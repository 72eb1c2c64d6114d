//! A socket whose writes fail after the peer has accepted nothing for too long.
//!
//! TCP has no such timeout: a peer that acknowledges but does not read keeps its connection for
//! ever, and with it a response, a slot and a publisher.

use super::connection::Ending;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A socket with a limit on how long a write may wait.
pub(super) struct WriteTimeout<T> {
    socket: T,
    limit: Duration,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
    ending: Arc<Ending>,
}

impl<T> WriteTimeout<T> {
    pub(super) fn new(socket: T, limit: Duration, ending: Arc<Ending>) -> Self {
        Self { socket, limit, waiting: None, ending }
    }

    /// Passes on a write's result, or fails if writes have waited for too long.
    fn watch<R>(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if wrote.is_ready() {
            self.waiting = None;
            return wrote;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if waiting.as_mut().poll(cx).is_ready() {
            self.ending.mark_timed_out();
            let why = "the peer accepted nothing for too long";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
        }
        Poll::Pending
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WriteTimeout<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.watch(cx, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.socket).poll_write_vectored(cx, parts);
        self.watch(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::{Ending, WriteTimeout};
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::{Instant, timeout};

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_is_disconnected_after_the_limit_and_a_slow_one_is_not() {
        let (socket, mut peer) = duplex(8);
        let ending = Arc::new(Ending::default());
        let mut socket = WriteTimeout::new(socket, LIMIT, Arc::clone(&ending));
        let began = Instant::now();
        let writes = tokio::spawn(async move {
            let wrote = socket.write_all(&[b'x'; 64]).await;
            (wrote, began.elapsed())
        });
        for _ in 0..3 {
            tokio::time::sleep(LIMIT.mul_f32(0.9)).await;
            peer.read_exact(&mut [0; 8]).await.unwrap();
        }
        let (wrote, after) = timeout(LIMIT * 2, writes).await.unwrap().unwrap();
        assert_eq!(wrote.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
        assert!(ending.is_broken(), "unwritten bytes make the end unclean");
        assert!(after > LIMIT * 3, "{after:?}: progress starts the time anew");
    }
}
