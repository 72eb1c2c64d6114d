//! How notices, errors and late answers are said inside an event stream.

use crate::http::error::ApiError;
use http::StatusCode;
use relay::Notice;
use serde_json::value::RawValue;
use std::fmt::Write as _;
use wire::error::Code;

/// The language that a caller's library understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Comments; `data: {"error": …}`.
    OpenAi,
    /// `event: ping`; `event: error`.
    Anthropic,
}

impl Dialect {
    pub(super) fn of(path: &str) -> Self {
        if wire::paths::is_anthropic(path) { Self::Anthropic } else { Self::OpenAi }
    }

    pub(super) fn notice(self, notice: Notice) -> String {
        match (self, notice) {
            (Self::Anthropic, _) => "event: ping\ndata: {\"type\": \"ping\"}\n\n".to_owned(),
            (Self::OpenAi, Notice::Queued(at)) => format!(": queued {at}\n\n"),
            (Self::OpenAi, Notice::Waking { elapsed_secs: so_far, expected_secs }) => {
                format!(": waking {so_far}s of ~{expected_secs}s\n\n")
            }
            (Self::OpenAi, Notice::Running) => ": running\n\n".to_owned(),
        }
    }

    pub(super) fn error(self, error: &ApiError) -> String {
        match self {
            Self::OpenAi => format!("data: {}\n\n", error.openai()),
            Self::Anthropic => format!("event: error\ndata: {}\n\n", error.anthropic()),
        }
    }

    /// A whole answer as one event: JSON as it is, anything else quoted in an error.
    pub(super) fn whole_answer(self, status: StatusCode, text: &str) -> String {
        if serde_json::from_str::<&RawValue>(text).is_err() {
            let message = format!("the backend answered {status}: {text}");
            return self.error(&ApiError::new(status, Code::BackendError, message));
        }
        let mut out = String::with_capacity(text.len() + 32);
        if self == Self::Anthropic && !status.is_success() {
            out.push_str("event: error\n");
        }
        for line in text.trim().lines() {
            let _ = writeln!(out, "data: {line}");
        }
        out.push('\n');
        if self == Self::OpenAi && status.is_success() {
            out.push_str("data: [DONE]\n\n");
        }
        out
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
            Dialect::OpenAi.whole_answer(bad, body),
            "data: {\"error\":\ndata: {\"code\":400}}\n\n"
        );
        assert_eq!(Dialect::Anthropic.whole_answer(bad, "{}"), "event: error\ndata: {}\n\n");
        let quoted = Dialect::OpenAi.whole_answer(bad, "<html>");
        assert!(quoted.contains("400 Bad Request: <html>") && quoted.contains("backend_error"));
    }
}
