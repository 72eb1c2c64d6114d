//! Classes of bytes and characters in JSON, for the scanner.

/// Bytes of a string that are skipped in one step.
const BLOCK: usize = 64;

/// The error for a byte that is invalid at its position.
pub(super) fn unexpected(at: usize) -> String {
    format!("the body is not usable JSON: unexpected character at byte {at}")
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Counts the bytes before the next quote or backslash.
pub(super) fn plain(bytes: &[u8]) -> usize {
    let special = |byte: &u8| matches!(byte, b'"' | b'\\');
    let mut at = 0;
    while let Some(block) = bytes.get(at..at + BLOCK) {
        if block.contains(&b'"') || block.contains(&b'\\') {
            break;
        }
        at += BLOCK;
    }
    let rest = &bytes[at..];
    at + rest.iter().position(special).unwrap_or(rest.len())
}

/// Bytes that may follow the backslash of an escape: `u` and four digits.
pub(super) const ESCAPE: u8 = 5;

/// Returns how many bytes of the escape follow this one, or `None` if the byte is invalid there. A
/// decoder that continues after an invalid escape could see the string end somewhere else.
pub(super) fn escape_after(left: u8, byte: u8) -> Option<u8> {
    match (left, byte) {
        (ESCAPE, b'u') => Some(left - 1),
        (ESCAPE, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Some(0),
        (ESCAPE, _) => None,
        (_, byte) => byte.is_ascii_hexdigit().then(|| left - 1),
    }
}

/// The class of a byte outside of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Part of a number or a word.
    Word,
    /// A space, a comma, a colon.
    Between,
    Quote,
    Open,
    Close,
    /// Invalid there.
    Bad,
}

pub(super) static CLASSES: [Class; 256] = classes();

const fn classes() -> [Class; 256] {
    let mut classes = [Class::Bad; 256];
    let mut byte = 0_u8;
    loop {
        classes[byte as usize] = match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-' | b'.' => Class::Word,
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => Class::Between,
            b'"' => Class::Quote,
            b'{' | b'[' => Class::Open,
            b'}' | b']' => Class::Close,
            _ => Class::Bad,
        };
        if byte == u8::MAX {
            return classes;
        }
        byte += 1;
    }
}
