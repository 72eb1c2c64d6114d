//! A backend with almost no CPU cost: it responds with prepared text. The front of the request body
//! chooses the response, see [`Script`].

use bytes::{Buf as _, BytesMut};
use std::io;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// One event of a stream at full speed, as long as a typical event with one token.
pub(crate) const EVENT: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"}}]}\n\n";
/// The last event of every stream.
pub(crate) const DONE: &str = "data: [DONE]\n\n";
/// The response that is not a stream.
pub(crate) const WHOLE: &str = "{\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"word\"}}]}";
/// Prefix of the send time in a paced event, in unix nanoseconds.
pub(crate) const STAMP: &str = "\"sent\":";

/// First key of a request body; its value is a [`Script`].
const KEY: &[u8] = b"{\"x_bench\":\"";
const MODELS: &str =
    "{\"object\":\"list\",\"data\":[{\"id\":\"the-backends-own-name\",\"object\":\"model\"}]}";
const READ: usize = 256 * 1024;

/// The response to a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Script {
    /// [`WHOLE`].
    Whole,
    /// This many events at full speed.
    Stream(usize),
    /// This many events, each with its send time, at an interval in milliseconds.
    Paced(usize, u64),
}

impl Script {
    /// Returns the request body for this response, with a prompt of this many bytes.
    pub(crate) fn body(self, model: &str, prompt: usize) -> bytes::Bytes {
        let (script, stream) = match self {
            Self::Whole => ("whole".to_owned(), false),
            Self::Stream(events) => (format!("stream {events}"), true),
            Self::Paced(events, pause) => (format!("paced {events} {pause}"), true),
        };
        let prompt = "x".repeat(prompt);
        format!(
            "{{\"x_bench\":\"{script}\",\"model\":\"{model}\",\"stream\":{stream},\
             \"messages\":[{{\"role\":\"user\",\"content\":\"{prompt}\"}}]}}"
        )
        .into()
    }

    fn read(body: &[u8]) -> Option<Self> {
        // LiteLLM rewrites the body, which moves the key.
        let at = if body.starts_with(KEY) { 0 } else { memchr::memmem::find(body, &KEY[1..])? - 1 };
        let rest = &body[at + KEY.len()..];
        let end = memchr::memchr(b'"', rest)?;
        let mut words = std::str::from_utf8(&rest[..end]).ok()?.split(' ');
        let name = words.next()?;
        let mut number = || words.next()?.parse::<usize>().ok();
        match name {
            "whole" => Some(Self::Whole),
            "stream" => Some(Self::Stream(number()?)),
            "paced" => Some(Self::Paced(number()?, number()? as u64)),
            _ => None,
        }
    }
}

/// The backend as a separate process.
pub(crate) struct FastBackend {
    pub(crate) url: String,
    _process: testkit::process::Process,
    _folder: TempDir,
}

impl FastBackend {
    pub(crate) async fn start() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("backend");
        let process = testkit::process::Process::start("backend", &mut command, folder.path());
        let url = testkit::until("the backend listens", async || {
            process.stdout().lines().next().map(str::to_owned)
        })
        .await;
        Ok(Self { url, _process: process, _folder: folder })
    }
}

/// Serves until the process is killed.
pub(crate) async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    let blocks = Arc::new(Blocks::new());
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let blocks = Arc::clone(&blocks);
        // A broken connection affects no other one.
        tokio::spawn(async move { serve_connection(socket, &blocks).await });
    }
}

/// Prepared responses.
struct Blocks {
    whole: String,
    models: String,
    event: String,
    done: String,
}

impl Blocks {
    fn new() -> Self {
        Self {
            whole: with_length(WHOLE),
            models: with_length(MODELS),
            event: chunk(EVENT),
            done: format!("{}0\r\n\r\n", chunk(DONE)),
        }
    }
}

fn with_length(body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// Each event is a chunk of its own, as inference servers send them.
fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

async fn serve_connection(mut socket: TcpStream, blocks: &Blocks) -> io::Result<()> {
    let mut buffer = BytesMut::with_capacity(READ);
    while let Some((is_post, length)) = head(&mut socket, &mut buffer).await? {
        while buffer.len() < length {
            if socket.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        let script = Script::read(&buffer[..length]);
        buffer.advance(length);
        match script {
            _ if !is_post => socket.write_all(blocks.models.as_bytes()).await?,
            None | Some(Script::Whole) => socket.write_all(blocks.whole.as_bytes()).await?,
            Some(Script::Stream(events)) => stream(&mut socket, blocks, events).await?,
            Some(Script::Paced(events, pause)) => {
                paced(&mut socket, blocks, events, Duration::from_millis(pause)).await?;
            }
        }
    }
    Ok(())
}

/// Reads a request's head: true if it is a POST, and the length of its body. `None` if the
/// connection is closed.
async fn head(socket: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<Option<(bool, usize)>> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request.parse(buffer).map_err(io::Error::other)?;
        if let httparse::Status::Complete(size) = parsed {
            let is_post = request.method == Some("POST");
            let length =
                request.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
            let length =
                length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
            buffer.advance(size);
            return Ok(Some((is_post, length.unwrap_or(0))));
        }
        buffer.reserve(READ);
        if socket.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

async fn stream(socket: &mut TcpStream, blocks: &Blocks, events: usize) -> io::Result<()> {
    socket.write_all(STREAM_HEAD.as_bytes()).await?;
    for _ in 0..events {
        socket.write_all(blocks.event.as_bytes()).await?;
    }
    socket.write_all(blocks.done.as_bytes()).await
}

async fn paced(
    socket: &mut TcpStream,
    blocks: &Blocks,
    events: usize,
    pause: Duration,
) -> io::Result<()> {
    socket.write_all(STREAM_HEAD.as_bytes()).await?;
    let mut tick = tokio::time::interval(pause);
    for _ in 0..events {
        tick.tick().await;
        let event = format!("data: {{{STAMP}{}}}\n\n", unix_nanos());
        socket.write_all(chunk(&event).as_bytes()).await?;
    }
    socket.write_all(blocks.done.as_bytes()).await
}

/// Unix time in nanoseconds, comparable between processes of the machine.
pub(crate) fn unix_nanos() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}
