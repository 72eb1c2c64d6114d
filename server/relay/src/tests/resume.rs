//! Answers across lost channels and registers, and answers that break the rules.

use super::{Publisher, World, owner, provider};
use crate::{Action, AnswerEnd, CancelReason, TaskId, TaskRefusal};
use wire::error::Code;
use wire::publisher::{Register, Registered, Resume};

/// The publisher of "qwen" registers again and names these tasks.
fn register_again(
    world: &mut World,
    publisher: &Publisher,
    protocol: u32,
    named: &[String],
) -> Registered {
    let request = Register {
        protocol,
        provider_session_id: Some(publisher.session.clone()),
        inflight: named.to_vec(),
        providers: vec![provider("qwen", "active")],
        ..Register::default()
    };
    world.relay.register(&publisher.owner, &request, world.now, &mut world.out).unwrap()
}

/// A publisher of "qwen" that speaks protocol 1.
fn publish_by_protocol_1(world: &mut World) -> Publisher {
    let request = Register { providers: vec![provider("qwen", "active")], ..Register::default() };
    let old = world.relay.register(&owner("mia"), &request, world.now, &mut world.out).unwrap();
    world.open("mia", &old)
}

/// Begins the answer; with `delivered`, its first byte has gone to the caller.
fn begin(world: &mut World, publisher: &Publisher, task: TaskId, delivered: bool) {
    world.relay.answer_begins(&publisher.from(), task, world.now).unwrap();
    if delivered {
        world.relay.first_byte(task, &mut world.out);
    }
}

#[test]
fn a_register_that_does_not_name_an_answering_task_loses_it_and_frees_its_slot() {
    for delivered in [false, true] {
        let mut world = World::new();
        let publisher = world.publish("mia", &[provider("qwen", "active")]);
        let (first, second) = (world.submit("qwen"), world.submit("qwen"));
        begin(&mut world, &publisher, first, delivered);
        world.take();
        let back = register_again(&mut world, &publisher, 2, &[]);
        assert!(back.cancel.is_empty() && back.resume.is_empty());
        assert!(world.out.contains(&Action::Forget { task: first }));
        assert_eq!(world.failed(), [(first, "publisher_lost")], "delivered: {delivered}");
        world.open("mia", &back);
        assert_eq!(world.sent(), [second], "its slot is free");
    }
}

#[test]
fn a_register_resumes_named_tasks_that_are_open_and_cancels_ended_and_unknown_ones() {
    let mut world = World::new();
    let slots =
        wire::publisher::Provider { max_concurrency: Some(5), ..provider("qwen", "active") };
    let publisher = world.publish("mia", &[slots]);
    let other = world.publish("tom", &[provider("llama", "active")]);
    let [dispatched, accepted, answering, ended] = [(); 4].map(|()| world.submit("qwen"));
    let foreign = world.submit("llama");
    world.ack(&publisher, accepted);
    world.begin(&publisher, answering);
    world.begin(&publisher, ended);
    world.begin(&other, foreign);
    world.leave(ended);
    world.relay.channel_closed(publisher.channel);
    world.take();
    let named = [ended, answering, foreign, dispatched, accepted].map(|task| task.to_string());
    let unknown = ["0".repeat(32), "no task".into()];
    let all = [&named[..], &unknown].concat();
    let back = register_again(&mut world, &publisher, 2, &all);
    let resume = |task: TaskId| Resume { id: task.to_string(), offset: 0 };
    assert_eq!(back.resume, [answering, dispatched, accepted].map(resume));
    assert_eq!(back.cancel, [&named[..1], &named[2..3], &unknown].concat());
    assert_eq!(world.failed(), []);
    let again = world.relay.answer_begins(&publisher.from(), answering, world.now);
    assert_eq!(again.unwrap_err(), TaskRefusal::Answered, "its answer goes on");
    world.answer_ends(answering);
    world.answer(&publisher, dispatched);
    assert!(world.out.contains(&Action::Complete { task: answering }));
    assert!(world.out.contains(&Action::Complete { task: dispatched }));
}

#[test]
fn an_answer_outlives_its_channel_for_15_seconds() {
    for returns in [false, true] {
        let mut world = World::new();
        let publisher = world.publish("mia", &[provider("qwen", "active")]);
        let task = world.submit("qwen");
        world.begin(&publisher, task);
        world.relay.channel_closed(publisher.channel);
        world.take();
        world.pass(14_999);
        assert_eq!(world.failed(), []);
        if returns {
            let back = register_again(&mut world, &publisher, 2, &[task.to_string()]);
            world.open("mia", &back);
            world.pass(44_999);
            assert_eq!(world.failed(), [], "the time counts anew");
            world.answer_ends(task);
            assert!(world.take().contains(&Action::Complete { task }));
        } else {
            world.pass(1);
            assert_eq!(world.failed(), [(task, "publisher_lost")]);
            assert_eq!(world.relay.gauges().running, 1, "its backend may still work");
            let back = register_again(&mut world, &publisher, 2, &[task.to_string()]);
            assert_eq!((back.cancel, back.resume), (vec![task.to_string()], vec![]));
        }
    }
}

#[test]
fn an_invalid_answer_fails_and_holds_its_slot_until_the_publisher_confirms() {
    for phase in ["dispatched", "answering", "delivered"] {
        let mut world = World::new();
        let publisher = world.publish("mia", &[provider("qwen", "active")]);
        let (first, second) = (world.submit("qwen"), world.submit("qwen"));
        if phase != "dispatched" {
            begin(&mut world, &publisher, first, phase == "delivered");
        }
        world.take();
        world.relay.answer_ended(first, AnswerEnd::Invalid, world.now, &mut world.out);
        let reason = CancelReason::Failed(Code::BackendAborted);
        let cancel = Action::Cancel { channel: publisher.channel, task: first, reason };
        assert!(world.out.contains(&cancel), "{phase}");
        assert!(world.out.contains(&Action::StopAnswer { task: first }), "{phase}");
        assert_eq!(world.failed(), [(first, "backend_aborted")], "{phase}");
        world.relay.answer_ended(first, AnswerEnd::Invalid, world.now, &mut world.out);
        assert_eq!(world.take(), [], "{phase}: it fails once");
        world.fail(&publisher, first, "cancelled");
        assert_eq!(world.sent(), [second], "{phase}: the slot is free");
    }
}

#[test]
fn the_end_of_an_answer_whose_caller_has_left_frees_its_slot() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    let (first, second) = (world.submit("qwen"), world.submit("qwen"));
    world.begin(&publisher, first);
    world.leave(first);
    world.take();
    world.answer_ends(first);
    assert!(!world.out.contains(&Action::Complete { task: first }));
    assert_eq!(world.sent(), [second]);
}

#[test]
fn a_register_of_protocol_1_ends_no_answer() {
    let mut world = World::new();
    let publisher = publish_by_protocol_1(&mut world);
    let task = world.submit("qwen");
    world.begin(&publisher, task);
    world.take();
    let back = register_again(&mut world, &publisher, 1, &[]);
    world.open("mia", &back);
    assert_eq!((back.resume, world.failed()), (vec![], vec![]));
    world.answer_ends(task);
    assert!(world.take().contains(&Action::Complete { task }));
}

#[test]
fn an_answer_of_protocol_1_that_breaks_off_fails_and_frees_its_slot() {
    for (delivered, code) in [(false, "publisher_lost"), (true, "backend_aborted")] {
        let mut world = World::new();
        let publisher = publish_by_protocol_1(&mut world);
        let (first, second) = (world.submit("qwen"), world.submit("qwen"));
        begin(&mut world, &publisher, first, delivered);
        world.take();
        world.relay.answer_ended(first, AnswerEnd::Aborted, world.now, &mut world.out);
        let actions = world.out.clone();
        assert_eq!(world.failed(), [(first, code)]);
        world.out = actions;
        assert_eq!(world.sent(), [second]);
    }
}
