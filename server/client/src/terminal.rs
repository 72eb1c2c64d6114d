//! Terminal output of the command-line programs. The texts may come from a server or from a file of
//! other tools, so every character that could move the cursor or reorder text is replaced.
//!
//! If the reader of stdout has gone (`mcpctl … | head`), the process ends as other programs do, with
//! exit code 141. SIGPIPE stays ignored: with its default action, a server that closes a connection
//! would end the process too.

use serde::Serialize;
use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use wire::names::{escape_unprintable, is_printable, printable};

/// Exit code of a program whose reader has gone, as shells show it.
const READER_GONE: i32 = 141;
/// Moves the cursor to the start of its line and clears that line.
const CLEAR_LINE: &str = "\r\x1b[K";
/// Starts the second and further lines of one text, so that none looks like a line of its own.
const INDENT: &str = "\n        ";

/// Prints a line to stdout.
pub fn line(text: impl Display) {
    print(&format!("{}\n", clean_lines(&text.to_string())));
}

/// Prints a line to stdout. Unlike [`line()`], it returns if the reader has gone, for commands that
/// have more to do than to print.
///
/// # Errors
/// The output cannot be written.
pub fn try_line(text: impl Display) -> io::Result<()> {
    write_stdout(&format!("{}\n", clean_lines(&text.to_string())))
}

/// Prints a piece of a text as it arrives, with its line breaks and tabs.
pub fn text(text: &str) {
    print(&clean_text(text));
}

/// Prints a value as indented JSON.
///
/// # Errors
/// The value cannot be serialized.
pub fn json(value: &impl Serialize) -> serde_json::Result<()> {
    print(&format!("{}\n", to_json(value)?));
    Ok(())
}

/// Serializes a value as indented JSON in which every unprintable character is escaped.
///
/// # Errors
/// The value cannot be serialized.
pub fn to_json(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(escape_unprintable(&serde_json::to_string_pretty(value)?))
}

/// Prints a line to stderr.
pub fn note(text: impl Display) {
    write_stderr(&format!("{}\n", clean_lines(&text.to_string())));
}

/// Replaces the current line of stderr if stderr is a terminal, and returns true if it is.
pub fn replace_note(text: &str) -> bool {
    let terminal = io::stderr().is_terminal();
    if terminal {
        write_stderr(&format!("{CLEAR_LINE}{}", printable(text)));
    }
    terminal
}

fn clean_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join(INDENT)
}

/// Joiners are part of words and of emoji in some languages.
fn clean_text(text: &str) -> String {
    let shown = text.chars().filter(|c| *c != '\r').map(|c| match c {
        '\n' | '\t' | '\u{200c}' | '\u{200d}' => c,
        _ if is_printable(c) => c,
        _ => '\u{fffd}',
    });
    shown.collect()
}

fn print(text: &str) {
    let Err(error) = write_stdout(text) else { return };
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(READER_GONE);
    }
    note(format_args!("the output cannot be written: {error}"));
    std::process::exit(1);
}

fn write_stdout(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Errors of stderr are ignored: there is no other place to report them.
fn write_stderr(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

#[cfg(test)]
mod tests {
    use super::{clean_lines, clean_text, to_json};
    use serde_json::{Value, json};

    const UNSAFE: &str = "a\u{1b}[2J\u{7}\u{9b}31m\u{202e}b\u{7f}\u{feff}c";
    const SHOWN: &str = "a\u{fffd}[2J\u{fffd}\u{fffd}31m\u{fffd}b\u{fffd}\u{fffd}c";

    #[test]
    fn a_line_moves_no_cursor_and_further_lines_of_a_text_are_indented() {
        let text = clean_lines(&format!("tom {UNSAFE}\r\nqwen  ready\tx"));
        assert_eq!(text, format!("tom {SHOWN}\n        qwen  ready\u{fffd}x"));
        assert_eq!(clean_lines(""), "");
    }

    #[test]
    fn a_streamed_text_keeps_its_lines_tabs_and_emoji_and_moves_no_cursor() {
        let family = "👨\u{200d}👩\u{200d}👧";
        let text = clean_text(&format!("one\r\n\ttwo {family}{UNSAFE}"));
        assert_eq!(text, format!("one\n\ttwo {family}{SHOWN}"));
    }

    #[test]
    fn json_stays_the_same_value_and_moves_no_cursor() {
        let value = json!([{"name": UNSAFE, "more": "ü\n\t✓"}]);
        let text = to_json(&value).unwrap();
        assert!(text.chars().all(|c| c == '\n' || wire::names::is_printable(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
