//! The router for one connection: puts the [`Connection`] into each request's extensions, and
//! notices request bodies that were not read to their end.

use super::connection::Connection;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, header};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

/// Serves the requests of one connection.
pub(super) struct ConnectionService {
    router: TowerToHyperService<Router>,
    connection: Arc<Connection>,
}

impl ConnectionService {
    pub(super) fn new(router: Router, connection: Arc<Connection>) -> Self {
        Self { router: TowerToHyperService::new(router), connection }
    }
}

impl Service<Request<Incoming>> for ConnectionService {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let connection = Arc::clone(&self.connection);
        let is_read = Arc::new(AtomicBool::new(request.body().is_end_stream()));
        let watched = Arc::clone(&is_read);
        let mut request = request.map(|body| Body::new(Watched { body, is_read: watched }));
        request.extensions_mut().insert(Arc::clone(&connection));
        connection.ending.reset();
        let response = self.router.call(request);
        Box::pin(async move {
            let mut response = response.await?;
            connection.wait_for_next();
            if !is_read.load(Ordering::Relaxed) {
                // The rest of the body follows on the connection and is not read.
                connection.ending.mark_unread();
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            Ok(response)
        })
    }
}

/// A request body that records when it has been read to its end.
struct Watched {
    body: Incoming,
    is_read: Arc<AtomicBool>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.is_read.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
