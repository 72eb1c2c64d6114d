//! What goes to stdout and stderr: the only place that prints. Names, descriptions, labels, errors and
//! answers come from strangers; here they lose what could move a terminal's cursor.
//!
//! A reader that has gone (`mcpctl … | head`) ends the process as it ends other programs, without a
//! word. By hand: with the signal that does it for others, a server that hangs up would end us too,
//! before we could say what it said.

use serde::Serialize;
use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use wire::names::{escape_unprintable, is_printable, printable};

/// Exit code of a program whose reader has gone, as shells show it.
const READER_GONE: i32 = 141;
/// Takes the cursor to the beginning of its line and empties that.
const CLEAR_LINE: &str = "\r\x1b[K";

/// Prints a line.
pub(crate) fn line(text: impl Display) {
    put(&format!("{}\n", printable(&text.to_string())));
}

/// Prints a piece of an answer: line breaks and tabs are its own.
pub(crate) fn answer(text: &str) {
    put(&harmless(text));
}

/// Prints a value as JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    put(&format!("{}\n", to_json(value)?));
    Ok(())
}

/// Prints a value as YAML.
pub(crate) fn yaml(value: &impl Serialize) -> anyhow::Result<()> {
    put(&to_yaml(value)?);
    Ok(())
}

/// Prints lines to stderr.
pub(crate) fn note(text: impl Display) {
    complain(&format!("{}\n", harmless(&text.to_string())));
}

/// Rewrites the line on stderr, where that is a terminal; true if it did.
pub(crate) fn rewrite(text: &str) -> bool {
    let terminal = std::io::stderr().is_terminal();
    if terminal {
        complain(&format!("{CLEAR_LINE}{}", printable(text)));
    }
    terminal
}

fn to_json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(escape_unprintable(&serde_json::to_string_pretty(value)?))
}

/// YAML can show characters that turn the direction of text, and does. Then the same value is written
/// as JSON, which every reader of YAML understands.
fn to_yaml(value: &impl Serialize) -> anyhow::Result<String> {
    let yaml = serde_yaml_ng::to_string(value)?;
    if yaml.chars().all(|c| c == '\n' || is_printable(c)) {
        return Ok(yaml);
    }
    Ok(format!("{}\n", to_json(value)?))
}

/// Text of several lines. Joiners are a part of words and of emoji in some languages.
fn harmless(text: &str) -> String {
    let shown = text.chars().filter(|c| *c != '\r').map(|c| match c {
        '\n' | '\t' | '\u{200c}' | '\u{200d}' => c,
        _ if is_printable(c) => c,
        _ => '\u{fffd}',
    });
    shown.collect()
}

fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) else {
        return;
    };
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(READER_GONE);
    }
    note(format_args!("the output cannot be written: {error}"));
    std::process::exit(1);
}

/// Errors of stderr itself are ignored: there is no other place to report them.
fn complain(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

#[cfg(test)]
mod tests {
    use super::{harmless, to_json, to_yaml};
    use serde_json::{Value, json};

    const BAD: &str = "a\u{1b}[2J\u{7}\u{9b}31m\u{202e}b\u{7f}\u{feff}c";

    #[test]
    fn json_and_yaml_are_harmless_and_still_the_same_value() {
        let value = json!([{"name": BAD, "more": "ü\n\t✓"}]);
        for text in [to_json(&value).unwrap(), to_yaml(&value).unwrap()] {
            let harmless = |c: char| c == '\n' || wire::names::is_printable(c);
            assert!(text.chars().all(harmless), "{text:?}");
            assert_eq!(serde_yaml_ng::from_str::<Value>(&text).unwrap(), value);
        }
        let usual = json!({"name": "qwen"});
        assert_eq!(to_yaml(&usual).unwrap(), "name: qwen\n");
    }

    #[test]
    fn an_answer_keeps_its_lines_tabs_and_emoji_and_nothing_that_moves_a_cursor() {
        let family = "👨\u{200d}👩\u{200d}👧";
        let text = format!("one\r\n\ttwo {family}{BAD}");
        assert_eq!(
            harmless(&text),
            format!("one\n\ttwo {family}a\u{fffd}[2J\u{fffd}\u{fffd}31m\u{fffd}b\u{fffd}\u{fffd}c")
        );
    }
}
