//! Deadlines of one request: its end, its slot, and the notices of its caller.

use super::{World, owner, provider};
use crate::{Action, Notice, TaskId};
use wire::publisher::{Heartbeat, Register};

const MINUTE: u64 = 60_000;

/// The notices since the last call.
fn notices(world: &mut World) -> Vec<(TaskId, Notice)> {
    let told = |action: &Action| match action {
        Action::Notice { task, notice } => Some((*task, *notice)),
        _ => None,
    };
    world.take().iter().filter_map(told).collect()
}

#[test]
fn a_request_waits_a_minute_for_a_slot_and_not_longer() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    let (running, waiting) = (world.submit("qwen"), world.submit("qwen"));
    world.begin(&publisher, running);
    world.live(&publisher, &[running], MINUTE - 1);
    assert_eq!(world.failed(), []);
    world.live(&publisher, &[running], 1);
    assert_eq!(world.failed(), [(waiting, "queue_timeout")]);
}

#[test]
fn the_minute_for_a_slot_begins_when_the_backend_is_awake() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "hibernating")]);
    let (running, waiting) = (world.submit("qwen"), world.submit("qwen"));
    let wake = world.wake().unwrap();
    world.live(&publisher, &[], MINUTE - 1);
    world.woken(&publisher, wake);
    world.begin(&publisher, running);
    world.live(&publisher, &[running], MINUTE - 1);
    assert_eq!(world.failed(), []);
    world.live(&publisher, &[running], 1);
    assert_eq!(world.failed(), [(waiting, "queue_timeout")]);
}

#[test]
fn a_caller_without_a_stream_gets_an_error_after_a_minute_and_the_wake_goes_on() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "hibernating")]);
    let whole = world.submit_as("qwen", false, false).unwrap();
    let stream = world.submit("qwen");
    let wake = world.wake().unwrap();
    world.live(&publisher, &[], MINUTE - 1);
    assert_eq!(world.failed(), []);
    world.live(&publisher, &[], 1);
    assert_eq!(world.failed(), [(whole, "llm_waking")]);
    world.woken(&publisher, wake);
    assert_eq!(world.sent(), [stream]);
}

#[test]
fn a_backend_that_gives_no_byte_is_stopped_after_a_quarter_of_an_hour() {
    for begins in [false, true] {
        let mut world = World::new();
        let publisher = world.publish("mia", &[provider("qwen", "active")]);
        let task = world.submit("qwen");
        world.ack(&publisher, task);
        if begins {
            world.relay.answer_begins(&publisher.from(), task, world.now).unwrap();
        }
        world.live(&publisher, &[task], 15 * MINUTE - 1);
        assert_eq!(world.failed(), []);
        world.live(&publisher, &[task], 1);
        assert_eq!(world.failed(), [(task, "first_byte_timeout")], "it begins: {begins}");
    }
}

#[test]
fn an_answer_that_does_not_end_is_stopped_after_half_an_hour() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    let task = world.submit("qwen");
    world.begin(&publisher, task);
    world.live(&publisher, &[task], 30 * MINUTE - 1);
    assert_eq!(world.failed(), []);
    world.live(&publisher, &[task], 1);
    let actions = world.take();
    let failed = |a: &Action| matches!(a, Action::Fail { failure, .. } if failure.code.as_str() == "answer_timeout");
    assert!(actions.iter().any(failed));
    let told =
        |a: &Action| matches!(a, Action::Cancel { channel, .. } if *channel == publisher.channel);
    assert!(actions.iter().any(told), "its backend is stopped");
}

#[test]
fn a_request_that_no_heartbeat_names_is_lost_after_45_seconds() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    let task = world.submit("qwen");
    world.ack(&publisher, task);
    world.pass(44_999);
    assert_eq!(world.failed(), []);
    world.pass(1);
    assert_eq!(world.failed(), [(task, "publisher_lost")]);
}

#[test]
fn a_flowing_response_keeps_its_task_alive_without_a_channel() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    let task = world.submit("qwen");
    world.begin(&publisher, task);
    world.relay.channel_closed(publisher.channel);
    for _ in 0..20 {
        world.pass(10_000);
        world.relay.answer_goes_on(task, world.now);
    }
    assert_eq!(world.failed(), []);
    world.pass(15_000);
    assert_eq!(world.failed(), [(task, "publisher_lost")]);
}

#[test]
fn a_slot_is_free_after_45_seconds_if_the_publisher_never_confirms_a_cancel() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    let (first, second) = (world.submit("qwen"), world.submit("qwen"));
    world.begin(&publisher, first);
    world.leave(first);
    world.take();
    world.pass(44_999);
    assert_eq!(world.sent(), []);
    world.pass(1);
    assert_eq!(world.sent(), [second]);
}

#[test]
fn a_slot_stays_taken_while_heartbeats_name_its_task_and_each_of_them_gets_a_cancel() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    let task = world.submit("qwen");
    world.begin(&publisher, task);
    world.leave(task);
    world.live(&publisher, &[task], 5 * MINUTE);
    assert_eq!(world.relay.gauges().running, 1);
    let beat = Heartbeat {
        provider_session_id: publisher.session.clone(),
        inflight: Some(vec![task.to_string(), "0".repeat(32)]),
        ..Heartbeat::default()
    };
    let owner = &publisher.owner.id;
    let reply = world.relay.heartbeat(owner, &beat, world.now, &mut world.out).unwrap();
    assert_eq!((reply.cancel, reply.unknown), (vec![task.to_string()], vec!["0".repeat(32)]));
    world.report(&publisher, &[], &[]);
    assert_eq!(world.relay.gauges().running, 1, "one may have crossed the cancel");
    world.report(&publisher, &[], &[]);
    assert_eq!(world.relay.gauges().running, 0);
}

#[test]
fn a_protocol_1_publisher_need_not_acknowledge_and_is_lost_with_its_lease() {
    let mut world = World::new();
    let request = Register { providers: vec![provider("qwen", "active")], ..Register::default() };
    let owner = super::owner("mia");
    let old = world.relay.register(&owner, &request, world.now, &mut world.out).unwrap();
    world.open("mia", &old);
    let (task, stopped) = (world.submit("qwen"), world.submit("qwen"));
    assert_eq!(world.sent(), [task]);
    world.pass(89_999);
    assert_eq!(world.failed(), [(stopped, "queue_timeout")]);
    world.pass(1);
    assert_eq!(world.failed(), [(task, "publisher_lost")]);
    assert_eq!(world.relay.gauges().running, 1, "it cannot be stopped: its backend may still work");
    world.pass(30 * MINUTE);
    assert_eq!(world.relay.gauges().running, 0);
}

#[test]
fn a_waiting_caller_gets_a_notice_every_ten_seconds() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "hibernating")]);
    let (first, second) = (
        world.submit_as("qwen", true, true).unwrap(),
        world.submit_as("qwen", true, true).unwrap(),
    );
    let wake = world.wake().unwrap();
    world.live(&publisher, &[], 9_999);
    assert_eq!(notices(&mut world), []);
    world.live(&publisher, &[], 1);
    let waking = Notice::Waking { elapsed_secs: 10, expected_secs: 60 };
    assert_eq!(notices(&mut world), [(first, waking), (second, waking)]);
    world.woken(&publisher, wake);
    world.ack(&publisher, first);
    world.live(&publisher, &[first], 10_000);
    let now = [(first, Notice::Running), (second, Notice::Queued(1))];
    assert_eq!(notices(&mut world), now);
    world.begin(&publisher, first);
    world.live(&publisher, &[first], 10_000);
    assert_eq!(
        notices(&mut world),
        [(second, Notice::Queued(1))],
        "a caller that gets bytes needs no notice"
    );
}

#[test]
fn a_task_that_a_heartbeat_or_register_names_needs_no_acknowledgement() {
    let set = [provider("qwen", "active")];
    for named_by in ["heartbeat", "register"] {
        let mut world = World::new();
        let publisher = world.publish("mia", &set);
        let task = world.submit("qwen");
        if named_by == "heartbeat" {
            world.report(&publisher, &[], &[task]);
        } else {
            let request = Register {
                protocol: 2,
                provider_session_id: Some(publisher.session.clone()),
                providers: set.to_vec(),
                inflight: vec![task.to_string()],
                ..Register::default()
            };
            let back = world.relay.register(&owner("mia"), &request, world.now, &mut world.out);
            world.open("mia", &back.unwrap());
        }
        world.pass(20_000);
        assert_eq!(world.failed(), [], "{named_by}");
    }
}
