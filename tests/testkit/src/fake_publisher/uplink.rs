//! An uplink on a connection of its own, so that a test decides about each byte and each end.

use crate::TIMEOUT;
use socket2::SockRef;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Content type of an uplink's body.
pub(super) const CONTENT_TYPE: &str = "application/vnd.mcpctl.frames";

/// An open uplink. Dropping it resets its connection.
pub struct Uplink {
    socket: TcpStream,
    /// What the server has said so far.
    said: Vec<u8>,
}

/// The response to an uplink.
#[derive(Debug)]
pub struct Ended {
    /// Its status.
    pub status: u16,
    /// Its headers and body.
    pub text: String,
}

impl Uplink {
    pub(super) async fn open(url: &str, token: &str, session: &str) -> Self {
        let address = url.strip_prefix("http://").unwrap();
        let mut socket = TcpStream::connect(address).await.unwrap();
        SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             {}: {session}\r\ncontent-type: {CONTENT_TYPE}\r\ntransfer-encoding: chunked\r\n\r\n",
            wire::paths::UPLINK,
            wire::headers::SESSION,
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        Self { socket, said: Vec::new() }
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// The server does not read them, or has closed the connection.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        assert!(self.try_send(bytes).await, "the uplink has ended");
    }

    /// Sends bytes as they are; false if the server has closed the connection.
    ///
    /// # Panics
    /// The server does not read them.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let bytes = bytes.as_ref();
        if bytes.is_empty() {
            return true;
        }
        let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        in_time("the server reads", self.socket.write_all(&chunk)).await.is_ok()
    }

    /// Ends the uplink, and waits for its response.
    ///
    /// # Panics
    /// There is none in time.
    pub async fn end(mut self) -> Ended {
        // A server that has ended it does not read this.
        let _ = self.socket.write_all(b"0\r\n\r\n").await;
        self.ended().await
    }

    /// Waits for the response of a server that ends the uplink by itself.
    ///
    /// # Panics
    /// There is none in time.
    pub async fn ended(&mut self) -> Ended {
        loop {
            let read = in_time("the uplink ends", self.socket.read_buf(&mut self.said)).await;
            let text = String::from_utf8_lossy(&self.said).into_owned();
            let is_closed = !matches!(read, Ok(1..));
            if is_closed || is_whole(&text) {
                let status = text.split(' ').nth(1).expect("a status line").parse().unwrap();
                return Ended { status, text };
            }
        }
    }

    /// Resets the connection.
    pub fn reset(self) {
        drop(self);
    }

    /// Closes the connection, and waits until the server has read everything and closes it too.
    ///
    /// # Panics
    /// It has not in time.
    pub async fn cut(mut self) {
        self.socket.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _reset = in_time("the server closes", self.socket.read_to_end(&mut rest)).await;
    }
}

/// True if the text has all of a response with a `content-length`, or of one without a body.
fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().unwrap())
}

async fn in_time<T>(what: &str, waiting: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, waiting).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}
