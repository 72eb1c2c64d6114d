//! Whatever a server's task frame contains, the backend receives a POST to one of its relayed endpoints
//! with its own model in the body, and the user sees at most a line of plain text.

use registrar::config::{ProviderConfig, parse};
use registrar::fuzzing;

/// The model that the backend serves.
const MODEL: &str = "the-backends-own";

fn provider() -> Option<ProviderConfig> {
    let text = format!(
        r#"{{"llm": {{"providers": [{{"name": "a", "url": "http://127.0.0.1:9/b", "model": "{MODEL}"}}]}}}}"#
    );
    parse(&text).ok()?.config.providers.pop()
}

pub(super) fn frames(data: &[u8]) {
    let (Ok(text), Some(provider)) = (std::str::from_utf8(data), provider()) else { return };
    let Some(accepted) = fuzzing::frame(&provider, text) else { return };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    assert!(accepted.task_id.chars().all(plain) && (1..=64).contains(&accepted.task_id.len()));
    for shown in &accepted.shown {
        assert_eq!(wire::names::check_text("text", shown), Ok(()));
    }
    let Some(request) = accepted.request else { return };
    let path = request.url.strip_prefix("http://127.0.0.1:9/b");
    assert!(path.is_some_and(|path| wire::paths::RELAYED.contains(&path)), "{}", request.url);
    let head = wire::body::head(&wire::body::Format::Json, &request.body);
    assert_eq!(head.map(|head| head.model), Ok(Some(MODEL.to_owned())));
    for name in request.headers {
        assert!(wire::headers::TO_BACKEND.contains(&name.as_str()), "{name} reaches a backend");
    }
}
