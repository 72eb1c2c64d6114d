//! Problems of config.json, as people see them.

use serde::{Deserialize, Serialize};

/// Why the file, or a part of it, cannot be used. Shown to the publisher as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{message}")]
pub struct Problem {
    /// The cause and the remedy. Names the provider and field where it can.
    pub message: String,
    /// From 1; absent if the problem has no place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// From 1, in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

impl Problem {
    /// A problem without a place.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), line: None, column: None }
    }
}

/// An error in one field of a provider. Shown beside the field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "bindings", derive(ts_rs::TS))]
pub struct FieldError {
    /// The field, as `url` or `wake.command`; empty for the whole entry.
    pub field: String,
    /// The error, with an example of a valid value.
    pub message: String,
}

impl FieldError {
    pub(super) fn new(field: &str, message: impl Into<String>) -> Self {
        Self { field: field.to_owned(), message: message.into() }
    }

    /// Joins the errors of one entry to a sentence.
    pub(super) fn join(errors: &[Self]) -> String {
        let each = errors.iter().map(|error| match error.field.as_str() {
            "" => error.message.clone(),
            field => format!("{field}: {}", error.message),
        });
        each.collect::<Vec<_>>().join("; ")
    }
}
