//! Names of LLMs and pools: their form, their owners, and with whom they are shared. Texts that
//! people see.

use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// Longest name, in bytes.
pub const MAX: usize = 63;
/// Longest user or machine part of a suggested name, in characters.
const TAG: usize = 24;

/// Checks a name against `^[a-z0-9][a-z0-9._:/-]{0,62}$` after lower-casing and returns the
/// lower-case form; names are compared in that form.
///
/// # Errors
/// The name is malformed; the sentence says how.
pub fn normalise(name: &str) -> Result<String, String> {
    let lower = name.to_ascii_lowercase();
    let mut chars = lower.chars();
    let Some(first) = chars.next() else {
        return Err("a name must not be empty".into());
    };
    if lower.len() > MAX {
        return Err(format!("a name has at most {MAX} characters, this one has {}", lower.len()));
    }
    if !(first.is_ascii_lowercase() || first.is_ascii_digit()) {
        return Err(format!("a name starts with a letter or a digit, not {first:?}"));
    }
    match chars.find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | ':' | '/' | '-')) {
        Some(bad) => Err(format!("a name has letters, digits and . _ : / - only, not {bad:?}")),
        None => Ok(lower),
    }
}

/// A user's or machine's name as the last part of a model's name: the part before an `@`, with only
/// characters that a name may have.
#[must_use]
pub fn tag(text: &str) -> String {
    let local = text.split('@').next().unwrap_or_default().to_ascii_lowercase();
    let plain: String =
        local.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(TAG).collect();
    let plain = plain.trim_matches('-');
    if plain.is_empty() { "2".to_owned() } else { plain.to_owned() }
}

/// `GET /api/v1/names`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct NameList {
    /// By name.
    pub names: Vec<NameInfo>,
}

/// One name of the catalogue, of an LLM or a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct NameInfo {
    /// Normalised.
    pub name: String,
    /// The user to whom it belongs.
    pub owner: String,
    /// Users and groups with whom its owner shares it (`shareName`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shared_by_owner: Vec<String>,
    /// Users and groups with whom an admin shares it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shared_by_admin: Vec<String>,
    /// Users whose LLMs it selects now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub served_by: Vec<String>,
    /// Users who requested it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requested_by: Vec<String>,
    /// Set if no LLM uses it: it stays its owner's until then, unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_until: Option<u64>,
}

/// `PUT /api/v1/names/:name/share`: the whole list of those with whom an admin shares a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct ShareName {
    /// `<user>`, `group:<group>` or `*`; an empty list ends the sharing.
    pub with: Vec<String>,
}

/// Checks a text that people will see: at most [`crate::limits::TEXT`] characters, and no control or
/// direction characters, which could rewrite a terminal's lines.
///
/// # Errors
/// The text is malformed; the sentence names `what` and says how.
pub fn check_text(what: &str, text: &str) -> Result<(), String> {
    let length = text.chars().count();
    if length > crate::limits::TEXT {
        let most = crate::limits::TEXT;
        return Err(format!("{what} has at most {most} characters, this one has {length}"));
    }
    match text.chars().find(|c| !is_printable(*c)) {
        Some(bad) => Err(format!(
            "{what} must not contain the character {:?}",
            bad.escape_unicode().to_string()
        )),
        None => Ok(()),
    }
}

/// True unless the character moves a cursor, ends a line or turns the direction of text.
#[must_use]
pub fn is_printable(c: char) -> bool {
    !(c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'))
}

/// The text with every unprintable character replaced by `\u{fffd}`, for terminals.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_printable(c) { c } else { '\u{fffd}' }).collect()
}

/// JSON text, or a log line, with every unprintable character but the line break written as
/// `\u001b`: JSON itself lets control characters above 0x7e and direction characters through.
#[must_use]
pub fn escape_unprintable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || is_printable(c) {
            out.push(c);
        } else {
            // All of them fit into four digits.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{check_text, escape_unprintable, normalise, printable};

    #[test]
    fn json_stays_the_same_value_when_its_unprintable_characters_are_escaped() {
        let value = serde_json::json!({"a": "x\u{9b}31m\u{202e}\u{7f}\u{1b}[2J\n\t\u{feff}ü"});
        let text = escape_unprintable(&serde_json::to_string_pretty(&value).unwrap());
        assert!(text.chars().all(|c| c == '\n' || super::is_printable(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn a_text_that_could_rewrite_a_terminal_is_refused_and_shown_harmless() {
        check_text("the description", "Qwen 3, 8B – größer ✓").unwrap();
        for bad in ["a\u{1b}[2J", "a\nb", "\u{202e}abc", "\u{9b}1m"] {
            let why = check_text("the description", bad).unwrap_err();
            assert!(why.contains("the description"), "{why}");
            assert!(printable(bad).contains('\u{fffd}') && !why.contains(bad), "{why:?}");
        }
        assert!(check_text("x", &"ä".repeat(256)).is_ok());
        assert!(check_text("x", &"ä".repeat(257)).unwrap_err().contains("257"));
    }

    #[test]
    fn names_of_models_as_people_write_them_are_accepted_in_lower_case() {
        for name in ["qwen3:8b", "Qwen3-8B-Q4_K_M.gguf", "mia/llama3.2:1b", "7b"] {
            assert_eq!(normalise(name).unwrap(), name.to_ascii_lowercase());
        }
    }

    #[test]
    fn a_bad_name_is_refused_with_the_reason() {
        for (name, word) in [("", "empty"), ("-x", "starts"), ("a b", "only"), ("ü", "starts")] {
            let why = normalise(name).unwrap_err();
            assert!(why.contains(word), "{name:?}: {why}");
        }
        assert!(normalise(&"a".repeat(64)).unwrap_err().contains("63"));
    }
}
