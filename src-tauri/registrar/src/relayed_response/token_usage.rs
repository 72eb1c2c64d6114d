//! Counts the tokens of a response from its end, where every dialect reports them, if at all. Nothing
//! of the response is stored after its task.

use crate::limits::USAGE_TAIL;
use parking_lot::Mutex;

/// Names of the count: OpenAI, Anthropic, llama.cpp.
const NAMES: &[&[u8]] = &[b"\"completion_tokens\":", b"\"output_tokens\":", b"\"predicted_n\":"];

/// The last [`USAGE_TAIL`] bytes of a response while it passes.
#[derive(Default)]
pub(crate) struct ResponseTail(Mutex<Vec<u8>>);

impl ResponseTail {
    /// Appends the next bytes of the response.
    pub(super) fn push(&self, bytes: &[u8]) {
        let mut tail = self.0.lock();
        let new = &bytes[bytes.len().saturating_sub(USAGE_TAIL)..];
        let excess = (tail.len() + new.len()).saturating_sub(USAGE_TAIL);
        tail.drain(..excess);
        tail.extend_from_slice(new);
    }

    /// Tokens that the backend wrote, if its response says so.
    pub(crate) fn tokens(&self) -> Option<u64> {
        let tail = self.0.lock();
        NAMES.iter().find_map(|name| last_number(&tail, name))
    }
}

fn last_number(text: &[u8], name: &[u8]) -> Option<u64> {
    let at = memchr::memmem::rfind(text, name)?;
    let rest = text[at + name.len()..].trim_ascii_start();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::ResponseTail;
    use crate::limits::USAGE_TAIL;

    #[test]
    fn the_count_is_found_in_each_dialect_however_the_bytes_arrive() {
        for (end, tokens) in [
            (
                r#"{"usage":{"prompt_tokens":9,"completion_tokens": 42,"total_tokens":51}}"#,
                Some(42),
            ),
            ("data: {\"usage\":{\"output_tokens\":7}}\n\nevent: message_stop\n\n", Some(7)),
            ("data: {\"timings\":{\"predicted_n\":3,\"x\":1}}\n\ndata: [DONE]\n\n", Some(3)),
            ("data: {\"usage\":null}\n\ndata: [DONE]\n\n", None),
            ("\"completion_tokens\":", None),
        ] {
            let whole = ResponseTail::default();
            whole.push("x".repeat(3 * USAGE_TAIL).as_bytes());
            whole.push(end.as_bytes());
            let bytewise = ResponseTail::default();
            end.bytes().for_each(|byte| bytewise.push(&[byte]));
            assert_eq!((whole.tokens(), bytewise.tokens()), (tokens, tokens), "{end}");
        }
    }
}
