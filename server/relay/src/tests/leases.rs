//! Leases, deletions, late sweeps, the grace after a start, the drain.

use super::{World, owner, provider};
use crate::{Action, RegisterRefusal};
use wire::publisher::Register;

#[test]
fn a_silent_publisher_is_inactive_after_its_lease_and_gone_after_four_hours() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    world.relay.channel_closed(publisher.channel);
    world.pass(89_000);
    assert_eq!(world.status("qwen"), "active");
    world.pass(10_000);
    assert_eq!(world.status("qwen"), "inactive");
    world.pass(4 * 3_600_000);
    assert_eq!(world.status("qwen"), "none");
}

#[test]
fn a_publisher_that_returns_after_its_lease_has_no_reason_in_the_catalogue() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    let reason = |world: &World| world.relay.catalogue()[0].info.reason.clone();
    world.relay.channel_closed(publisher.channel);
    world.pass(95_000);
    assert!(reason(&world).is_some_and(|why| why.contains("gone")));
    world.report(&publisher, &[], &[]);
    assert_eq!((world.status("qwen").as_str(), reason(&world)), ("active", None));
}

#[test]
fn an_entry_that_another_machine_takes_over_after_its_lease_has_no_reason_in_the_catalogue() {
    let mut world = World::new();
    let set = [provider("qwen", "active")];
    let publisher = world.publish("mia", &set);
    world.relay.channel_closed(publisher.channel);
    world.pass(95_000);
    world.publish("mia", &set);
    let info = world.relay.catalogue()[0].info.clone();
    assert_eq!((info.connected, info.reason, info.since), (true, None, world.now));
}

#[test]
fn a_register_a_channel_and_a_heartbeat_renew_the_lease() {
    let set = [provider("qwen", "active")];
    for sign in ["register", "channel", "heartbeat"] {
        let mut world = World::new();
        let registered = world.register("mia", None, &set);
        let publisher = world.open("mia", &registered);
        world.pass(89_000);
        match sign {
            "register" => drop(world.register("mia", Some(&publisher.session), &set)),
            "channel" => drop(world.open("mia", &registered)),
            _ => world.report(&publisher, &[], &[]),
        }
        world.pass(90_000);
        assert_eq!(world.status("qwen"), "active", "{sign}");
        world.pass(5_000);
        assert_eq!(world.status("qwen"), "inactive", "{sign}");
    }
}

#[test]
fn an_expired_publisher_is_active_again_with_its_first_heartbeat() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    world.pass(100_000);
    assert_eq!(world.status("qwen"), "inactive");
    world.report(&publisher, &[], &[]);
    assert_eq!(world.status("qwen"), "active");
    let task = world.submit("qwen");
    assert_eq!(world.sent(), [task]);
}

#[test]
fn a_server_that_was_suspended_does_not_expire_its_publishers() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    world.pass(70_000);
    world.report(&publisher, &[], &[]);
    // Two minutes in one step: the server took no requests, so publishers were not silent.
    world.now += 120_000;
    world.relay.tick(world.now, &mut world.out);
    world.relay.sweep(world.now, &mut world.out);
    assert_eq!(world.status("qwen"), "active");
}

#[test]
fn when_most_publishers_expire_at_once_nothing_is_deleted_for_a_while() {
    let mut world = World::new();
    for n in 0..12 {
        world.publish(&format!("owner{n}"), &[provider(&format!("m{n}"), "active")]);
    }
    world.pass(100_000);
    assert_eq!(world.status("m0"), "inactive");
    assert_eq!(world.relay.gauges().llms, 12);
    assert!(world.relay.no_deletion_before > world.now);
}

#[test]
fn after_a_start_a_request_waits_for_its_publisher_for_ten_seconds() {
    let mut first = World::new();
    let registered = first.register("mia", None, &[provider("qwen", "active")]);
    let session = registered.provider_session_id.parse().unwrap();
    let id = registered.llms[0].id.parse().unwrap();
    let saved = || crate::Saved {
        llms: first.relay.saved_llm(id).into_iter().collect(),
        sessions: first.relay.saved_session(session).into_iter().collect(),
        names: Vec::new(),
    };

    let mut world = World::restored(saved());
    let task = world.submit("qwen");
    world.pass(9_000);
    assert_eq!(world.failed(), []);
    let back = world.register("mia", Some(&session.to_string()), &[provider("qwen", "active")]);
    world.open("mia", &back);
    assert_eq!(world.sent(), [task], "it came back in time");

    let mut world = World::restored(saved());
    let task = world.submit("qwen");
    world.pass(10_000);
    assert_eq!(world.failed(), [(task, "llm_inactive")]);

    let mut world = World::restored(saved());
    let (first, second) = (world.submit("qwen"), world.submit("qwen"));
    let back = world.register("mia", Some(&session.to_string()), &[provider("qwen", "active")]);
    let publisher = world.open("mia", &back);
    world.begin(&publisher, first);
    world.live(&publisher, &[first], 20_000);
    assert_eq!(world.failed(), [], "its publisher has returned: it waits for a slot");
    world.answer_ends(first);
    assert_eq!(world.sent(), [second]);
}

#[test]
fn a_drain_refuses_new_requests_fails_waiting_ones_and_lets_running_ones_end() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    let (running, waiting) = (world.submit("qwen"), world.submit("qwen"));
    world.begin(&publisher, running);
    world.take();
    world.relay.drain(&mut world.out);
    let actions = world.take();
    let told = |action: &Action| matches!(action, Action::Drain { channel, .. } if *channel == publisher.channel);
    assert!(actions.iter().any(told));
    let failed = |action: &Action| matches!(action, Action::Fail { task, .. } if *task == waiting);
    assert!(actions.iter().any(failed));
    assert!(world.try_submit("qwen").is_err());
    let refused =
        world.relay.register(&owner("mia"), &Register::default(), world.now, &mut world.out);
    assert_eq!(refused.unwrap_err(), RegisterRefusal::Draining);
    world.relay.answer_ended(running, crate::AnswerEnd::Complete, world.now, &mut world.out);
    assert!(world.take().contains(&Action::Complete { task: running }));
}

#[test]
fn a_publisher_that_leaves_a_draining_server_keeps_its_running_responses() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    let task = world.submit("qwen");
    world.begin(&publisher, task);
    world.relay.drain(&mut world.out);
    world.relay.channel_closed(publisher.channel);
    world.pass(30_000);
    assert_eq!(world.failed(), []);
    world.relay.answer_ended(task, crate::AnswerEnd::Complete, world.now, &mut world.out);
    assert!(world.take().contains(&Action::Complete { task }));
}

#[test]
fn a_late_sweep_renews_no_lease_beyond_now() {
    let mut world = World::new();
    let publisher = world.publish("mia", &[provider("qwen", "active")]);
    world.pass(5_000);
    world.now += 60_000;
    world.report(&publisher, &[], &[]);
    world.relay.sweep(world.now, &mut world.out);
    world.pass(89_000);
    assert_eq!(world.status("qwen"), "active");
    world.pass(10_000);
    assert_eq!(world.status("qwen"), "inactive", "the delay was not added to a fresh lease");
}
