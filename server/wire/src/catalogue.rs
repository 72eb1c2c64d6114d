//! The catalogue as callers, owners and command lines see it.

use serde::{Deserialize, Serialize};

/// `GET /api/v1/llms`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Catalogue {
    /// Rows the token may see, by name.
    pub llms: Vec<LlmInfo>,
}

/// One row of the catalogue. Everything but id, name, kind and status may be absent: a protocol-1
/// server sends less.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct LlmInfo {
    /// Stays the same for as long as the row lives.
    pub id: String,
    /// Name that `model` selects.
    pub name: String,
    /// `virtual`: published by a person's machine.
    pub kind: String,
    /// State.
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
    /// Several machines behind one name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The owner's label.
    pub owner: String,
    /// Host name of the publishing machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Requests at once.
    pub max_concurrency: u32,
    /// Context length in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u64>,
    /// Why the status is what it is, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the status last changed, unix milliseconds.
    pub since: u64,
    /// When the row was made, unix milliseconds.
    pub created: u64,
    /// How long wakes took lately, in milliseconds.
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
    /// Its backend sleeps and can be woken.
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
