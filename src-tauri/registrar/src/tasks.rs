//! The requests that run now: who they are, how one is stopped, and how all end when publishing
//! stops. What a task does is [`crate::task`]'s.

use crate::driver::unix_ms;
use crate::limits;
use crate::status::{Board, EndedTask, RunningTask};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// All running requests.
pub(crate) struct Tasks {
    running: Mutex<BTreeMap<String, Entry>>,
    tracker: TaskTracker,
    /// Ends what is still running.
    end: CancellationToken,
    board: Board,
}

struct Entry {
    stop: Stop,
    shown: RunningTask,
}

/// Two ways to stop a request from outside.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    /// Nobody waits for it any more.
    pub(crate) unwanted: CancellationToken,
    /// The owner of this machine does not want it.
    pub(crate) by_owner: CancellationToken,
}

/// How a request ended, for people.
pub(crate) struct Outcome {
    /// `done`, or the code of the failure.
    pub(crate) word: String,
    /// Tokens that the backend wrote, where its answer said so.
    pub(crate) tokens: Option<u64>,
}

impl Tasks {
    pub(crate) fn new(board: Board) -> Arc<Self> {
        let (running, tracker, end) = <_>::default();
        Arc::new(Self { running, tracker, end, board })
    }

    /// Starts a request; false when it runs already or when there are too many.
    pub(crate) fn start<W: Future<Output = Outcome> + Send + 'static>(
        self: &Arc<Self>,
        shown: RunningTask,
        work: impl FnOnce(Stop) -> W,
    ) -> bool {
        let id = shown.task_id.clone();
        let stop = Stop { unwanted: self.end.child_token(), by_owner: CancellationToken::new() };
        {
            let mut running = self.running.lock();
            if running.len() >= limits::TASKS || running.contains_key(&id) {
                return false;
            }
            running.insert(id.clone(), Entry { stop: stop.clone(), shown });
        }
        let leave = Leave { tasks: Arc::clone(self), id, outcome: None };
        let work = work(stop);
        self.tracker.spawn(async move {
            let mut leave = leave;
            leave.outcome = Some(work.await);
        });
        self.show();
        true
    }

    /// Work that nobody can cancel from outside, but that ends with the rest.
    pub(crate) fn attach(&self, work: impl Future<Output = ()> + Send + 'static) {
        let end = self.end.clone();
        self.tracker.spawn(async move {
            end.run_until_cancelled(work).await;
        });
    }

    /// Stops a request; one that has ended needs nothing.
    pub(crate) fn cancel(&self, id: &str) {
        if let Some(entry) = self.running.lock().get(id) {
            entry.stop.unwanted.cancel();
        }
    }

    /// Stops a request for the owner of this machine; false when it does not run.
    pub(crate) fn stop(&self, id: &str) -> bool {
        let running = self.running.lock();
        let entry = running.get(id);
        entry.inspect(|entry| entry.stop.by_owner.cancel()).is_some()
    }

    /// Those that run.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.running.lock().keys().cloned().collect()
    }

    /// Whether any runs.
    pub(crate) fn is_busy(&self) -> bool {
        !self.running.lock().is_empty()
    }

    /// Lets them run to their end for a while, then stops them, and waits until the last is gone.
    pub(crate) async fn finish(&self, grace: Duration) {
        self.tracker.close();
        if tokio::time::timeout(grace, self.tracker.wait()).await.is_err() {
            self.end.cancel();
            let _ = tokio::time::timeout(limits::GOODBYE, self.tracker.wait()).await;
        }
    }

    fn show(&self) {
        let running: Vec<_> = self.running.lock().values().map(|e| e.shown.clone()).collect();
        self.board.send_modify(|status| status.running = running);
    }

    fn ended(&self, shown: RunningTask, outcome: Option<Outcome>) {
        let (word, tokens) = match outcome {
            Some(outcome) => (outcome.word, outcome.tokens),
            None => ("aborted".to_owned(), None),
        };
        let ended = EndedTask {
            task_id: shown.task_id,
            llm: shown.llm,
            path: shown.path,
            user: shown.user,
            started: shown.started,
            ended: unix_ms(),
            tokens,
            outcome: word,
        };
        self.board.send_modify(|status| {
            status.recent.insert(0, ended);
            status.recent.truncate(limits::RECENT);
        });
    }
}

/// Takes a request off the list, however it ends.
struct Leave {
    tasks: Arc<Tasks>,
    id: String,
    outcome: Option<Outcome>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        let entry = self.tasks.running.lock().remove(&self.id);
        if let Some(entry) = entry {
            self.tasks.ended(entry.shown, self.outcome.take());
        }
        self.tasks.show();
    }
}
