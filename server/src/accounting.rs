//! The end of each caller's request: exactly one [`Finished`] per request, however it ends.
//!
//! A request has one [`Account`], shared by all who learn something about the request. When the
//! last of them is gone, the request has ended and the account reports it. So a handler that is
//! dropped because its caller left is reported like one that returns.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::error::Code;
use wire::token::TokenInfo;
use wire::usage::TokenUsage;

/// Longest model name that is reported: what callers send may be any text.
const MODEL_CHARS: usize = wire::limits::TEXT;

/// A caller's request that has ended. It never contains text of a prompt or a response, nor a key.
#[derive(Debug)]
pub(crate) struct Finished<'a> {
    /// Value of the response's `x-request-id`.
    pub(crate) request_id: &'a str,
    /// Id of the relay's task, if the relay accepted the request.
    pub(crate) task: Option<relay::TaskId>,
    /// Id of the caller's key, if it was valid.
    pub(crate) key: Option<&'a str>,
    /// User of that key.
    pub(crate) user: Option<&'a str>,
    /// Name of the model that the caller requested, if it was read; cut if it is too long.
    pub(crate) model: Option<&'a str>,
    /// Owner and machine that the request was last sent to.
    pub(crate) publisher: Option<&'a str>,
    /// Path of the request.
    pub(crate) path: &'a str,
    /// HTTP status; `None` if the caller left before there was one.
    pub(crate) status: Option<u16>,
    /// Reason why the response is not whole, or is an error of mcpd's own. A backend's error
    /// response has none.
    pub(crate) code: Option<EndCode>,
    /// Time in the relay's queue.
    pub(crate) queued: Duration,
    /// Time in the relay's queue of a request that arrived while its model was being woken.
    pub(crate) waking: Duration,
    /// Time from the request's headers to the first byte of the backend's response.
    pub(crate) first_byte: Option<Duration>,
    /// Time from the request's headers to its end.
    pub(crate) total: Duration,
    /// Bytes of the request body that were read.
    pub(crate) bytes_in: u64,
    /// Bytes of the relayed response's body that were sent, notices included.
    pub(crate) bytes_out: u64,
    /// Token counts that the end of the response states.
    pub(crate) tokens: Option<TokenUsage>,
}

/// Reason why a request did not end with a whole response of the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndCode {
    /// An error of mcpd's own, as an HTTP error or inside the response.
    Error(Code),
    /// The caller closed its connection.
    CallerGone,
    /// The caller did not read for too long.
    SlowConsumer,
}

impl EndCode {
    /// The word in the log.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Error(code) => code.as_str(),
            Self::CallerGone => "caller_gone",
            Self::SlowConsumer => "slow_consumer",
        }
    }
}

/// A consumer of finished requests. It runs on the request's thread and must not block.
pub(crate) type Observer = Box<dyn Fn(&Finished<'_>) + Send + Sync>;

/// Passes each finished request to its observers.
pub(crate) struct Accounting {
    observers: Vec<Observer>,
}

impl Accounting {
    /// Accounting for these observers.
    #[must_use]
    pub(crate) fn new(observers: Vec<Observer>) -> Arc<Self> {
        Arc::new(Self { observers })
    }

    /// Opens the account of a request whose headers have just arrived.
    #[must_use]
    pub(crate) fn open(self: &Arc<Self>, request_id: String, path: String) -> Arc<Account> {
        let accounting = Arc::clone(self);
        Arc::new(Account {
            accounting,
            began: Instant::now(),
            request_id,
            path,
            entry: Mutex::default(),
        })
    }
}

/// The facts known so far about one request; dropping the last reference reports it.
pub(crate) struct Account {
    accounting: Arc<Accounting>,
    began: Instant,
    request_id: String,
    path: String,
    entry: Mutex<Entry>,
}

#[derive(Default)]
struct Entry {
    task: Option<relay::TaskId>,
    caller: Option<Arc<TokenInfo>>,
    model: Option<String>,
    publisher: Option<Arc<str>>,
    status: Option<u16>,
    end: Option<Result<(), EndCode>>,
    /// Start of the wait in the relay's queue, and true if it began while the model was being
    /// woken.
    waiting: Option<(Instant, bool)>,
    queued: Duration,
    waking: Duration,
    first_byte: Option<Duration>,
    bytes_in: u64,
    bytes_out: u64,
    tokens: Option<TokenUsage>,
}

impl Account {
    /// Records the token that the request was sent with.
    pub(crate) fn authenticated(&self, caller: &Arc<TokenInfo>) {
        self.entry.lock().caller = Some(Arc::clone(caller));
    }

    /// Records the name of the requested model.
    pub(crate) fn requested_model(&self, name: &str) {
        let mut entry = self.entry.lock();
        if entry.model.is_none() {
            entry.model = Some(name.chars().take(MODEL_CHARS).collect());
        }
    }

    /// Records how many bytes of the request body have been read.
    pub(crate) fn body_read(&self, bytes: usize) {
        self.entry.lock().bytes_in = bytes as u64;
    }

    /// Records that the relay accepted the request, and whether it waits for a wake. Called before
    /// any dispatch.
    pub(crate) fn submitted(&self, task: relay::TaskId, waits_for_wake: bool) {
        let mut entry = self.entry.lock();
        entry.task = Some(task);
        entry.waiting = Some((Instant::now(), waits_for_wake));
    }

    /// Records that the request was sent to this publisher.
    pub(crate) fn dispatched(&self, publisher: &Arc<str>) {
        let mut entry = self.entry.lock();
        entry.end_wait();
        entry.publisher = Some(Arc::clone(publisher));
    }

    /// Records the first byte of the backend's response.
    pub(crate) fn first_byte(&self) {
        self.entry.lock().first_byte.get_or_insert(self.began.elapsed());
    }

    /// Records the head of the response, and the code if it is an error of mcpd's own.
    pub(crate) fn responded(&self, status: u16, code: Option<Code>) {
        let mut entry = self.entry.lock();
        entry.status = Some(status);
        if let Some(code) = code {
            entry.end.get_or_insert(Err(EndCode::Error(code)));
        }
    }

    /// Records the response body that was sent.
    pub(crate) fn body_sent(&self, bytes: u64, tokens: Option<TokenUsage>) {
        let mut entry = self.entry.lock();
        (entry.bytes_out, entry.tokens) = (bytes, tokens);
    }

    /// Records that the caller got the whole response. Only the first end of a request counts.
    pub(crate) fn completed(&self) {
        self.entry.lock().end.get_or_insert(Ok(()));
    }

    /// Records why the caller does not get a whole response. Only the first end of a request
    /// counts.
    pub(crate) fn failed(&self, code: EndCode) {
        self.entry.lock().end.get_or_insert(Err(code));
    }
}

impl Entry {
    fn end_wait(&mut self) {
        if let Some((since, for_wake)) = self.waiting.take() {
            let wait = if for_wake { &mut self.waking } else { &mut self.queued };
            *wait += since.elapsed();
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let entry = self.entry.get_mut();
        entry.end_wait();
        // A request whose end was not recorded was dropped with its connection.
        let end = entry.end.unwrap_or(Err(EndCode::CallerGone));
        let finished = Finished {
            request_id: &self.request_id,
            task: entry.task,
            key: entry.caller.as_ref().map(|caller| caller.id.as_str()),
            user: entry.caller.as_ref().map(|caller| caller.user.as_str()),
            model: entry.model.as_deref(),
            publisher: entry.publisher.as_deref(),
            path: &self.path,
            status: entry.status,
            code: end.err(),
            queued: entry.queued,
            waking: entry.waking,
            first_byte: entry.first_byte,
            total: self.began.elapsed(),
            bytes_in: entry.bytes_in,
            bytes_out: entry.bytes_out,
            tokens: entry.tokens,
        };
        for observer in &self.accounting.observers {
            observer(&finished);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Accounting, EndCode, Finished};
    use parking_lot::Mutex;
    use std::sync::Arc;
    use wire::error::Code;

    type Ended = (Option<u16>, Option<EndCode>);

    fn recording() -> (Arc<Accounting>, Arc<Mutex<Vec<Ended>>>) {
        let ended = Arc::new(Mutex::new(Vec::new()));
        let observed = Arc::clone(&ended);
        let observer = move |finished: &Finished<'_>| {
            observed.lock().push((finished.status, finished.code));
        };
        (Accounting::new(vec![Box::new(observer)]), ended)
    }

    #[test]
    fn an_account_is_reported_once_when_its_last_holder_is_gone() {
        let (accounting, ended) = recording();
        let account = accounting.open("id".into(), "/v1/models".into());
        let other = Arc::clone(&account);
        account.responded(200, None);
        account.completed();
        drop(account);
        assert!(ended.lock().is_empty());
        drop(other);
        assert_eq!(*ended.lock(), [(Some(200), None)]);
    }

    #[test]
    fn the_first_end_counts_and_a_request_without_one_was_left_by_its_caller() {
        let (accounting, ended) = recording();
        let open = || accounting.open("id".into(), "/v1/models".into());
        open().responded(404, Some(Code::LlmNotFound));
        let failed = open();
        failed.responded(200, None);
        failed.failed(EndCode::SlowConsumer);
        failed.completed();
        drop((failed, open()));
        let slow = Some(EndCode::SlowConsumer);
        let unknown = Some(EndCode::Error(Code::LlmNotFound));
        let left = (None, Some(EndCode::CallerGone));
        assert_eq!(*ended.lock(), [(Some(404), unknown), (Some(200), slow), left]);
    }
}
