//! Reads a token from a hidden prompt or a pipe; never from an argument, which every process of the
//! machine could read.

use crate::limits;
use secrecy::SecretString;
use std::io::{self, IsTerminal as _, Read as _};

/// Reads the token for this server; the result is trimmed and may be empty.
///
/// # Errors
/// The terminal or stdin cannot be read, or the text is not UTF-8.
pub fn read_token(server: &str) -> io::Result<SecretString> {
    let text = if io::stdin().is_terminal() {
        rpassword::prompt_password(format!("Token for {server}: "))?
    } else {
        let mut text = String::new();
        io::stdin().take(limits::TOKEN).read_to_string(&mut text)?;
        text
    };
    Ok(text.trim().into())
}
