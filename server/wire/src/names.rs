//! What an LLM or pool may be called.

/// Longest name, in bytes.
pub const MAX: usize = 63;

/// Checks a name against `^[a-z0-9][a-z0-9._:/-]{0,62}$` after lower-casing and returns the
/// lower-case form; names are compared in that form.
///
/// # Errors
/// A sentence that says what is wrong with the name.
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

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn names_of_models_as_people_write_them_are_accepted_in_lower_case() {
        for name in ["qwen3:8b", "Qwen3-8B-Q4_K_M.gguf", "mia/llama3.2:1b", "7b"] {
            assert_eq!(normalise(name).unwrap(), name.to_ascii_lowercase());
        }
    }

    #[test]
    fn a_bad_name_is_refused_with_what_is_wrong_with_it() {
        for (name, word) in [("", "empty"), ("-x", "starts"), ("a b", "only"), ("ü", "starts")] {
            let why = normalise(name).unwrap_err();
            assert!(why.contains(word), "{name:?}: {why}");
        }
        assert!(normalise(&"a".repeat(64)).unwrap_err().contains("63"));
    }
}
