//! The requests that run now: their ids, how one is stopped, and how all end when publishing stops.
//! [`crate::task`] does the work of one.

use crate::clock::unix_ms;
use crate::limits;
use crate::status::{EndedTask, RunningTask, StatusSender};
use crate::task_failure::{cancelled, stopped_by_owner};
use crate::uplink::Answers;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::publisher::{Registered, TaskFailure, TaskOutcome};

/// All running requests.
pub(crate) struct RunningTasks {
    running: Mutex<HashMap<String, Running>>,
    /// Notified when no request runs any more.
    ended: Notify,
    /// The answers for a protocol-2 server.
    answers: Arc<Answers>,
    /// Ids of the tasks whose wake or report runs.
    attached: Mutex<HashSet<String>>,
    tracker: TaskTracker,
    /// Stops everything that runs.
    stop_all: CancellationToken,
    /// Drops everything that has not stopped by itself.
    drop_all: CancellationToken,
    status: StatusSender,
}

/// A request that has not ended for the server.
struct Running {
    stop: Stop,
    /// The number of its answer; `None` if it is a protocol-1 server's.
    answer: Option<u128>,
    /// How the work on it ended. The answer may still be on its way.
    end: Option<TaskEnd>,
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
    /// The failure that ends the answer for a protocol-2 server.
    pub(crate) report: Option<TaskFailure>,
}

impl TaskEnd {
    fn aborted() -> Self {
        let report = Some(cancelled());
        Self { outcome: TaskOutcome::Aborted, tokens: None, cause: None, report }
    }

    /// The end of a request that failed, or was stopped, for this reason.
    fn failed(failure: &TaskFailure) -> Self {
        let outcome = failure.code.clone().map_or_else(TaskOutcome::default, TaskOutcome::Failed);
        Self { outcome, tokens: None, cause: None, report: None }
    }
}

impl RunningTasks {
    pub(crate) fn new(status: StatusSender) -> Arc<Self> {
        let (running, ended, answers, attached, tracker) = <_>::default();
        let (stop_all, drop_all) = <_>::default();
        Arc::new(Self { running, ended, answers, attached, tracker, stop_all, drop_all, status })
    }

    /// The answers for a protocol-2 server.
    pub(crate) fn answers(&self) -> &Arc<Answers> {
        &self.answers
    }

    /// Starts a request, and its answer if that has a number; false if it runs already or if there are
    /// too many.
    pub(crate) fn start<W: Future<Output = TaskEnd> + Send + 'static>(
        self: &Arc<Self>,
        shown: RunningTask,
        answer: Option<u128>,
        work: impl FnOnce(Stop) -> W,
    ) -> bool {
        let id = shown.task_id.clone();
        let Some(stop) = self.insert(&id, answer, None) else { return false };
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

    /// Fails a request without starting it.
    pub(crate) fn refuse(&self, id: &str, answer: u128, failure: &TaskFailure) {
        if self.insert(id, Some(answer), Some(TaskEnd::failed(failure))).is_some() {
            self.answers.fail(answer, failure);
        }
    }

    fn insert(&self, id: &str, answer: Option<u128>, end: Option<TaskEnd>) -> Option<Stop> {
        let mut running = self.running.lock();
        if running.len() >= limits::TASKS || running.contains_key(id) {
            return None;
        }
        let stop =
            Stop { unwanted: self.stop_all.child_token(), by_owner: CancellationToken::new() };
        running.insert(id.to_owned(), Running { stop: stop.clone(), answer, end });
        if let Some(answer) = answer {
            self.answers.begin(answer);
        }
        Some(stop)
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
        if let Some(task) = self.running.lock().get_mut(id) {
            task.stop.unwanted.cancel();
            self.stop_answer(task, &cancelled());
        }
    }

    /// Stops a request for the publisher; false if it does not run.
    pub(crate) fn stop(&self, id: &str) -> bool {
        let mut running = self.running.lock();
        let Some(task) = running.get_mut(id) else { return false };
        task.stop.by_owner.cancel();
        self.stop_answer(task, &stopped_by_owner());
        true
    }

    /// Stops the answer of a request whose work has ended.
    fn stop_answer(&self, task: &mut Running, failure: &TaskFailure) {
        if let (Some(answer), Some(end)) = (task.answer, &mut task.end)
            && self.answers.stop(answer, failure)
        {
            *end = TaskEnd { tokens: end.tokens, ..TaskEnd::failed(failure) };
        }
    }

    /// Forgets the answer of a request: the server has it, or does not want it. Stops the work on it.
    pub(crate) fn finished(&self, id: &str) {
        let end = {
            let mut running = self.running.lock();
            let Some(task) = running.get_mut(id) else { return };
            let Some(answer) = task.answer else { return };
            self.answers.finished(answer);
            let Some(end) = task.end.take() else {
                task.stop.unwanted.cancel();
                return;
            };
            running.remove(id);
            end
        };
        self.record_end(id, end);
    }

    /// Applies the reply to a register: the answers that the server still waits for go on from where
    /// it says, those that it cancels are stopped, and it does not know the others.
    pub(crate) fn resume(&self, registered: &Registered) {
        self.answers.resume(&registered.resume);
        let resumed = registered.resume.iter().map(|resumed| resumed.id.as_str());
        let known: HashSet<&str> =
            resumed.chain(registered.cancel.iter().map(String::as_str)).collect();
        let speaks_v2 = registered.protocol >= wire::PROTOCOL_2;
        self.finish_all(|id| !speaks_v2 || !known.contains(id));
    }

    /// Gives up every answer for a protocol-2 server: there is no way to it any more.
    pub(crate) fn abandon(&self) {
        self.finish_all(|_| true);
    }

    fn finish_all(&self, is_over: impl Fn(&str) -> bool) {
        let over: Vec<String> =
            self.running.lock().keys().filter(|id| is_over(id)).cloned().collect();
        over.iter().for_each(|id| self.finished(id));
    }

    /// Ids of the running requests.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.running.lock().keys().cloned().collect()
    }

    /// True if a request runs.
    pub(crate) fn is_busy(&self) -> bool {
        !self.running.lock().is_empty()
    }

    /// Waits until no request runs.
    pub(crate) async fn until_idle(&self) {
        loop {
            let ended = self.ended.notified();
            if !self.is_busy() {
                return;
            }
            ended.await;
        }
    }

    /// Lets requests run to their end for `grace`, then stops them, and drops those that have not
    /// reported their end [`limits::STOP_GRACE`] later.
    pub(crate) async fn finish(&self, grace: Duration) {
        self.tracker.close();
        if tokio::time::timeout(grace, self.until_all_ended()).await.is_ok() {
            return;
        }
        self.stop_all.cancel();
        self.ids().iter().for_each(|id| self.cancel(id));
        let stopped = tokio::time::timeout(limits::STOP_GRACE, self.until_all_ended());
        if stopped.await.is_err() {
            self.drop_all.cancel();
            self.tracker.wait().await;
            self.abandon();
        }
    }

    async fn until_all_ended(&self) {
        self.tracker.wait().await;
        self.until_idle().await;
    }

    /// Moves a request from the running to the ended ones in the status.
    fn record_end(&self, id: &str, end: TaskEnd) {
        let TaskEnd { outcome, tokens, cause, report: _ } = end;
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
        if !self.is_busy() {
            self.ended.notify_waiters();
        }
    }

    /// The work on a request has ended. The request has ended with it, unless its answer is still on
    /// its way.
    fn work_ended(&self, id: &str, end: Option<TaskEnd>) {
        let mut end = end.unwrap_or_else(TaskEnd::aborted);
        {
            let mut running = self.running.lock();
            if let Some(task) = running.get_mut(id)
                && let Some(answer) = task.answer
                && self.answers.contains(answer)
            {
                // Under the lock: the server may send the same task again as soon as it has this.
                if let Some(failure) = end.report.take() {
                    self.answers.fail(answer, &failure);
                }
                task.end = Some(end);
                return;
            }
            running.remove(id);
        }
        self.record_end(id, end);
    }
}

/// Reports the end of the work on a request when it is dropped.
struct RunningGuard {
    tasks: Arc<RunningTasks>,
    id: String,
    end: Option<TaskEnd>,
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.tasks.work_ended(&self.id, self.end.take());
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
        assert!(tasks.start(shown, None, |_stop| std::future::pending::<TaskEnd>()));
        let (began, grace) = (Instant::now(), Duration::from_secs(1));
        tasks.finish(grace).await;
        assert_eq!(began.elapsed(), grace + limits::STOP_GRACE);
        assert!(tasks.ids().is_empty());
    }
}
