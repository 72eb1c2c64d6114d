//! Requests that are sent again before their first byte: when, where, and how often.

use super::{Publisher, World, provider, request};
use crate::{Allowed, Submit, TaskId};
use wire::publisher::{Provider, Register};

fn wakeable(name: &str) -> Provider {
    Provider { wake_max_wait_seconds: Some(60), ..provider(name, "active") }
}

/// A pool of these LLMs, each with an owner of its own.
fn pool(world: &mut World, names: &[&str]) -> Vec<Publisher> {
    let member = |name: &str| Provider {
        pool: Some("team".into()),
        share_name: vec!["*".into()],
        ..provider(name, "active")
    };
    names.iter().map(|name| world.publish(&format!("owner-{name}"), &[member(name)])).collect()
}

/// The publisher that was sent the task.
fn holder(world: &mut World, publishers: &[Publisher], task: TaskId) -> Publisher {
    let has = |p: &&Publisher| world.relay.acknowledge(&p.from(), task, world.now).is_ok();
    publishers.iter().find(has).unwrap().clone()
}

#[test]
fn a_request_that_found_its_backend_down_goes_before_those_behind_it() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[wakeable("qwen")]);
    let (first, second) = (world.submit("qwen"), world.submit("qwen"));
    assert_eq!(world.sent(), [first]);
    world.fail(&publisher, first, "backend_unreachable");
    let wake = world.wake().unwrap();
    world.woken(&publisher, wake);
    assert_eq!(world.sent(), [first]);
    world.answer(&publisher, first);
    assert_eq!(world.sent(), [second]);
}

#[test]
fn a_request_whose_frame_was_lost_with_its_channel_is_sent_there_once_more_and_first() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    let (first, second) = (world.submit("qwen"), world.submit("qwen"));
    assert_eq!(world.sent(), [first]);
    let session = Some(publisher.session.as_str());
    let again = world.register("mia", session, &[provider("qwen", "active")]);
    world.open("mia", &again);
    assert_eq!(world.sent(), [first]);
    let again = world.register("mia", session, &[provider("qwen", "active")]);
    assert_eq!(world.failed(), [(first, "publisher_lost")]);
    let publisher = world.open("mia", &again);
    assert_eq!(world.sent(), [second], "what waited goes on");
    world.answer(&publisher, second);
}

#[test]
fn a_request_that_another_member_could_not_run_goes_before_those_that_wait_here() {
    let mut world = World::new();
    let publishers = pool(&mut world, &["a", "b"]);
    let running = world.submit("b");
    let waiting = world.submit("b");
    let task = world.submit("team");
    assert_eq!(world.sent(), [running, task], "to the one that has a free slot");
    world.fail(&publishers[0], task, "backend_unreachable");
    assert_eq!(world.sent(), []);
    world.answer(&publishers[1], running);
    assert_eq!(world.sent(), [task]);
    world.answer(&publishers[1], task);
    assert_eq!(world.sent(), [waiting]);
}

#[test]
fn a_request_is_not_sent_again_to_a_member_that_its_key_does_not_cover() {
    let mut world = World::new();
    let publishers = pool(&mut world, &["a", "b"]);
    let request = Submit { allowed: Allowed::names(vec!["a".into()]), ..request("team") };
    let task = TaskId(77);
    world.relay.submit(&request, task, world.now, &mut world.out).unwrap();
    assert_eq!(world.sent(), [task]);
    world.fail(&publishers[0], task, "backend_unreachable");
    assert_eq!(world.failed(), [(task, "backend_unreachable")]);
}

#[test]
fn a_key_for_a_pool_covers_it_in_any_letter_case() {
    let mut world = World::new();
    let member = Provider { pool: Some("Team".into()), ..provider("a", "active") };
    world.publish("mia", &[member]);
    let request = Submit { allowed: Allowed::names(vec!["team".into()]), ..request("TEAM") };
    let task = TaskId(77);
    world.relay.submit(&request, task, world.now, &mut world.out).unwrap();
    assert_eq!(world.sent(), [task]);
}

#[test]
fn a_pool_tries_a_request_three_times_and_not_once_more() {
    let mut world = World::new();
    let publishers = pool(&mut world, &["a", "b", "c", "d"]);
    let task = world.submit("team");
    for _ in 0..3 {
        assert_eq!(world.sent(), [task]);
        let at = holder(&mut world, &publishers, task);
        world.fail(&at, task, "backend_unreachable");
    }
    assert_eq!(world.failed(), [(task, "backend_unreachable")]);
    assert_eq!(world.relay.gauges().running, 0);
}

#[test]
fn a_request_that_every_channel_loses_is_sent_three_times_and_not_once_more() {
    let mut world = World::new();
    let names = ["a", "b", "c", "d"];
    let publishers = pool(&mut world, &names);
    let task = world.submit("team");
    for _ in 0..3 {
        assert_eq!(world.sent(), [task]);
        let row = world.relay.catalogue().into_iter().find(|row| row.info.in_flight == 1).unwrap();
        let at = names.iter().position(|name| *name == row.info.name).unwrap();
        let member = Provider {
            pool: Some("team".into()),
            share_name: vec!["*".into()],
            ..provider(names[at], "active")
        };
        let owner = publishers[at].owner.id.0.clone();
        world.register(&owner, Some(&publishers[at].session), &[member]);
    }
    assert_eq!(world.failed(), [(task, "publisher_lost")]);
    assert_eq!(world.relay.gauges().running, 0);
}

#[test]
fn a_request_that_the_owner_stopped_is_not_sent_again() {
    let mut world = World::new();
    let publishers = pool(&mut world, &["a", "b"]);
    let task = world.submit("team");
    world.take();
    let at = holder(&mut world, &publishers, task);
    world.fail(&at, task, "stopped_by_owner");
    assert_eq!(world.failed(), [(task, "stopped_by_owner")]);
}

#[test]
fn a_publisher_that_returns_keeps_the_requests_that_it_names_and_loses_the_others() {
    for named in [true, false] {
        let mut world = World::new();
        let publisher = world.publish("mia", &[provider("qwen", "active")]);
        let task = world.submit("qwen");
        world.ack(&publisher, task);
        world.take();
        let request = Register {
            protocol: 2,
            provider_session_id: Some(publisher.session.clone()),
            inflight: if named { vec![task.to_string(), "0".repeat(32)] } else { Vec::new() },
            providers: vec![provider("qwen", "active")],
            ..Register::default()
        };
        let owner = &publisher.owner;
        let again = world.relay.register(owner, &request, world.now, &mut world.out).unwrap();
        if named {
            assert_eq!(world.failed(), []);
            assert_eq!(again.cancel, ["0".repeat(32)], "an unknown task is cancelled");
        } else {
            assert_eq!(world.failed(), [(task, "publisher_lost")]);
            assert_eq!(world.relay.gauges().running, 0);
        }
    }
}

#[test]
fn a_publisher_that_returns_without_a_cancelled_request_gives_its_slot_back() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    let (first, second) = (world.submit("qwen"), world.submit("qwen"));
    world.begin(&publisher, first);
    world.leave(first);
    world.take();
    let session = Some(publisher.session.as_str());
    let again = world.register("mia", session, &[provider("qwen", "active")]);
    world.open("mia", &again);
    assert_eq!(world.sent(), [second]);
}
