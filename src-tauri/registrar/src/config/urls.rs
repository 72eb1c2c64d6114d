//! The rule for URLs of backends and recipes in config.json. [`client::server_url`] has the one for
//! servers.

use url::Url;

/// Checks the URL of a backend or of an HTTP recipe.
pub(super) fn check_backend_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text)
        .map_err(|_| format!("{text:?} is no whole address: type it as http://127.0.0.1:8080"))?;
    if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
        return Err(format!("{text:?} must start with http:// or https://"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use crate::config::parse;

    #[test]
    fn a_server_off_loopback_must_be_https() {
        let refused = parse(r#"{"mcpdUrl": "http://mcpd.example.com"}"#).unwrap_err();
        assert!(refused.message.contains("https"));
        for good in ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://x"] {
            assert!(parse(&format!(r#"{{"mcpdUrl": "{good}"}}"#)).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_relative_address_is_refused_with_an_example_and_without_words_of_a_parser() {
        for (text, example) in [
            (r#"{"mcpdUrl": "h"}"#, "type it as https://mcpd.example.com"),
            (r#"{"mcpdUrl": "mcpd:8080"}"#, "type it as https://mcpd.example.com"),
            (
                r#"{"llm": {"providers": [{"name": "a", "url": "h"}]}}"#,
                "type it as http://127.0.0.1:8080",
            ),
        ] {
            let message = match parse(text) {
                Err(problem) => problem.message,
                Ok(parsed) => parsed.warnings[0].message.clone(),
            };
            assert!(message.contains(example) && !message.contains("base"), "{message}");
        }
    }
}
