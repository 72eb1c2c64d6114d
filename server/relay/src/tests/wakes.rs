//! One wake at a time, for all who wait.

use super::{World, provider};
use crate::SubmitRefusal;
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
    let from = publisher.from();
    world.relay.wake_succeeded(&from, wake, world.now, &mut world.out).unwrap();
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
    world.relay.wake_succeeded(&publisher.from(), wake, world.now, &mut world.out).unwrap();
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
    world.relay.wake_succeeded(&publisher.from(), wake, world.now, &mut world.out).unwrap();
    assert_eq!(world.sent(), [task]);
    // A backend that says it is up and takes no connection is given up in the end.
    world.fail(&publisher, task, "backend_unreachable");
    let wake = world.wake().expect("and once more");
    world.relay.wake_succeeded(&publisher.from(), wake, world.now, &mut world.out).unwrap();
    world.take();
    world.fail(&publisher, task, "backend_unreachable");
    assert_eq!(world.failed(), [(task, "backend_unreachable")]);

    let task = world.submit("fixed");
    world.take();
    world.fail(&publisher, task, "backend_unreachable");
    assert_eq!(world.failed(), [(task, "backend_unreachable")], "nothing can wake this one");
}

#[test]
fn a_failed_wake_fails_all_who_wait_and_cools_down_for_longer_each_time() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "hibernating")]);
    let mut pauses = Vec::new();
    for _ in 0..3 {
        let (first, second) = (world.submit("qwen"), world.submit("qwen"));
        let wake = world.wake().unwrap();
        world.fail(&publisher, wake, "recipe_exit");
        assert_eq!(world.failed(), [(first, "llm_wake_failed"), (second, "llm_wake_failed")]);
        let Err(SubmitRefusal::Failure(refused)) = world.try_submit("qwen") else {
            panic!("it cools down")
        };
        let pause = refused.retry_after_secs.unwrap();
        for _ in 0..pause {
            world.pass(1_000);
            world.beat(&publisher, &[], &[]);
        }
        pauses.push(pause);
    }
    assert_eq!(pauses, [30, 60, 120]);
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
    for _ in 0..14 {
        world.pass(5_000);
        world.beat(&publisher, &[], &[]);
    }
    assert_eq!(world.failed(), [(task, "llm_wake_failed")]);
    assert_eq!(world.relay.gauges().waking, 0);
}
