//! Register, channel, heartbeat, ownership.

use super::{World, owner, provider};
use crate::{Action, LastEvent, RegisterRefusal, Saved, SessionRefusal};
use wire::publisher::{Heartbeat, Instance, Provider, Register};

#[test]
fn a_session_gets_its_entries_back_with_the_same_ids_and_a_higher_epoch() {
    let mut world = World::new();
    let first = world.register("mia", None, &[provider("qwen", "active")]);
    let session = first.provider_session_id.as_str();
    let second = world.register("mia", Some(session), &[provider("qwen", "active")]);
    assert_eq!(second.llms[0].id, first.llms[0].id);
    assert_eq!(second.provider_session_id, first.provider_session_id);
    assert!(second.epoch > first.epoch);
}

#[test]
fn a_restart_of_the_server_keeps_entries_and_ids_for_their_owner() {
    let mut world = World::new();
    let first = world.register("mia", None, &[provider("qwen", "active")]);
    let session = first.provider_session_id.parse().unwrap();
    let id = first.llms[0].id.parse().unwrap();
    let saved = Saved {
        llms: world.relay.saved_llm(id).into_iter().collect(),
        sessions: world.relay.saved_session(session).into_iter().collect(),
        names: Vec::new(),
    };
    let mut world = World::restored(saved);
    assert_eq!(world.status("qwen"), "inactive");
    let again = world.register("mia", Some(&session.to_string()), &[provider("qwen", "active")]);
    assert_eq!(again.llms[0].id, first.llms[0].id);
    assert!(again.epoch > first.epoch);
}

#[test]
fn an_entry_that_a_register_does_not_name_leaves_and_the_others_stay() {
    let mut world = World::new();
    let both = [provider("a", "active"), provider("b", "active")];
    let first = world.register("mia", None, &both);
    let session = first.provider_session_id;
    world.register("mia", Some(&session), &both[..1]);
    assert_eq!((world.status("a"), world.status("b")), ("active".into(), "none".into()));
    world.register("mia", Some(&session), &[]);
    assert_eq!(world.relay.gauges().llms, 0, "an empty set withdraws everything");
}

#[test]
fn a_name_moves_to_its_owners_other_machine_when_the_first_one_is_gone() {
    let mut world = World::new();
    let laptop = world.publish("mia", &[provider("qwen", "active")]);
    let id = world.relay.catalogue()[0].info.id.clone();
    let tower = world.register("mia", None, &[provider("qwen", "active")]);
    assert_eq!(tower.rejected[0].code.as_str(), "llm_name_taken", "the laptop is connected");
    world.relay.channel_closed(laptop.channel);
    let tower = Some(tower.provider_session_id);
    let tower = world.register("mia", tower.as_deref(), &[provider("qwen", "active")]);
    assert_eq!((tower.llms[0].id.as_str(), tower.rejected.len()), (id.as_str(), 0));
    world.register("mia", Some(&laptop.session), &[]);
    assert_eq!(world.status("qwen"), "active", "the laptop withdraws what is its own only");
}

#[test]
fn an_owner_publishes_at_most_twenty_models() {
    let mut world = World::new();
    let set: Vec<_> = (0..21).map(|n| provider(&format!("m{n}"), "active")).collect();
    let registered = world.register("mia", None, &set);
    assert_eq!(registered.llms.len(), 20);
    assert_eq!((registered.rejected[0].name.as_str(), registered.rejected.len()), ("m20", 1));
    assert_eq!(registered.rejected[0].code.as_str(), "llm_limit");
    assert_eq!(world.register("tom", None, &[provider("x", "active")]).llms.len(), 1);
}

#[test]
fn a_publisher_with_twenty_models_that_renames_some_keeps_them_all() {
    let mut world = World::new();
    let set = |from: usize| -> Vec<_> {
        (from..from + 20).map(|n| provider(&format!("m{n}"), "active")).collect()
    };
    let first = world.register("mia", None, &set(0));
    let renamed = world.register("mia", Some(&first.provider_session_id), &set(14));
    assert_eq!((renamed.llms.len(), renamed.rejected.len()), (20, 0), "{:?}", renamed.rejected);
}

#[test]
fn an_owner_has_at_most_twenty_sessions_and_the_oldest_idle_one_makes_room() {
    let mut world = World::new();
    let first = world.publish("mia", &[provider("first", "active")]);
    let idle = world.register("mia", None, &[]);
    world.now += 1;
    for _ in 0..18 {
        let registered = world.register("mia", None, &[]);
        world.open("mia", &registered);
    }
    assert_eq!(world.relay.gauges().sessions, 20);
    let last = world.register("mia", None, &[]);
    world.open("mia", &last);
    assert_eq!(world.relay.gauges().sessions, 20);
    assert_eq!(world.status("first"), "active", "one that is connected stays");
    let gone = world.relay.channel_of(&first.owner.id, idle.provider_session_id.parse().unwrap());
    assert_eq!(gone, Err(SessionRefusal::Unknown));
    let request = Register { protocol: 2, ..Register::default() };
    let refused = world.relay.register(&owner("mia"), &request, world.now, &mut world.out);
    assert_eq!(refused, Err(RegisterRefusal::TooManySessions(20)));
    assert_eq!(world.register("tom", None, &[provider("x", "active")]).llms.len(), 1);
}

#[test]
fn a_session_without_entries_and_channel_ends_after_ten_minutes() {
    let mut world = World::new();
    let empty = world.register("mia", None, &[]);
    let full = world.register("tom", None, &[provider("x", "active")]);
    world.pass(9 * 60_000);
    assert_eq!(world.relay.gauges().sessions, 2);
    world.pass(2 * 60_000);
    let known = |who: &str, session: &str| {
        world
            .relay
            .channel_of(&owner(who).id, session.parse().unwrap())
            .map(|channel| channel.is_some())
    };
    assert_eq!(known("mia", &empty.provider_session_id), Err(SessionRefusal::Unknown));
    assert_eq!(known("tom", &full.provider_session_id), Ok(false));
}

#[test]
fn texts_that_are_too_long_or_would_rewrite_a_terminal_are_refused_by_their_field() {
    let mut world = World::new();
    for name in ["x".repeat(900_000), "lap\u{1b}[2Jtop".into()] {
        let instance = Some(Instance { name, ..Instance::default() });
        let request = Register { instance, ..Register::default() };
        let refused = world.relay.register(&owner("mia"), &request, world.now, &mut world.out);
        let Err(RegisterRefusal::Invalid(why)) = refused else { panic!("{refused:?}") };
        assert!(why.contains("`instance.name`") && why.len() < 200, "{why:?}");
    }
    let described =
        Provider { description: Some("a\u{202e}b".into()), ..provider("qwen", "active") };
    let pooled = Provider { pool: Some("te\nam".into()), ..provider("llama", "active") };
    let registered = world.register("mia", None, &[described, pooled, provider("x", "active")]);
    let codes: Vec<_> = registered.rejected.iter().map(|r| r.code.as_str()).collect();
    assert_eq!(codes, ["llm_text_invalid", "llm_name_invalid"]);
    assert!(registered.rejected[1].detail.contains("pool"));
    assert_eq!(registered.llms.len(), 1);
}

#[test]
fn a_revoked_publisher_gets_a_last_event_and_its_llms_are_inactive() {
    let mut world = World::new();
    let mia = world.publish("mia", &[provider("qwen", "active")]);
    world.publish("tom", &[provider("other", "active")]);
    // Longer than the grace of a start.
    world.live(&mia, &[], 60_000);
    let (running, waiting) = (world.submit("qwen"), world.submit("qwen"));
    world.begin(&mia, running);
    world.take();
    world.relay.revoke_owner(&mia.owner.id, "token_revoked", world.now, &mut world.out);
    let actions = world.take();
    let last = LastEvent::Revoked("token_revoked".into());
    assert!(actions.contains(&Action::CloseChannel { channel: mia.channel, last }));
    let failed = |action: &Action| matches!(action, Action::Fail { task, .. } if *task == waiting);
    assert!(actions.iter().any(failed), "what waits cannot be sent");
    assert_eq!((world.status("qwen"), world.status("other")), ("inactive".into(), "active".into()));
    assert!(world.try_submit("qwen").is_err());
}

#[test]
fn a_session_of_another_user_is_never_taken_over() {
    let mut world = World::new();
    let mine = world.publish("mia", &[provider("qwen", "active")]);
    let request = Register {
        provider_session_id: Some(mine.session.clone()),
        providers: vec![provider("x", "active")],
        ..Register::default()
    };
    let refused = world.relay.register(&owner("eve"), &request, world.now, &mut world.out);
    assert_eq!(refused.unwrap_err(), RegisterRefusal::SessionConflict);
    let beat = Heartbeat { provider_session_id: mine.session, ..Heartbeat::default() };
    let refused = world.relay.heartbeat(&owner("eve").id, &beat, world.now, &mut world.out);
    assert_eq!(refused.unwrap_err(), SessionRefusal::Unknown, "as if it did not exist");
}

#[test]
fn a_copied_session_file_is_a_conflict_while_the_first_machine_is_connected() {
    let mut world = World::new();
    let on = |id: &str, session: Option<String>, takeover| Register {
        protocol: 2,
        provider_session_id: session,
        instance: Some(Instance { id: id.into(), ..Instance::default() }),
        takeover,
        providers: vec![provider("qwen", "active")],
        ..Register::default()
    };
    let mia = owner("mia");
    let registered =
        world.relay.register(&mia, &on("laptop", None, false), world.now, &mut world.out).unwrap();
    let first = world.open("mia", &registered);
    let session = Some(first.session);
    let copied = on("tower", session.clone(), false);
    let refused = world.relay.register(&mia, &copied, world.now, &mut world.out);
    assert_eq!(refused.unwrap_err(), RegisterRefusal::SessionConflict);
    let forced = on("tower", session, true);
    world.relay.register(&mia, &forced, world.now, &mut world.out).unwrap();
}

#[test]
fn a_newer_channel_ends_the_older_one_with_superseded() {
    let mut world = World::new();
    let registered = world.register("mia", None, &[provider("qwen", "active")]);
    let old = world.open("mia", &registered);
    world.take();
    world.open("mia", &registered);
    let last = LastEvent::Superseded;
    assert!(world.take().contains(&Action::CloseChannel { channel: old.channel, last }));
}

#[test]
fn a_heartbeat_of_an_older_epoch_is_refused() {
    let mut world = World::new();
    let first = world.publish("mia", &[provider("qwen", "active")]);
    world.register("mia", Some(&first.session), &[provider("qwen", "active")]);
    let beat = Heartbeat {
        provider_session_id: first.session.clone(),
        epoch: Some(first.epoch),
        ..Heartbeat::default()
    };
    let refused = world.relay.heartbeat(&first.owner.id, &beat, world.now, &mut world.out);
    assert_eq!(refused.unwrap_err(), SessionRefusal::StaleEpoch);
}

#[test]
fn an_unknown_initial_status_is_refused_with_the_fields_name() {
    let mut world = World::new();
    let request = Register { providers: vec![provider("a", "asleep")], ..Register::default() };
    let refused = world.relay.register(&owner("mia"), &request, world.now, &mut world.out);
    assert!(refused.unwrap_err().to_string().contains("initialStatus"));
}
