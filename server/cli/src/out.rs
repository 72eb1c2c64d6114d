//! What goes to stdout. A reader that has gone (`mcpctl … | head`) ends the process as it ends other
//! programs, without a word. By hand: with the signal that does it for others, a server that hangs up
//! would end us too, before we could say what it said.

use std::fmt::{Arguments, Display};
use std::io::{ErrorKind, Write as _};

/// Exit code of a program whose reader has gone, as shells show it.
const READER_GONE: i32 = 141;

/// Prints a line.
pub(crate) fn line(text: impl Display) {
    put(format_args!("{text}\n"));
}

/// Prints what is no line of its own.
pub(crate) fn text(text: impl Display) {
    put(format_args!("{text}"));
}

fn put(text: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    let Err(error) = out.write_fmt(text).and_then(|()| out.flush()) else {
        return;
    };
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(READER_GONE);
    }
    eprintln!("the output cannot be written: {error}");
    std::process::exit(1);
}
