//! Texts that people read, from the catalogue that the window uses too. Only error messages of the
//! registrar and the server are shown as they come.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::LazyLock;

const CATALOGUE: &str = include_str!("../../ui/words/en.json");

static TEXTS: LazyLock<HashMap<String, String>> =
    LazyLock::new(|| serde_json::from_str(CATALOGUE).unwrap_or_default());

/// Returns the text of this key.
pub(crate) fn tr(key: &'static str) -> String {
    TEXTS.get(key).cloned().unwrap_or_else(|| key.to_owned())
}

/// Returns the text of this key with each `{name}` replaced by its value.
pub(crate) fn tr_with(key: &'static str, values: &[(&str, &dyn Display)]) -> String {
    values.iter().fold(tr(key), |text, (name, value)| {
        text.replace(&format!("{{{name}}}"), &value.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::{TEXTS, tr_with};
    use std::path::Path;

    fn read_sources(dir: &Path, out: &mut String) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read_sources(&path, out);
            } else {
                out.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn every_used_key_is_in_the_catalogue() {
        let mut code = String::new();
        read_sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut code);
        let mut used = 0;
        for call in ["tr(\"", "tr_with(\""] {
            let mut before = ' ';
            for (at, part) in code.split(call).enumerate() {
                let is_call = !before.is_alphanumeric() && before != '_';
                let key = part.split('"').next().unwrap();
                if at > 0 && is_call && key.starts_with(|c: char| c.is_ascii_lowercase()) {
                    assert!(TEXTS.contains_key(key), "{key} is not in the catalogue");
                    used += 1;
                }
                before = part.chars().last().unwrap_or(' ');
            }
        }
        assert!(used > 20, "{used} keys were found");
    }

    #[test]
    fn names_are_replaced_by_their_values() {
        let text = tr_with("state.online", &[("server", &"mcpd"), ("count", &2)]);
        assert!(text.contains("mcpd") && text.contains('2') && !text.contains('{'), "{text}");
    }
}
