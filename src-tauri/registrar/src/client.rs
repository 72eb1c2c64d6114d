//! mcpd, as the publishing machine asks it: a method for each of its endpoints, and what a refusal
//! means for what comes next.

mod answers;

pub use answers::{Delivery, Fault};

use crate::credentials::Credentials;
use crate::http_clients::{bounded, server_client};
use crate::{limits, said};
use answers::{checked, delivery, detail_of, network, of_session, usable};
use bytes::Bytes;
use reqwest::{Body, Client, RequestBuilder, Response, header};
use secrecy::{ExposeSecret as _, SecretString};
use std::time::Duration;
use url::Url;
use wire::limits::SSE_EVENT;
use wire::publisher::{Heartbeat, HeartbeatReply, Register, Registered, TaskResult};
use wire::sse::{Decoded, Event, Limit, TooLong};
use wire::token::{CreatedToken, Pair};
use wire::{headers, paths};

/// The session on whose behalf a request is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionRef {
    /// Session id.
    pub id: String,
    /// Epoch, for a protocol-2 server.
    pub epoch: Option<u64>,
}

impl SessionRef {
    /// True if the server speaks protocol 2.
    #[must_use]
    pub fn speaks_v2(&self) -> bool {
        self.epoch.is_some()
    }
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
        Ok(Self { http: server_client(&credentials.url)?, credentials })
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
        let response = checked(request.send().await.map_err(|e| network(&e))?).await?;
        let registered = usable(response, "register").await?;
        said::registered(registered).ok_or_else(|| {
            let message = "the server's answer to register has no usable session id".into();
            Fault::Failed { message, retry_after: None }
        })
    }

    /// Opens the control channel.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn stream(&self, session: &SessionRef) -> Result<Response, Fault> {
        let request = self.get(paths::STREAM).header(header::ACCEPT, "text/event-stream");
        let send = self.on_behalf(request, session).send();
        let response = tokio::time::timeout(limits::REQUEST, send).await;
        let timeout = || Fault::Failed {
            message: "the server gave no answer in time".into(),
            retry_after: None,
        };
        of_session(response.map_err(|_| timeout())?.map_err(|e| network(&e))?).await
    }

    /// The events that came since the last poll; waits a while for the first.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn poll(&self, session: &SessionRef) -> Result<Vec<Decoded>, Fault> {
        #[derive(serde::Deserialize)]
        struct Entry {
            event: String,
            data: String,
        }
        let request = self.get(paths::POLL).timeout(limits::POLL);
        let response = self.on_behalf(request, session).send().await;
        let response = of_session(response.map_err(|e| network(&e))?).await?;
        let body = bounded(response, limits::POLL_BODY).await?;
        let entries: Vec<Entry> = serde_json::from_slice(&body).map_err(|_| {
            let message = "the server's answer to a poll is not usable".into();
            Fault::Failed { message, retry_after: None }
        })?;
        let event = |Entry { event: name, data }| match data.len() {
            0..=SSE_EVENT => Ok(Event { name, data }),
            _ => Err(TooLong::new(Limit::Event(SSE_EVENT), name, &data)),
        };
        Ok(entries.into_iter().map(event).collect())
    }

    /// An upload that stays open, to learn whether its first bytes arrive. Ends with `body`.
    pub async fn probe(&self, session: &SessionRef, id: &str, body: Body) -> Delivery {
        let request = self.post(paths::PROBE).header(headers::PROBE_ID, id).body(body);
        delivery(self.on_behalf(request, session).send().await)
    }

    /// `POST _provider-heartbeat`.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn heartbeat(&self, beat: &Heartbeat) -> Result<HeartbeatReply, Fault> {
        let request = self.post(paths::HEARTBEAT).json(beat).timeout(limits::REQUEST);
        let response = of_session(request.send().await.map_err(|e| network(&e))?).await?;
        // A protocol-1 server may answer with nothing.
        let bytes = bounded(response, limits::CONTROL_BODY).await?;
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
        checked(request.send().await.map_err(|e| network(&e))?).await
    }

    /// Says that the task has arrived.
    pub async fn acknowledge(&self, session: &SessionRef, task: &str) -> Delivery {
        let request = self.post(&paths::task_ack(task)).timeout(limits::REQUEST);
        delivery(self.on_behalf(request, session).send().await)
    }

    /// Asks for the task's body; the answer's body is that.
    ///
    /// # Errors
    /// Whether it is not wanted any more, or the connection broke.
    pub async fn claim(&self, session: &SessionRef, task: &str) -> Result<Response, Delivery> {
        let request = self.on_behalf(self.get(&paths::task_request(task)), session);
        match request.send().await {
            Ok(response) if response.status().is_success() => Ok(response),
            Ok(_) => Err(Delivery::Unwanted),
            Err(error) => Err(delivery(Err(error))),
        }
    }

    /// Posts a result.
    pub async fn result(&self, session: &SessionRef, task: &str, result: &TaskResult) -> Delivery {
        let request = self.post(&paths::task_result(task)).json(result).timeout(limits::REQUEST);
        delivery(self.on_behalf(request, session).send().await)
    }

    /// Streams the backend's answer up.
    pub async fn respond(
        &self,
        session: &SessionRef,
        task: &str,
        head: header::HeaderMap,
        body: Body,
    ) -> Delivery {
        let request = self.post(&paths::task_response(task)).headers(head).body(body);
        delivery(self.on_behalf(request, session).send().await)
    }

    /// Sends a piece of the backend's answer up.
    pub async fn respond_piece(
        &self,
        session: &SessionRef,
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
        delivery(self.on_behalf(request, session).send().await)
    }

    fn on_behalf(&self, request: RequestBuilder, session: &SessionRef) -> RequestBuilder {
        let request = request.header(headers::SESSION, &session.id);
        match session.epoch {
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
    let request = server_client(&server)?.post(below(&server, paths::PAIR)).json(&body);
    let response = request.timeout(limits::REQUEST).send().await;
    let response = response.map_err(|error| network(&error).to_string())?;
    let status = response.status();
    if !status.is_success() {
        let said = detail_of(response).await;
        return Err(match said.as_str() {
            "" => format!("the server answered {status}; is it mcpd?"),
            _ => said,
        });
    }
    let created: CreatedToken =
        usable(response, "pair").await.map_err(|fault| fault.to_string())?;
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
    let response = sent.map_err(|error| network(&error).to_string())?;
    match of_session(response).await {
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
