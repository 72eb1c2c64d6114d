//! The requests that run now: who they are, how one is stopped, and how all end when publishing
//! stops. What a task does is [`crate::task`]'s.

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
    /// Ids of the wakes and reports under way.
    attached: Mutex<HashSet<String>>,
    tracker: TaskTracker,
    /// Ends what is still running.
    end: CancellationToken,
    /// Drops what has not ended then.
    drop_all: CancellationToken,
    board: StatusSender,
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
    /// The end itself.
    pub(crate) outcome: TaskOutcome,
    /// Tokens that the backend wrote, where its answer said so.
    pub(crate) tokens: Option<u64>,
    /// Why it failed, for the owner.
    pub(crate) cause: Option<String>,
}

impl RunningTasks {
    pub(crate) fn new(board: StatusSender) -> Arc<Self> {
        let (running, attached, tracker) = <_>::default();
        let (end, drop_all) = <_>::default();
        Arc::new(Self { running, attached, tracker, end, drop_all, board })
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
        let dropped = self.drop_all.clone();
        self.tracker.spawn(async move {
            let mut leave = leave;
            leave.outcome = dropped.run_until_cancelled(work).await;
        });
        true
    }

    /// Work for a task that nobody can cancel from outside, but that ends with the rest; false when
    /// there is such work for it already or when there is too much.
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
        let detach = Detach { tasks: Arc::clone(self), id: id.to_owned() };
        let end = self.end.clone();
        self.tracker.spawn(async move {
            let _detach = detach;
            end.run_until_cancelled(work).await;
        });
        true
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

    /// Lets them run to their end for a while, then stops them, and drops those that have not told
    /// the server in time.
    pub(crate) async fn finish(&self, grace: Duration) {
        self.tracker.close();
        if tokio::time::timeout(grace, self.tracker.wait()).await.is_ok() {
            return;
        }
        self.end.cancel();
        let rest = tokio::time::timeout(limits::GOODBYE_REST, self.tracker.wait());
        if rest.await.is_err() {
            self.drop_all.cancel();
            self.tracker.wait().await;
        }
    }

    /// Moves it from those that run to those that have ended.
    fn ended(&self, id: &str, outcome: Option<Outcome>) {
        let aborted = || Outcome { outcome: TaskOutcome::Aborted, tokens: None, cause: None };
        let Outcome { outcome, tokens, cause } = outcome.unwrap_or_else(aborted);
        self.board.send_modify(|status| {
            let Some(at) = status.running.iter().position(|task| task.task_id == id) else {
                return;
            };
            let task = status.running.remove(at);
            status.remember(EndedTask {
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

/// Takes a request off the list, however it ends.
struct Leave {
    tasks: Arc<RunningTasks>,
    id: String,
    outcome: Option<Outcome>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.tasks.running.lock().remove(&self.id);
        self.tasks.ended(&self.id, self.outcome.take());
    }
}

/// Takes attached work off the list, however it ends.
struct Detach {
    tasks: Arc<RunningTasks>,
    id: String,
}

impl Drop for Detach {
    fn drop(&mut self) {
        self.tasks.attached.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, RunningTasks};
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
    async fn attached_work_is_bounded_and_once_for_each_task() {
        let tasks = tasks();
        let never = std::future::pending::<()>;
        assert!(tasks.attach("0", never()) && !tasks.attach("0", never()), "it is there already");
        for id in 1..limits::ATTACHED {
            assert!(tasks.attach(&id.to_string(), never()));
        }
        assert!(!tasks.attach("one more", never()));
        tasks.finish(Duration::from_secs(1)).await;
        assert!(tasks.attached.lock().is_empty());
        assert!(tasks.attach("0", never()), "the others have ended");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_stopped_is_dropped_in_the_end() {
        let tasks = tasks();
        let shown = RunningTask { task_id: "0".into(), ..RunningTask::default() };
        assert!(tasks.start(shown, |_deaf| std::future::pending::<Outcome>()));
        let (began, grace) = (Instant::now(), Duration::from_secs(1));
        tasks.finish(grace).await;
        assert_eq!(began.elapsed(), grace + limits::GOODBYE_REST);
        assert!(tasks.ids().is_empty());
    }
}
