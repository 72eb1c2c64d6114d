//! Writes notices, errors and late responses into an event stream.

use crate::http::error::ApiError;
use http::StatusCode;
use relay::Notice;
use serde_json::value::RawValue;
use wire::error::Code;
use wire::sse::{write_comment, write_event};

/// The dialect that a caller's library understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Notices are comments, errors `data: {"error": …}`.
    OpenAi,
    /// Notices are `event: ping`, errors `event: error`.
    Anthropic,
}

impl Dialect {
    /// The dialect of an endpoint.
    pub(super) fn of(path: &str) -> Self {
        if wire::paths::is_anthropic(path) { Self::Anthropic } else { Self::OpenAi }
    }

    /// A notice for a waiting caller.
    pub(super) fn notice(self, notice: Notice) -> String {
        let mut text = String::new();
        match (self, notice) {
            (Self::Anthropic, _) => write_event(&mut text, Some("ping"), "{\"type\": \"ping\"}"),
            (Self::OpenAi, Notice::Queued(at)) => {
                write_comment(&mut text, &format!("queued {at}"));
            }
            (Self::OpenAi, Notice::Waking { elapsed_secs, expected_secs }) => {
                let progress = format!("waking {elapsed_secs}s of ~{expected_secs}s");
                write_comment(&mut text, &progress);
            }
            (Self::OpenAi, Notice::Running) => write_comment(&mut text, "running"),
        }
        text
    }

    /// An error as one event.
    pub(super) fn error(self, error: &ApiError) -> String {
        let mut text = String::new();
        match self {
            Self::OpenAi => write_event(&mut text, None, &error.openai()),
            Self::Anthropic => write_event(&mut text, Some("error"), &error.anthropic()),
        }
        text
    }

    /// A whole response as one event: JSON as it is, anything else quoted in an error.
    pub(super) fn whole_response(self, status: StatusCode, body: &str) -> String {
        if serde_json::from_str::<&RawValue>(body).is_err() {
            let message = format!("the backend answered {status}: {body}");
            return self.error(&ApiError::new(status, Code::BackendError, message));
        }
        let mut text = String::with_capacity(body.len() + 32);
        let is_error = self == Self::Anthropic && !status.is_success();
        write_event(&mut text, is_error.then_some("error"), body.trim());
        if self == Self::OpenAi && status.is_success() {
            write_event(&mut text, None, "[DONE]");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Dialect;
    use http::StatusCode;

    #[test]
    fn a_backends_error_that_comes_after_a_notice_keeps_its_json() {
        let body = "{\"error\":\n{\"code\":400}}";
        let bad = StatusCode::BAD_REQUEST;
        assert_eq!(
            Dialect::OpenAi.whole_response(bad, body),
            "data: {\"error\":\ndata: {\"code\":400}}\n\n"
        );
        assert_eq!(Dialect::Anthropic.whole_response(bad, "{}"), "event: error\ndata: {}\n\n");
        let quoted = Dialect::OpenAi.whole_response(bad, "<html>");
        assert!(quoted.contains("400 Bad Request: <html>") && quoted.contains("backend_error"));
    }
}
