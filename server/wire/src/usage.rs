//! Token counts, read from the end of a response: every dialect states them there, if at all.

use crate::limits::USAGE_TAIL;
use memchr::memmem;

/// Names of the count of generated tokens: OpenAI, Anthropic, llama.cpp.
const COMPLETION: &[&[u8]] =
    &[b"\"completion_tokens\":", b"\"output_tokens\":", b"\"predicted_n\":"];
/// Names of the count of the prompt's tokens, in the same order.
const PROMPT: &[&[u8]] = &[b"\"prompt_tokens\":", b"\"input_tokens\":", b"\"prompt_n\":"];

/// Token counts of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenUsage {
    /// Tokens of the prompt, if stated.
    pub prompt: Option<u64>,
    /// Generated tokens.
    pub completion: u64,
}

/// The last bytes of a response while it passes; at most twice [`USAGE_TAIL`] are held.
#[derive(Debug, Default)]
pub struct UsageTail(Vec<u8>);

impl UsageTail {
    /// Appends the next bytes of the response.
    pub fn push(&mut self, bytes: &[u8]) {
        let new = &bytes[bytes.len().saturating_sub(USAGE_TAIL)..];
        // Cut only when the buffer is full, so that small pieces are copied about twice.
        if self.0.len() + new.len() > 2 * USAGE_TAIL {
            let excess = self.0.len().saturating_sub(USAGE_TAIL);
            self.0.drain(..excess);
        }
        self.0.extend_from_slice(new);
    }

    /// The last bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0[self.0.len().saturating_sub(USAGE_TAIL)..]
    }

    /// The token counts, if the response states how many tokens were generated.
    #[must_use]
    pub fn usage(&self) -> Option<TokenUsage> {
        let text = self.bytes();
        let found = |names: &[&[u8]]| names.iter().find_map(|name| last_number(text, name));
        Some(TokenUsage { completion: found(COMPLETION)?, prompt: found(PROMPT) })
    }
}

fn last_number(text: &[u8], name: &[u8]) -> Option<u64> {
    let at = memmem::rfind(text, name)?;
    let rest = text[at + name.len()..].trim_ascii_start();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{TokenUsage, USAGE_TAIL, UsageTail};

    #[test]
    fn token_counts_are_found_in_every_dialect_however_the_bytes_arrive() {
        let usage = |prompt, completion| Some(TokenUsage { prompt, completion });
        for (end, expected) in [
            ("{\"usage\":{\"prompt_tokens\":9,\"completion_tokens\": 42}}", usage(Some(9), 42)),
            ("data: {\"usage\":{\"output_tokens\":7}}\n\nevent: message_stop\n\n", usage(None, 7)),
            ("data: {\"timings\":{\"prompt_n\":5,\"predicted_n\":3}}\n\n", usage(Some(5), 3)),
            ("data: {\"usage\":null}\n\ndata: [DONE]\n\n", None),
            ("{\"completion_tokens\": 42,\"total_tokens\":51}", usage(None, 42)),
            ("data: {\"timings\":{\"predicted_n\":3,\"x\":1}}\n\ndata: [DONE]\n\n", usage(None, 3)),
            ("\"completion_tokens\":", None),
        ] {
            let mut whole = UsageTail::default();
            whole.push("x".repeat(3 * USAGE_TAIL).as_bytes());
            whole.push(end.as_bytes());
            let mut bytewise = UsageTail::default();
            "x".repeat(3 * USAGE_TAIL).bytes().for_each(|byte| bytewise.push(&[byte]));
            end.bytes().for_each(|byte| bytewise.push(&[byte]));
            assert_eq!((whole.usage(), bytewise.usage()), (expected, expected), "{end}");
            assert!(bytewise.0.len() <= 2 * USAGE_TAIL);
        }
    }
}
