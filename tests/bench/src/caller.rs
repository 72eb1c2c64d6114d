//! A caller: sends requests one after the other on one connection.

use crate::routes::Route;
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::either::Either;

/// An open connection.
pub(crate) struct Caller {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
    bearer: String,
    rewritten: bool,
}

impl Caller {
    pub(crate) async fn connect(route: &Route) -> Self {
        let authority = route.url.split_once("://").unwrap().1.to_owned();
        let socket = TcpStream::connect(&authority).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let socket = match &route.tls {
            None => Either::Left(socket),
            Some(tls) => {
                let name = ServerName::try_from("127.0.0.1").unwrap();
                Either::Right(tls.connect(name, socket).await.unwrap())
            }
        };
        let (sender, connection) = http1::handshake(TokioIo::new(socket)).await.unwrap();
        tokio::spawn(connection);
        let bearer = format!("Bearer {}", route.token);
        Self { sender, authority, bearer, rewritten: route.rewrites }
    }

    /// Opens this many connections.
    pub(crate) async fn several(route: &Route, count: usize) -> Vec<Self> {
        let mut callers = Vec::with_capacity(count);
        for _ in 0..count {
            callers.push(Self::connect(route).await);
        }
        callers
    }

    /// Sends a chat request and returns the response without its body.
    pub(crate) async fn post(&mut self, body: &Bytes) -> Response<Incoming> {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/chat/completions")
            .header(header::HOST, &self.authority)
            .header(header::AUTHORIZATION, &self.bearer)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body.clone()))
            .unwrap();
        self.sender.ready().await.unwrap();
        let response = self.sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200, "a route returned an error");
        response
    }

    /// Sends a chat request and reads the response, which must have this length.
    pub(crate) async fn whole(&mut self, body: &Bytes, length: usize) {
        let read = self.pieces(body, |_| ()).await;
        assert!(
            self.rewritten || read == length,
            "a response has another length than the backend's"
        );
    }

    /// Sends a chat request, passes each chunk of the response to `inspect`, and returns its length.
    pub(crate) async fn pieces(&mut self, body: &Bytes, mut inspect: impl FnMut(&[u8])) -> usize {
        let mut response = self.post(body).await;
        let mut length = 0;
        while let Some(frame) = response.body_mut().frame().await {
            if let Ok(data) = frame.unwrap().into_data() {
                length += data.len();
                inspect(&data);
            }
        }
        length
    }
}
