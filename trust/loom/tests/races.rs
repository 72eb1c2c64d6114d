//! The relay lies behind one lock, as in mcpd's driver, and loom tries every order in which threads
//! can get it. Each proof looks at what came out, from outside.

#![expect(clippy::unwrap_used, reason = "a proof ends where it fails")]

use loom::sync::{Arc, Mutex};
use loom::thread;
use relay::{
    Action, Actions, Allowed, AnswerEnd, ChannelId, From, GoneReason, Ids, LastEvent, Limits,
    Owner, OwnerId, Relay, Saved, SessionId, Submit, TaskId,
};
use wire::publisher::{
    Heartbeat, Instance, LlmReport, Provider, Register, ReportedStatus, TaskFailure,
};

const NOW: u64 = 1_000_000;
const TASK: TaskId = TaskId(1);

struct Counted(u128);

impl Ids for Counted {
    fn fresh(&mut self) -> u128 {
        self.0 += 1;
        self.0
    }
}

/// The relay and everything it asked for, in order, behind the driver's lock.
struct Inner {
    relay: Relay,
    done: Actions,
}

#[derive(Clone)]
struct Driver(Arc<Mutex<Inner>>);

impl Driver {
    fn new() -> Self {
        let ids = Box::new(Counted(1 << 100));
        let relay = Relay::new(Limits::default(), Saved::default(), ids, NOW);
        Self(Arc::new(Mutex::new(Inner { relay, done: Vec::new() })))
    }

    /// One event, and its actions before anybody else's.
    fn with<R>(&self, event: impl FnOnce(&mut Relay, &mut Actions) -> R) -> R {
        let mut inner = self.0.lock().unwrap();
        let Inner { relay, done } = &mut *inner;
        event(relay, done)
    }

    fn count(&self, wanted: impl Fn(&Action) -> bool) -> usize {
        let inner = self.0.lock().unwrap();
        inner.relay.audit().unwrap();
        inner.done.iter().filter(|action| wanted(action)).count()
    }
}

fn owner() -> Owner {
    Owner { id: OwnerId("mia".into()), label: "mia".into(), groups: Vec::new() }
}

/// Registers `m` and opens its channel.
fn publish(driver: &Driver, status: &str, session: Option<String>) -> (From, ChannelId) {
    let provider = Provider {
        name: "m".into(),
        initial_status: Some(status.into()),
        wake_max_wait_seconds: Some(60),
        ..Provider::default()
    };
    let request = Register {
        protocol: wire::PROTOCOL_2,
        provider_session_id: session,
        instance: Some(Instance { id: "machine".into(), ..Instance::default() }),
        providers: vec![provider],
        ..Register::default()
    };
    let registered =
        driver.with(|relay, out| relay.register(&owner(), &request, NOW, out)).unwrap();
    let session = registered.provider_session_id;
    let opened =
        driver.with(|relay, out| relay.open_channel(&owner().id, &session, NOW, out)).unwrap();
    driver.with(|relay, out| relay.channel_ready(opened.channel, NOW, out));
    let from = From {
        owner: owner().id,
        session: Some(SessionId(session)),
        epoch: Some(registered.epoch),
    };
    (from, opened.channel)
}

fn submit(driver: &Driver, task: TaskId) -> bool {
    let submit = Submit {
        name: "m".into(),
        key: String::new(),
        allowed: Allowed::All,
        streaming: true,
        notices: false,
    };
    driver.with(|relay, out| relay.submit(&submit, task, NOW, out)).is_ok()
}

fn is_end(action: &Action) -> bool {
    matches!(action, Action::Fail { .. } | Action::Complete { .. })
}

#[test]
fn an_answer_a_leaving_caller_and_a_deadline_make_one_end_and_free_one_slot() {
    loom::model(|| {
        let driver = Driver::new();
        let (from, _) = publish(&driver, "active", None);
        assert!(submit(&driver, TASK));
        driver.with(|relay, _| relay.answer_begins(&from, TASK, NOW)).unwrap();
        let answer = {
            let driver = driver.clone();
            thread::spawn(move || {
                driver.with(|relay, out| relay.first_byte(TASK, out));
                let end = AnswerEnd::Complete;
                driver.with(|relay, out| relay.answer_ended(TASK, end, NOW, out));
            })
        };
        let caller = {
            let driver = driver.clone();
            thread::spawn(move || {
                let reason = GoneReason::Disconnected;
                driver.with(|relay, out| relay.caller_gone(TASK, reason, NOW, out));
            })
        };
        // Half an hour later, by a clock that knows nothing of the two.
        driver.with(|relay, out| relay.tick(NOW + 31 * 60_000, out));
        answer.join().unwrap();
        caller.join().unwrap();
        driver.with(|relay, out| relay.tick(NOW + 90 * 60_000, out));
        assert!(driver.count(is_end) <= 1, "the caller's response ends twice");
        assert_eq!(driver.count(|a| matches!(a, Action::Forget { .. })), 1);
        assert_eq!(driver.with(|relay, _| relay.gauges().running), 0);
    });
}

#[test]
fn a_failure_and_a_lost_publisher_end_a_task_once() {
    loom::model(|| {
        let driver = Driver::new();
        let (from, channel) = publish(&driver, "active", None);
        assert!(submit(&driver, TASK));
        let failure = TaskFailure { message: String::new(), code: Some("cancelled".into()) };
        let publisher = {
            let driver = driver.clone();
            thread::spawn(move || {
                // It may be over already.
                let _ =
                    driver.with(|relay, out| relay.task_failed(&from, TASK, &failure, NOW, out));
            })
        };
        let network = {
            let driver = driver.clone();
            thread::spawn(move || driver.with(|relay, _| relay.channel_closed(channel)))
        };
        driver.with(|relay, out| relay.tick(NOW + 60_000, out));
        publisher.join().unwrap();
        network.join().unwrap();
        driver.with(|relay, out| relay.tick(NOW + 200_000, out));
        assert_eq!(driver.count(is_end), 1);
        assert_eq!(driver.with(|relay, _| relay.gauges().running), 0);
    });
}

#[test]
fn of_two_channels_that_open_at_once_one_is_superseded_and_one_gets_the_task() {
    loom::model(|| {
        let driver = Driver::new();
        let (from, _) = publish(&driver, "active", None);
        let session = from.session.unwrap().0;
        let open = |driver: Driver, session: String| {
            move || {
                let opened = driver
                    .with(|relay, out| relay.open_channel(&owner().id, &session, NOW, out))
                    .unwrap();
                driver.with(|relay, out| relay.channel_ready(opened.channel, NOW, out));
                opened.channel
            }
        };
        let one = thread::spawn(open(driver.clone(), session.clone()));
        let two = thread::spawn(open(driver.clone(), session));
        assert!(submit(&driver, TASK));
        let channels = [one.join().unwrap(), two.join().unwrap()];
        assert_ne!(channels[0], channels[1]);
        let superseded = |action: &Action| {
            matches!(action, Action::CloseChannel { last: LastEvent::Superseded, .. })
        };
        assert_eq!(driver.count(superseded), 2, "the first one, and one of the two");
        assert_eq!(driver.count(|a| matches!(a, Action::Dispatch(_))), 1);
        assert_eq!(driver.with(|relay, _| relay.gauges().channels), 1);
    });
}

#[test]
fn callers_that_meet_at_a_sleeping_model_start_one_wake_and_all_go_on() {
    loom::model(|| {
        let driver = Driver::new();
        let (from, _) = publish(&driver, "hibernating", None);
        let callers = [TaskId(1), TaskId(2)].map(|task| {
            let driver = driver.clone();
            thread::spawn(move || assert!(submit(&driver, task)))
        });
        // The publisher says itself that the backend is there, in the middle of it.
        let session = from.session.unwrap().0;
        let beat = Heartbeat {
            provider_session_id: session,
            llms: vec![LlmReport {
                name: "m".into(),
                status: ReportedStatus::Active,
                in_flight: 0,
                queued: 0,
            }],
            ..Heartbeat::default()
        };
        driver.with(|relay, out| relay.heartbeat(&owner().id, &beat, NOW, out)).unwrap();
        for caller in callers {
            caller.join().unwrap();
        }
        let wakes = driver.count(|a| matches!(a, Action::Wake { .. }));
        assert!(wakes <= 1, "{wakes} wakes");
        assert_eq!(driver.with(|relay, _| relay.gauges().waking), 0);
        // One slot: one runs, one waits.
        assert_eq!(driver.count(|a| matches!(a, Action::Dispatch(_))), 1);
        let gauges = driver.with(|relay, _| relay.gauges());
        assert_eq!((gauges.running, gauges.queued), (1, 1));
    });
}
