//! Requests of tasks to backends, on connections that the reader of the response drives: no task in
//! between hands over each token, and dropping the response closes the connection at once. The bytes
//! of one read of the socket come as one item.

use super::target::Endpoint;
use crate::limits;
use bytes::{Bytes, BytesMut};
use client::request_error::root_cause;
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use reqwest::header::{self, HeaderMap};
use reqwest::{Body, Method, StatusCode};
use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower_service::Service as _;

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
type HttpConnection = http1::Connection<Stream, Body>;

/// Sends requests to backends: never through a proxy, which would see the prompts.
///
/// A connection is used again within [`limits::BACKEND_IDLE`] of its last response. Backends close
/// idle ones at times of their own choice, most after 5 s and more. A request that meets such a moment
/// fails at once and without a response: it is sent once more, on a new connection.
#[derive(Clone)]
pub(crate) struct BackendClient {
    connector: HttpsConnector<HttpConnector>,
    idle: IdleConnections,
}

/// A POST request to a backend.
pub(crate) struct BackendRequest {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl BackendRequest {
    /// The request as a server expects it: a path, and the host in a header.
    fn to_http(&self) -> Result<http::Request<Body>, SendError> {
        let (path, host) = (&self.endpoint.path, &self.endpoint.host);
        let (Some(path), Some(host)) = (path, host) else { return Err(unusable_url()) };
        let mut sent = http::Request::new(self.body.clone().into());
        *sent.method_mut() = Method::POST;
        *sent.uri_mut() = path.clone();
        *sent.headers_mut() = self.headers.clone();
        sent.headers_mut().insert(header::HOST, host.clone());
        Ok(sent)
    }
}

/// Connections that can be used again, the latest last.
type IdleConnections = Arc<Mutex<Vec<(Instant, Connection)>>>;

/// An open connection.
struct Connection {
    /// Scheme, host and port.
    origin: String,
    sender: http1::SendRequest<Body>,
    driver: Option<Pin<Box<HttpConnection>>>,
}

/// Why there is no response; the cause, for the publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SendError {
    /// No connection could be made.
    Unreachable(String),
    /// The connection broke.
    Broken(String),
}

impl BackendClient {
    /// # Errors
    /// TLS cannot be set up.
    pub(crate) fn new() -> Result<Self, String> {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.enforce_http(false);
        let tls = HttpsConnectorBuilder::new().with_native_roots();
        let tls = tls.map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let connector = tls.https_or_http().enable_http1().wrap_connector(http);
        Ok(Self { connector, idle: IdleConnections::default() })
    }

    /// Sends a request and waits for the head of the response.
    ///
    /// # Errors
    /// The backend cannot be reached, or it broke off.
    pub(crate) async fn send(
        &self,
        request: &BackendRequest,
    ) -> Result<BackendResponse, SendError> {
        if let Some(connection) = self.take_idle(request.endpoint.origin()).await {
            let sent_at = Instant::now();
            match connection.send(request.to_http()?, &self.idle).await {
                Ok(response) => return Ok(response),
                // After this long the backend may have started the request, so do not retry.
                Err(error) if sent_at.elapsed() >= limits::BACKEND_CLOSES => {
                    return Err(SendError::Broken(describe(&error)));
                }
                Err(_) => {}
            }
        }
        let connection = self.connect(&request.endpoint).await?;
        let sent = connection.send(request.to_http()?, &self.idle).await;
        sent.map_err(|error| SendError::Broken(describe(&error)))
    }

    /// Closes connections that have been idle for too long.
    pub(crate) fn close_idle_connections(&self) {
        self.idle.lock().retain(|(since, _)| since.elapsed() < limits::BACKEND_IDLE);
    }

    /// Takes an open connection to this origin that can be used again.
    async fn take_idle(&self, origin: &str) -> Option<Connection> {
        loop {
            self.close_idle_connections();
            let mut connection = {
                let mut idle = self.idle.lock();
                let at = idle.iter().rposition(|(_, connection)| connection.origin == origin)?;
                idle.swap_remove(at).1
            };
            // The runtime notices that it was closed when it polls its sockets next.
            tokio::task::yield_now().await;
            if poll_fn(|context| Poll::Ready(connection.is_idle(context))).await {
                return Some(connection);
            }
        }
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Connection, SendError> {
        let uri = endpoint.url.as_str().parse().map_err(|_| unusable_url())?;
        let connecting = self.connector.clone().call(uri);
        let stream = match tokio::time::timeout(limits::BACKEND_CONNECT, connecting).await {
            Ok(connected) => {
                connected.map_err(|error| SendError::Unreachable(describe(error.as_ref())))?
            }
            Err(_) => return Err(SendError::Unreachable("no answer in time".into())),
        };
        let shaken =
            http1::Builder::new().max_buf_size(limits::BACKEND_READ).handshake(stream).await;
        let (sender, driver) = shaken.map_err(|error| SendError::Broken(describe(&error)))?;
        let driver = Some(Box::pin(driver));
        Ok(Connection { origin: endpoint.origin().to_owned(), sender, driver })
    }
}

impl Connection {
    /// Sends a request and waits for the head of its response.
    async fn send(
        mut self,
        request: http::Request<Body>,
        idle: &IdleConnections,
    ) -> Result<BackendResponse, hyper::Error> {
        let mut sent = pin!(self.sender.send_request(request));
        let response = poll_fn(|context| {
            drive(&mut self.driver, context);
            sent.as_mut().poll(context)
        });
        let (head, body) = response.await?.into_parts();
        let (status, headers, idle) = (head.status, head.headers, Arc::clone(idle));
        Ok(BackendResponse { status, headers, connection: Some(self), body, end: None, idle })
    }

    /// True if the last response is over and the backend has not closed the connection.
    fn is_idle(&mut self, context: &mut Context<'_>) -> bool {
        drive(&mut self.driver, context);
        self.driver.is_some() && self.sender.is_ready()
    }
}

fn unusable_url() -> SendError {
    SendError::Unreachable("cannot be reached: its URL".into())
}

fn describe(error: &(dyn Error + 'static)) -> String {
    format!("cannot be reached: {}", root_cause(error))
}

/// Moves the connection's bytes; drops a connection that has ended.
fn drive(driver: &mut Option<Pin<Box<HttpConnection>>>, context: &mut Context<'_>) {
    if driver.as_mut().is_some_and(|open| open.as_mut().poll(context).is_ready()) {
        // The request or the body that waits on it reports how it ended.
        *driver = None;
    }
}

/// A response: its head, and a stream of its body.
pub(crate) struct BackendResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    connection: Option<Connection>,
    body: Incoming,
    /// The end of the body, once reached.
    end: Option<Result<(), hyper::Error>>,
    /// Where the connection goes after a complete body.
    idle: IdleConnections,
}

impl BackendResponse {
    /// Length of the body in bytes, if the backend announced it.
    pub(crate) fn length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// The next frame of the body, if it has arrived.
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(data));
                    }
                }
                Poll::Ready(None) => {
                    self.end = Some(Ok(()));
                    self.release_connection(context);
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(error))) => {
                    self.end = Some(Err(error));
                    return Poll::Ready(None);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Makes the connection available for the next request.
    fn release_connection(&mut self, context: &mut Context<'_>) {
        let Some(mut connection) = self.connection.take() else { return };
        let mut idle = self.idle.lock();
        if idle.len() < limits::BACKEND_CONNECTIONS && connection.is_idle(context) {
            idle.push((Instant::now(), connection));
        }
    }
}

impl futures_util::Stream for BackendResponse {
    type Item = Result<Bytes, hyper::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut read = ReadBuffer::default();
        while self.end.is_none() && read.len() < limits::BACKEND_READ {
            let mut data = self.poll_data(context);
            if data.is_pending() {
                if let Some(connection) = &mut self.connection {
                    drive(&mut connection.driver, context);
                }
                data = self.poll_data(context);
            }
            match data {
                Poll::Ready(Some(data)) => read.push(data),
                Poll::Ready(None) => {}
                Poll::Pending if read.len() == 0 => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        if read.len() > 0 {
            return Poll::Ready(Some(Ok(read.into())));
        }
        Poll::Ready(match self.end.replace(Ok(())) {
            Some(Err(error)) => Some(Err(error)),
            Some(Ok(())) | None => None,
        })
    }
}

/// The frames of one read; a single one is not copied.
#[derive(Default)]
struct ReadBuffer {
    first: Bytes,
    all: BytesMut,
}

impl ReadBuffer {
    fn len(&self) -> usize {
        self.first.len().max(self.all.len())
    }

    fn push(&mut self, data: Bytes) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if self.all.is_empty() {
            self.all.reserve(limits::BACKEND_READ);
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(&data);
    }
}

impl From<ReadBuffer> for Bytes {
    fn from(read: ReadBuffer) -> Self {
        if read.all.is_empty() { read.first } else { read.all.freeze() }
    }
}

#[cfg(test)]
mod tests;
