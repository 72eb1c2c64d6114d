//! Output formats.

use clap::ValueEnum;
use client::terminal;
use serde::Serialize;
use wire::names::is_printable;

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Columns
    Table,
    /// More columns
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// Prints a value as YAML.
pub(crate) fn yaml(value: &impl Serialize) -> anyhow::Result<()> {
    terminal::text(&to_yaml(value)?);
    Ok(())
}

/// Serializes a value as YAML without unprintable characters. YAML writes direction characters
/// unescaped, so a value with such a character becomes JSON, which every YAML parser reads.
fn to_yaml(value: &impl Serialize) -> anyhow::Result<String> {
    let yaml = serde_yaml_ng::to_string(value)?;
    if yaml.chars().all(|c| c == '\n' || is_printable(c)) {
        return Ok(yaml);
    }
    Ok(format!("{}\n", terminal::to_json(value)?))
}

#[cfg(test)]
mod tests {
    use super::to_yaml;
    use serde_json::{Value, json};

    #[test]
    fn yaml_stays_the_same_value_and_moves_no_cursor() {
        let value = json!([{"name": "a\u{1b}[2J\u{9b}31m\u{202e}b\u{feff}", "more": "ü\n\t✓"}]);
        let text = to_yaml(&value).unwrap();
        assert!(text.chars().all(|c| c == '\n' || wire::names::is_printable(c)), "{text:?}");
        assert_eq!(serde_yaml_ng::from_str::<Value>(&text).unwrap(), value);
        assert_eq!(to_yaml(&json!({"name": "qwen"})).unwrap(), "name: qwen\n");
    }
}
