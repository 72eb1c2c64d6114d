//! mcpd, as the publishing machine asks it: a method for each of its endpoints, and what a refusal
//! means for what comes next.

use crate::credentials::Credentials;
use crate::limits;
use crate::net::{network_cause, server_client};
use crate::sse::Event;
use bytes::Bytes;
use reqwest::{Body, Client, RequestBuilder, Response, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use std::time::Duration;
use url::Url;
use wire::publisher::{Heartbeat, HeartbeatReply, Register, Registered, TaskResult};
use wire::token::{CreatedToken, Pair};
use wire::{headers, paths};

/// Why a request to mcpd failed, by what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The session is unknown there: register again, at once.
    #[error("the server does not know this session any more")]
    UnknownSession,
    /// Only a person can help.
    #[error("{0}")]
    Denied(String),
    /// Another machine holds the session, for now.
    #[error("{0}")]
    Conflict(String),
    /// Try again; not before the time that the server named.
    #[error("{message}")]
    Failed {
        /// For people.
        message: String,
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
}

impl Fault {
    fn network(error: &reqwest::Error) -> Self {
        Self::Failed { message: format!("the server {}", network_cause(error)), retry_after: None }
    }
}

/// What an upload's answer means for the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It arrived.
    Delivered,
    /// Nobody waits for it: stop the backend.
    Unwanted,
    /// The connection broke.
    Broken,
}

/// The session on whose behalf a request is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ticket {
    /// Session id.
    pub session: String,
    /// Epoch, for a protocol-2 server.
    pub epoch: Option<u64>,
}

/// mcpd, as seen from here. Cheap to clone.
#[derive(Clone)]
pub struct Mcpd {
    http: Client,
    credentials: Credentials,
}

impl Mcpd {
    /// A client for this server.
    ///
    /// # Errors
    /// The CA file cannot be used, or TLS cannot be set up.
    pub fn new(credentials: Credentials) -> Result<Self, String> {
        Ok(Self { http: server_client()?, credentials })
    }

    /// The server, as configured.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.credentials.url
    }

    /// `POST _provider-register`.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn register(&self, register: &Register) -> Result<Registered, Fault> {
        let request = self.post(paths::REGISTER).json(register).timeout(limits::REQUEST);
        let response = request.send().await.map_err(|e| Fault::network(&e))?;
        let response = checked(response).await?;
        response.json().await.map_err(|_| Fault::Failed {
            message: "the server's answer to register is not usable; is it mcpd?".into(),
            retry_after: None,
        })
    }

    /// Opens the control channel.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn stream(&self, ticket: &Ticket) -> Result<Response, Fault> {
        let request = self.get(paths::STREAM).header(header::ACCEPT, "text/event-stream");
        let send = self.on_behalf(request, ticket).send();
        let response = tokio::time::timeout(limits::REQUEST, send).await;
        let timeout = || Fault::Failed {
            message: "the server gave no answer in time".into(),
            retry_after: None,
        };
        checked(response.map_err(|_| timeout())?.map_err(|e| Fault::network(&e))?).await
    }

    /// The events that came since the last poll; waits a while for the first.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn poll(&self, ticket: &Ticket) -> Result<Vec<Event>, Fault> {
        #[derive(serde::Deserialize)]
        struct Entry {
            event: String,
            data: String,
        }
        let request = self.get(paths::POLL).timeout(limits::POLL);
        let response = self.on_behalf(request, ticket).send().await;
        let response = checked(response.map_err(|e| Fault::network(&e))?).await?;
        let entries: Vec<Entry> = response.json().await.map_err(|e| Fault::network(&e))?;
        let event = |entry: Entry| Event { name: entry.event, data: entry.data };
        Ok(entries.into_iter().map(event).collect())
    }

    /// An upload that stays open, to learn whether its first bytes arrive. Ends with `body`.
    pub async fn probe(&self, ticket: &Ticket, id: &str, body: Body) -> Delivery {
        let request = self.post(paths::PROBE).header(headers::PROBE_ID, id).body(body);
        delivery(self.on_behalf(request, ticket).send().await)
    }

    /// `POST _provider-heartbeat`.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn heartbeat(&self, beat: &Heartbeat) -> Result<HeartbeatReply, Fault> {
        let request = self.post(paths::HEARTBEAT).json(beat).timeout(limits::REQUEST);
        let response = checked(request.send().await.map_err(|e| Fault::network(&e))?).await?;
        // A protocol-1 server may answer with nothing.
        let bytes = response.bytes().await.map_err(|e| Fault::network(&e))?;
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// A chat, as a caller sends it.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn chat(
        &self,
        body: &serde_json::Value,
        at_most: Duration,
    ) -> Result<Response, Fault> {
        let request = self.post(paths::RELAYED[0]).json(body).timeout(at_most);
        checked(request.send().await.map_err(|e| Fault::network(&e))?).await
    }

    /// Says that the task has arrived.
    pub async fn acknowledge(&self, ticket: &Ticket, task: &str) -> Delivery {
        let request = self.post(&paths::task_ack(task)).timeout(limits::REQUEST);
        delivery(self.on_behalf(request, ticket).send().await)
    }

    /// Fetches the task's body.
    ///
    /// # Errors
    /// Whether it is not wanted any more, or the connection broke.
    pub async fn claim(&self, ticket: &Ticket, task: &str) -> Result<Bytes, Delivery> {
        let request = self.on_behalf(self.get(&paths::task_request(task)), ticket);
        let response = request.send().await.map_err(|_| Delivery::Broken)?;
        if !response.status().is_success() {
            return Err(Delivery::Unwanted);
        }
        response.bytes().await.map_err(|_| Delivery::Broken)
    }

    /// Posts a result.
    pub async fn result(&self, ticket: &Ticket, task: &str, result: &TaskResult) -> Delivery {
        let request = self.post(&paths::task_result(task)).json(result).timeout(limits::REQUEST);
        delivery(self.on_behalf(request, ticket).send().await)
    }

    /// Streams the backend's answer up.
    pub async fn respond(
        &self,
        ticket: &Ticket,
        task: &str,
        head: header::HeaderMap,
        body: Body,
    ) -> Delivery {
        let request = self.post(&paths::task_response(task)).headers(head).body(body);
        delivery(self.on_behalf(request, ticket).send().await)
    }

    /// Sends a piece of the backend's answer up.
    pub async fn respond_piece(
        &self,
        ticket: &Ticket,
        task: &str,
        head: header::HeaderMap,
        seq: u64,
        last: bool,
        piece: Bytes,
    ) -> Delivery {
        let request = self.post(&paths::task_response(task)).headers(head).body(piece);
        let mut request = request.header(headers::SEQ, seq).timeout(limits::REQUEST);
        if last {
            request = request.header(headers::END, 1);
        }
        delivery(self.on_behalf(request, ticket).send().await)
    }

    fn on_behalf(&self, request: RequestBuilder, ticket: &Ticket) -> RequestBuilder {
        let request = request.header(headers::SESSION, &ticket.session);
        match ticket.epoch {
            Some(epoch) => request.header(headers::EPOCH, epoch),
            None => request,
        }
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.authorized(self.http.post(self.at(path)))
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.authorized(self.http.get(self.at(path)))
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        request.bearer_auth(self.credentials.bearer.expose_secret())
    }

    fn at(&self, path: &str) -> Url {
        below(&self.credentials.url, path)
    }
}

/// A path of the server, whose configured URL may have a path of its own.
fn below(server: &Url, path: &str) -> Url {
    let mut url = server.clone();
    let base = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{base}{path}"));
    url.set_query(None);
    url
}

/// Turns a pairing code into a token.
///
/// # Errors
/// What is wrong, for people.
pub async fn pair(server: Url, code: &str) -> Result<SecretString, String> {
    let body = Pair { code: code.trim().to_owned() };
    let request = server_client()?.post(below(&server, paths::PAIR)).json(&body);
    let response = request.timeout(limits::REQUEST).send().await;
    let response = response.map_err(|error| Fault::network(&error).to_string())?;
    let status = response.status();
    if !status.is_success() {
        let said = detail_of(response).await;
        return Err(match said.as_str() {
            "" => format!("the server answered {status}; is it mcpd?"),
            _ => said,
        });
    }
    let created: CreatedToken =
        response.json().await.map_err(|_| "the server's answer is not usable; is it mcpd?")?;
    Ok(created.token.into())
}

/// Asks the server for its catalogue and for a session that it cannot know: learns whether it is
/// there, and whether it lets this token publish.
///
/// # Errors
/// What is wrong, for people.
pub async fn check(credentials: Credentials) -> Result<(), String> {
    let mcpd = Mcpd::new(credentials)?;
    let sent = mcpd.get(paths::LLMS).timeout(limits::REQUEST).send().await;
    let response = sent.map_err(|error| Fault::network(&error).to_string())?;
    match checked(response).await {
        // Whether it may publish is asked next.
        Ok(_) | Err(Fault::Denied(_)) => {}
        Err(Fault::UnknownSession) => return Err("there is no mcpd at this URL".into()),
        Err(fault) => return Err(fault.to_string()),
    }
    let nobody = Heartbeat { provider_session_id: "check".into(), ..Heartbeat::default() };
    match mcpd.heartbeat(&nobody).await {
        Ok(_) | Err(Fault::UnknownSession) => Ok(()),
        Err(fault) => Err(fault.to_string()),
    }
}

fn delivery(sent: reqwest::Result<Response>) -> Delivery {
    match sent.map(|response| response.status()) {
        Ok(status) if status.is_success() => Delivery::Delivered,
        Ok(StatusCode::GONE | StatusCode::NOT_FOUND | StatusCode::CONFLICT) => Delivery::Unwanted,
        Ok(_) | Err(_) => Delivery::Broken,
    }
}

/// A good response, or the fault that a bad one means.
async fn checked(response: Response) -> Result<Response, Fault> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = response.headers().get(header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|v| v.to_str().ok()?.parse().ok());
    let detail = detail_of(response).await;
    let said = if detail.is_empty() { String::new() } else { format!(": {detail}") };
    Err(match status {
        StatusCode::NOT_FOUND => Fault::UnknownSession,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Fault::Denied(format!("the server refused the token ({status}){said}"))
        }
        StatusCode::CONFLICT => Fault::Conflict(format!("the server refused ({status}){said}")),
        _ => Fault::Failed {
            message: format!("the server answered {status}{said}"),
            retry_after: retry_after.map(Duration::from_secs),
        },
    })
}

/// The sentence of an error body, in any of the shapes that servers use; bounded.
async fn detail_of(response: Response) -> String {
    const MOST: usize = 300;
    let bytes = tokio::time::timeout(limits::CONNECT, response.bytes()).await;
    let Ok(Ok(bytes)) = bytes else {
        return String::new();
    };
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(&bytes) else {
        return String::new();
    };
    let places = ["/detail", "/error/message", "/message", "/error"];
    let found = places.iter().find_map(|at| json.pointer(at).and_then(|v| v.as_str()));
    found.unwrap_or_default().chars().take(MOST).collect()
}
