//! From the file's text to [`Config`]: tolerant of comments and trailing commas, strict about types.
//!
//! A provider that cannot be used is left out with a warning, and the others work. Only a text that
//! is no JSON object at all is a [`Problem`].

use super::{Parsed, Problem, ProviderConfig, ProviderKind, Recipe, Sleep, Wake};
use jsonc_parser::ParseOptions;
use serde_json::{Map, Value};
use std::time::Duration;
use url::Url;
use wire::limits::{WAKE_MAX_WAIT_CAP_SECS, WAKE_MAX_WAIT_SECS};

/// Reads a text. An empty one is an empty configuration.
///
/// # Errors
/// [`Problem`], with line and column where it has a place.
pub fn parse(text: &str) -> Result<Parsed, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Ok(Parsed::default());
    }
    let value: Value =
        jsonc_parser::parse_to_serde_value(text, &options()).map_err(|error| Problem {
            message: format!(
                "config.json is not valid JSON: {} (line {}, column {}). \
                 The last good version stays in force.",
                error.kind(),
                error.line_display(),
                error.column_display()
            ),
            line: Some(error.line_display()),
            column: Some(error.column_display()),
        })?;
    let Value::Object(root) = value else {
        return Err(problem("config.json must be an object, as {\"mcpdUrl\": …}".into()));
    };
    let mut parsed = Parsed::default();
    parsed.config.mcpd_url = match root.get("mcpdUrl") {
        None | Some(Value::Null) => None,
        Some(value) => Some(server_url(value)?),
    };
    let empty = Vec::new();
    let providers = match root.get("llm").map(|llm| llm.get("providers")) {
        None | Some(None | Some(Value::Null)) => &empty,
        Some(Some(Value::Array(list))) => list,
        Some(Some(_)) => return Err(problem("llm.providers must be a list".into())),
    };
    for (at, entry) in providers.iter().enumerate() {
        match provider(entry) {
            Ok(found) if parsed.config.provider(&found.name).is_some() => {
                let why = format!("the name {} stands twice; the first one counts", found.name);
                parsed.warnings.push(problem(why));
            }
            Ok(found) => parsed.config.providers.push(found),
            Err(why) => {
                let name = entry.get("name").and_then(Value::as_str).map(str::to_owned);
                let name = name.unwrap_or_else(|| format!("number {}", at + 1));
                parsed.warnings.push(problem(format!("provider {name} is left out: {why}")));
            }
        }
    }
    Ok(parsed)
}

/// What the file may use beyond JSON.
pub(super) fn options() -> ParseOptions {
    ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

fn problem(message: String) -> Problem {
    Problem { message, line: None, column: None }
}

fn server_url(value: &Value) -> Result<Url, Problem> {
    let text = value.as_str().ok_or_else(|| problem("mcpdUrl must be a text".into()))?;
    super::check_server_url(text).map_err(|why| problem(format!("mcpdUrl: {why}")))
}

fn provider(entry: &Value) -> Result<ProviderConfig, String> {
    let Value::Object(map) = entry else {
        return Err("it must be an object".into());
    };
    let name = text(map, "name")?.ok_or("name is missing")?;
    let name = wire::names::normalise(&name).map_err(|why| format!("name: {why}"))?;
    let kind = kind_of(text(map, "type")?.as_deref());
    let url = match (text(map, "url")?, default_url(&kind)) {
        (Some(text), _) => backend_url(&text)?,
        (None, Some(default)) => Url::parse(default).map_err(|e| e.to_string())?,
        (None, None) => return Err(format!("url is missing; type {} needs it", kind.as_str())),
    };
    let concurrency = whole(map, "maxConcurrency")?.unwrap_or(1);
    Ok(ProviderConfig {
        name,
        kind,
        url,
        model: text(map, "model")?,
        tier: text(map, "tier")?,
        description: text(map, "description")?,
        publish: truth(map, "publish")?.unwrap_or(false),
        wake: map.get("wake").filter(|v| !v.is_null()).map(wake).transpose()?,
        sleep: map.get("sleep").filter(|v| !v.is_null()).map(sleep).transpose()?,
        pool: text(map, "pool")?,
        max_concurrency: u32::try_from(concurrency)
            .ok()
            .filter(|n| (1..=1024).contains(n))
            .ok_or("maxConcurrency must be between 1 and 1024")?,
        context_length: whole(map, "contextLength")?,
        api_key_env: text(map, "apiKeyEnv")?,
    })
}

fn kind_of(text: Option<&str>) -> ProviderKind {
    match text {
        None | Some("openai") => ProviderKind::OpenAi,
        Some("ollama") => ProviderKind::Ollama,
        Some("llamacpp" | "llama.cpp") => ProviderKind::LlamaCpp,
        Some("vllm") => ProviderKind::Vllm,
        Some("lmstudio") => ProviderKind::LmStudio,
        Some(other) => ProviderKind::Other(other.to_owned()),
    }
}

fn default_url(kind: &ProviderKind) -> Option<&'static str> {
    match kind {
        ProviderKind::Ollama => Some("http://127.0.0.1:11434"),
        ProviderKind::LlamaCpp => Some("http://127.0.0.1:8080"),
        ProviderKind::Vllm => Some("http://127.0.0.1:8000/v1"),
        ProviderKind::LmStudio => Some("http://127.0.0.1:1234/v1"),
        ProviderKind::OpenAi => None,
        // Not ours to serve, but it must not be reported as broken.
        ProviderKind::Other(_) => Some("http://127.0.0.1"),
    }
}

fn backend_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("url {text:?}: {e}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
        return Err(format!("url {text:?} must start with http:// or https://"));
    }
    Ok(url)
}

fn wake(value: &Value) -> Result<Wake, String> {
    let map = value.as_object().ok_or("wake must be an object")?;
    let recipe = recipe(value).map_err(|why| format!("wake: {why}"))?;
    let secs = whole(map, "maxWaitSeconds")?.unwrap_or(WAKE_MAX_WAIT_SECS);
    if !(1..=WAKE_MAX_WAIT_CAP_SECS).contains(&secs) {
        return Err(format!("wake.maxWaitSeconds must be between 1 and {WAKE_MAX_WAIT_CAP_SECS}"));
    }
    Ok(Wake { recipe, max_wait: Duration::from_secs(secs) })
}

fn sleep(value: &Value) -> Result<Sleep, String> {
    let map = value.as_object().ok_or("sleep must be an object")?;
    let recipe = recipe(value).map_err(|why| format!("sleep: {why}"))?;
    if matches!(recipe, Recipe::Wol(_)) {
        return Err(
            "sleep: a magic packet cannot put a machine to sleep; use http or command".into()
        );
    }
    let secs = whole(map, "idleSeconds")?.ok_or("sleep.idleSeconds is missing")?;
    if secs == 0 {
        return Err("sleep.idleSeconds must be at least 1".into());
    }
    Ok(Sleep { recipe, idle: Duration::from_secs(secs) })
}

fn recipe(value: &Value) -> Result<Recipe, String> {
    let recipe: Recipe = serde_json::from_value(value.clone()).map_err(|e| e.to_string())?;
    match &recipe {
        Recipe::Command(command) if command.command.trim().is_empty() => {
            Err("command must not be empty".into())
        }
        Recipe::Wol(wol) => crate::wake::mac(&wol.mac).map(|_| recipe),
        Recipe::Http(_) | Recipe::Command(_) => Ok(recipe),
    }
}

fn text(map: &Map<String, Value>, key: &str) -> Result<Option<String>, String> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("{key} must be a text")),
    }
}

fn truth(map: &Map<String, Value>, key: &str) -> Result<Option<bool>, String> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(truth)) => Ok(Some(*truth)),
        Some(_) => Err(format!("{key} must be true or false")),
    }
}

fn whole(map: &Map<String, Value>, key: &str) -> Result<Option<u64>, String> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let number = value.as_u64().map(Some);
            number.ok_or_else(|| format!("{key} must be a whole number"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::config::{ProviderKind, Recipe};

    #[test]
    fn the_documented_example_is_read_as_it_is_meant() {
        let parsed = parse(
            r#"{ "mcpdUrl": "https://mcpd.example.com", // ours
               "other": {"x": 12345678901234567890123},
               "llm": { "providers": [
                 { "name": "Qwen3-8B", "url": "http://127.0.0.1:8080/v1", "model": "q4",
                   "publish": true, "maxConcurrency": 2,
                   "wake": { "type": "command", "command": "systemctl", "args": ["start", "x"] },
                   "sleep": { "type": "http", "url": "http://127.0.0.1/s", "idleSeconds": 900 }, },
                 { "name": "big", "type": "ollama" } ] } }"#,
        )
        .unwrap();
        assert_eq!(parsed.warnings, vec![]);
        let qwen = parsed.config.provider("qwen3-8b").unwrap();
        assert!(qwen.publish && qwen.kind == ProviderKind::OpenAi && qwen.max_concurrency == 2);
        let wake = qwen.wake.as_ref().unwrap();
        assert!(matches!(&wake.recipe, Recipe::Command(c) if c.args == ["start", "x"]));
        assert_eq!(
            (wake.max_wait.as_secs(), qwen.sleep.as_ref().unwrap().idle.as_secs()),
            (60, 900)
        );
        let big = parsed.config.provider("BIG").unwrap();
        assert!(!big.publish && big.url.as_str() == "http://127.0.0.1:11434/");
    }

    #[test]
    fn a_broken_text_says_line_and_column() {
        let problem = parse("{\n  \"llm\": {,}\n}").unwrap_err();
        assert_eq!(problem.line, Some(2), "{problem:?}");
        assert!(problem.column.is_some() && problem.message.contains("line 2"));
    }

    #[test]
    fn one_wrong_provider_is_left_out_by_name_and_field_and_the_others_work() {
        for (bad, word) in [
            (r#"{"name": "a", "url": 5}"#, "url"),
            (r#"{"name": "a", "url": "ftp://x"}"#, "http"),
            (r#"{"name": "a"}"#, "url is missing"),
            (r#"{"name": "a b", "url": "http://x"}"#, "name"),
            (r#"{"url": "http://x"}"#, "name is missing"),
            (r#"{"name": "a", "url": "http://x", "publish": "yes"}"#, "publish"),
            (r#"{"name": "a", "url": "http://x", "maxConcurrency": 0}"#, "maxConcurrency"),
            (r#"{"name": "a", "url": "http://x", "wake": {"type": "shell"}}"#, "wake"),
            (r#"{"name": "a", "url": "http://x", "wake": {"type": "wol", "mac": "zz"}}"#, "mac"),
            (
                r#"{"name": "a", "url": "http://x", "wake": {"type": "command", "command": "c",
                "maxWaitSeconds": 901}}"#,
                "900",
            ),
            (
                r#"{"name": "a", "url": "http://x", "sleep": {"type": "wol",
                "mac": "aa:bb:cc:dd:ee:ff", "idleSeconds": 9}}"#,
                "magic",
            ),
            ("7", "object"),
        ] {
            let text =
                format!(r#"{{"llm": {{"providers": [{bad}, {{"name": "ok", "type": "vllm"}}]}}}}"#);
            let parsed = parse(&text).unwrap();
            assert_eq!(parsed.config.providers.len(), 1, "{bad}");
            assert!(parsed.warnings[0].message.contains(word), "{bad}: {:?}", parsed.warnings);
        }
    }

    #[test]
    fn a_server_off_loopback_must_be_https() {
        assert!(
            parse(r#"{"mcpdUrl": "http://mcpd.example.com"}"#)
                .unwrap_err()
                .message
                .contains("https")
        );
        for good in ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://x"] {
            assert!(parse(&format!(r#"{{"mcpdUrl": "{good}"}}"#)).is_ok(), "{good}");
        }
    }
}
