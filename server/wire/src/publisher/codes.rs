//! Codes of failures and rejections, and the outcome of a publisher's task.

use serde::{Deserialize, Serialize};

open_words! {
    /// The cause of a task's failure at its publisher.
    pub enum FailureCode {
        /// The backend refused the connection.
        BackendUnreachable = "backend_unreachable",
        /// The backend broke off its response.
        BackendAborted = "backend_aborted",
        /// The owner of the machine stopped the request.
        StoppedByOwner = "stopped_by_owner",
        /// The publisher does not publish this LLM any more.
        Unpublished = "unpublished",
        /// The work was stopped because the server cancelled it.
        Cancelled = "cancelled",
        /// The publisher's own limit of running and waiting requests is reached.
        QueueFull = "queue_full",
        /// The publisher refused the request as malformed.
        InvalidRequest = "invalid_request",
        /// The request is longer than the publisher accepts.
        RequestTooLarge = "request_too_large",
        /// The request or the response was lost between publisher and server.
        PublisherLost = "publisher_lost",
        /// The wake recipe's command could not be started, failed, or was stopped.
        RecipeExit = "recipe_exit",
        /// The wake recipe's URL gave an error.
        RecipeHttpStatus = "recipe_http_status",
        /// The wake recipe took too long.
        RecipeTimeout = "recipe_timeout",
        /// The hourly limit of recipe runs is reached.
        RecipeLimit = "recipe_limit",
        /// The backend was not ready in time after its recipe, or it has no recipe.
        NotReady = "not_ready",
    }
}

open_words! {
    /// The reason for which a provider was not registered.
    pub enum RejectionCode {
        /// The name or pool belongs to another user, or another machine serves it.
        NameTaken = "llm_name_taken",
        /// The name or pool is malformed.
        NameInvalid = "llm_name_invalid",
        /// A text of the provider is malformed.
        TextInvalid = "llm_text_invalid",
        /// The user publishes as many LLMs as allowed.
        TooMany = "llm_limit",
    }
}

/// The end of a task at its publisher, written as `done`, `aborted`, or the failure's code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "FailureCode", into = "FailureCode")]
pub enum TaskOutcome {
    /// The whole response was delivered.
    Done,
    /// The work was dropped before it could report an end.
    Aborted,
    /// It failed or was stopped.
    Failed(FailureCode),
}

impl TaskOutcome {
    /// The word in which it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Done => "done",
            Self::Aborted => "aborted",
            Self::Failed(code) => code.as_str(),
        }
    }
}

impl Default for TaskOutcome {
    /// A task of which no outcome is recorded.
    fn default() -> Self {
        Self::Failed(FailureCode::Other(String::new()))
    }
}

impl From<FailureCode> for TaskOutcome {
    fn from(code: FailureCode) -> Self {
        match code.as_str() {
            "done" => Self::Done,
            "aborted" => Self::Aborted,
            _ => Self::Failed(code),
        }
    }
}

impl From<TaskOutcome> for FailureCode {
    fn from(outcome: TaskOutcome) -> Self {
        match outcome {
            TaskOutcome::Failed(code) => code,
            TaskOutcome::Done | TaskOutcome::Aborted => outcome.as_str().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FailureCode, TaskOutcome};

    #[test]
    fn a_code_of_a_newer_peer_is_kept_as_it_was_written() {
        for (text, code) in [
            ("\"recipe_exit\"", FailureCode::RecipeExit),
            ("\"melted\"", FailureCode::Other("melted".into())),
        ] {
            assert_eq!(serde_json::from_str::<FailureCode>(text).unwrap(), code);
            assert_eq!(serde_json::to_string(&code).unwrap(), text);
        }
    }

    #[test]
    fn an_outcome_is_one_word() {
        for (text, outcome) in [
            ("\"done\"", TaskOutcome::Done),
            ("\"aborted\"", TaskOutcome::Aborted),
            ("\"cancelled\"", TaskOutcome::Failed(FailureCode::Cancelled)),
            ("\"\"", TaskOutcome::default()),
        ] {
            assert_eq!(serde_json::from_str::<TaskOutcome>(text).unwrap(), outcome);
            assert_eq!(serde_json::to_string(&outcome).unwrap(), text);
        }
    }
}
