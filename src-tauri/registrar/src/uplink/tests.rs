//! The carrier against a server whose every byte the test reads and writes itself.

use super::{Answers, Carrier, task_number};
use crate::credentials::{Credentials, TokenSource};
use crate::limits::Times;
use crate::mcpd_client::{Fault, McpdClient, SessionRef};
use crate::server_link::ServerLink;
use bytes::{Buf as _, Bytes, BytesMut};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use wire::frames::{Decoder, Frame, Kind};
use wire::publisher::{FailureCode, TaskFailure};

const CONFIRMED: &str = "HTTP/1.1 204 No Content\r\n\r\n";

struct Server {
    listener: TcpListener,
    link: Arc<ServerLink>,
    answers: Arc<Answers>,
    times: Times,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let (bearer, source) = ("t".to_owned().into(), TokenSource::File);
        let mcpd = McpdClient::new(Credentials { url, bearer, source }).unwrap();
        let session = SessionRef { id: "s".into(), epoch: Some(1) };
        let link = Arc::new(ServerLink::new(mcpd, session));
        Self { listener, link, answers: Arc::default(), times: Times::default() }
    }

    fn carrier(&self) -> Carrier {
        Carrier::start(Arc::clone(&self.link), Arc::clone(&self.answers), self.times)
    }

    /// Accepts a connection and reads the head of an uplink on it.
    async fn accept(&self) -> Uplink {
        Uplink::open(self.listener.accept().await.unwrap().0).await
    }

    /// Ends a task with a failure, as the smallest answer.
    fn fail(&self, task: u128) {
        let code = Some(FailureCode::BackendAborted);
        self.answers.fail(task, &TaskFailure { message: "x".into(), code });
    }
}

/// One uplink as the server reads it.
struct Uplink {
    socket: TcpStream,
    head: String,
    /// Bytes that were read and are not decoded yet.
    read: BytesMut,
    decoder: Decoder,
}

impl Uplink {
    async fn open(socket: TcpStream) -> Self {
        let (read, decoder) = (BytesMut::new(), Decoder::default());
        let mut uplink = Self { socket, head: String::new(), read, decoder };
        uplink.read_head().await;
        uplink
    }

    async fn read_head(&mut self) {
        let end = loop {
            let found = self.read.windows(4).position(|four| four == b"\r\n\r\n");
            match found {
                Some(at) => break at + 4,
                None => self.read_more().await,
            }
        };
        self.head = String::from_utf8(self.read.split_to(end).to_vec()).unwrap().to_lowercase();
    }

    async fn read_more(&mut self) {
        assert!(self.socket.read_buf(&mut self.read).await.unwrap() > 0, "the uplink broke off");
    }

    /// The content of the next chunk of the body; empty at its end.
    async fn chunk(&mut self) -> Bytes {
        loop {
            if let Some(at) = self.read.windows(2).position(|two| two == b"\r\n") {
                let length = std::str::from_utf8(&self.read[..at]).unwrap();
                let length = usize::from_str_radix(length, 16).unwrap();
                if self.read.len() >= at + 2 + length + 2 {
                    self.read.advance(at + 2);
                    let content = self.read.split_to(length).freeze();
                    self.read.advance(2);
                    return content;
                }
            }
            self.read_more().await;
        }
    }

    /// The frames of the next chunk.
    async fn frames(&mut self) -> Vec<(u128, Kind)> {
        let chunk = self.chunk().await;
        self.decode(chunk)
    }

    fn decode(&mut self, bytes: Bytes) -> Vec<(u128, Kind)> {
        self.decoder.feed(bytes);
        let frames: Vec<Frame> =
            std::iter::from_fn(|| self.decoder.next_frame().unwrap()).collect();
        frames.into_iter().map(|frame| (frame.task, frame.kind)).collect()
    }

    async fn respond(&mut self, response: &str) {
        self.socket.write_all(response.as_bytes()).await.unwrap();
    }
}

#[test]
fn only_thirty_two_digits_are_the_number_of_a_task() {
    assert_eq!(task_number("000000000000000000000000000000ff"), Some(255));
    for id in ["", "ff", "+00000000000000000000000000000ff", "000000000000000000000000000000FF"] {
        assert_eq!(task_number(id), None, "{id}");
    }
}

#[tokio::test]
async fn an_uplink_opens_with_the_first_task_and_again_with_everything_when_it_breaks() {
    let server = Server::start().await;
    let _carrier = server.carrier();
    server.answers.begin(1);
    let mut first = server.accept().await;
    assert!(
        first.head.starts_with("post /api/v1/llms/_provider-uplink http/1.1"),
        "{}",
        first.head
    );
    assert!(first.head.contains("x-mcpctl-provider-session: s"), "{}", first.head);
    assert!(first.head.contains("transfer-encoding: chunked"), "{}", first.head);
    server.fail(1);
    assert_eq!(first.frames().await, [(1, Kind::Failed)]);
    drop(first);
    let mut second = server.accept().await;
    assert_eq!(second.frames().await, [(1, Kind::Failed)]);
    server.answers.finished(1);
    drop(second);
    let mut third = server.accept().await;
    server.answers.begin(2);
    server.fail(2);
    assert_eq!(third.frames().await, [(2, Kind::Failed)], "the first is forgotten");
}

#[tokio::test]
async fn an_uplink_is_replaced_at_its_age_and_repeats_nothing() {
    let mut server = Server::start().await;
    server.times.uplink_age = Duration::from_millis(50);
    let _carrier = server.carrier();
    server.answers.begin(1);
    let mut uplink = server.accept().await;
    server.fail(1);
    assert_eq!(uplink.frames().await, [(1, Kind::Failed)]);
    assert!(uplink.chunk().await.is_empty(), "it ends between two frames");
    server.answers.begin(2);
    server.fail(2);
    uplink.respond(CONFIRMED).await;
    // The connection is used again.
    uplink.read_head().await;
    assert_eq!(uplink.frames().await, [(2, Kind::Failed)]);
}

#[tokio::test]
async fn batches_have_a_length_and_come_one_at_a_time() {
    let server = Server::start().await;
    server.link.change_transport(|transport| transport.set_uploads_are_held_back(true));
    let _carrier = server.carrier();
    server.answers.begin(1);
    server.fail(1);
    let mut batch = server.accept().await;
    for task in [1, 2] {
        let length = batch.head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap().parse().unwrap();
        while batch.read.len() < length {
            batch.read_more().await;
        }
        server.answers.begin(2);
        server.fail(2);
        let frames = batch.read.split_to(length).freeze();
        assert_eq!(batch.decode(frames), [(task, Kind::Failed)]);
        if task == 1 {
            batch.respond(CONFIRMED).await;
            batch.read_head().await;
        }
    }
}

#[tokio::test]
async fn a_refusal_is_noticed_while_the_body_flows() {
    for (status, expected) in [("404 Not Found", true), ("401 Unauthorized", false)] {
        let server = Server::start().await;
        let mut carrier = server.carrier();
        server.answers.begin(1);
        let mut uplink = server.accept().await;
        uplink.respond(&format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")).await;
        let fault = carrier.ended().await;
        assert_eq!(fault == Fault::UnknownSession, expected, "{fault}");
        assert_eq!(matches!(fault, Fault::Denied(_)), !expected, "{fault}");
    }
}

#[tokio::test]
async fn a_slow_task_is_acknowledged() {
    let mut server = Server::start().await;
    server.times.ack_after = Duration::from_millis(20);
    let _carrier = server.carrier();
    server.answers.begin(1);
    server.answers.begin(2);
    let mut uplink = server.accept().await;
    assert_eq!(uplink.frames().await, [(1, Kind::Accepted), (2, Kind::Accepted)]);
}
