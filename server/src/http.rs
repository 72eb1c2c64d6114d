//! The accept loop: HTTP/1.1 only, with the timeouts and bounds that a server on the internet
//! needs, and its orderly end.

pub(crate) mod body;
pub(crate) mod connection;
mod connection_limit;
mod connection_service;
pub mod error;
pub(crate) mod health;
pub(crate) mod openapi;
pub(crate) mod routes;
mod socket;
mod write_timeout;

use crate::limits;
use crate::state::{App, Times};
use axum::Router;
use connection::Connection;
use connection_limit::{Place, Room};
use connection_service::PerConnection;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket::Socket;
use socket2::SockRef;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use write_timeout::WriteTimeout;

/// Pause after `accept` failed (out of file descriptors, say): a busy loop helps nobody.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often the end looks whether the running answers have ended.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// Accepts until `shutdown`, lets running answers end for [`limits::DRAIN`], and returns when every
/// connection is closed.
pub(crate) async fn accept(
    listener: TcpListener,
    router: Router,
    app: &App,
    shutdown: &CancellationToken,
) {
    let connections = Connections {
        router,
        times: app.times,
        room: Room::new(connection_limit::places()),
        open: TaskTracker::new(),
        close: CancellationToken::new(),
        cut: CancellationToken::new(),
    };
    tokio::select! {
        () = connections.accept(&listener) => {}
        () = drain(app, shutdown) => {}
    }
    drop(listener);
    connections.end().await;
}

/// Refuses new work, waits for running answers, closes the channels.
async fn drain(app: &App, shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    app.drain();
    tracing::info!("shutting down: new work is refused, running answers may end");
    let ended = async {
        while app.relay.is_busy() {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
    };
    if tokio::time::timeout(app.times.drain, ended).await.is_err() {
        tracing::warn!("answers that did not end in time are cut");
    }
    app.closing.cancel();
}

struct Connections {
    router: Router,
    times: Times,
    room: Arc<Room>,
    open: TaskTracker,
    /// Connections finish what they are at.
    close: CancellationToken,
    /// Connections end now.
    cut: CancellationToken,
}

impl Connections {
    async fn accept(&self, listener: &TcpListener) {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _peer)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(place) = self.room.enter().await else {
                return;
            };
            self.serve(stream, place);
        }
    }

    fn serve(&self, stream: TcpStream, place: Place) {
        tune(&stream);
        let (known, times) = (Connection::new(place), self.times);
        let socket = Socket::new(stream, Arc::clone(&known.ending));
        let socket = WriteTimeout::new(socket, times.slow_caller, Arc::clone(&known.ending));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(times.header_wait)
            .max_buf_size(limits::HEADER_BYTES)
            .serve_connection(
                TokioIo::new(socket),
                PerConnection::new(self.router.clone(), Arc::clone(&known)),
            );
        let (close, cut) = (self.close.clone(), self.cut.clone());
        self.open.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            // A peer that breaks the protocol or leaves is everyday life, not worth a line.
            tokio::select! {
                _ = connection.as_mut() => {}
                () = known.must_close(times.unproven) => {}
                () = close.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    tokio::select! {
                        _ = connection => {}
                        () = cut.cancelled() => known.ending.breaks(),
                    }
                }
            }
        });
    }

    async fn end(&self) {
        self.open.close();
        self.close.cancel();
        let closed = tokio::time::timeout(limits::CLOSE, self.open.wait()).await;
        if closed.is_err() {
            tracing::info!("connections that did not close in time are cut");
            self.cut.cancel();
            self.open.wait().await;
        }
    }
}

/// Without TCP_NODELAY every token waits for an acknowledgement; without a user timeout a vanished
/// host stays "connected" for minutes.
fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(stream).set_tcp_user_timeout(Some(limits::TCP_USER_TIMEOUT));
    let _ = SockRef::from(stream).set_keepalive(true);
}
