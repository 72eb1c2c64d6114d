//! Names belong to the first user who serves them; that user or an admin shares them.

use super::{Publisher, World, owner, provider, request};
use crate::{
    Action, Allowed, ChannelId, NameRefusal, Owner, OwnerId, Submit, SubmitRefusal, TaskId,
};
use wire::publisher::{Heartbeat, HeartbeatReply, Instance, Provider, Register, Registered};

const MONTH: u64 = 30 * 24 * 3_600_000;

fn shared(name: &str, with: &[&str]) -> Provider {
    let share_name = with.iter().map(|user| (*user).to_owned()).collect();
    Provider { share_name, ..provider(name, "active") }
}

fn pooled(name: &str, pool: &str) -> Provider {
    Provider { pool: Some(pool.into()), ..provider(name, "active") }
}

impl World {
    /// Registers a set and answers one request under each name, so that the names are reserved.
    fn serve_once(&mut self, who: &str, name: &str) -> Publisher {
        let publisher = self.publish(who, &[provider(name, "active")]);
        let task = self.submit(name);
        self.answer(&publisher, task);
        publisher
    }

    fn heartbeat(&mut self, publisher: &Publisher) -> HeartbeatReply {
        let beat =
            Heartbeat { provider_session_id: publisher.session.clone(), ..Heartbeat::default() };
        self.relay.heartbeat(&publisher.owner.id, &beat, self.now, &mut self.out).unwrap()
    }

    fn again(&mut self, publisher: &Publisher, set: &[Provider]) -> Registered {
        self.register(&publisher.owner.id.0.clone(), Some(&publisher.session), set)
    }

    /// The users whose publishers got the tasks that were sent since the last call.
    fn sent_to(&mut self) -> Vec<String> {
        let sent = |action: &Action| match action {
            Action::Dispatch(sent) => Some(sent.channel),
            _ => None,
        };
        let channels: Vec<_> = self.take().iter().filter_map(sent).collect();
        let owner = |channel: &ChannelId| {
            let session = self.relay.sessions.of_channel(*channel).unwrap();
            self.relay.sessions.get(session).unwrap().owner.id.to_string()
        };
        channels.iter().map(owner).collect()
    }
}

fn codes(registered: &Registered) -> Vec<&str> {
    registered.rejected.iter().map(|refused| refused.code.as_str()).collect()
}

#[test]
fn a_taken_name_is_refused_with_a_free_suggestion_and_without_its_owners_name() {
    let mut world = World::new();
    world.publish("mia", &[provider("qwen", "active")]);
    let other = world.register(
        "eve@example.com",
        None,
        &[provider("QWEN", "active"), provider("x", "active")],
    );
    assert_eq!((other.llms.len(), codes(&other)), (1, vec!["llm_name_taken"]));
    let refused = &other.rejected[0];
    assert_eq!(refused.suggestion.as_deref(), Some("qwen-eve"));
    assert!(!refused.detail.contains("mia") && refused.detail.contains("qwen-eve"), "{refused:?}");
    let taken = world.register("tom", None, &[provider("qwen-eve", "active")]);
    assert!(taken.rejected.is_empty());
    let session = Some(other.provider_session_id.as_str());
    let again = world.register("eve@example.com", session, &[provider("qwen", "active")]);
    assert_eq!(again.rejected[0].suggestion.as_deref(), Some("qwen-eve-2"));
}

#[test]
fn a_suggestion_for_another_machine_of_the_same_user_has_the_machines_name() {
    let mut world = World::new();
    world.publish("mia", &[provider("qwen", "active")]);
    let request = Register {
        instance: Some(Instance { name: "Tower (2)".into(), ..Instance::default() }),
        providers: vec![provider("qwen", "active")],
        ..Register::default()
    };
    let tower = world.relay.register(&owner("mia"), &request, world.now, &mut world.out).unwrap();
    assert_eq!(tower.rejected[0].suggestion.as_deref(), Some("qwen-tower--2"));
    assert!(world.relay.name_requests_for(&OwnerId("mia".into())).is_empty());
}

#[test]
fn a_suggestion_is_never_longer_than_a_name_may_be() {
    let mut world = World::new();
    let long = "q".repeat(63);
    world.publish("mia", &[provider(&long, "active")]);
    let other = world.register("tom", None, &[provider(&long, "active")]);
    let free = other.rejected[0].suggestion.clone().unwrap();
    assert_eq!((free.len(), free.ends_with("-tom")), (63, true));
    assert!(world.register("tom", None, &[provider(&free, "active")]).rejected.is_empty());
}

#[test]
fn another_user_joins_a_pool_or_takes_its_name_only_if_its_owner_shares_it() {
    let mut world = World::new();
    world.publish("mia", &[pooled("a", "team"), provider("solo", "active")]);
    let intruder = Provider { max_concurrency: Some(1000), ..pooled("x", "team") };
    let eve =
        world.register("eve", None, &[intruder, pooled("y", "solo"), provider("team", "active")]);
    assert_eq!(codes(&eve), ["llm_name_taken"; 3]);
    let eve = world.open("eve", &eve);
    for _ in 0..10 {
        world.submit("team");
    }
    assert_eq!(world.sent_to(), ["mia"], "the others wait for mia");
    assert_eq!(world.relay.name_owner("solo"), Some(&OwnerId("mia".into())));
    assert_eq!(world.heartbeat(&eve).cancel, Vec::<String>::new());
}

#[test]
fn a_name_that_was_never_served_is_free_when_it_is_withdrawn() {
    let mut world = World::new();
    let names: Vec<_> = (0..20).map(|n| provider(&format!("m{n}"), "active")).collect();
    let mia = world.publish("mia", &names);
    world.again(&mia, &[]);
    assert_eq!(world.relay.gauges().names, 0);
    assert!(world.register("eve", None, &names).rejected.is_empty());
}

#[test]
fn a_name_that_was_served_stays_its_owners_for_thirty_days() {
    let mut world = World::new();
    let mia = world.serve_once("mia", "qwen");
    world.again(&mia, &[]);
    world.now += MONTH - 1;
    let early = world.register("eve", None, &[provider("qwen", "active")]);
    assert_eq!(codes(&early), ["llm_name_taken"]);
    world.now += 1;
    let late = world.register("eve", None, &[provider("qwen", "active")]);
    assert!(late.rejected.is_empty());
    let back = world.register("mia", None, &[provider("qwen", "active")]);
    assert_eq!(codes(&back), ["llm_name_taken"], "it is eve's now");
}

#[test]
fn a_reservation_that_has_ended_binds_no_user_with_whom_the_name_was_shared() {
    let mut world = World::new();
    let mia = world.publish("mia", &[shared("qwen", &["tom"])]);
    let task = world.submit("qwen");
    world.answer(&mia, task);
    world.again(&mia, &[]);
    world.now += MONTH;
    let tom = world.register("tom", None, &[provider("qwen", "active")]);
    assert!(tom.rejected.is_empty());
    assert_eq!(world.relay.name_owner("qwen"), Some(&OwnerId("tom".into())));
}

#[test]
fn an_owner_has_at_most_sixty_reserved_names_and_the_oldest_one_makes_room() {
    let mut world = World::new();
    for number in 0..70 {
        let name = format!("m{number}");
        let mia = world.serve_once("mia", &name);
        world.now += 1;
        world.again(&mia, &[]);
        world.relay.channel_closed(mia.channel);
    }
    assert_eq!(world.relay.gauges().names, 60);
    let eve = world.register("eve", None, &[provider("m9", "active"), provider("m10", "active")]);
    assert_eq!((eve.llms[0].name.as_str(), codes(&eve)), ("m9", vec!["llm_name_taken"]));
}

#[test]
fn a_reservation_ends_in_memory_and_in_the_store() {
    let mut world = World::new();
    let mia = world.serve_once("mia", "qwen");
    world.again(&mia, &[]);
    assert!(world.relay.saved_name("qwen").unwrap().reserved_until.is_some());
    world.now += MONTH;
    world.take();
    world.relay.sweep(world.now, &mut world.out);
    assert!(world.take().contains(&Action::SaveName("qwen".into())));
    assert_eq!(world.relay.saved_name("qwen"), None);
}

#[test]
fn an_owner_grants_a_name_request_and_both_users_serve_the_name() {
    let mut world = World::new();
    let mia = world.publish("mia", &[provider("qwen", "active")]);
    let tom = world.publish("tom", &[provider("qwen", "active")]);
    let requests = world.heartbeat(&mia).name_requests;
    assert_eq!(requests.len(), 1);
    assert_eq!((requests[0].name.as_str(), requests[0].user.as_str()), ("qwen", "tom"));
    assert!(world.heartbeat(&tom).name_requests.is_empty(), "only the owner is asked");
    assert!(!world.heartbeat(&tom).register_again);

    let granted = world.again(&mia, &[shared("qwen", &["tom"])]);
    let mia = world.open("mia", &granted);
    assert!(world.heartbeat(&tom).register_again, "tom may try now");
    let taken = world.again(&tom, &[provider("qwen", "active")]);
    assert!(taken.rejected.is_empty());
    let tom = world.open("tom", &taken);
    assert!(!world.heartbeat(&tom).register_again);
    assert!(world.heartbeat(&mia).name_requests.is_empty());

    world.take();
    world.submit("qwen@Tom");
    world.submit("qwen");
    assert_eq!(world.sent_to(), ["tom", "mia"], "one by its user, one to the member with room");
    assert!(matches!(world.try_submit("qwen@eve"), Err(SubmitRefusal::NotFound { .. })));
    let rows: Vec<_> = world.relay.catalogue().into_iter().map(|row| row.info).collect();
    assert_eq!((rows.len(), rows[0].owner.as_str(), rows[1].owner.as_str()), (2, "mia", "tom"));
}

#[test]
fn a_pool_that_its_owner_leaves_and_uses_again_in_one_register_invites_no_other_user() {
    let mut world = World::new();
    let mia = world.publish("mia", &[pooled("one", "pool")]);
    let tom = world.publish("tom", &[pooled("two", "pool")]);
    world.again(&mia, &[pooled("three", "pool")]);
    assert!(!world.heartbeat(&tom).register_again);
    world.again(&mia, &[]);
    assert!(world.heartbeat(&tom).register_again);
}

#[test]
fn an_llm_leaves_at_once_when_its_name_is_unshared_and_its_publisher_registers_again() {
    let mut world = World::new();
    let mia = world.publish("mia", &[shared("qwen", &["*"])]);
    let tom = world.publish("tom", &[provider("qwen", "active"), provider("other", "active")]);
    assert_eq!(world.relay.catalogue().len(), 3);
    world.again(&mia, &[provider("qwen", "active")]);
    assert_eq!(world.relay.catalogue().len(), 2);
    assert!(world.heartbeat(&tom).register_again);
    let again = world.again(&tom, &[provider("qwen", "active"), provider("other", "active")]);
    assert_eq!((again.llms.len(), codes(&again)), (1, vec!["llm_name_taken"]));
}

#[test]
fn a_name_is_shared_with_a_group() {
    let mut world = World::new();
    world.publish("mia", &[shared("qwen", &["group:ml"])]);
    let member = Owner { groups: vec!["ML".into()], ..owner("tom") };
    let request = Register { providers: vec![provider("qwen", "active")], ..Register::default() };
    let tom = world.relay.register(&member, &request, world.now, &mut world.out).unwrap();
    assert!(tom.rejected.is_empty());
    let eve = world.register("group:ml", None, &[provider("qwen", "active")]);
    assert_eq!(codes(&eve), ["llm_name_taken"], "a user's name is no group");
}

#[test]
fn a_grant_outlives_the_owners_absence_and_a_restart() {
    let mut world = World::new();
    let mia = world.publish("mia", &[shared("qwen", &["tom"])]);
    let tom = world.publish("tom", &[provider("qwen", "active")]);
    world.again(&mia, &[]);
    assert_eq!(world.relay.catalogue().len(), 1, "tom serves on");
    let saved = crate::Saved {
        names: world.relay.saved_name("qwen").into_iter().collect(),
        ..crate::Saved::default()
    };
    let mut world = World::restored(saved);
    let back = world.register("tom", Some(&tom.session), &[provider("qwen", "active")]);
    assert!(back.rejected.is_empty());
    assert_eq!(world.relay.name_owner("qwen"), Some(&OwnerId("mia".into())));
}

#[test]
fn an_admin_shares_a_name_and_takes_that_back() {
    let mut world = World::new();
    world.publish("mia", &[provider("qwen", "active")]);
    let tom = world.publish("tom", &[provider("qwen", "active")]);
    let (now, with) = (world.now, ["tom".to_owned()]);
    let info = world.relay.share_name("QWEN", &with, now, &mut world.out).unwrap();
    assert_eq!((info.shared_by_admin, info.requested_by), (with.to_vec(), vec!["tom".to_owned()]));
    assert!(world.heartbeat(&tom).register_again);
    assert!(world.again(&tom, &[provider("qwen", "active")]).rejected.is_empty());
    world.relay.share_name("qwen", &[], now, &mut world.out).unwrap();
    assert_eq!(world.relay.catalogue().len(), 1);
    let unknown = world.relay.share_name("nope", &with, now, &mut world.out);
    assert_eq!(unknown, Err(NameRefusal::Unknown));
    let bad = world.relay.share_name("qwen", &["group:".into()], now, &mut world.out);
    assert!(matches!(bad, Err(NameRefusal::Invalid(_))));
}

#[test]
fn a_name_whose_last_user_loses_it_by_an_admins_list_is_returned_without_users() {
    let mut world = World::new();
    let mia = world.publish("mia", &[provider("qwen", "active")]);
    let (now, with) = (world.now, ["tom".to_owned()]);
    world.relay.share_name("qwen", &with, now, &mut world.out).unwrap();
    world.publish("tom", &[provider("qwen", "active")]);
    world.again(&mia, &[]);
    let info = world.relay.share_name("qwen", &[], now, &mut world.out).unwrap();
    assert_eq!((info.owner.as_str(), info.served_by), ("mia", Vec::new()));
    assert_eq!(world.relay.name_owner("qwen"), None);
}

#[test]
fn a_name_that_an_admin_frees_goes_to_the_member_that_serves_it_or_to_the_next_user() {
    let mut world = World::new();
    world.publish("mia", &[shared("qwen", &["*"])]);
    world.publish("ann", &[provider("qwen", "active")]);
    world.now += 1;
    world.publish("tom", &[provider("qwen", "active")]);
    let now = world.now;
    world.relay.revoke_owner(&OwnerId("ann".into()), "revoked", now, &mut world.out);
    world.relay.free_name("qwen", now, &mut world.out).unwrap();
    assert_eq!(world.relay.name_owner("qwen"), Some(&OwnerId("tom".into())));
    assert_eq!(world.relay.catalogue().len(), 1, "tom has not shared it");
    world.relay.free_name("qwen", now, &mut world.out).unwrap();
    assert_eq!(world.relay.name_owner("qwen"), None);
    assert!(world.register("eve", None, &[provider("qwen", "active")]).rejected.is_empty());
    assert_eq!(world.relay.free_name("nope", now, &mut world.out), Err(NameRefusal::Unknown));
}

#[test]
fn a_publisher_may_call_what_it_publishes_and_nothing_else() {
    let mut world = World::new();
    let mia = world.publish("mia", &[shared("qwen", &["*"]), provider("own", "active")]);
    world.publish("tom", &[provider("qwen", "active"), provider("toms", "active")]);
    let allowed = Allowed::Some { names: Vec::new(), own: Some(mia.owner.id) };
    let mut submit = |name: &str| {
        world.tasks += 1;
        let request = Submit { allowed: allowed.clone(), ..request(name) };
        world.relay.submit(&request, TaskId(world.tasks), world.now, &mut world.out)
    };
    submit("own").unwrap();
    submit("qwen").unwrap();
    let Err(SubmitRefusal::NotFound { usable }) = submit("toms") else { panic!("it is tom's") };
    assert_eq!(usable, ["own", "qwen"]);
    assert_eq!(world.sent_to(), ["mia", "mia"]);
}

#[test]
fn a_share_ends_with_the_entry_that_declared_it_also_when_another_entry_uses_the_name() {
    let mut world = World::new();
    let in_pool =
        |name: &str, with: &str| Provider { pool: Some("pool".into()), ..shared(name, &[with]) };
    world.publish("mia", &[in_pool("a", "ann")]);
    let second = world.publish("mia", &[in_pool("b", "tom")]);
    world.publish("tom", &[pooled("c", "pool")]);
    assert_eq!(world.relay.catalogue().len(), 3);
    world.again(&second, &[]);
    let shares = world.relay.saved_name("pool").unwrap().shared_by_owner;
    assert_eq!(shares, ["ann".to_owned()]);
    assert_eq!(world.relay.catalogue().len(), 1, "tom may not serve the pool any more");
}

#[test]
fn a_user_who_was_refused_a_name_and_owns_it_now_requests_it_no_more() {
    let mut world = World::new();
    let mia = world.publish("mia", &[provider("qwen", "active")]);
    world.publish("tom", &[provider("qwen", "active")]);
    world.again(&mia, &[]);
    let owned = world.register("tom", None, &[provider("qwen", "active")]);
    assert!(owned.rejected.is_empty() && owned.name_requests.is_empty(), "{owned:?}");
    assert!(world.relay.names()[0].requested_by.is_empty());
}
