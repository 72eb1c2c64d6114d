//! What time does to one request: what ends it, what frees its slot, what its caller hears meanwhile.

use super::{World, provider};
use crate::{Action, Notice, TaskId};
use wire::publisher::{Heartbeat, Register};

const MINUTE: u64 = 60_000;

/// What callers were told since the last look.
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
fn a_caller_that_wants_no_stream_is_sent_away_after_a_minute_and_the_wake_goes_on() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "hibernating")]);
    let whole = world.ask("qwen", false, false).unwrap();
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
    assert!(actions.iter().any(told), "its backend need not go on");
}

#[test]
fn a_request_that_nobody_names_is_lost_after_45_seconds() {
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
fn an_answer_that_flows_is_a_sign_of_life_without_a_channel() {
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
fn a_slot_whose_publisher_never_says_that_it_stopped_comes_back_after_45_seconds() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    let (first, second) = (world.submit("qwen"), world.submit("qwen"));
    world.begin(&publisher, first);
    world.gone(first);
    world.take();
    world.pass(44_999);
    assert_eq!(world.sent(), []);
    world.pass(1);
    assert_eq!(world.sent(), [second]);
}

#[test]
fn a_slot_whose_publisher_is_still_at_it_stays_taken_and_each_heartbeat_is_told_to_stop() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    let task = world.submit("qwen");
    world.begin(&publisher, task);
    world.gone(task);
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
    world.beat(&publisher, &[], &[]);
    assert_eq!(world.relay.gauges().running, 1, "one may have crossed the cancel");
    world.beat(&publisher, &[], &[]);
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
    assert_eq!(world.relay.gauges().running, 1, "it cannot be stopped: its backend may be at it");
    world.pass(30 * MINUTE);
    assert_eq!(world.relay.gauges().running, 0);
}

#[test]
fn a_caller_that_waits_hears_every_ten_seconds_how_things_stand() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "hibernating")]);
    let (first, second) =
        (world.ask("qwen", true, true).unwrap(), world.ask("qwen", true, true).unwrap());
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
    assert_eq!(notices(&mut world), [(second, Notice::Queued(1))], "who reads needs no word");
}
