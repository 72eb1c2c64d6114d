//! The catalogue as callers, owners and command lines see it.

use serde::{Deserialize, Serialize};

/// `GET /api/v1/llms`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Catalogue {
    /// Entries that the token may see, by name.
    pub llms: Vec<LlmInfo>,
}

/// One entry of the catalogue. All but id, name, kind and status may be absent: a protocol-1 server
/// sends less.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct LlmInfo {
    /// Never changes while the entry exists.
    pub id: String,
    /// Name that `model` selects.
    pub name: String,
    /// `virtual`: published by a person's machine.
    pub kind: String,
    /// Its state.
    pub status: LlmStatus,
    /// The publisher's control channel is open.
    pub connected: bool,
    /// A wake is under way (with status `hibernating`).
    pub waking: bool,
    /// Kind of backend (`openai`, `ollama`, …).
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub backend: String,
    /// The backend's own model id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// `fast` or `heavy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// One line for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A name that several machines share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The owner's label.
    pub owner: String,
    /// Host name of the publishing machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Requests that its backend takes at once.
    pub max_concurrency: u32,
    /// Context length in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u64>,
    /// The reason of the status, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the status last changed, unix milliseconds.
    pub since: u64,
    /// When the entry was made, unix milliseconds.
    pub created: u64,
    /// Average duration of recent wakes, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wake_ms: Option<u64>,
    /// Requests running.
    pub in_flight: u32,
    /// Requests waiting.
    pub queued: u32,
}

/// State of a virtual LLM in the catalogue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub enum LlmStatus {
    /// Its backend answers.
    Active,
    /// Its backend is down and can be woken.
    Hibernating,
    /// Its publisher is gone, or its backend is down and cannot be woken.
    #[default]
    Inactive,
}

impl LlmStatus {
    /// The word used on the wire and in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Hibernating => "hibernating",
            Self::Inactive => "inactive",
        }
    }
}

/// `GET /v1/models`, the OpenAI shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct ModelList {
    /// Always `list`.
    pub object: String,
    /// The models.
    pub data: Vec<Model>,
}

/// One model of [`ModelList`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Model {
    /// The name to put into `model`.
    pub id: String,
    /// Always `model`.
    pub object: String,
    /// Unix seconds.
    pub created: u64,
    /// The owner's label.
    pub owned_by: String,
}
