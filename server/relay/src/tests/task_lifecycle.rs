//! Requests: queue, dispatch, answer, failure, cancel.

use super::{World, provider, request};
use crate::{Action, AnswerEnd, Failure, SubmitRefusal, TaskId, TaskRefusal, TaskSender};

fn two_slots(name: &str) -> wire::publisher::Provider {
    wire::publisher::Provider { max_concurrency: Some(2), ..provider(name, "active") }
}

#[test]
fn requests_beyond_the_free_slots_wait_in_order_of_arrival() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[two_slots("qwen")]);
    let tasks: Vec<_> = (0..4).map(|_| world.submit("qwen")).collect();
    assert_eq!(world.sent(), tasks[..2]);
    world.answer(&publisher, tasks[1]);
    assert_eq!(world.sent(), [tasks[2]]);
    world.answer(&publisher, tasks[0]);
    assert_eq!(world.sent(), [tasks[3]]);
}

#[test]
fn a_slot_is_free_only_when_the_publishers_work_has_ended() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    let (first, second) = (world.submit("qwen"), world.submit("qwen"));
    world.begin(&publisher, first);
    world.take();
    world.leave(first);
    let actions = world.take();
    assert!(actions.iter().any(|a| matches!(a, Action::Cancel { task, .. } if *task == first)));
    assert!(actions.contains(&Action::StopAnswer { task: first }));
    assert!(!actions.iter().any(|a| matches!(a, Action::Dispatch(_))), "the backend is still busy");
    world.fail(&publisher, first, "cancelled");
    assert_eq!(world.sent(), [second]);
}

#[test]
fn a_full_queue_refuses_a_request_before_it_is_queued() {
    let mut world = World::new();
    world.publish("mia", &[provider("qwen", "active")]);
    world.submit("qwen");
    for _ in 0..100 {
        world.submit("qwen");
    }
    let Err(SubmitRefusal::Failure(failure)) = world.try_submit("qwen") else {
        panic!("one runs and a hundred wait")
    };
    assert_eq!((failure.code.as_str(), failure.status), ("queue_full", 429));
    assert!(failure.retry_after_secs.is_some());
}

#[test]
fn one_key_fills_a_quarter_of_a_queue_while_others_wait_and_leaves_room_for_them() {
    let mut world = World::new();
    world.publish("mia", &[provider("qwen", "active")]);
    world.submit_with_key("first", "qwen").unwrap();
    let most = |world: &mut World, key: &str| {
        (0..200).take_while(|_| world.submit_with_key(key, "qwen").is_ok()).count()
    };
    assert_eq!(most(&mut world, "greedy"), 100);
    assert_eq!(most(&mut world, "late"), 25, "there is room for others");
    assert_eq!(most(&mut world, "later"), 0, "and a bound for all");
    let mut world = World::new();
    world.publish("mia", &[provider("qwen", "active")]);
    world.submit_with_key("first", "qwen").unwrap();
    world.submit_with_key("modest", "qwen").unwrap();
    assert_eq!(most(&mut world, "greedy"), 25);
    let Err(SubmitRefusal::Failure(failure)) = world.submit_with_key("greedy", "qwen") else {
        panic!("a quarter is its share")
    };
    assert!(failure.message.contains("share") && failure.status == 429, "{failure:?}");
    assert_eq!(most(&mut world, "modest"), 24);
}

#[test]
fn a_publisher_has_at_most_256_slots() {
    let mut world = World::new();
    let greedy =
        wire::publisher::Provider { max_concurrency: Some(100_000), ..provider("qwen", "active") };
    world.publish("mia", &[greedy]);
    assert_eq!(world.relay.catalogue()[0].info.max_concurrency, 256);
}

#[test]
fn the_refusal_of_an_unknown_name_lists_what_the_caller_may_use() {
    let mut world = World::new();
    world.publish("mia", &[provider("qwen", "active")]);
    let Err(SubmitRefusal::NotFound { usable }) = world.try_submit("gwen") else {
        panic!("there is no such model")
    };
    assert_eq!(usable, ["qwen"]);
}

#[test]
fn a_publisher_that_does_not_acknowledge_loses_the_task_once() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    let task = world.submit("qwen");
    world.take();
    world.pass(4_999);
    assert_eq!(world.failed(), []);
    world.pass(1);
    assert_eq!(world.failed(), [(task, "dispatch_timeout")]);
    let from = publisher.from();
    let late = world.relay.answer_begins(&from, task, world.now);
    assert_eq!(late.unwrap_err(), TaskRefusal::Gone, "a late response is refused");
    assert_eq!(world.failed(), []);
}

#[test]
fn an_answer_is_given_once() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    let task = world.submit("qwen");
    world.begin(&publisher, task);
    let again = world.relay.answer_begins(&publisher.from(), task, world.now);
    assert_eq!(again.unwrap_err(), TaskRefusal::Answered);
}

#[test]
fn only_the_session_that_a_task_was_sent_to_may_name_it() {
    let mut world = World::new();
    world.publish("mia", &[provider("qwen", "active")]);
    let eve = world.publish("eve", &[provider("other", "active")]);
    let task = world.submit("qwen");
    let nameless = TaskSender { session: None, ..eve.from() };
    for from in [&eve.from(), &nameless] {
        let foreign = world.relay.acknowledge(from, task, world.now);
        assert_eq!(foreign.unwrap_err(), TaskRefusal::Unknown);
    }
}

#[test]
fn another_pool_member_gets_a_failed_task_before_its_first_byte_and_never_after_it() {
    let member = |name: &str| wire::publisher::Provider {
        pool: Some("team".into()),
        share_name: vec!["tom".into()],
        ..provider(name, "active")
    };
    for delivered in [false, true] {
        let mut world = World::new();
        let first = world.publish("mia", &[member("a")]);
        let second = world.publish("tom", &[member("b")]);
        let task = world.submit("team");
        assert_eq!(world.sent(), [task]);
        // The member that got it loses its backend.
        let from = [&first, &second]
            .into_iter()
            .find(|p| world.relay.acknowledge(&p.from(), task, world.now).is_ok());
        let from = from.unwrap().clone();
        if delivered {
            world.begin(&from, task);
            world.relay.answer_ended(task, AnswerEnd::Aborted, world.now, &mut world.out);
            assert_eq!(world.failed(), [(task, "backend_aborted")]);
        } else {
            world.fail(&from, task, "backend_unreachable");
            assert_eq!(world.sent(), [task], "to the other one");
        }
    }
}

#[test]
fn a_pool_prefers_members_that_are_awake_and_then_those_with_the_most_free_slots() {
    let member = |name: &str, status, slots| wire::publisher::Provider {
        pool: Some("team".into()),
        share_name: vec!["tom".into()],
        max_concurrency: Some(slots),
        ..provider(name, status)
    };
    let mut world = World::new();
    world.publish("mia", &[member("asleep", "hibernating", 4), member("small", "active", 1)]);
    world.publish("tom", &[member("big", "active", 2)]);
    for most in [1, 2] {
        for _ in 0..3 {
            world.submit("team");
        }
        let load = |name: &str| {
            let rows = world.relay.catalogue();
            let row = rows.into_iter().map(|row| row.info).find(|row| row.name == name).unwrap();
            row.in_flight + row.queued
        };
        assert_eq!((load("small"), load("big")), (most, 2 * most));
        assert_eq!(load("asleep"), 0, "no member is woken while another is awake");
    }
}

#[test]
fn a_publisher_that_vanishes_gives_its_callers_an_error_within_seconds() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    let task = world.submit("qwen");
    world.ack(&publisher, task);
    world.relay.channel_closed(publisher.channel);
    world.take();
    world.pass(14_999);
    assert_eq!(world.failed(), [], "it may come back");
    world.pass(1);
    assert_eq!(world.failed(), [(task, "publisher_lost")]);
}

#[test]
fn a_task_that_is_named_by_heartbeats_may_take_long() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    let task = world.submit("qwen");
    world.ack(&publisher, task);
    for _ in 0..60 {
        world.pass(10_000);
        world.report(&publisher, &[], &[task]);
    }
    assert_eq!(world.failed(), []);
    world.answer(&publisher, task);
    assert!(world.take().contains(&Action::Complete { task }));
}

#[test]
fn a_task_that_two_heartbeats_do_not_name_is_lost() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    let task = world.submit("qwen");
    world.ack(&publisher, task);
    world.take();
    for _ in 0..2 {
        world.report(&publisher, &[], &[]);
        assert_eq!(world.failed(), [], "one may have crossed the dispatch");
        world.report(&publisher, &[], &[task]);
    }
    world.report(&publisher, &[], &[]);
    world.report(&publisher, &[], &[]);
    assert_eq!(world.failed(), [(task, "publisher_lost")]);
}

#[test]
fn check_gives_the_same_refusal_as_submit_and_changes_nothing() {
    let mut world = World::new();
    world.publish("mia", &[provider("qwen", "active")]);
    for _ in 0..101 {
        assert_eq!(world.relay.check(&request("qwen"), world.now), Ok(()));
        assert_eq!(world.relay.check(&request("qwen"), world.now), Ok(()));
        world.submit("qwen");
    }
    for name in ["qwen", "gwen"] {
        let checked = world.relay.check(&request(name), world.now).unwrap_err();
        assert_eq!(Err(checked), world.try_submit(name), "{name}");
    }
}

#[test]
fn a_task_that_cannot_be_written_down_the_channel_fails_and_gives_its_slot_back() {
    let mut world = World::new();
    world.publish("mia", &[provider("qwen", "active")]);
    let (first, second) = (world.submit("qwen"), world.submit("qwen"));
    let sent = world.take().into_iter().find_map(|action| match action {
        Action::Dispatch(dispatch) => Some(dispatch),
        _ => None,
    });
    let failure = Failure {
        code: wire::error::Code::InvalidRequest,
        status: 400,
        message: "x".into(),
        retry_after_secs: None,
    };
    let sent = sent.unwrap();
    world.relay.not_sent(&sent, failure.clone(), world.now, &mut world.out);
    assert!(world.out.contains(&Action::Fail { task: first, failure: failure.clone() }));
    assert_eq!(world.sent(), [second]);
    world.relay.not_sent(&sent, failure, world.now, &mut world.out);
    assert_eq!(world.take(), [], "once");
    world.relay.check_consistency().unwrap();
}

#[test]
fn a_foreign_response_is_refused_before_it_is_read() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    let other = world.publish("eve", &[provider("llama", "active")]);
    let (task, waiting) = (world.submit("qwen"), world.submit("qwen"));
    assert_eq!(world.relay.wants_answer(&publisher.from(), task), Ok(true));
    for (from, task) in [(&other, task), (&publisher, TaskId(77)), (&publisher, waiting)] {
        assert_eq!(world.relay.wants_answer(&from.from(), task), Err(TaskRefusal::Unknown));
    }
    world.leave(task);
    assert_eq!(
        world.relay.wants_answer(&publisher.from(), task),
        Ok(false),
        "only its end is wanted"
    );
}
