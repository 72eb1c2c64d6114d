//! A small publisher that speaks the protocol without any code of the agent.

use crate::server::{PATIENCE, Server};
use bytes::Bytes;
use reqwest::{Body, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// A registered publisher with an open channel.
pub(crate) struct Publisher {
    pub(crate) token: String,
    pub(crate) session: String,
    pub(crate) registered: Value,
    channel: Response,
    unread: String,
}

/// Pieces of an upload, sent by hand.
pub(crate) type Pieces = mpsc::Sender<Result<Bytes, std::io::Error>>;

impl Publisher {
    /// Registers one LLM of protocol 2 and opens the channel.
    pub(crate) async fn of(server: &Server, name: &str) -> Self {
        let token = server.token("mia", &["publish"]).await;
        let wish = json!({"protocol": 2, "providers": [{"name": name, "type": "openai"}]});
        Self::with(server, &token, &wish).await
    }

    pub(crate) async fn with(server: &Server, token: &str, wish: &Value) -> Self {
        let answer = server.post(wire::paths::REGISTER, token).json(wish).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        let registered: Value = answer.json().await.unwrap();
        let session = registered["providerSessionId"].as_str().unwrap().to_owned();
        let channel = server
            .get(wire::paths::STREAM, token)
            .header(wire::headers::SESSION, &session)
            .send()
            .await
            .unwrap();
        assert_eq!(channel.status(), 200);
        let token = token.to_owned();
        let mut this = Self { token, session, registered, channel, unread: String::new() };
        assert_eq!(this.event().await.0, "hello");
        this
    }

    /// The next event: its name and its data, the lines of which are joined again.
    pub(crate) async fn event(&mut self) -> (String, Value) {
        self.event_or_end().await.expect("the channel goes on")
    }

    /// The next event, or `None` when the channel ends.
    pub(crate) async fn event_or_end(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some((block, rest)) = self.unread.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.unread = rest;
                if !block.starts_with(':') {
                    return Some(parse(&block));
                }
            }
            let read = tokio::time::timeout(PATIENCE, self.channel.chunk()).await;
            let bytes = read.expect("an event in time").ok().flatten()?;
            self.unread.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// The next event, which must be an infer task; its id and frame.
    pub(crate) async fn task(&mut self) -> (String, Value) {
        let (name, frame) = self.event().await;
        assert_eq!((name.as_str(), &frame["kind"]), ("task", &json!("infer")), "{frame}");
        (frame["taskId"].as_str().unwrap().to_owned(), frame)
    }

    pub(crate) fn post(&self, server: &Server, path: &str) -> RequestBuilder {
        server.post(path, &self.token).header(wire::headers::SESSION, &self.session)
    }

    /// Opens the upload of an answer; its pieces are sent through the channel.
    pub(crate) fn upload(
        &self,
        server: &Server,
        task: &str,
        kind: &str,
    ) -> (Pieces, RequestBuilder) {
        let (pieces, receiver) = mpsc::channel(1);
        let request = self
            .post(server, &wire::paths::task_response(task))
            .header("content-type", kind)
            .header(wire::headers::STATUS, "200")
            .body(Body::wrap_stream(ReceiverStream::new(receiver)));
        (pieces, request)
    }

    /// A `/result`.
    pub(crate) async fn result(&self, server: &Server, task: &str, result: &Value) -> Response {
        let post = self.post(server, &wire::paths::task_result(task)).json(result);
        post.send().await.unwrap()
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
