//! One question to a backend: a connection of its own, driven by whoever waits for the answer or
//! reads it. Dropping the answer closes the connection, there and then; and no task in between hands
//! over each token. What one read of the socket gave comes as one piece.

use crate::client::innermost;
use crate::limits;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Body, Request, StatusCode};
use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tower_service::Service as _;

type Connection = http1::Connection<MaybeHttpsStream<TokioIo<TcpStream>>, Body>;

/// Opens connections to backends: never through a proxy, which would see the prompts.
///
/// Each question has its own. Backends close idle connections at moments of their own choice, and a
/// request that meets such a moment cannot be sent again without running it twice.
#[derive(Clone)]
pub(crate) struct Asker(HttpsConnector<HttpConnector>);

/// Why there is no answer, for the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// Nobody was there.
    Unreachable(String),
    /// It broke off.
    Broken(String),
}

impl Asker {
    pub(crate) fn new() -> Result<Self, String> {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.enforce_http(false);
        let tls = HttpsConnectorBuilder::new().with_native_roots();
        let tls = tls.map_err(|error| format!("TLS cannot be set up: {error}"))?;
        Ok(Self(tls.https_or_http().enable_http1().wrap_connector(http)))
    }

    /// Sends it and waits for the answer's head.
    pub(crate) async fn ask(&self, request: Request) -> Result<Answer, Unanswered> {
        let stream = self.connect(&request).await?;
        let broken = |error: hyper::Error| Unanswered::Broken(network(&error));
        let builder = http1::Builder::new().max_buf_size(limits::PIECE).clone();
        let (mut sender, connection) = builder.handshake(stream).await.map_err(broken)?;
        let mut connection = Some(Box::pin(connection));
        let sent = sender.send_request(in_origin_form(request)?);
        let mut sent = std::pin::pin!(sent);
        let answer = poll_fn(|context| {
            drive(&mut connection, context);
            sent.as_mut().poll(context)
        });
        let (head, body) = answer.await.map_err(broken)?.into_parts();
        let (status, headers) = (head.status, head.headers);
        Ok(Answer { status, headers, connection, body, end: None })
    }

    async fn connect(
        &self,
        request: &Request,
    ) -> Result<MaybeHttpsStream<TokioIo<TcpStream>>, Unanswered> {
        let unusable = || Unanswered::Unreachable("cannot be reached: its URL".into());
        let uri = request.url().as_str().parse().map_err(|_| unusable())?;
        let connecting = self.0.clone().call(uri);
        match tokio::time::timeout(limits::BACKEND_CONNECT, connecting).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(Unanswered::Unreachable(network(error.as_ref()))),
            Err(_) => Err(Unanswered::Unreachable("no answer in time".into())),
        }
    }
}

/// As a server expects it: a path, and the host beside it.
fn in_origin_form(request: Request) -> Result<http::Request<Body>, Unanswered> {
    let unusable = |_| Unanswered::Unreachable("cannot be reached: its URL".into());
    let host = &request.url()[url::Position::BeforeHost..url::Position::AfterPort];
    let host = HeaderValue::from_str(host).map_err(|_| unusable(()))?;
    let path = request.url()[url::Position::BeforePath..].parse().map_err(|_| unusable(()))?;
    let mut request: http::Request<Body> = request.try_into().map_err(|_| unusable(()))?;
    *request.uri_mut() = path;
    request.headers_mut().insert(header::HOST, host);
    Ok(request)
}

fn network(error: &(dyn Error + 'static)) -> String {
    format!("cannot be reached: {}", innermost(error))
}

/// Moves bytes; a connection that is done is let go.
fn drive(connection: &mut Option<Pin<Box<Connection>>>, context: &mut Context<'_>) {
    if connection.as_mut().is_some_and(|open| open.as_mut().poll(context).is_ready()) {
        // How it ended, whoever waits on it is told there.
        *connection = None;
    }
}

/// An answer: its head, and a stream of its body.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    connection: Option<Pin<Box<Connection>>>,
    body: Incoming,
    /// How the body has ended.
    end: Option<Result<(), hyper::Error>>,
}

impl Answer {
    /// The next frame of the body, when it is there.
    fn frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(data));
                    }
                }
                Poll::Ready(ended) => {
                    self.end = Some(ended.map_or(Ok(()), |error| error.map(drop)));
                    return Poll::Ready(None);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Stream for Answer {
    type Item = Result<Bytes, hyper::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut piece = Piece::default();
        while self.end.is_none() && piece.len() < limits::PIECE {
            let mut frame = self.frame(context);
            if frame.is_pending() {
                drive(&mut self.connection, context);
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
