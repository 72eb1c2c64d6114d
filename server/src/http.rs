//! The HTTP/1.1 server: accepts connections, bounds them, and closes them in order at shutdown.
//! Knows nothing of models or tokens.

pub(crate) mod body;
pub(crate) mod connection;
mod connection_limit;
mod connection_service;
pub(crate) mod cors;
pub(crate) mod error;
pub(crate) mod format_errors;
pub(crate) mod openapi;
mod socket;
mod write_timeout;

use crate::limits::{self, Times};
use crate::tls::Tls;
use axum::Router;
use connection::Connection;
use connection_limit::{ConnectionLimit, Place};
use connection_service::ConnectionService;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket::Socket;
use socket2::SockRef;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use write_timeout::WriteTimeout;

/// Pause after `accept` failed (out of file descriptors, say), instead of a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket that accepts connections.
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// TLS that every connection speaks; without it they speak HTTP in clear text.
    pub tls: Option<Arc<Tls>>,
}

/// Accepts connections until `drained` completes, then closes them and returns when all are closed.
pub(crate) async fn serve(
    listener: Listener,
    router: Router,
    times: Times,
    drained: impl Future<Output = ()>,
) {
    let connections = Connections {
        requests: Requests {
            router,
            times,
            close: CancellationToken::new(),
            cut: CancellationToken::new(),
        },
        tls: listener.tls,
        limit: ConnectionLimit::new(connection_limit::places()),
        open: TaskTracker::new(),
    };
    tokio::select! {
        () = connections.accept(&listener.socket) => {}
        () = drained => {}
    }
    drop(listener.socket);
    connections.end().await;
}

struct Connections {
    requests: Requests,
    tls: Option<Arc<Tls>>,
    limit: Arc<ConnectionLimit>,
    open: TaskTracker,
}

impl Connections {
    async fn accept(&self, listener: &TcpListener) {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _peer)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(place) = self.limit.enter().await else {
                return;
            };
            self.serve(stream, place);
        }
    }

    fn serve(&self, stream: TcpStream, place: Place) {
        tune(&stream);
        let (state, requests) = (Connection::new(place), self.requests.clone());
        let socket = Socket::new(stream, Arc::clone(&state.ending));
        let limit = requests.times.slow_caller;
        let socket = WriteTimeout::new(socket, limit, Arc::clone(&state.ending));
        match self.tls.clone() {
            None => self.open.spawn(requests.serve(socket, state)),
            Some(tls) => self.open.spawn(requests.serve_tls(tls, socket, state)),
        };
    }

    async fn end(&self) {
        self.open.close();
        self.requests.close.cancel();
        let closed = tokio::time::timeout(limits::CLOSE, self.open.wait()).await;
        if closed.is_err() {
            tracing::info!("cutting connections that did not close in time");
            self.requests.cut.cancel();
            self.open.wait().await;
        }
    }
}

/// What each connection needs to serve its requests.
#[derive(Clone)]
struct Requests {
    router: Router,
    times: Times,
    /// Cancelled when connections finish their current request and close.
    close: CancellationToken,
    /// Cancelled when connections end at once.
    cut: CancellationToken,
}

impl Requests {
    /// Makes the TLS handshake, then serves the requests inside.
    async fn serve_tls<S>(self, tls: Arc<Tls>, socket: S, state: Arc<Connection>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = tokio::select! {
            stream = tls.accept(socket, self.times.handshake) => stream,
            () = state.must_close(self.times.unproven) => None,
            () = self.close.cancelled() => None,
        };
        if let Some(stream) = stream {
            self.serve(stream, state).await;
        }
    }

    /// Serves requests until the connection ends.
    fn serve<S>(
        self,
        socket: S,
        state: Arc<Connection>,
    ) -> impl Future<Output = ()> + Send + 'static
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { router, times, close, cut } = self;
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(times.header_wait)
            .max_buf_size(limits::HEADER_BYTES)
            .serve_connection(
                TokioIo::new(socket),
                ConnectionService::new(router, Arc::clone(&state)),
            );
        async move {
            let mut connection = std::pin::pin!(connection);
            // A peer that breaks the protocol or leaves is common and not logged.
            tokio::select! {
                _ = connection.as_mut() => {}
                () = state.must_close(times.unproven) => {}
                () = close.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    tokio::select! {
                        _ = connection => {}
                        () = cut.cancelled() => state.ending.mark_broken(),
                    }
                }
            }
        }
    }
}

/// Sets TCP_NODELAY, because every token would wait for an acknowledgement without it, and a user
/// timeout, because a vanished host would stay "connected" for minutes.
fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(stream).set_tcp_user_timeout(Some(limits::TCP_USER_TIMEOUT));
    let _ = SockRef::from(stream).set_keepalive(true);
}
