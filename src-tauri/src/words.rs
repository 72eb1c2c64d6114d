//! What people read, from the one catalogue that the window uses too. Only sentences of the
//! registrar and the server come as they are.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::LazyLock;

const CATALOGUE: &str = include_str!("../../ui/words/en.json");

static WORDS: LazyLock<HashMap<String, String>> =
    LazyLock::new(|| serde_json::from_str(CATALOGUE).unwrap_or_default());

/// The words of this key.
pub(crate) fn say(key: &'static str) -> String {
    WORDS.get(key).cloned().unwrap_or_else(|| key.to_owned())
}

/// The words of this key, with each `{name}` filled in.
pub(crate) fn say_with(key: &'static str, values: &[(&str, &dyn Display)]) -> String {
    values.iter().fold(say(key), |words, (name, value)| {
        words.replace(&format!("{{{name}}}"), &value.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::{WORDS, say_with};
    use std::path::Path;

    fn sources(dir: &Path, out: &mut String) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, out);
            } else {
                out.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn every_key_that_is_said_stands_in_the_catalogue() {
        let mut code = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut code);
        let mut said = 0;
        for call in ["say(\"", "say_with(\""] {
            for rest in code.split(call).skip(1) {
                let key = rest.split('"').next().unwrap();
                if key.starts_with(|c: char| c.is_ascii_lowercase()) {
                    assert!(WORDS.contains_key(key), "{key} has no words");
                    said += 1;
                }
            }
        }
        assert!(said > 20, "{said} keys were found");
    }

    #[test]
    fn values_stand_where_their_names_stood() {
        let words = say_with("state.online", &[("server", &"mcpd"), ("count", &2)]);
        assert!(words.contains("mcpd") && words.contains('2') && !words.contains('{'), "{words}");
    }
}
