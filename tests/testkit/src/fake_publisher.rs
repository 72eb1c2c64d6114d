//! The fake publisher: speaks the publisher's side of the protocol to a real mcpd, step by step as a
//! test asks. It shares no code with the agent.

use crate::TIMEOUT;
use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A registered publisher with an open control channel.
pub struct FakePublisher {
    /// Its token.
    pub token: String,
    /// Id of its session.
    pub session: String,
    /// Response to its register.
    pub registered: Value,
    url: String,
    http: Client,
    channel: Response,
    unread: String,
}

/// Sends the pieces of an upload; an error resets the connection.
pub type Pieces = mpsc::Sender<Result<Bytes, std::io::Error>>;

/// Sends a register and returns the response, whatever its status.
pub async fn register(url: &str, token: &str, body: &Value) -> Response {
    register_by(&client(), url, token, body).await
}

async fn register_by(http: &Client, url: &str, token: &str, body: &Value) -> Response {
    let request = http.post(format!("{url}{}", wire::paths::REGISTER));
    request.bearer_auth(token).json(body).send().await.unwrap()
}

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

impl FakePublisher {
    /// Registers and opens the control channel.
    ///
    /// # Panics
    /// The server at `url` refused the register or the channel.
    pub async fn connect(url: &str, token: &str, body: &Value) -> Self {
        Self::connect_by(client(), url, token, body).await
    }

    /// As [`Self::connect`], by this HTTP client.
    ///
    /// # Panics
    /// The server at `url` refused the register or the channel.
    pub async fn connect_by(http: Client, url: &str, token: &str, body: &Value) -> Self {
        let response = register_by(&http, url, token, body).await;
        assert_eq!(response.status(), 201, "{:?}", response.text().await);
        Self::open_channel_by(http, url, token, response.json().await.unwrap()).await
    }

    /// Opens the control channel of a session that is already registered.
    ///
    /// # Panics
    /// The server at `url` refused the channel.
    pub async fn open_channel(url: &str, token: &str, registered: Value) -> Self {
        Self::open_channel_by(client(), url, token, registered).await
    }

    async fn open_channel_by(http: Client, url: &str, token: &str, registered: Value) -> Self {
        let session = registered["providerSessionId"].as_str().unwrap().to_owned();
        let channel = http
            .get(format!("{url}{}", wire::paths::STREAM))
            .bearer_auth(token)
            .header(wire::headers::SESSION, &session)
            .send()
            .await
            .unwrap();
        assert_eq!(channel.status(), 200);
        let (url, token) = (url.to_owned(), token.to_owned());
        let mut this =
            Self { token, session, registered, url, http, channel, unread: String::new() };
        assert_eq!(this.event().await.0, "hello");
        this
    }

    /// Name and data of the next event on the control channel.
    ///
    /// # Panics
    /// The channel ended, or no event came in time.
    pub async fn event(&mut self) -> (String, Value) {
        self.event_or_end().await.expect("the control channel has ended")
    }

    /// Name and data of the next event; `None` if the channel ends.
    ///
    /// # Panics
    /// Neither an event nor the end came in time.
    pub async fn event_or_end(&mut self) -> Option<(String, Value)> {
        // One deadline for the whole wait: comments come all the time.
        let deadline = Instant::now() + TIMEOUT;
        loop {
            while let Some((block, rest)) = self.unread.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.unread = rest;
                if !block.starts_with(':') {
                    return Some(parse(&block));
                }
            }
            let read = tokio::time::timeout_at(deadline, self.channel.chunk()).await;
            let bytes = read.expect("no event in time").ok().flatten()?;
            self.unread.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// Id and frame of the next event, which must be an infer task.
    ///
    /// # Panics
    /// The next event is another one, or none came in time.
    pub async fn task(&mut self) -> (String, Value) {
        let (name, frame) = self.event().await;
        assert_eq!((name.as_str(), &frame["kind"]), ("task", &json!("infer")), "{frame}");
        (frame["taskId"].as_str().unwrap().to_owned(), frame)
    }

    /// A POST with this publisher's token and session.
    pub fn post(&self, path: &str) -> RequestBuilder {
        let request = self.http.post(format!("{}{path}", self.url)).bearer_auth(&self.token);
        request.header(wire::headers::SESSION, &self.session)
    }

    /// The upload of a response with status 200, and the sender of its pieces.
    pub fn upload(&self, task: &str, content_type: &str) -> (Pieces, RequestBuilder) {
        let (pieces, receiver) = mpsc::channel(1);
        let next = |mut receiver: mpsc::Receiver<_>| async {
            receiver.recv().await.map(|piece| (piece, receiver))
        };
        let body = Body::wrap_stream(stream::unfold(receiver, next));
        let request = self
            .post(&wire::paths::task_response(task))
            .header("content-type", content_type)
            .header(wire::headers::STATUS, "200")
            .body(body);
        (pieces, request)
    }

    /// Sends a result of this task.
    pub async fn result(&self, task: &str, result: &Value) -> Response {
        self.post(&wire::paths::task_result(task)).json(result).send().await.unwrap()
    }
}

fn parse(block: &str) -> (String, Value) {
    let field = |name: &str| {
        let values = block.lines().filter_map(|line| line.strip_prefix(name));
        values.collect::<Vec<_>>().join("\n")
    };
    let data = serde_json::from_str(&field("data: ")).expect("data is JSON");
    (field("event: "), data)
}
