//! The requests that run now: who they are, how one is stopped, and how all end when publishing
//! stops. What a task does is [`crate::task`]'s.

use crate::clock::unix_ms;
use crate::limits;
use crate::status::{Board, EndedTask, RunningTask};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// All running requests.
pub(crate) struct Tasks {
    running: Mutex<HashMap<String, Stop>>,
    tracker: TaskTracker,
    /// Ends what is still running.
    end: CancellationToken,
    board: Board,
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
            running.insert(id.clone(), stop.clone());
        }
        self.board.send_modify(|status| status.running.push(shown));
        let leave = Leave { tasks: Arc::clone(self), id, outcome: None };
        // The runtime moves what it is given, more than once.
        let work = Box::pin(work(stop));
        self.tracker.spawn(async move {
            let mut leave = leave;
            leave.outcome = Some(work.await);
        });
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
        if let Some(stop) = self.running.lock().get(id) {
            stop.unwanted.cancel();
        }
    }

    /// Stops a request for the owner of this machine; false when it does not run.
    pub(crate) fn stop(&self, id: &str) -> bool {
        let running = self.running.lock();
        let stop = running.get(id);
        stop.inspect(|stop| stop.by_owner.cancel()).is_some()
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

    /// Moves it from those that run to those that have ended.
    fn ended(&self, id: &str, outcome: Option<Outcome>) {
        let (word, tokens) = match outcome {
            Some(outcome) => (outcome.word, outcome.tokens),
            None => ("aborted".to_owned(), None),
        };
        self.board.send_modify(|status| {
            let Some(at) = status.running.iter().position(|task| task.task_id == id) else {
                return;
            };
            let task = status.running.remove(at);
            status.recent.truncate(limits::RECENT - 1);
            status.recent.push_front(EndedTask {
                task_id: task.task_id,
                llm: task.llm,
                path: task.path,
                user: task.user,
                started: task.started,
                ended: unix_ms(),
                tokens,
                outcome: word,
            });
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
        self.tasks.running.lock().remove(&self.id);
        self.tasks.ended(&self.id, self.outcome.take());
    }
}
