//! From the text of config.json to [`Config`]: tolerant of comments and trailing commas, strict about
//! types.
//!
//! An invalid provider is left out with a warning, and the others work. Only a text that is no JSON
//! object at all is a [`Problem`].

use super::problem::{FieldError, Problem};
use super::{Config, provider, settings};
use jsonc_parser::ParseOptions;
use serde_json::{Map, Value};
use url::Url;

/// Result of [`parse`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parsed {
    /// The valid part.
    pub config: Config,
    /// One warning for each provider that was left out.
    pub warnings: Vec<Problem>,
}

/// Parses config.json. An empty text is an empty configuration.
///
/// # Errors
/// The text is no JSON object, `mcpdUrl` is no valid URL, or `llm.providers` is no list.
pub fn parse(text: &str) -> Result<Parsed, Problem> {
    let Value::Object(root) = value(text)? else {
        return Err(Problem::new("config.json must be an object, as {\"mcpdUrl\": …}"));
    };
    let mut parsed = Parsed::default();
    parsed.config.mcpd_url = match root.get("mcpdUrl") {
        None | Some(Value::Null) => None,
        Some(value) => Some(server_url(value)?),
    };
    providers(&root, &mut parsed)?;
    parsed.config.settings = settings::settings(&root, &mut parsed.warnings);
    Ok(parsed)
}

/// The text as plain JSON. An empty text is an empty object.
///
/// # Errors
/// The text is no JSON; with line and column.
pub fn value(text: &str) -> Result<Value, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
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
    })
}

/// Extensions of JSON that config.json may use.
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

fn server_url(value: &Value) -> Result<Url, Problem> {
    let text = value.as_str().ok_or_else(|| Problem::new("mcpdUrl must be a text"))?;
    client::server_url::parse(text).map_err(|why| Problem::new(format!("mcpdUrl: {why}")))
}

fn providers(root: &Map<String, Value>, parsed: &mut Parsed) -> Result<(), Problem> {
    let entries = match root.get("llm").map(|llm| llm.get("providers")) {
        None | Some(None | Some(Value::Null)) => return Ok(()),
        Some(Some(Value::Array(list))) => list,
        Some(Some(_)) => return Err(Problem::new("llm.providers must be a list")),
    };
    for (at, entry) in entries.iter().enumerate() {
        match provider::parse(entry) {
            Ok(found) if parsed.config.provider(&found.name).is_some() => {
                let why = format!("the name {} stands twice; the first one counts", found.name);
                parsed.warnings.push(Problem::new(why));
            }
            Ok(found) => parsed.config.providers.push(found),
            Err(errors) => {
                let name = entry.get("name").and_then(Value::as_str).map(str::to_owned);
                let name = name.unwrap_or_else(|| format!("number {}", at + 1));
                let why = FieldError::join(&errors);
                parsed.warnings.push(Problem::new(format!("provider {name} is left out: {why}")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::config::Recipe;

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
        assert!(qwen.publish && qwen.kind.as_str() == "openai" && qwen.max_concurrency == 2);
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
}
