//! The inference endpoints: reads a caller's request and submits it to the relay.

use super::dialect::Dialect;
use super::headers::for_backend;
use super::response::wait_for_response;
use super::stream::Recipient;
use crate::accounting::Account;
use crate::auth::{INFER, Principal};
use crate::http::connection::Connection;
use crate::http::error::ApiError;
use crate::http::openapi::RelayedResponses;
use crate::relay_driver::CallerRequest;
use crate::state::App;
use axum::Extension;
use axum::body::Body;
use axum::extract::{OriginalUri, Path, State};
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use relay::{Allowed, Submit};
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::body::{Format, Head, Scanner};
use wire::paths;

/// Relays the request to the model that the body names, byte for byte
#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    security(("bearer" = ["infer"]), ("bearer" = ["infer:<name>"]), ("bearer" = ["publish"])),
    request_body(content = serde_json::Value, content_type = "application/json"),
    responses(RelayedResponses),
)]
pub(super) async fn relayed(
    State(app): State<Arc<App>>,
    principal: Principal,
    Extension(connection): Extension<Arc<Connection>>,
    Extension(account): Extension<Arc<Account>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let caller = Caller { app, principal, connection, account };
    let call = Call::new(caller, uri.path(), &headers)?;
    let (head, body) = call.read(body, None).await?;
    let Some(model) = head.model else {
        let message = "`model` is missing; it names the LLM to call, see /v1/models";
        return Err(ApiError::invalid(message, Some("model")));
    };
    call.relay(model, head.stream, body).await
}

/// Relays an OpenAI chat request to the model that the path names
#[utoipa::path(
    post,
    path = "/api/v1/llms/{name}/infer",
    security(("bearer" = ["infer"]), ("bearer" = ["infer:<name>"]), ("bearer" = ["publish"])),
    params(("name" = String, Path)),
    request_body(content = serde_json::Value, content_type = "application/json"),
    responses(RelayedResponses),
)]
pub(super) async fn infer(
    State(app): State<Arc<App>>,
    principal: Principal,
    Extension(connection): Extension<Arc<Connection>>,
    Extension(account): Extension<Arc<Account>>,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    // Names may contain slashes, so the router takes everything before `/infer` as well.
    let Some(name) = path.strip_suffix("/infer") else {
        return Err(ApiError::no_such_endpoint("POST", &format!("{}/{path}", paths::LLMS)));
    };
    let caller = Caller { app, principal, connection, account };
    let call = Call::new(caller, "/v1/chat/completions", &headers)?;
    let (head, body) = call.read(body, Some(name)).await?;
    call.relay(name.to_owned(), head.stream, body).await
}

/// The sender of a request.
struct Caller {
    app: Arc<App>,
    principal: Principal,
    connection: Arc<Connection>,
    account: Arc<Account>,
}

/// A caller's request whose body has not been read yet.
struct Call {
    caller: Caller,
    allowed: Allowed,
    path: String,
    headers: BTreeMap<String, String>,
    format: Format,
    notices: bool,
}

impl Call {
    /// Refuses what can be refused without the body.
    fn new(caller: Caller, path: &str, headers: &HeaderMap) -> Result<Self, ApiError> {
        caller.account.authenticated(&caller.principal.info);
        let Some(allowed) = caller.principal.allowed() else {
            return Err(ApiError::forbidden(INFER));
        };
        if caller.app.is_draining() {
            return Err(ApiError::shutting_down());
        }
        let notices = headers.get(wire::headers::KEEPALIVE).is_none_or(|v| v != "off");
        let headers = for_backend(headers)?;
        let content_type = headers.get(CONTENT_TYPE.as_str()).map(String::as_str);
        let format = Format::of(path, content_type).map_err(|why| ApiError::invalid(why, None))?;
        Ok(Self { caller, allowed, path: path.to_owned(), headers, format, notices })
    }

    /// Reads the body and finds in it what the relay needs. Once the model is known, the rest is
    /// read only if the relay would accept the request.
    async fn read(&self, body: Body, name: Option<&str>) -> Result<(Head, Bytes), ApiError> {
        let (bodies, key) = (&self.caller.app.bodies, &self.caller.principal.info.id);
        let mut reader = bodies.reader(key, body, wire::limits::BODY)?;
        let mut is_checked = name.is_some();
        if let Some(name) = name {
            self.check(name)?;
        }
        let mut scanner = Scanner::new(&self.format);
        while let Some(piece) = reader.next().await? {
            scanner.feed(piece).map_err(|why| ApiError::invalid(why, None))?;
            self.caller.account.body_read(reader.len());
            if let Some(model) = scanner.model().filter(|_| !is_checked && !reader.is_at_end()) {
                is_checked = true;
                self.check(model)?;
            }
        }
        let scan = scanner.finish().map_err(|why| ApiError::invalid(why, None))?;
        Ok((scan.head, reader.into_bytes()))
    }

    fn check(&self, name: &str) -> Result<(), ApiError> {
        self.caller.account.requested_model(name);
        Ok(self.caller.app.relay.check(&self.submission(name.to_owned(), false))?)
    }

    fn submission(&self, name: String, streaming: bool) -> Submit {
        Submit {
            name,
            key: self.caller.principal.info.id.clone(),
            allowed: self.allowed.clone(),
            streaming,
            notices: self.notices,
        }
    }

    /// Submits the request and waits for its response.
    async fn relay(self, name: String, streaming: bool, body: Bytes) -> Result<Response, ApiError> {
        let Caller { app, principal, connection, account } = &self.caller;
        account.requested_model(&name);
        let submission = self.submission(name, streaming);
        let recipient = Recipient {
            principal: principal.clone(),
            connection: Arc::clone(connection),
            account: Arc::clone(account),
            dialect: Dialect::of(&self.path),
            times: app.times,
        };
        let app = Arc::clone(app);
        let user = principal.info.user.clone();
        let request =
            CallerRequest { path: self.path, headers: self.headers, body, streaming, user };
        let pending = app.relay.submit(request, &submission, &recipient.account)?;
        drop(self.caller);
        wait_for_response(recipient, pending).await
    }
}
