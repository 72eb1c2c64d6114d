//! One question to a backend, on a connection that is driven by whoever waits for the answer or reads
//! it. Dropping the answer closes the connection, there and then; and no task in between hands over
//! each token. What one read of the socket gave comes as one piece.

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
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Body, Request, StatusCode};
use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tower_service::Service as _;
use url::{Position, Url};

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
type Connection = http1::Connection<Stream, Body>;

/// Asks backends: never through a proxy, which would see the prompts.
///
/// A connection that has answered is asked again within [`limits::BACKEND_IDLE`]. Backends close idle
/// ones at moments of their own choice, most after 5 s and more. A request that meets such a moment
/// breaks off at once and without a word: it is asked once more, on a connection of its own.
#[derive(Clone)]
pub(crate) struct BackendClient {
    connector: HttpsConnector<HttpConnector>,
    idle: Idle,
}

/// Connections that have answered, the latest last.
type Idle = Arc<Mutex<Vec<(Instant, Line)>>>;

/// An open connection.
struct Line {
    /// Scheme, host and port.
    origin: String,
    sender: http1::SendRequest<Body>,
    connection: Option<Pin<Box<Connection>>>,
}

/// Why there is no answer, for the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SendError {
    /// Nobody was there.
    Unreachable(String),
    /// It broke off.
    Broken(String),
}

impl BackendClient {
    pub(crate) fn new() -> Result<Self, String> {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.enforce_http(false);
        let tls = HttpsConnectorBuilder::new().with_native_roots();
        let tls = tls.map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let connector = tls.https_or_http().enable_http1().wrap_connector(http);
        Ok(Self { connector, idle: Idle::default() })
    }

    /// Sends it and waits for the answer's head.
    pub(crate) async fn send(&self, request: Request) -> Result<BackendResponse, SendError> {
        if let Some(line) = self.idle(origin(request.url())).await
            && let Some(first) = request.try_clone()
        {
            let asked = Instant::now();
            match line.send(in_origin_form(first)?, &self.idle).await {
                Ok(answer) => return Ok(answer),
                // Later than that it had begun to work.
                Err(error) if asked.elapsed() >= limits::BACKEND_CLOSES => {
                    return Err(SendError::Broken(network(&error)));
                }
                Err(_) => {}
            }
        }
        let line = self.connect(request.url()).await?;
        let sent = line.send(in_origin_form(request)?, &self.idle).await;
        sent.map_err(|error| SendError::Broken(network(&error)))
    }

    /// Closes connections that nobody asked again.
    pub(crate) fn prune(&self) {
        self.idle.lock().retain(|(since, _)| since.elapsed() < limits::BACKEND_IDLE);
    }

    /// An open connection that can be asked again.
    async fn idle(&self, origin: &str) -> Option<Line> {
        loop {
            self.prune();
            let mut line = {
                let mut idle = self.idle.lock();
                let at = idle.iter().rposition(|(_, line)| line.origin == origin)?;
                idle.swap_remove(at).1
            };
            // That it was closed is heard when the runtime looks at its sockets next.
            tokio::task::yield_now().await;
            if poll_fn(|context| Poll::Ready(line.is_idle(context))).await {
                return Some(line);
            }
        }
    }

    async fn connect(&self, url: &Url) -> Result<Line, SendError> {
        let uri = url.as_str().parse().map_err(|_| unusable())?;
        let connecting = self.connector.clone().call(uri);
        let stream = match tokio::time::timeout(limits::BACKEND_CONNECT, connecting).await {
            Ok(connected) => {
                connected.map_err(|error| SendError::Unreachable(network(error.as_ref())))?
            }
            Err(_) => return Err(SendError::Unreachable("no answer in time".into())),
        };
        let shaken = http1::Builder::new().max_buf_size(limits::PIECE).handshake(stream).await;
        let (sender, connection) = shaken.map_err(|error| SendError::Broken(network(&error)))?;
        let connection = Some(Box::pin(connection));
        Ok(Line { origin: origin(url).to_owned(), sender, connection })
    }
}

impl Line {
    /// Sends a request and waits for the head of its answer.
    async fn send(
        mut self,
        request: http::Request<Body>,
        idle: &Idle,
    ) -> Result<BackendResponse, hyper::Error> {
        let mut sent = pin!(self.sender.send_request(request));
        let answer = poll_fn(|context| {
            drive(&mut self.connection, context);
            sent.as_mut().poll(context)
        });
        let (head, body) = answer.await?.into_parts();
        let (status, headers) = (head.status, head.headers);
        Ok(BackendResponse {
            status,
            headers,
            line: Some(self),
            body,
            end: None,
            idle: Arc::clone(idle),
        })
    }

    /// Whether the last answer is over and the other end is still there.
    fn is_idle(&mut self, context: &mut Context<'_>) -> bool {
        drive(&mut self.connection, context);
        self.connection.is_some() && self.sender.is_ready()
    }
}

/// Scheme, host and port.
fn origin(url: &Url) -> &str {
    &url[..Position::BeforePath]
}

/// As a server expects it: a path, and the host beside it.
fn in_origin_form(mut asked: Request) -> Result<http::Request<Body>, SendError> {
    let url = asked.url();
    let host = HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort]);
    let host = host.map_err(|_| unusable())?;
    let path = url[Position::BeforePath..Position::AfterQuery].parse().map_err(|_| unusable())?;
    let mut request = http::Request::new(asked.body_mut().take().unwrap_or_default());
    *request.method_mut() = asked.method().clone();
    *request.uri_mut() = path;
    *request.headers_mut() = std::mem::take(asked.headers_mut());
    request.headers_mut().insert(header::HOST, host);
    Ok(request)
}

fn unusable() -> SendError {
    SendError::Unreachable("cannot be reached: its URL".into())
}

fn network(error: &(dyn Error + 'static)) -> String {
    format!("cannot be reached: {}", root_cause(error))
}

/// Moves bytes; a connection that is done is let go.
fn drive(connection: &mut Option<Pin<Box<Connection>>>, context: &mut Context<'_>) {
    if connection.as_mut().is_some_and(|open| open.as_mut().poll(context).is_ready()) {
        // How it ended, whoever waits on it is told there.
        *connection = None;
    }
}

/// An answer: its head, and a stream of its body.
pub(crate) struct BackendResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    line: Option<Line>,
    body: Incoming,
    /// How the body has ended.
    end: Option<Result<(), hyper::Error>>,
    /// Where the connection goes when the body has ended well.
    idle: Idle,
}

impl BackendResponse {
    /// Bytes of its body, when the backend said it.
    pub(crate) fn length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// The next frame of the body, when it is there.
    fn frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(data));
                    }
                }
                Poll::Ready(None) => {
                    self.end = Some(Ok(()));
                    self.keep(context);
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
}

impl BackendResponse {
    /// Keeps the connection for the next question.
    fn keep(&mut self, context: &mut Context<'_>) {
        let Some(mut line) = self.line.take() else { return };
        let mut idle = self.idle.lock();
        if idle.len() < limits::BACKEND_LINES && line.is_idle(context) {
            idle.push((Instant::now(), line));
        }
    }
}

impl futures_util::Stream for BackendResponse {
    type Item = Result<Bytes, hyper::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut piece = Piece::default();
        while self.end.is_none() && piece.len() < limits::PIECE {
            let mut frame = self.frame(context);
            if frame.is_pending() {
                if let Some(line) = &mut self.line {
                    drive(&mut line.connection, context);
                }
                frame = self.frame(context);
            }
            match frame {
                Poll::Ready(Some(data)) => piece.push(data),
                Poll::Ready(None) => {}
                Poll::Pending if piece.len() == 0 => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        if piece.len() > 0 {
            return Poll::Ready(Some(Ok(piece.into())));
        }
        Poll::Ready(match self.end.replace(Ok(())) {
            Some(Err(error)) => Some(Err(error)),
            Some(Ok(())) | None => None,
        })
    }
}

/// Frames put together; a single one is not copied.
#[derive(Default)]
struct Piece {
    first: Bytes,
    all: BytesMut,
}

impl Piece {
    fn len(&self) -> usize {
        self.first.len().max(self.all.len())
    }

    fn push(&mut self, data: Bytes) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if self.all.is_empty() {
            self.all.reserve(limits::PIECE);
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(&data);
    }
}

impl From<Piece> for Bytes {
    fn from(piece: Piece) -> Self {
        if piece.all.is_empty() { piece.first } else { piece.all.freeze() }
    }
}

#[cfg(test)]
mod tests;
