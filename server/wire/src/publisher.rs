//! Bodies of a publisher's requests and of their responses: register, heartbeat, results.

mod codes;

pub use codes::{FailureCode, RejectionCode, TaskOutcome};

use crate::catalogue::LlmInfo;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// `POST _provider-register`: declares the session's whole set of LLMs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Register {
    /// Highest protocol the publisher speaks; absent means 1.
    #[serde(default = "protocol_1")]
    pub protocol: u32,
    /// The session of an earlier register, as the publisher stored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_session_id: Option<String>,
    /// Tasks that are still running at the publisher.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inflight: Vec<String>,
    /// The machine, for conflict detection and for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Instance>,
    /// Take the session over from another instance that holds it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub takeover: bool,
    /// The whole set; LLMs that it does not name leave the catalogue.
    pub providers: Vec<Provider>,
}

fn protocol_1() -> u32 {
    crate::PROTOCOL_1
}

/// The machine that publishes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Instance {
    /// Random, one per machine.
    pub id: String,
    /// Host name, for people.
    #[serde(default)]
    pub name: String,
    /// Version of the publishing program.
    #[serde(default)]
    pub version: String,
    /// Operating system.
    #[serde(default)]
    pub os: String,
}

/// One LLM that a publisher offers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Provider {
    /// Name in the catalogue, see [`crate::names`].
    pub name: String,
    /// Kind of backend: `openai`, `ollama`, `llamacpp`, `vllm`, `lmstudio`, …
    #[serde(default, rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The backend's own model id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// `fast` or `heavy`, for people and older tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `active` (when absent) or `hibernating`. Text, so that the refusal of a bad value can name the
    /// field; see [`ReportedStatus::parse_initial`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_status: Option<String>,
    /// A name that several machines share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Other users who may serve this provider's name and pool: `<user>`, `group:<group>` or `*`.
    /// Only the owner of a name can share it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub share_name: Vec<String>,
    /// Requests that the backend takes at once; absent means 1, and more than
    /// [`crate::limits::MAX_CONCURRENCY`] counts as that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<u32>,
    /// Context length in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u64>,
    /// Time limit of a wake, in seconds; absent if there is no recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake_max_wait_seconds: Option<u64>,
}

/// A backend's state as its publisher reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub enum ReportedStatus {
    /// It answers.
    Active,
    /// It is down and a wake recipe exists.
    Hibernating,
    /// It is down and nothing can wake it.
    Inactive,
}

impl ReportedStatus {
    /// Reads `initialStatus`: absent means active; only `active` and `hibernating` are allowed.
    ///
    /// # Errors
    /// Any other text; the sentence names the field.
    pub fn parse_initial(text: Option<&str>) -> Result<Self, String> {
        match text {
            None | Some("active") => Ok(Self::Active),
            Some("hibernating") => Ok(Self::Hibernating),
            Some(other) => {
                Err(format!("initialStatus must be \"active\" or \"hibernating\", not {other:?}"))
            }
        }
    }
}

/// Response 201 to [`Register`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Registered {
    /// The highest protocol that both speak.
    #[serde(default = "protocol_1")]
    pub protocol: u32,
    /// The publisher stores it and sends it with the next register.
    pub provider_session_id: String,
    /// Raised by every register; 0 from a protocol-1 server.
    #[serde(default)]
    pub epoch: u64,
    /// Interval of heartbeats, in seconds.
    #[serde(default = "heartbeat_secs")]
    pub heartbeat_seconds: u64,
    /// The session's catalogue entries.
    #[serde(default)]
    pub llms: Vec<LlmInfo>,
    /// Providers that were not registered.
    #[serde(default)]
    pub rejected: Vec<Rejected>,
    /// Tasks of `inflight` to stop.
    #[serde(default)]
    pub cancel: Vec<String>,
    /// Tasks of `inflight` whose callers wait for the rest of their answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resume: Vec<Resume>,
    /// Requests of other users for names of this publisher's owner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub name_requests: Vec<NameRequest>,
}

/// A task that goes on after a register.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Resume {
    /// The task.
    pub id: String,
    /// Bytes of the answer's body that have arrived: it is sent from there.
    #[serde(default)]
    pub offset: u64,
}

/// Another user's request to serve a name under its owner's. It ends when that user withdraws the
/// model or gets the name; the owner grants it with `shareName`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct NameRequest {
    /// The name, normalised.
    pub name: String,
    /// The user who requests it.
    pub user: String,
}

fn heartbeat_secs() -> u64 {
    crate::limits::HEARTBEAT_MS / 1000
}

/// One provider that was not registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Rejected {
    /// As the publisher wrote it.
    pub name: String,
    /// The reason.
    #[cfg_attr(feature = "schemas", schema(value_type = String))]
    pub code: RejectionCode,
    /// A sentence for the owner.
    pub detail: String,
    /// With `llm_name_taken`: a name that is free, to publish under instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

/// `POST _provider-heartbeat`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Heartbeat {
    /// The session.
    pub provider_session_id: String,
    /// Absent from a protocol-1 publisher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// The state of the backends, or of those that changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub llms: Vec<LlmReport>,
    /// Every task that the publisher has not finished; absent from a protocol-1 publisher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inflight: Option<Vec<String>>,
}

/// One backend in a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct LlmReport {
    /// Name in the catalogue.
    pub name: String,
    /// The backend's state as the publisher sees it.
    pub status: ReportedStatus,
    /// Requests running at the backend.
    #[serde(default)]
    pub in_flight: u32,
    /// Requests that wait at the publisher.
    #[serde(default)]
    pub queued: u32,
}

/// Response 200 to [`Heartbeat`]. A protocol-1 server may send an empty body.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct HeartbeatReply {
    /// Tasks to stop.
    #[serde(default)]
    pub cancel: Vec<String>,
    /// Tasks of `inflight` that the server does not know.
    #[serde(default)]
    pub unknown: Vec<String>,
    /// Requests of other users for names of this publisher's owner: all that are open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub name_requests: Vec<NameRequest>,
    /// True if the publisher should register again: a rejected provider may be accepted now, or an
    /// entry was withdrawn.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub register_again: bool,
}

/// `POST _provider-task/:id/result`. Exactly one of `body`, `chunk`, `error` and `ok` is set.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct TaskResult {
    /// HTTP status of a whole response, with `body`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// A whole response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemas", schema(value_type = Option<Object>))]
    pub body: Option<Box<RawValue>>,
    /// A piece of a streamed response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk: Option<Chunk>,
    /// The task failed, or was stopped (`cancelled`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskFailure>,
    /// A wake succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<bool>,
}

/// One SSE data payload of a streamed response.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Chunk {
    /// The payload of one `data:` field; `[DONE]` comes last.
    #[serde(default)]
    pub data: String,
    /// True for the last piece.
    #[serde(default)]
    pub done: bool,
}

/// A task's failure at the publisher.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct TaskFailure {
    /// A sentence; never prompt, response, path or secret.
    pub message: String,
    /// The cause; absent counts as `backend_unreachable`, and for a wake as `not_ready`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemas", schema(value_type = Option<String>))]
    pub code: Option<FailureCode>,
}

/// Payload of a head frame.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AnswerHead {
    /// The backend's HTTP status.
    pub status: u16,
    /// Its `content-type` and the headers of [`crate::headers::TO_CALLER`].
    pub headers: BTreeMap<String, String>,
    /// Bytes of the body, if the backend announced them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_length: Option<u64>,
}
