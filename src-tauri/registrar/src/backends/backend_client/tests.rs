//! The client against a backend whose every byte the test writes itself.

use super::{BackendClient, BackendRequest, BackendResponse, Endpoint, SendError};
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use reqwest::header::HeaderMap;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const WHOLE_AND_CLOSE: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
const UNFINISHED: &[u8] =
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n";

/// A backend whose every byte the test writes itself.
struct Backend {
    listener: TcpListener,
    url: String,
}

impl Backend {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        Self { listener, url }
    }

    async fn accept(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    async fn send(&self, client: &BackendClient) -> Result<BackendResponse, SendError> {
        let endpoint = Arc::new(Endpoint::new(self.url.parse().unwrap()));
        let (headers, body) = (HeaderMap::new(), Bytes::from_static(b"hello"));
        client.send(&BackendRequest { endpoint, headers, body }).await
    }

    /// Sends a request and responds with these bytes on this connection.
    async fn exchange(
        &self,
        client: &BackendClient,
        socket: &mut TcpStream,
        bytes: &[u8],
    ) -> BackendResponse {
        let (response, ()) = tokio::join!(self.send(client), respond(socket, bytes));
        response.unwrap()
    }
}

async fn read_request(socket: &mut TcpStream) {
    let mut read = Vec::new();
    while !read.ends_with(b"hello") {
        assert!(socket.read_buf(&mut read).await.unwrap() > 0, "the request broke off");
    }
}

async fn respond(socket: &mut TcpStream, bytes: &[u8]) {
    read_request(socket).await;
    socket.write_all(bytes).await.unwrap();
}

/// Accepts a connection and responds with these bytes.
async fn serve_once(backend: &Backend, bytes: &[u8]) -> TcpStream {
    let mut socket = backend.accept().await;
    respond(&mut socket, bytes).await;
    socket
}

async fn first_exchange(
    backend: &Backend,
    client: &BackendClient,
    bytes: &[u8],
) -> (BackendResponse, TcpStream) {
    tokio::join!(async { backend.send(client).await.unwrap() }, serve_once(backend, bytes))
}

async fn text(response: BackendResponse) -> String {
    let reads: Vec<_> = response.try_collect().await.unwrap();
    String::from_utf8(reads.concat()).unwrap()
}

#[tokio::test]
async fn a_connection_is_used_again_after_a_complete_response() {
    let (backend, client) = (Backend::new().await, BackendClient::new().unwrap());
    let (response, mut socket) = first_exchange(&backend, &client, WHOLE).await;
    assert_eq!(response.length(), Some(2));
    assert_eq!(text(response).await, "ok");
    let again = backend.exchange(&client, &mut socket, WHOLE).await;
    assert_eq!(text(again).await, "ok");
}

#[tokio::test]
async fn a_connection_that_the_backend_has_closed_is_replaced() {
    let (backend, client) = (Backend::new().await, BackendClient::new().unwrap());
    for bytes in [WHOLE, WHOLE_AND_CLOSE, WHOLE] {
        let (response, socket) = first_exchange(&backend, &client, bytes).await;
        assert_eq!(text(response).await, "ok");
        drop(socket);
    }
}

#[tokio::test]
async fn a_request_that_meets_the_close_of_an_idle_connection_is_sent_once_more() {
    let (backend, client) = (Backend::new().await, BackendClient::new().unwrap());
    let (response, mut socket) = first_exchange(&backend, &client, WHOLE).await;
    assert_eq!(text(response).await, "ok");
    // The backend closes it while the request is on its way.
    let closes = async {
        read_request(&mut socket).await;
        drop(socket);
        serve_once(&backend, WHOLE).await
    };
    let (response, socket) = tokio::join!(backend.send(&client), closes);
    assert_eq!(text(response.unwrap()).await, "ok");
    drop(socket);
    // On a new connection it is not.
    let dies = async {
        read_request(&mut backend.accept().await).await;
    };
    let (response, ()) = tokio::join!(backend.send(&client), dies);
    assert!(matches!(response, Err(SendError::Broken(_))));
}

#[tokio::test]
async fn one_read_is_one_item_and_a_dropped_response_closes_its_connection() {
    let (backend, client) = (Backend::new().await, BackendClient::new().unwrap());
    let (mut response, mut socket) = first_exchange(&backend, &client, UNFINISHED).await;
    assert_eq!(response.try_next().await.unwrap().unwrap(), "ab");
    drop(response);
    assert_eq!(socket.read(&mut [0]).await.unwrap(), 0, "it is closed");
    let (response, _) = first_exchange(&backend, &client, WHOLE).await;
    assert_eq!(text(response).await, "ok", "on a new connection");
}

#[tokio::test]
async fn a_broken_response_is_an_error_and_an_unreachable_backend_is_another() {
    let (backend, client) = (Backend::new().await, BackendClient::new().unwrap());
    let (mut response, socket) = first_exchange(&backend, &client, UNFINISHED).await;
    assert_eq!(response.try_next().await.unwrap().unwrap(), "ab");
    drop(socket);
    assert!(response.try_next().await.is_err());
    drop(backend.listener);
    let gone = Backend { listener: Backend::new().await.listener, url: backend.url };
    assert!(matches!(gone.send(&client).await, Err(SendError::Unreachable(_))));
}
