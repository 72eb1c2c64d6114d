//! mcpd's API as the publishing machine uses it: a method per endpoint, and the [`Fault`] that a
//! failed request amounts to.

mod responses;

pub use responses::{Delivery, Fault};

use crate::credentials::Credentials;
use crate::{limits, server_text};
use client::http::{Client, SetupError};
use client::limits::REQUEST;
use client::response::read_body;
use client::server_url;
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode, header};
use responses::{
    check_session, check_status, delivery, error_message, parse_json, transport_fault,
};
use secrecy::SecretString;
use std::time::Duration;
use url::Url;
use wire::limits::SSE_EVENT;
use wire::publisher::{Heartbeat, HeartbeatReply, Register, Registered, TaskResult};
use wire::sse::{Decoded, Event, Limit, TooLong};
use wire::token::{CreatedToken, Pair};
use wire::{frames, headers, paths};

/// User agent of every request to mcpd.
const PROGRAM: &str = concat!("mcplocal/", env!("CARGO_PKG_VERSION"));

/// The session that a request belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionRef {
    /// Session id.
    pub id: String,
    /// Epoch; `None` for a protocol-1 server.
    pub epoch: Option<u64>,
}

impl SessionRef {
    /// True if the server speaks protocol 2.
    #[must_use]
    pub fn speaks_v2(&self) -> bool {
        self.epoch.is_some()
    }
}

/// Client for one mcpd server with one token. Cheap to clone.
#[derive(Clone)]
pub struct McpdClient {
    client: Client,
}

impl McpdClient {
    /// Creates a client for the server in these credentials.
    ///
    /// # Errors
    /// The CA file cannot be used, or TLS cannot be set up.
    pub fn new(credentials: Credentials) -> Result<Self, SetupError> {
        let client = Client::new(credentials.url, credentials.bearer, PROGRAM)?;
        Ok(Self { client })
    }

    /// Returns the server's URL, as configured.
    #[must_use]
    pub fn url(&self) -> &Url {
        self.client.server()
    }

    /// Registers the published models: `POST _provider-register`.
    ///
    /// # Errors
    /// The server is unreachable, refuses, or sends no usable response.
    pub async fn register(&self, register: &Register) -> Result<Registered, Fault> {
        let request = self.post(paths::REGISTER).json(register).timeout(REQUEST);
        let response = check_status(request.send().await.map_err(|e| transport_fault(&e))?).await?;
        let registered = parse_json(response, "register").await?;
        server_text::checked_registration(registered).ok_or_else(|| {
            Fault::failed("the server's response to register has no usable session id")
        })
    }

    /// Opens the control channel; the response's body is an event stream.
    ///
    /// # Errors
    /// The server is unreachable, refuses, or sends no headers in time.
    pub async fn stream(&self, session: &SessionRef) -> Result<Response, Fault> {
        let request = self.get(paths::STREAM).header(header::ACCEPT, "text/event-stream");
        let send = self.with_session(request, session).send();
        let response = tokio::time::timeout(REQUEST, send).await;
        let response =
            response.map_err(|_| Fault::failed("the server sent no response in time"))?;
        check_session(response.map_err(|e| transport_fault(&e))?).await
    }

    /// Returns the events since the last poll; the server waits a while for the first one.
    ///
    /// # Errors
    /// The server is unreachable, refuses, or sends no usable response.
    pub async fn poll(&self, session: &SessionRef) -> Result<Vec<Decoded>, Fault> {
        #[derive(serde::Deserialize)]
        struct Entry {
            event: String,
            data: String,
        }
        let request = self.get(paths::POLL).timeout(limits::POLL);
        let response = self.with_session(request, session).send().await;
        let response = check_session(response.map_err(|e| transport_fault(&e))?).await?;
        let body = read_body(response, limits::POLL_BODY).await?;
        let entries: Vec<Entry> = serde_json::from_slice(&body)
            .map_err(|_| Fault::failed("the server's response to a poll is not usable"))?;
        let event = |Entry { event: name, data }| match data.len() {
            0..=SSE_EVENT => Ok(Event { name, data }),
            _ => Err(TooLong::new(Limit::Event(SSE_EVENT), name, &data)),
        };
        Ok(entries.into_iter().map(event).collect())
    }

    /// Sends an upload that stays open until `body` ends, to find out if a proxy holds back its
    /// first bytes.
    pub async fn probe(&self, session: &SessionRef, id: &str, body: Body) -> Delivery {
        let request = self.post(paths::PROBE).header(headers::PROBE_ID, id).body(body);
        delivery(self.with_session(request, session).send().await)
    }

    /// Sends a heartbeat: `POST _provider-heartbeat`.
    ///
    /// # Errors
    /// The server is unreachable, refuses, or does not know the session.
    pub async fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<HeartbeatReply, Fault> {
        let request = self.post(paths::HEARTBEAT).json(heartbeat).timeout(REQUEST);
        let response =
            check_session(request.send().await.map_err(|e| transport_fault(&e))?).await?;
        // A protocol-1 server may send an empty body.
        let bytes = read_body(response, limits::CONTROL_BODY).await?;
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Sends a chat request as a caller does.
    ///
    /// # Errors
    /// The server is unreachable or refuses, or `time_limit` has passed.
    pub async fn chat(
        &self,
        body: &serde_json::Value,
        time_limit: Duration,
    ) -> Result<Response, Fault> {
        let request = self.post(paths::RELAYED[0]).json(body).timeout(time_limit);
        check_status(request.send().await.map_err(|e| transport_fault(&e))?).await
    }

    /// Fetches the request body of a task; the response's body is that.
    ///
    /// # Errors
    /// [`Delivery::Unwanted`] if the task has ended, [`Delivery::Broken`] if the connection broke.
    pub async fn claim(&self, session: &SessionRef, task: &str) -> Result<Response, Delivery> {
        let request = self.with_session(self.get(&paths::task_request(task)), session);
        match request.send().await {
            Ok(response) if response.status().is_success() => Ok(response),
            Ok(_) => Err(Delivery::Unwanted),
            Err(error) => Err(delivery(Err(error))),
        }
    }

    /// Posts a task's result.
    pub async fn result(&self, session: &SessionRef, task: &str, result: &TaskResult) -> Delivery {
        let request = self.post(&paths::task_result(task)).json(result).timeout(REQUEST);
        delivery(self.with_session(request, session).send().await)
    }

    /// Sends frames of answers up: `POST _provider-uplink`. Returns when the server has all of them.
    ///
    /// # Errors
    /// The connection broke, or the server ended it.
    pub async fn uplink(&self, session: &SessionRef, body: Body) -> Result<(), Fault> {
        let request = self.post(paths::UPLINK).header(header::CONTENT_TYPE, frames::CONTENT_TYPE);
        let sent = self.with_session(request, session).body(body).send().await;
        let response = check_session(sent.map_err(|e| transport_fault(&e))?).await?;
        match response.status() {
            StatusCode::NO_CONTENT => Ok(()),
            status => Err(Fault::failed(format!("the server answered {status} to an uplink"))),
        }
    }

    fn with_session(&self, request: RequestBuilder, session: &SessionRef) -> RequestBuilder {
        let request = request.header(headers::SESSION, &session.id);
        match session.epoch {
            Some(epoch) => request.header(headers::EPOCH, epoch),
            None => request,
        }
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.client.request(Method::POST, path)
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.request(Method::GET, path)
    }
}

/// Exchanges a pairing code for a token.
///
/// # Errors
/// The server is unreachable or refuses the code; the message is for people.
pub async fn pair(server: Url, code: &str) -> Result<SecretString, String> {
    let body = Pair { code: code.trim().to_owned() };
    let http = client::http::build(&server, PROGRAM).map_err(|error| error.to_string())?;
    let request = http.post(server_url::endpoint(&server, paths::PAIR)).json(&body);
    let response = request.timeout(REQUEST).send().await;
    let response = response.map_err(|error| transport_fault(&error).to_string())?;
    let status = response.status();
    if !status.is_success() {
        let message = error_message(response).await;
        return Err(match message.as_str() {
            "" => format!("the server answered {status}; is it mcpd?"),
            _ => message,
        });
    }
    let created: CreatedToken =
        parse_json(response, "pair").await.map_err(|fault| fault.to_string())?;
    Ok(created.token.into())
}

/// Checks that the server is mcpd and lets this token publish: requests the catalogue, then sends a
/// heartbeat for a session that cannot exist.
///
/// # Errors
/// The server is unreachable, is not mcpd, or refuses the token; the message is for people.
pub async fn check_access(credentials: Credentials) -> Result<(), String> {
    let mcpd = McpdClient::new(credentials).map_err(|error| error.to_string())?;
    let sent = mcpd.get(paths::LLMS).timeout(REQUEST).send().await;
    let response = sent.map_err(|error| transport_fault(&error).to_string())?;
    match check_session(response).await {
        // A token for publishing need not see the catalogue; the heartbeat decides.
        Ok(_) | Err(Fault::Denied(_)) => {}
        Err(Fault::UnknownSession) => return Err("there is no mcpd at this URL".into()),
        Err(fault) => return Err(fault.to_string()),
    }
    let heartbeat = Heartbeat { provider_session_id: "check".into(), ..Heartbeat::default() };
    match mcpd.heartbeat(&heartbeat).await {
        Ok(_) | Err(Fault::UnknownSession) => Ok(()),
        Err(fault) => Err(fault.to_string()),
    }
}
