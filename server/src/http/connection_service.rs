//! The router as one connection has it: each request knows its connection, and the connection knows
//! whether each request was read to its end.

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

/// See the module's page.
pub(super) struct PerConnection {
    router: TowerToHyperService<Router>,
    connection: Arc<Connection>,
}

impl PerConnection {
    pub(super) fn new(router: Router, connection: Arc<Connection>) -> Self {
        Self { router: TowerToHyperService::new(router), connection }
    }
}

impl Service<Request<Incoming>> for PerConnection {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let connection = Arc::clone(&self.connection);
        let is_read = Arc::new(AtomicBool::new(request.body().is_end_stream()));
        let watched = Arc::clone(&is_read);
        let mut request = request.map(|body| Body::new(Watched { body, is_read: watched }));
        request.extensions_mut().insert(Arc::clone(&connection));
        connection.ending.begins_anew();
        let answer = self.router.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            connection.rests();
            if !is_read.load(Ordering::Relaxed) {
                // What follows on the connection is the rest of a body that nobody reads.
                connection.ending.leaves_unread();
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            Ok(response)
        })
    }
}

/// A request's body that says when it has been read to its end.
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
