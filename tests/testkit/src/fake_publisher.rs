//! The fake publisher: speaks the publisher's side of the protocol to a real mcpd, step by step as a
//! test asks. It shares no code with the agent.

pub mod frame;
mod uplink;

pub use uplink::{Ended, Uplink};

use crate::TIMEOUT;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use std::collections::VecDeque;
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
    /// `None` once it was lost.
    channel: Option<Response>,
    unread: String,
    /// Events that were read and not asked for yet: those of the flow of answers, and all others.
    flow: VecDeque<(String, Value)>,
    events: VecDeque<(String, Value)>,
}

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
        let mut this = Self {
            token,
            session,
            registered,
            url,
            http,
            channel: Some(channel),
            unread: String::new(),
            flow: VecDeque::new(),
            events: VecDeque::new(),
        };
        assert_eq!(this.event().await.0, "hello");
        assert!(this.flow.is_empty(), "the first event is another one");
        this
    }

    /// Registers anew with these tasks in flight, and opens a new channel. The old one ends.
    ///
    /// # Panics
    /// The server refused it.
    pub async fn register_again(self, body: &Value, inflight: &[&str]) -> Self {
        let mut body = body.clone();
        body["providerSessionId"] = json!(self.session);
        body["inflight"] = json!(inflight);
        let (url, token) = (self.url.clone(), self.token.clone());
        drop(self);
        Self::connect(&url, &token, &body).await
    }

    /// Opens a control channel in place of the one that it has, which is lost.
    ///
    /// # Panics
    /// The server refused it.
    pub async fn reopen_channel(self) -> Self {
        let Self { url, token, registered, .. } = self;
        Self::open_channel(&url, &token, registered).await
    }

    /// Loses the control channel.
    #[must_use]
    pub fn lose_channel(mut self) -> Self {
        self.channel = None;
        self
    }

    /// Name and data of the next event on the control channel, but for those of the flow of answers.
    ///
    /// # Panics
    /// The channel ended, or no event came in time.
    pub async fn event(&mut self) -> (String, Value) {
        self.event_or_end().await.expect("the control channel has ended")
    }

    /// As [`Self::event`]; `None` if the channel ends.
    ///
    /// # Panics
    /// Neither an event nor the end came in time.
    pub async fn event_or_end(&mut self) -> Option<(String, Value)> {
        // One deadline for the whole wait: comments come all the time.
        let deadline = Instant::now() + TIMEOUT;
        while self.events.is_empty() {
            self.read(deadline).await?;
        }
        self.events.pop_front()
    }

    /// The tasks of the next event of this name, `taken` or `finished`. Those before it are dropped.
    ///
    /// # Panics
    /// The channel ended, or no such event came in time.
    pub async fn flow(&mut self, name: &str) -> Vec<Value> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            while let Some((event, data)) = self.flow.pop_front() {
                if event == name {
                    return data["tasks"].as_array().unwrap().clone();
                }
            }
            self.read(deadline).await.expect("the control channel has ended");
        }
    }

    /// Waits until the server has named this task in `finished`.
    ///
    /// # Panics
    /// It has not in time.
    pub async fn finished(&mut self, task: &str) {
        while !self.flow("finished").await.contains(&json!(task)) {}
    }

    /// Waits until the server has told that `offset` bytes of this task's answer were taken.
    ///
    /// # Panics
    /// It has not in time.
    pub async fn taken(&mut self, task: &str, offset: u64) {
        let is_told = |entry: &Value| entry["id"] == task && entry["offset"] == offset;
        while !self.flow("taken").await.iter().any(is_told) {}
    }

    /// Reads the next event. `None` if the channel ends.
    async fn read(&mut self, deadline: Instant) -> Option<()> {
        loop {
            while let Some((block, rest)) = self.unread.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.unread = rest;
                if block.starts_with(':') {
                    continue;
                }
                let event = parse(&block);
                let is_flow = matches!(event.0.as_str(), "taken" | "finished");
                let queue = if is_flow { &mut self.flow } else { &mut self.events };
                queue.push_back(event);
                return Some(());
            }
            let read = tokio::time::timeout_at(deadline, self.channel.as_mut()?.chunk()).await;
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

    /// Opens the uplink.
    pub async fn uplink(&self) -> Uplink {
        Uplink::open(&self.url, &self.token, &self.session).await
    }

    /// Sends these frames as an uplink that ends at once.
    pub async fn batch(&self, frames: Vec<u8>) -> Response {
        let request = self.post(wire::paths::UPLINK).header("content-type", uplink::CONTENT_TYPE);
        request.body(frames).send().await.unwrap()
    }

    /// Sends a whole answer.
    ///
    /// # Panics
    /// The server has not taken it.
    pub async fn answer(&self, task: &str, head: &Value, body: &[u8]) {
        self.deliver(frame::answer(task, head, body)).await;
    }

    /// Sends a whole answer of JSON with this status.
    ///
    /// # Panics
    /// The server has not taken it.
    pub async fn answer_json(&self, task: &str, status: u16, body: &Value) {
        let headers = json!({"content-type": "application/json"});
        let head = json!({"status": status, "headers": headers});
        self.answer(task, &head, body.to_string().as_bytes()).await;
    }

    /// Reports that a task failed, or that its work has stopped.
    ///
    /// # Panics
    /// The server has not taken it.
    pub async fn fail(&self, task: &str, code: &str) {
        self.deliver(frame::failed(task, &json!({"message": "x", "code": code}))).await;
    }

    /// Sends these frames as an uplink that ends at once.
    ///
    /// # Panics
    /// The server has not taken it.
    pub async fn deliver(&self, frames: Vec<u8>) {
        let response = self.batch(frames).await;
        assert_eq!(response.status(), 204, "{:?}", response.text().await);
    }

    /// Sends a result: the outcome of a wake, or anything of protocol 1.
    pub async fn result(&self, task: &str, result: &Value) -> Response {
        self.post(&wire::paths::task_result(task)).json(result).send().await.unwrap()
    }
}

/// The head of a response with status 200 and this content type.
#[must_use]
pub fn ok(content_type: &str) -> Value {
    json!({"status": 200, "headers": {"content-type": content_type}})
}

fn parse(block: &str) -> (String, Value) {
    let field = |name: &str| {
        let values = block.lines().filter_map(|line| line.strip_prefix(name));
        values.collect::<Vec<_>>().join("\n")
    };
    let data = serde_json::from_str(&field("data: ")).expect("data is JSON");
    (field("event: "), data)
}
