//! One wake at a time, for all callers that wait.

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
fn a_heartbeat_that_reports_active_ends_the_wake() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "hibernating")]);
    let task = world.submit("qwen");
    let wake = world.wake().unwrap();
    world.now += 2_000;
    world.report(&publisher, &[("qwen", ReportedStatus::Active)], &[]);
    assert_eq!(world.sent(), [task]);
    assert_eq!(world.relay.catalogue()[0].info.wake_ms, Some(2_000));
    let late = world.relay.wake_succeeded(&publisher.from(), wake, world.now, &mut world.out);
    assert!(late.is_err(), "the result that follows changes nothing");
}

#[test]
fn a_wake_goes_on_when_the_caller_that_started_it_leaves() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "hibernating")]);
    let (first, second) = (world.submit("qwen"), world.submit("qwen"));
    let wake = world.wake().unwrap();
    world.leave(first);
    world.woken(&publisher, wake);
    assert_eq!(world.sent(), [second]);
}

#[test]
fn a_backend_that_refuses_a_request_is_woken_and_gets_it_again() {
    let mut world = World::new();
    let wakeable = Provider { wake_max_wait_seconds: Some(60), ..provider("qwen", "active") };
    let publisher = world.publish("mia", &[wakeable, provider("fixed", "active")]);
    let task = world.submit("qwen");
    assert_eq!(world.sent(), [task]);
    world.fail(&publisher, task, "backend_unreachable");
    assert_eq!(world.status("qwen"), "hibernating");
    let wake = world.wake().expect("a wake is sent");
    world.woken(&publisher, wake);
    assert_eq!(world.sent(), [task]);
    // A backend that is reported up but takes no connection fails the request in the end.
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

/// Fails the wake of two callers, waits for the end of the pause, and returns its seconds.
fn failed_wake(world: &mut World, publisher: &Publisher) -> u64 {
    let (first, second) = (world.submit("qwen"), world.submit("qwen"));
    let wake = world.wake().unwrap();
    world.fail(publisher, wake, "recipe_exit");
    assert_eq!(world.failed(), [(first, "llm_wake_failed"), (second, "llm_wake_failed")]);
    let Err(SubmitRefusal::Failure(refused)) = world.try_submit("qwen") else {
        panic!("the pause is not over")
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
fn a_successful_wake_resets_the_pause_after_a_failed_one() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "hibernating")]);
    assert_eq!([(); 2].map(|()| failed_wake(&mut world, &publisher)), [30, 60]);
    let task = world.submit("qwen");
    let wake = world.wake().unwrap();
    world.woken(&publisher, wake);
    world.answer(&publisher, task);
    world.report(&publisher, &[("qwen", ReportedStatus::Hibernating)], &[]);
    world.take();
    assert_eq!(failed_wake(&mut world, &publisher), 30);
}

#[test]
fn only_the_publisher_that_a_wake_was_sent_to_ends_it() {
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
fn only_known_causes_of_a_failed_wake_reach_a_caller() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "hibernating")]);
    world.submit("qwen");
    let wake = world.wake().unwrap();
    world.fail(&publisher, wake, "rm -rf /home/mia");
    let crate::Action::Fail { failure, .. } = world.take().remove(0) else { panic!("a failure") };
    assert!(failure.message.contains("not_ready") && !failure.message.contains("mia"));
}

#[test]
fn a_wake_without_a_result_fails_in_the_end() {
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
fn a_revoked_publishers_wake_ends_without_a_pause_for_the_next_one() {
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
