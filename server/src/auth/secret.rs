//! The text of a token: `mcp_<kind>_`, 30 random base62 characters, and 6 base62 characters of
//! CRC32.
//!
//! Only its SHA-256 is stored: it has 178 random bits, so a slow hash would protect nothing.

use rand::RngCore as _;
use sha2::{Digest as _, Sha256};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_CHARS: usize = 30;
const CHECK_CHARS: usize = 6;
/// Longest text that is examined.
const MAX_CHARS: usize = 128;

/// Draws a new token of this kind.
pub(super) fn generate(kind: &str) -> String {
    let mut token = format!("mcp_{kind}_");
    let mut rng = rand::rng();
    while token.len() < kind.len() + 5 + RANDOM_CHARS {
        // Bytes of 248 and more are drawn again, so that every character is equally likely.
        let byte = (rng.next_u32() & 0xff) as usize;
        if byte < 248 {
            token.push(char::from(BASE62[byte % 62]));
        }
    }
    let check = check_chars(&token);
    token + &check
}

/// Returns true if the text has the form and the check characters of a token, so that typing errors
/// never reach the database.
pub(crate) fn is_well_formed(token: &str) -> bool {
    if !token.is_ascii() || token.len() > MAX_CHARS {
        return false;
    }
    let Some(split) = token.len().checked_sub(CHECK_CHARS) else {
        return false;
    };
    let (text, check) = token.split_at(split);
    let parts: Vec<&str> = text.splitn(3, '_').collect();
    matches!(parts.as_slice(), ["mcp", _, random] if random.len() == RANDOM_CHARS)
        && check_chars(text) == check
}

/// The hash under which the token is stored.
pub(super) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn check_chars(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes()) as usize;
    let mut digits = [b'0'; CHECK_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[rest % 62];
        rest /= 62;
    }
    digits.iter().map(|b| char::from(*b)).collect()
}

#[cfg(test)]
mod tests {
    use super::{generate, is_well_formed};

    #[test]
    fn every_typing_error_in_a_token_is_detected() {
        let token = generate("publish");
        assert!(token.starts_with("mcp_publish_") && token.len() == 12 + 36, "{token}");
        assert!(is_well_formed(&token));
        for at in 0..token.len() {
            let other = if &token[at..=at] == "x" { "y" } else { "x" };
            let typo = format!("{}{other}{}", &token[..at], &token[at + 1..]);
            assert!(!is_well_formed(&typo), "{typo}");
        }
        assert!(!is_well_formed("") && !is_well_formed("sk-123") && !is_well_formed("mcp_é"));
    }
}
