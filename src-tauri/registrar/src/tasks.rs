//! The requests that run now: who they are, how one is stopped, and how all end when publishing
//! stops. What a task does is [`crate::task`]'s.

use crate::limits;
use crate::status::{Board, RunningTask};
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
    cancel: CancellationToken,
    shown: RunningTask,
}

impl Tasks {
    pub(crate) fn new(board: Board) -> Arc<Self> {
        let (running, tracker, end) = <_>::default();
        Arc::new(Self { running, tracker, end, board })
    }

    /// Starts a request; false when it runs already or when there are too many.
    pub(crate) fn start<W: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        shown: RunningTask,
        work: impl FnOnce(CancellationToken) -> W,
    ) -> bool {
        let id = shown.task_id.clone();
        let cancel = self.end.child_token();
        {
            let mut running = self.running.lock();
            if running.len() >= limits::TASKS || running.contains_key(&id) {
                return false;
            }
            running.insert(id.clone(), Entry { cancel: cancel.clone(), shown });
        }
        let leave = Leave { tasks: Arc::clone(self), id };
        let work = work(cancel);
        self.tracker.spawn(async move {
            let _leave = leave;
            work.await;
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
            entry.cancel.cancel();
        }
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
}

/// Takes a request off the list, however it ends.
struct Leave {
    tasks: Arc<Tasks>,
    id: String,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.tasks.running.lock().remove(&self.id);
        self.tasks.show();
    }
}
