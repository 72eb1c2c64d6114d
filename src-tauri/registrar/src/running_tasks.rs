//! The requests that run now: their ids, how one is stopped, and how all end when publishing stops.
//! [`crate::task`] does the work of one.

use crate::clock::unix_ms;
use crate::limits;
use crate::status::{EndedTask, RunningTask, StatusSender};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::publisher::TaskOutcome;

/// All running requests.
pub(crate) struct RunningTasks {
    running: Mutex<HashMap<String, Stop>>,
    /// Ids of the tasks whose wake or report runs.
    attached: Mutex<HashSet<String>>,
    tracker: TaskTracker,
    /// Stops everything that runs.
    stop_all: CancellationToken,
    /// Drops everything that has not stopped by itself.
    drop_all: CancellationToken,
    status: StatusSender,
}

/// The two reasons to stop a request from outside.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    /// The caller and the server do not wait for it any more.
    pub(crate) unwanted: CancellationToken,
    /// The publisher stopped it.
    pub(crate) by_owner: CancellationToken,
}

/// How a request ended, for people.
pub(crate) struct TaskEnd {
    pub(crate) outcome: TaskOutcome,
    /// Tokens that the backend wrote, if its response said so.
    pub(crate) tokens: Option<u64>,
    /// The cause of a failure, for the publisher.
    pub(crate) cause: Option<String>,
}

impl RunningTasks {
    pub(crate) fn new(status: StatusSender) -> Arc<Self> {
        let (running, attached, tracker) = <_>::default();
        let (stop_all, drop_all) = <_>::default();
        Arc::new(Self { running, attached, tracker, stop_all, drop_all, status })
    }

    /// Starts a request; false if it runs already or if there are too many.
    pub(crate) fn start<W: Future<Output = TaskEnd> + Send + 'static>(
        self: &Arc<Self>,
        shown: RunningTask,
        work: impl FnOnce(Stop) -> W,
    ) -> bool {
        let id = shown.task_id.clone();
        let stop =
            Stop { unwanted: self.stop_all.child_token(), by_owner: CancellationToken::new() };
        {
            let mut running = self.running.lock();
            if running.len() >= limits::TASKS || running.contains_key(&id) {
                return false;
            }
            running.insert(id.clone(), stop.clone());
        }
        self.status.send_modify(|status| status.running.push(shown));
        let guard = RunningGuard { tasks: Arc::clone(self), id, end: None };
        // Boxed: the runtime moves a spawned future more than once, and this one is large.
        let work = Box::pin(work(stop));
        let dropped = self.drop_all.clone();
        self.tracker.spawn(async move {
            let mut guard = guard;
            guard.end = dropped.run_until_cancelled(work).await;
        });
        true
    }

    /// Starts work for a task that cannot be cancelled from outside, but that ends with the rest;
    /// false if such work for it runs already or if there is too much of it.
    pub(crate) fn attach(
        self: &Arc<Self>,
        id: &str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> bool {
        {
            let mut attached = self.attached.lock();
            if attached.len() >= limits::ATTACHED || !attached.insert(id.to_owned()) {
                return false;
            }
        }
        let guard = AttachedGuard { tasks: Arc::clone(self), id: id.to_owned() };
        let stop_all = self.stop_all.clone();
        self.tracker.spawn(async move {
            let _guard = guard;
            stop_all.run_until_cancelled(work).await;
        });
        true
    }

    /// Cancels a request; does nothing if it has ended.
    pub(crate) fn cancel(&self, id: &str) {
        if let Some(stop) = self.running.lock().get(id) {
            stop.unwanted.cancel();
        }
    }

    /// Stops a request for the publisher; false if it does not run.
    pub(crate) fn stop(&self, id: &str) -> bool {
        let running = self.running.lock();
        let stop = running.get(id);
        stop.inspect(|stop| stop.by_owner.cancel()).is_some()
    }

    /// Ids of the running requests.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.running.lock().keys().cloned().collect()
    }

    /// True if a request runs.
    pub(crate) fn is_busy(&self) -> bool {
        !self.running.lock().is_empty()
    }

    /// Lets requests run to their end for `grace`, then stops them, and drops those that have not
    /// reported their end [`limits::STOP_GRACE`] later.
    pub(crate) async fn finish(&self, grace: Duration) {
        self.tracker.close();
        if tokio::time::timeout(grace, self.tracker.wait()).await.is_ok() {
            return;
        }
        self.stop_all.cancel();
        let stopped = tokio::time::timeout(limits::STOP_GRACE, self.tracker.wait());
        if stopped.await.is_err() {
            self.drop_all.cancel();
            self.tracker.wait().await;
        }
    }

    /// Moves a request from the running to the ended ones in the status.
    fn record_end(&self, id: &str, end: Option<TaskEnd>) {
        let aborted = || TaskEnd { outcome: TaskOutcome::Aborted, tokens: None, cause: None };
        let TaskEnd { outcome, tokens, cause } = end.unwrap_or_else(aborted);
        self.status.send_modify(|status| {
            let Some(at) = status.running.iter().position(|task| task.task_id == id) else {
                return;
            };
            let task = status.running.remove(at);
            status.record_end(EndedTask {
                task_id: task.task_id,
                llm: task.llm,
                path: task.path,
                user: task.user,
                started: task.started,
                ended: unix_ms(),
                tokens,
                outcome,
                cause,
            });
        });
    }
}

/// Removes a request from the running ones when it is dropped.
struct RunningGuard {
    tasks: Arc<RunningTasks>,
    id: String,
    end: Option<TaskEnd>,
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.tasks.running.lock().remove(&self.id);
        self.tasks.record_end(&self.id, self.end.take());
    }
}

/// Removes attached work when it is dropped.
struct AttachedGuard {
    tasks: Arc<RunningTasks>,
    id: String,
}

impl Drop for AttachedGuard {
    fn drop(&mut self) {
        self.tasks.attached.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::{RunningTasks, TaskEnd};
    use crate::limits;
    use crate::status::{RunningTask, Status};
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::sync::watch;
    use tokio::time::Instant;

    fn tasks() -> Arc<RunningTasks> {
        RunningTasks::new(Arc::new(watch::Sender::new(Status::default())))
    }

    #[tokio::test(start_paused = true)]
    async fn attached_work_is_bounded_and_runs_once_for_each_task() {
        let tasks = tasks();
        let never = std::future::pending::<()>;
        assert!(
            tasks.attach("0", never()) && !tasks.attach("0", never()),
            "it is attached already"
        );
        for id in 1..limits::ATTACHED {
            assert!(tasks.attach(&id.to_string(), never()));
        }
        assert!(!tasks.attach("one more", never()));
        tasks.finish(Duration::from_secs(1)).await;
        assert!(tasks.attached.lock().is_empty());
        assert!(tasks.attach("0", never()), "the others have ended");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_ignores_its_stop_is_dropped_at_last() {
        let tasks = tasks();
        let shown = RunningTask { task_id: "0".into(), ..RunningTask::default() };
        assert!(tasks.start(shown, |_stop| std::future::pending::<TaskEnd>()));
        let (began, grace) = (Instant::now(), Duration::from_secs(1));
        tasks.finish(grace).await;
        assert_eq!(began.elapsed(), grace + limits::STOP_GRACE);
        assert!(tasks.ids().is_empty());
    }
}
