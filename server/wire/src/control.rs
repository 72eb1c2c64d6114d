//! Events of the control channel.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// `event:` names.
pub mod event {
    /// First event of a channel.
    pub const HELLO: &str = "hello";
    /// A task to run.
    pub const TASK: &str = "task";
    /// A task to stop.
    pub const CANCEL: &str = "cancel";
    /// The server shuts down: running tasks end, the publisher reconnects later.
    pub const DRAIN: &str = "drain";
    /// A newer register or channel took this one's place.
    pub const SUPERSEDED: &str = "superseded";
    /// The token is no longer valid.
    pub const REVOKED: &str = "revoked";
    /// The first bytes of a probe upload arrived.
    pub const PROBE: &str = "probe";
    /// How far callers have taken their answers.
    pub const TAKEN: &str = "taken";
    /// Answers that the publisher may forget.
    pub const FINISHED: &str = "finished";
}

/// `hello`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hello {
    /// The protocol in force.
    pub protocol: u32,
    /// The session's epoch.
    pub epoch: u64,
    /// The session.
    pub provider_session_id: String,
    /// Interval of heartbeats, in seconds.
    pub heartbeat_seconds: u64,
}

/// `task`, as it travels. `kind` tells which.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Task {
    /// Run a request.
    Infer(InferTask),
    /// Run the wake recipe.
    Wake(WakeTask),
}

impl Task {
    /// Parses a frame, in one pass. Not derived, because the derived parser of a tagged enum does not
    /// preserve the request's bytes.
    ///
    /// # Errors
    /// The frame is no task, or of an unknown kind.
    pub fn read(frame: &str) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Kind {
            Infer,
            Wake,
        }
        /// The fields of both kinds.
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Fields {
            kind: Kind,
            task_id: String,
            llm_name: String,
            #[serde(default)]
            max_wait_seconds: u64,
            #[serde(default)]
            request: Option<Box<RawValue>>,
            #[serde(default)]
            streaming: bool,
            #[serde(default)]
            epoch: Option<u64>,
            #[serde(default)]
            method: Option<String>,
            #[serde(default)]
            path: Option<String>,
            #[serde(default)]
            headers: BTreeMap<String, String>,
            #[serde(default)]
            body_ref: bool,
            #[serde(default)]
            user: Option<String>,
        }
        let read: Fields = serde_json::from_str(frame)?;
        let Fields { task_id, llm_name, max_wait_seconds, .. } = read;
        Ok(match read.kind {
            Kind::Wake => Self::Wake(WakeTask { task_id, llm_name, max_wait_seconds }),
            Kind::Infer => Self::Infer(InferTask {
                task_id,
                llm_name,
                request: read.request,
                streaming: read.streaming,
                epoch: read.epoch,
                method: read.method,
                path: read.path,
                headers: read.headers,
                body_ref: read.body_ref,
                user: read.user,
            }),
        })
    }
}

/// A request to run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InferTask {
    /// 128 random bits in lower-case hex.
    pub task_id: String,
    /// Name in the catalogue.
    pub llm_name: String,
    /// The body, when it is JSON on one line and small enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Box<RawValue>>,
    /// The caller asked for a stream.
    #[serde(default)]
    pub streaming: bool,
    /// The epoch the task was dispatched in (protocol 2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// HTTP method (protocol 2); absent means POST.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The endpoint that the caller used (protocol 2); absent means `/v1/chat/completions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Allow-listed request headers (protocol 2).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body must be fetched (protocol 2).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub body_ref: bool,
    /// The user of the caller's key, shown to the owner of the machine (protocol 2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// A backend to wake. No field influences which command is run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WakeTask {
    /// 128 random bits in lower-case hex.
    pub task_id: String,
    /// Name in the catalogue.
    pub llm_name: String,
    /// Time limit of the wake, in seconds.
    #[serde(default)]
    pub max_wait_seconds: u64,
}

/// `cancel`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cancel {
    /// The task.
    pub task_id: String,
    /// For the log.
    pub reason: String,
}

/// `drain`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Drain {
    /// The publisher reconnects after this long, with jitter, in milliseconds.
    pub reconnect_after_ms: u64,
}

/// `revoked`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Revoked {
    /// A sentence for the owner.
    pub reason: String,
}

/// `probe`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Probe {
    /// The id that the publisher put on its upload.
    pub id: String,
}

/// `taken`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Taken {
    /// One entry for each answer of which more was taken.
    pub tasks: Vec<TakenTask>,
}

/// How far the caller's side has taken one answer. Absolute: it may be repeated, or lost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TakenTask {
    /// The task.
    pub id: String,
    /// Bytes of the answer's body that were taken.
    pub offset: u64,
    /// Bytes that may be sent beyond that.
    pub window: u64,
}

/// `finished`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Finished {
    /// The tasks.
    pub tasks: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::Task;

    #[test]
    fn a_task_keeps_the_bytes_of_its_request() {
        let frame =
            r#"{"kind":"infer","taskId":"1","llmName":"a","request":{"n": 1.50, "x":"\u0041"}}"#;
        let Task::Infer(task) = Task::read(frame).unwrap() else { panic!("an infer task") };
        assert_eq!(task.request.unwrap().get(), r#"{"n": 1.50, "x":"\u0041"}"#);
        let written = r#"{"kind":"wake","taskId":"2","llmName":"a","maxWaitSeconds":60}"#;
        let wake = Task::read(written).unwrap();
        assert_eq!(serde_json::to_string(&wake).unwrap(), written);
        assert!(Task::read(r#"{"kind":"other","taskId":"3"}"#).is_err());
    }
}
