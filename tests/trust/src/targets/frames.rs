//! A server's task frames: whatever they say, the backend gets a POST to a relayed endpoint of its own
//! with its own model in it, and the owner sees no more than a line of plain text.

use registrar::config::{ProviderConfig, parse};
use registrar::fuzzing;

/// The backend's own model.
const MODEL: &str = "the-backends-own";

fn provider() -> Option<ProviderConfig> {
    let text = format!(
        r#"{{"llm": {{"providers": [{{"name": "a", "url": "http://127.0.0.1:9/b", "model": "{MODEL}"}}]}}}}"#
    );
    parse(&text).ok()?.config.providers.pop()
}

pub(super) fn frames(data: &[u8]) {
    let (Ok(text), Some(provider)) = (std::str::from_utf8(data), provider()) else { return };
    let Some(taken) = fuzzing::frame(&provider, text) else { return };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    assert!(taken.task_id.chars().all(plain) && (1..=64).contains(&taken.task_id.len()));
    for shown in &taken.shown {
        assert_eq!(wire::names::check_text("it", shown), Ok(()));
    }
    let Some(asked) = taken.asked else { return };
    assert_eq!(asked.method, "POST");
    let path = asked.url.strip_prefix("http://127.0.0.1:9/b");
    assert!(path.is_some_and(|path| wire::paths::RELAYED.contains(&path)), "{}", asked.url);
    let head = wire::body::head(&asked.body);
    assert_eq!(head.map(|head| head.model), Ok(Some(MODEL.to_owned())));
    for name in asked.headers {
        assert!(wire::headers::TO_BACKEND.contains(&name.as_str()), "{name} reaches a backend");
    }
}
