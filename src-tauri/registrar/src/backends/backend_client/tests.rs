//! An client and a backend whose every word the test says itself.

use super::{BackendClient, BackendResponse, SendError};
use futures_util::TryStreamExt as _;
use reqwest::Client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const LAST: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
const BEGUN: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n";

/// A backend whose every word the test says itself.
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
        client.send(Client::new().post(&self.url).body("hello").build().unwrap()).await
    }

    /// One question, answered with these bytes on this connection.
    async fn answers(
        &self,
        client: &BackendClient,
        socket: &mut TcpStream,
        bytes: &[u8],
    ) -> BackendResponse {
        let (answer, ()) = tokio::join!(self.send(client), answer(socket, bytes));
        answer.unwrap()
    }
}

async fn heard(socket: &mut TcpStream) {
    let mut heard = Vec::new();
    while !heard.ends_with(b"hello") {
        assert!(socket.read_buf(&mut heard).await.unwrap() > 0, "the question broke off");
    }
}

async fn answer(socket: &mut TcpStream, bytes: &[u8]) {
    heard(socket).await;
    socket.write_all(bytes).await.unwrap();
}

/// The next connection, answered with these bytes.
async fn first_of(backend: &Backend, bytes: &[u8]) -> TcpStream {
    let mut socket = backend.accept().await;
    answer(&mut socket, bytes).await;
    socket
}

async fn first(
    backend: &Backend,
    client: &BackendClient,
    bytes: &[u8],
) -> (BackendResponse, TcpStream) {
    tokio::join!(async { backend.send(client).await.unwrap() }, first_of(backend, bytes))
}

async fn text(answer: BackendResponse) -> String {
    let pieces: Vec<_> = answer.try_collect().await.unwrap();
    String::from_utf8(pieces.concat()).unwrap()
}

#[tokio::test]
async fn a_connection_that_has_answered_is_asked_again() {
    let (backend, client) = (Backend::new().await, BackendClient::new().unwrap());
    let (answer, mut socket) = first(&backend, &client, WHOLE).await;
    assert_eq!(answer.length(), Some(2));
    assert_eq!(text(answer).await, "ok");
    let again = backend.answers(&client, &mut socket, WHOLE).await;
    assert_eq!(text(again).await, "ok");
}

#[tokio::test]
async fn a_connection_that_the_backend_has_closed_is_replaced() {
    let (backend, client) = (Backend::new().await, BackendClient::new().unwrap());
    for bytes in [WHOLE, LAST, WHOLE] {
        let (answer, socket) = first(&backend, &client, bytes).await;
        assert_eq!(text(answer).await, "ok");
        drop(socket);
    }
}

#[tokio::test]
async fn a_question_that_meets_the_end_of_a_used_connection_is_asked_once_more() {
    let (backend, client) = (Backend::new().await, BackendClient::new().unwrap());
    let (answer, mut socket) = first(&backend, &client, WHOLE).await;
    assert_eq!(text(answer).await, "ok");
    // The backend closes it while the question is on its way.
    let closes = async {
        heard(&mut socket).await;
        drop(socket);
        first_of(&backend, WHOLE).await
    };
    let (answer, socket) = tokio::join!(backend.send(&client), closes);
    assert_eq!(text(answer.unwrap()).await, "ok");
    drop(socket);
    // On a connection of its own it is not.
    let dies = async {
        heard(&mut backend.accept().await).await;
    };
    let (answer, ()) = tokio::join!(backend.send(&client), dies);
    assert!(matches!(answer, Err(SendError::Broken(_))));
}

#[tokio::test]
async fn what_one_read_gave_is_one_piece_and_a_dropped_answer_closes_its_connection() {
    let (backend, client) = (Backend::new().await, BackendClient::new().unwrap());
    let (mut answer, mut socket) = first(&backend, &client, BEGUN).await;
    assert_eq!(answer.try_next().await.unwrap().unwrap(), "ab");
    drop(answer);
    assert_eq!(socket.read(&mut [0]).await.unwrap(), 0, "it is closed");
    let (answer, _) = first(&backend, &client, WHOLE).await;
    assert_eq!(text(answer).await, "ok", "on a connection of its own");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_and_nobody_there_is_another() {
    let (backend, client) = (Backend::new().await, BackendClient::new().unwrap());
    let (mut answer, socket) = first(&backend, &client, BEGUN).await;
    assert_eq!(answer.try_next().await.unwrap().unwrap(), "ab");
    drop(socket);
    assert!(answer.try_next().await.is_err());
    drop(backend.listener);
    let gone = Backend { listener: Backend::new().await.listener, url: backend.url };
    assert!(matches!(gone.send(&client).await, Err(SendError::Unreachable(_))));
}
