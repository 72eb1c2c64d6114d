//! The accept loop: HTTP/1.1 only, with the timeouts and bounds that a server on the internet
//! needs, and its orderly end.

use crate::limits;
use crate::state::App;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Pause after `accept` failed (out of file descriptors, say): a busy loop helps nobody.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often the end looks whether the running answers have ended.
const DRAIN_LOOK: Duration = Duration::from_millis(50);

/// Serves until `shutdown`, then lets running answers end for [`limits::DRAIN`], and returns.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    app: Arc<App>,
    shutdown: CancellationToken,
) {
    let connections = GracefulShutdown::new();
    let accepting = CancellationToken::new();
    let room = Arc::new(Semaphore::new(limits::CONNECTIONS));
    let accept = accept_loop(&listener, &router, &connections, &room, &accepting);
    let end = async {
        shutdown.cancelled().await;
        drain(&app).await;
        accepting.cancel();
    };
    tokio::join!(accept, end);
    drop(listener);
    if tokio::time::timeout(limits::CLOSE, connections.shutdown())
        .await
        .is_err()
    {
        tracing::info!("connections that did not close in time are cut");
    }
}

/// Refuses new work, waits for running answers, closes the channels.
async fn drain(app: &App) {
    app.drain();
    let running = app.driver.with(|relay, _, _| relay.gauges().running);
    tracing::info!(
        running,
        "shutting down: new work is refused, running answers may end"
    );
    let ended = async {
        while app.driver.with(|relay, _, _| relay.gauges().running) > 0 {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
    };
    if tokio::time::timeout(limits::DRAIN, ended).await.is_err() {
        let running = app.driver.with(|relay, _, _| relay.gauges().running);
        tracing::warn!(running, "answers that did not end in time are cut");
    }
    app.closing.cancel();
}

async fn accept_loop(
    listener: &TcpListener,
    router: &Router,
    connections: &GracefulShutdown,
    room: &Arc<Semaphore>,
    stop: &CancellationToken,
) {
    loop {
        let permit = tokio::select! {
            () = stop.cancelled() => return,
            permit = Arc::clone(room).acquire_owned() => permit,
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _peer)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        tune(&stream);
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits::HEADER_WAIT)
            .max_buf_size(limits::HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let watched = connections.watch(connection);
        tokio::spawn(async move {
            // A peer that breaks the protocol or leaves is everyday life, not worth a line.
            let _ = watched.await;
            drop(permit);
        });
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
