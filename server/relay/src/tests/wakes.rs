//! One wake at a time, for all who wait.

use super::{Publisher, World, provider};
use crate::{SubmitRefusal, TaskSender};
use wire::publisher::{Provider, ReportedStatus};

#[test]
fn the_first_caller_starts_the_wake_and_all_are_served_in_order() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "hibernating")]);
    let first = world.submit("qwen");
    let wake = world.wake().expect("a wake is sent");
    let second = world.submit("qwen");
    assert_eq!(world.wake(), None, "one is enough");
    world.now += 4_000;
    world.woken(&publisher, wake);
    assert_eq!(world.sent(), [first]);
    world.answer(&publisher, first);
    assert_eq!(world.sent(), [second]);
    assert_eq!(world.relay.catalogue()[0].info.wake_ms, Some(4_000));
}

#[test]
fn a_heartbeat_that_says_awake_ends_the_wake_as_well() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "hibernating")]);
    let task = world.submit("qwen");
    let wake = world.wake().unwrap();
    world.now += 2_000;
    world.beat(&publisher, &[("qwen", ReportedStatus::Active)], &[]);
    assert_eq!(world.sent(), [task]);
    assert_eq!(world.relay.catalogue()[0].info.wake_ms, Some(2_000));
    let late = world.relay.wake_succeeded(&publisher.from(), wake, world.now, &mut world.out);
    assert!(late.is_err(), "the result that follows changes nothing");
}

#[test]
fn nobodys_leaving_stops_the_wake() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "hibernating")]);
    let (first, second) = (world.submit("qwen"), world.submit("qwen"));
    let wake = world.wake().unwrap();
    world.gone(first);
    world.woken(&publisher, wake);
    assert_eq!(world.sent(), [second]);
}

#[test]
fn a_backend_that_went_down_unnoticed_is_woken_for_the_request_that_found_out() {
    let mut world = World::new();
    let wakeable = Provider { wake_max_wait_seconds: Some(60), ..provider("qwen", "active") };
    let publisher = world.publish("mia", &[wakeable, provider("fixed", "active")]);
    let task = world.submit("qwen");
    assert_eq!(world.sent(), [task]);
    world.fail(&publisher, task, "backend_unreachable");
    assert_eq!(world.status("qwen"), "hibernating");
    let wake = world.wake().expect("it is woken");
    world.woken(&publisher, wake);
    assert_eq!(world.sent(), [task]);
    // A backend that says it is up and takes no connection is given up in the end.
    world.fail(&publisher, task, "backend_unreachable");
    let wake = world.wake().expect("and once more");
    world.woken(&publisher, wake);
    world.take();
    world.fail(&publisher, task, "backend_unreachable");
    assert_eq!(world.failed(), [(task, "backend_unreachable")]);

    let task = world.submit("fixed");
    world.take();
    world.fail(&publisher, task, "backend_unreachable");
    assert_eq!(world.failed(), [(task, "backend_unreachable")], "nothing can wake this one");
}

/// Fails the wake of two callers, waits the pause out, and returns it.
fn failed_wake(world: &mut World, publisher: &Publisher) -> u64 {
    let (first, second) = (world.submit("qwen"), world.submit("qwen"));
    let wake = world.wake().unwrap();
    world.fail(publisher, wake, "recipe_exit");
    assert_eq!(world.failed(), [(first, "llm_wake_failed"), (second, "llm_wake_failed")]);
    let Err(SubmitRefusal::Failure(refused)) = world.try_submit("qwen") else {
        panic!("it cools down")
    };
    let pause = refused.retry_after_secs.unwrap();
    world.live(publisher, &[], pause * 1_000 - 1);
    assert!(world.try_submit("qwen").is_err(), "the pause is not over");
    world.live(publisher, &[], 1);
    pause
}

#[test]
fn a_failed_wake_fails_all_who_wait_and_cools_down_for_longer_each_time() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "hibernating")]);
    let pauses = [(); 7].map(|()| failed_wake(&mut world, &publisher));
    assert_eq!(pauses, [30, 60, 120, 240, 480, 600, 600]);
}

#[test]
fn a_wake_that_succeeds_makes_the_next_pause_a_short_one() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "hibernating")]);
    assert_eq!([(); 2].map(|()| failed_wake(&mut world, &publisher)), [30, 60]);
    let task = world.submit("qwen");
    let wake = world.wake().unwrap();
    world.woken(&publisher, wake);
    world.answer(&publisher, task);
    world.beat(&publisher, &[("qwen", ReportedStatus::Hibernating)], &[]);
    world.take();
    assert_eq!(failed_wake(&mut world, &publisher), 30);
}

#[test]
fn only_whom_it_was_sent_to_ends_a_wake() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "hibernating")]);
    let eve = world.publish("eve", &[provider("other", "active")]);
    let task = world.submit("qwen");
    let wake = world.wake().unwrap();
    let nameless = TaskSender { session: None, ..eve.from() };
    for from in [&eve.from(), &nameless] {
        assert!(world.relay.wake_succeeded(from, wake, world.now, &mut world.out).is_err());
    }
    world.fail(&eve, wake, "recipe_exit");
    assert_eq!(world.take(), []);
    world.woken(&publisher, wake);
    assert_eq!(world.sent(), [task]);
}

#[test]
fn only_causes_that_we_know_reach_a_caller() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "hibernating")]);
    world.submit("qwen");
    let wake = world.wake().unwrap();
    world.fail(&publisher, wake, "rm -rf /home/mia");
    let crate::Action::Fail { failure, .. } = world.take().remove(0) else { panic!("a failure") };
    assert!(failure.message.contains("not_ready") && !failure.message.contains("mia"));
}

#[test]
fn a_wake_that_nobody_answers_is_given_up() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "hibernating")]);
    let task = world.submit("qwen");
    world.take();
    world.live(&publisher, &[], 70_000 - 1);
    assert_eq!(world.failed(), []);
    world.live(&publisher, &[], 1);
    assert_eq!(world.failed(), [(task, "llm_wake_failed")]);
    assert_eq!(world.relay.gauges().waking, 0);
}

#[test]
fn a_publisher_that_is_gone_takes_its_wake_along_and_the_next_one_begins_at_once() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "hibernating")]);
    let task = world.submit("qwen");
    world.wake().unwrap();
    world.relay.revoke_owner(&publisher.owner.id, "revoked", world.now, &mut world.out);
    assert_eq!(world.failed(), [(task, "llm_inactive")]);
    assert_eq!(world.relay.gauges().waking, 0);
    let session = Some(publisher.session.as_str());
    let back = world.register("mia", session, &[provider("qwen", "hibernating")]);
    world.open("mia", &back);
    world.submit("qwen");
    assert!(world.wake().is_some(), "nothing has failed: there is no pause");
}
