//! How many tokens an answer had, read from its end: every dialect says it there, if at all. Nothing
//! of the answer outlives the task.

use crate::limits::USAGE_TAIL;
use parking_lot::Mutex;

/// What the counts are called: OpenAI, Anthropic, llama.cpp.
const NAMES: &[&[u8]] = &[b"\"completion_tokens\":", b"\"output_tokens\":", b"\"predicted_n\":"];

/// The end of an answer while it passes.
#[derive(Default)]
pub(super) struct Tail(Mutex<Vec<u8>>);

impl Tail {
    /// The next bytes of the answer.
    pub(super) fn pass(&self, bytes: &[u8]) {
        let mut kept = self.0.lock();
        let new = &bytes[bytes.len().saturating_sub(USAGE_TAIL)..];
        let excess = (kept.len() + new.len()).saturating_sub(USAGE_TAIL);
        kept.drain(..excess);
        kept.extend_from_slice(new);
    }

    /// Tokens that the backend wrote, where its answer said so.
    pub(super) fn tokens(&self) -> Option<u64> {
        let kept = self.0.lock();
        NAMES.iter().find_map(|name| last_number(&kept, name))
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
    use super::Tail;
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
            let whole = Tail::default();
            whole.pass("x".repeat(3 * USAGE_TAIL).as_bytes());
            whole.pass(end.as_bytes());
            let bytewise = Tail::default();
            end.bytes().for_each(|byte| bytewise.pass(&[byte]));
            assert_eq!((whole.tokens(), bytewise.tokens()), (tokens, tokens), "{end}");
        }
    }
}
