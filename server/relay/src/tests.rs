//! Scenarios as the driver sees the relay: events in, actions out, time as an argument.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the one action it looks for")]

mod deadlines;
mod leases;
mod names;
mod redispatch;
mod resume;
mod sessions;
mod task_lifecycle;
mod waking;

use crate::{
    Action, Actions, Allowed, AnswerEnd, ChannelId, CountedIds, GoneReason, Limits, Millis, Owner,
    OwnerId, Relay, Saved, Submit, SubmitRefusal, TaskId, TaskSender,
};
use std::io::Write as _;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use wire::publisher::{
    Heartbeat, LlmReport, Provider, Register, Registered, ReportedStatus, TaskFailure,
};

/// Simulated hours take milliseconds: a test that runs for this long is stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// A relay, its clock, and its actions since the last call of [`World::take`].
struct World {
    relay: Relay,
    now: Millis,
    out: Actions,
    tasks: u128,
}

/// A registered publisher with an open channel.
#[derive(Clone)]
struct Publisher {
    owner: Owner,
    session: String,
    epoch: u64,
    channel: ChannelId,
}

impl Publisher {
    fn from(&self) -> TaskSender {
        let session = Some(self.session.parse().unwrap());
        TaskSender { owner: self.owner.id.clone(), session }
    }
}

fn owner(name: &str) -> Owner {
    Owner { id: OwnerId(name.into()), label: name.into(), groups: Vec::new() }
}

fn provider(name: &str, status: &str) -> Provider {
    Provider { name: name.into(), initial_status: Some(status.into()), ..Provider::default() }
}

/// A request of a key that may use every LLM.
fn request(name: &str) -> Submit {
    Submit {
        name: name.into(),
        key: "key".into(),
        allowed: Allowed::All,
        streaming: true,
        notices: false,
    }
}

impl World {
    fn new() -> Self {
        Self::restored(Saved::default())
    }

    fn restored(saved: Saved) -> Self {
        let now = 1_000_000;
        let relay =
            Relay::new(Limits::default(), saved, Box::new(CountedIds::starting_at(1 << 100)), now);
        Self { relay, now, out: Vec::new(), tasks: 0 }
    }

    /// A publisher of these LLMs.
    fn publish(&mut self, who: &str, providers: &[Provider]) -> Publisher {
        let registered = self.register(who, None, providers);
        self.open(who, &registered)
    }

    fn register(&mut self, who: &str, session: Option<&str>, providers: &[Provider]) -> Registered {
        let request = Register {
            protocol: 2,
            provider_session_id: session.map(str::to_owned),
            providers: providers.to_vec(),
            ..Register::default()
        };
        self.relay.register(&owner(who), &request, self.now, &mut self.out).unwrap()
    }

    fn open(&mut self, who: &str, registered: &Registered) -> Publisher {
        let (owner, session) = (owner(who), registered.provider_session_id.clone());
        let opened = self
            .relay
            .open_channel(&owner.id, session.parse().unwrap(), self.now, &mut self.out)
            .unwrap();
        self.relay.channel_ready(opened.channel, self.now, &mut self.out);
        Publisher { owner, session, epoch: opened.epoch, channel: opened.channel }
    }

    fn submit(&mut self, name: &str) -> TaskId {
        self.try_submit(name).unwrap()
    }

    fn try_submit(&mut self, name: &str) -> Result<TaskId, SubmitRefusal> {
        self.submit_as(name, true, false)
    }

    fn submit_as(
        &mut self,
        name: &str,
        streaming: bool,
        notices: bool,
    ) -> Result<TaskId, SubmitRefusal> {
        let request = Submit { streaming, notices, ..request(name) };
        self.tasks += 1;
        let task = TaskId(self.tasks);
        self.relay.submit(&request, task, self.now, &mut self.out).map(|()| task)
    }

    fn submit_with_key(&mut self, key: &str, name: &str) -> Result<TaskId, SubmitRefusal> {
        let request = Submit { key: key.into(), ..request(name) };
        self.tasks += 1;
        let task = TaskId(self.tasks);
        self.relay.submit(&request, task, self.now, &mut self.out).map(|()| task)
    }

    fn leave(&mut self, task: TaskId) {
        self.relay.caller_gone(task, GoneReason::Disconnected, self.now, &mut self.out);
    }

    fn ack(&mut self, publisher: &Publisher, task: TaskId) {
        self.relay.acknowledge(&publisher.from(), task, self.now).unwrap();
    }

    /// Sends a whole response.
    fn answer(&mut self, publisher: &Publisher, task: TaskId) {
        self.begin(publisher, task);
        self.answer_ends(task);
    }

    fn answer_ends(&mut self, task: TaskId) {
        self.relay.answer_ended(task, AnswerEnd::Complete, self.now, &mut self.out);
    }

    fn begin(&mut self, publisher: &Publisher, task: TaskId) {
        self.relay.answer_begins(&publisher.from(), task, self.now).unwrap();
        self.relay.first_byte(task, &mut self.out);
    }

    fn fail(&mut self, publisher: &Publisher, task: TaskId, code: &str) {
        let failure = TaskFailure { message: "x".into(), code: Some(code.into()) };
        let from = publisher.from();
        // For a cancelled task the refusal is `Gone`, and its slot is given back.
        let _ = self.relay.task_failed(&from, task, &failure, self.now, &mut self.out);
    }

    fn report(
        &mut self,
        publisher: &Publisher,
        llms: &[(&str, ReportedStatus)],
        running: &[TaskId],
    ) {
        let report = |(name, status): &(&str, ReportedStatus)| LlmReport {
            name: (*name).into(),
            status: *status,
            in_flight: 0,
            queued: 0,
        };
        let beat = Heartbeat {
            provider_session_id: publisher.session.clone(),
            epoch: None,
            llms: llms.iter().map(report).collect(),
            inflight: Some(running.iter().map(ToString::to_string).collect()),
        };
        self.relay.heartbeat(&publisher.owner.id, &beat, self.now, &mut self.out).unwrap();
    }

    /// Reports that a wake succeeded.
    fn woken(&mut self, publisher: &Publisher, wake: TaskId) {
        self.relay.wake_succeeded(&publisher.from(), wake, self.now, &mut self.out).unwrap();
    }

    /// Lets time pass: handles deadlines when they are due, and sweeps every 5 s.
    fn pass(&mut self, ms: u64) {
        let until = self.now + ms;
        abort_if_stuck(|| {
            while self.now < until {
                let step = (until - self.now).min(self.relay.limits().sweep);
                self.now += step;
                self.relay.tick(self.now, &mut self.out);
                self.relay.sweep(self.now, &mut self.out);
            }
        });
    }

    /// As [`Self::pass`], with a heartbeat every 10 s that names the running tasks.
    fn live(&mut self, publisher: &Publisher, running: &[TaskId], ms: u64) {
        let until = self.now + ms;
        while self.now < until {
            self.pass((until - self.now).min(10_000));
            self.report(publisher, &[], running);
        }
    }

    fn take(&mut self) -> Actions {
        std::mem::take(&mut self.out)
    }

    /// The tasks that were sent since the last call, in order.
    fn sent(&mut self) -> Vec<TaskId> {
        let sent = |action: &Action| match action {
            Action::Dispatch(dispatch) => Some(dispatch.task),
            _ => None,
        };
        let actions = self.take();
        actions.iter().filter_map(sent).collect()
    }

    /// The failures since the last call, by code.
    fn failed(&mut self) -> Vec<(TaskId, &'static str)> {
        let failed = |action: &Action| match action {
            Action::Fail { task, failure } => Some((*task, failure.code.as_str())),
            _ => None,
        };
        let actions = self.take();
        actions.iter().filter_map(failed).collect()
    }

    /// The wake that was sent since the last call.
    fn wake(&mut self) -> Option<TaskId> {
        let wakes: Vec<TaskId> = self
            .take()
            .iter()
            .filter_map(|action| match action {
                Action::Wake { task, .. } => Some(*task),
                _ => None,
            })
            .collect();
        assert!(wakes.len() <= 1, "more than one wake: {wakes:?}");
        wakes.first().copied()
    }

    fn status(&self, name: &str) -> String {
        let rows = self.relay.catalogue();
        let row = rows.iter().find(|row| row.info.name == name).map(|row| &row.info);
        row.map_or("none".into(), |row| row.status.as_str().to_owned())
    }
}

/// Aborts the test with a message if `work` does not return: a deadline that changes nothing is due
/// again at once, which would be an endless loop.
fn abort_if_stuck(work: impl FnOnce()) {
    let (done, watch) = mpsc::sync_channel::<()>(0);
    thread::scope(|scope| {
        scope.spawn(move || {
            if watch.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                // A panic would wait for the thread that is stuck.
                let _ =
                    writeln!(std::io::stderr(), "time stands still: a deadline changes nothing");
                std::process::abort();
            }
        });
        work();
        drop(done);
    });
}
