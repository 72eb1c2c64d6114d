//! Counts the tokens of a response from its end. Nothing of the response is stored after its task.

use parking_lot::Mutex;
use wire::usage::UsageTail;

/// The last bytes of a response while it passes.
#[derive(Default)]
pub(crate) struct ResponseTail(Mutex<UsageTail>);

impl ResponseTail {
    /// Appends the next bytes of the response.
    pub(super) fn push(&self, bytes: &[u8]) {
        self.0.lock().push(bytes);
    }

    /// Tokens that the backend generated, if its response states them.
    pub(crate) fn tokens(&self) -> Option<u64> {
        self.0.lock().usage().map(|usage| usage.completion)
    }
}
