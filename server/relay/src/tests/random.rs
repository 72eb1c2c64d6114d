//! Any sequence of events keeps the books: slots, queues, wakes, timers, and one end per task.

use super::{Publisher, World, provider};
use crate::task::Phase;
use crate::{Action, AnswerEnd, TaskId};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use wire::publisher::{Provider, ReportedStatus};

const STEPS: usize = 200;
const NAMES: [&str; 3] = ["a", "b", "c"];

/// One event. Numbers choose among what is there.
#[derive(Debug, Clone)]
enum Event {
    Register { who: usize, names: u8, asleep: bool },
    CloseChannel { who: usize },
    Beat { who: usize, asleep: bool, forget: bool },
    Submit { name: usize },
    Gone { task: usize },
    Ack { task: usize, who: usize },
    Begin { task: usize, who: usize },
    End { task: usize, end: u8 },
    Fail { task: usize, who: usize },
    WakeDone { who: usize, ok: bool },
    Pass { ms: u64 },
}

fn event() -> impl Strategy<Value = Event> {
    let (who, task) = (0..2usize, 0..24usize);
    prop_oneof![
        2 => (who.clone(), 0..8u8, any::<bool>())
            .prop_map(|(who, names, asleep)| Event::Register { who, names, asleep }),
        1 => who.clone().prop_map(|who| Event::CloseChannel { who }),
        2 => (who.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(who, asleep, forget)| Event::Beat { who, asleep, forget }),
        5 => (0..NAMES.len()).prop_map(|name| Event::Submit { name }),
        2 => task.clone().prop_map(|task| Event::Gone { task }),
        3 => (task.clone(), who.clone()).prop_map(|(task, who)| Event::Ack { task, who }),
        4 => (task.clone(), who.clone()).prop_map(|(task, who)| Event::Begin { task, who }),
        4 => (task.clone(), 0..4u8).prop_map(|(task, end)| Event::End { task, end }),
        2 => (task, who.clone()).prop_map(|(task, who)| Event::Fail { task, who }),
        2 => (who, any::<bool>()).prop_map(|(who, ok)| Event::WakeDone { who, ok }),
        3 => (1..40_000u64).prop_map(|ms| Event::Pass { ms }),
    ]
}

/// The world, and what a caller and a publisher would remember of it.
struct Run {
    world: World,
    publishers: [Option<Publisher>; 2],
    submitted: Vec<TaskId>,
    ended: BTreeSet<TaskId>,
    dispatches: BTreeMap<TaskId, u32>,
    wakes: Vec<TaskId>,
}

impl Run {
    fn new() -> Self {
        Self {
            world: World::new(),
            publishers: [None, None],
            submitted: Vec::new(),
            ended: BTreeSet::new(),
            dispatches: BTreeMap::new(),
            wakes: Vec::new(),
        }
    }

    /// One of the latest tasks.
    fn task(&self, at: usize) -> Option<TaskId> {
        self.submitted.iter().rev().nth(at).copied()
    }

    fn step(&mut self, event: &Event) {
        match *event {
            Event::Register { who, names, asleep } => self.register(who, names, asleep),
            Event::CloseChannel { who } => {
                if let Some(publisher) = &self.publishers[who] {
                    self.world.relay.channel_closed(publisher.channel);
                }
            }
            Event::Beat { who, asleep, forget } => self.beat(who, asleep, forget),
            Event::Submit { name } => {
                let submitted = self.world.try_submit(NAMES[name]);
                self.submitted.extend(submitted.ok());
            }
            Event::Gone { task } => self.with(task, |world, task| world.gone(task)),
            Event::End { task, end } => self.end(task, end),
            Event::Ack { task, who } => self.by(task, who, |world, by, task| {
                let _ = world.relay.acknowledge(&by.from(), task, world.now);
            }),
            Event::Begin { task, who } => self.by(task, who, |world, by, task| {
                let from = by.from();
                if world.relay.answer_begins(&from, task, world.now).is_ok() {
                    world.relay.first_byte(task);
                }
            }),
            Event::Fail { task, who } => {
                self.by(task, who, |world, by, task| world.fail(by, task, "backend_unreachable"));
            }
            Event::WakeDone { who, ok } => self.wake_done(who, ok),
            Event::Pass { ms } => self.world.pass(ms),
        }
        self.account();
    }

    fn register(&mut self, who: usize, names: u8, asleep: bool) {
        let status = if asleep { "hibernating" } else { "active" };
        let named = NAMES.iter().enumerate().filter(|(at, _)| names & (1 << at) != 0);
        // One of the three has no recipe.
        let entry = |(at, name): (usize, &&str)| Provider {
            wake_max_wait_seconds: (at > 0).then_some(60),
            ..provider(name, status)
        };
        let providers: Vec<_> = named.map(entry).collect();
        let session = self.publishers[who].as_ref().map(|p| p.session.clone());
        let owner = format!("owner{who}");
        let registered = self.world.register(&owner, session.as_deref(), &providers);
        self.publishers[who] = Some(self.world.open(&owner, &registered));
    }

    fn beat(&mut self, who: usize, asleep: bool, forget: bool) {
        let Some(publisher) = self.publishers[who].clone() else { return };
        let status = if asleep { ReportedStatus::Hibernating } else { ReportedStatus::Active };
        let known = self.world.relay.channel_of(&publisher.owner.id, &publisher.session).is_ok();
        let running = if forget { &[][..] } else { &self.submitted[..] };
        if known {
            let llms = NAMES.map(|name| (name, status));
            self.world.beat(&publisher, &llms, running);
        }
    }

    fn end(&mut self, task: usize, end: u8) {
        let end = [AnswerEnd::Complete, AnswerEnd::Aborted, AnswerEnd::Silent, AnswerEnd::Stopped]
            [usize::from(end)];
        self.with(task, |world, task| {
            let phase = world.relay.tasks.get(&task).map(|task| task.phase);
            // Only an upload that has begun can end, and only a stopped one is told to stop.
            let stopped = end == AnswerEnd::Stopped;
            if phase == Some(Phase::Answering) && !stopped || phase == Some(Phase::Ended) && stopped
            {
                world.relay.answer_ended(task, end, world.now, &mut world.out);
            }
        });
    }

    fn wake_done(&mut self, who: usize, ok: bool) {
        let (Some(publisher), Some(wake)) = (self.publishers[who].clone(), self.wakes.pop()) else {
            return;
        };
        if ok {
            let from = publisher.from();
            let World { relay, now, out, .. } = &mut self.world;
            let _ = relay.wake_succeeded(&from, wake, *now, out);
        } else {
            self.world.fail(&publisher, wake, "recipe_exit");
        }
    }

    fn with(&mut self, at: usize, event: impl FnOnce(&mut World, TaskId)) {
        if let Some(task) = self.task(at) {
            event(&mut self.world, task);
        }
    }

    fn by(&mut self, at: usize, who: usize, event: impl FnOnce(&mut World, &Publisher, TaskId)) {
        if let (Some(task), Some(publisher)) = (self.task(at), self.publishers[who].clone()) {
            event(&mut self.world, &publisher, task);
        }
    }

    /// Reads the actions as the driver does, and looks at the books.
    fn account(&mut self) {
        for action in self.world.take() {
            match action {
                Action::Fail { task, .. } | Action::Complete { task } => {
                    assert!(self.ended.insert(task), "{task} ends twice");
                }
                Action::Dispatch(sent) => {
                    let count = self.dispatches.entry(sent.task).or_default();
                    *count += 1;
                    assert!(
                        !self.ended.contains(&sent.task),
                        "{} is sent after its end",
                        sent.task
                    );
                    let most = 1 + self.world.relay.limits().redispatch;
                    assert!(*count <= most, "{} is sent too often", sent.task);
                }
                Action::Wake { task, .. } => self.wakes.push(task),
                _ => {}
            }
        }
        self.slots_and_queues_agree_with_the_tasks();
        self.wakes_are_one_per_row();
        self.timers_are_those_of_the_tasks();
    }

    fn slots_and_queues_agree_with_the_tasks(&self) {
        let relay = &self.world.relay;
        let mut waiting = BTreeSet::new();
        for (id, llm) in &relay.llms {
            assert!(llm.running <= llm.slots(), "too many run at {id}");
            for task in &llm.queue {
                assert!(waiting.insert(*task), "{task} waits twice");
                assert_eq!(relay.tasks[task].phase, Phase::Queued);
                assert_eq!(relay.tasks[task].llm, *id);
            }
            let holds = |task: &&crate::task::Task| task.llm == *id && task.phase.holds_slot();
            assert_eq!(relay.tasks.values().filter(holds).count(), llm.running as usize);
        }
        let queued = |(id, task): (&TaskId, &crate::task::Task)| {
            (task.phase == Phase::Queued).then_some(*id)
        };
        assert_eq!(relay.tasks.iter().filter_map(queued).collect::<BTreeSet<_>>(), waiting);
    }

    fn wakes_are_one_per_row(&self) {
        let relay = &self.world.relay;
        let of_rows: BTreeMap<_, _> = relay
            .llms
            .iter()
            .filter_map(|(id, llm)| Some((llm.waking.as_ref()?.task, id.clone())))
            .collect();
        assert_eq!(relay.wakes.clone().into_iter().collect::<BTreeMap<_, _>>(), of_rows);
    }

    fn timers_are_those_of_the_tasks(&self) {
        let relay = &self.world.relay;
        let of_tasks = relay.tasks.iter().filter_map(|(id, task)| Some((task.due?, *id)));
        let of_wakes =
            relay.llms.values().filter_map(|llm| llm.waking.as_ref().map(|w| (w.until, w.task)));
        assert_eq!(of_tasks.chain(of_wakes).collect::<BTreeSet<_>>(), relay.timers);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..<_>::default() })]

    #[test]
    fn the_books_are_right_after_every_event_and_empty_in_the_end(
        events in prop::collection::vec(event(), STEPS)
    ) {
        let mut run = Run::new();
        for event in &events {
            run.step(event);
        }
        // Everybody leaves and nobody says another word.
        run.step(&Event::CloseChannel { who: 0 });
        run.step(&Event::CloseChannel { who: 1 });
        run.step(&Event::Pass { ms: 2 * 3_600_000 });
        let gauges = run.world.relay.gauges();
        prop_assert_eq!((gauges.queued, gauges.running, gauges.waking), (0, 0, 0));
    }
}
