//! The only room that prints. What it prints may come from a server or a file, so every character that
//! could rewrite the terminal is replaced.

use std::fmt::Write as _;
use std::io::Write;
use wire::names::{is_printable, printable};

/// Before a line that belongs to the one above it.
const FURTHER: &str = "        ";

/// A line on stdout. Lines that a text brings along are indented: none looks like one of ours.
pub(crate) fn line(text: impl AsRef<str>) {
    write(std::io::stdout(), &shown(text.as_ref()));
}

/// The same on stderr.
pub(crate) fn complain(text: impl AsRef<str>) {
    write(std::io::stderr(), &shown(text.as_ref()));
}

/// JSON on stdout: the same value, without a character that could rewrite the terminal.
pub(crate) fn json(value: &impl serde::Serialize) -> serde_json::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    write(std::io::stdout(), &escaped(&text));
    Ok(())
}

fn write(mut to: impl Write, text: &str) {
    // Whoever read it has gone.
    let _ = writeln!(to, "{text}");
}

/// The text for a terminal.
pub(crate) fn shown(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join(&format!("\n{FURTHER}"))
}

/// Such characters stand in JSON's strings only, where each may be written as its code.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || is_printable(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{escaped, shown};
    use serde_json::{Value, json};

    #[test]
    fn a_text_of_a_stranger_moves_no_cursor_and_makes_no_line_that_looks_like_ours() {
        let text = shown("tom\u{1b}[2J\nqwen  ready\r\u{9b}1m\u{202e}");
        assert_eq!(text, "tom\u{fffd}[2J\n        qwen  ready\u{fffd}\u{fffd}1m\u{fffd}");
    }

    #[test]
    fn escaped_json_says_the_same_and_moves_no_cursor() {
        let value = json!({"user": "\u{1b}[2J\u{9b}1m\u{202e}ä\n", "n": 1});
        let text = escaped(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!text.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
