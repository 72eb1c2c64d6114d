//! Who publishes what.

use super::event::Memory;
use super::{World, owner};
use relay::{Actions, ChannelId, OwnerId, TaskSender};
use wire::publisher::{Instance, Provider, Register};

/// The publishers' owners: two machines belong to one person.
pub(super) const OWNERS: [&str; 3] = ["mia", "tom", "tom"];
/// What is published. The last two make a pool.
pub(super) const NAMES: [&str; 3] = ["a", "b", "c"];
pub(super) const POOL: &str = "pool";
/// All others have one.
pub(super) const TWO_SLOTS: &str = NAMES[2];
/// What callers ask for.
pub(super) const SUBMITTED: [&str; 7] = ["a", "b", "c", POOL, "nobody", "b@tom", "pool@mia"];
/// With whom names are shared, by their owners and by admins.
pub(super) const SHARES: [&[&str]; 4] = [&[], &["tom"], &["*"], &["mia", "nobody"]];

/// The pool of a name.
pub(super) fn pool_of(name: &str) -> Option<&'static str> {
    (name != NAMES[0]).then_some(POOL)
}

/// What a publisher declares of its models.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Declared {
    /// A bit per name.
    pub(super) set: u8,
    pub(super) asleep: bool,
    /// It speaks protocol 1.
    pub(super) old: bool,
    /// Which of [`SHARES`].
    pub(super) shares: usize,
}

/// What a publisher remembers.
#[derive(Default)]
pub(super) struct Publisher {
    pub(super) session: Option<String>,
    pub(super) epoch: u64,
    pub(super) channel: Option<ChannelId>,
    /// What it declared last.
    declared: Declared,
}

impl Publisher {
    pub(super) fn all() -> [Self; OWNERS.len()] {
        <_>::default()
    }

    pub(super) fn from(&self, owner: &str) -> TaskSender {
        let session = self.session.as_ref().and_then(|id| id.parse().ok());
        TaskSender { owner: OwnerId(owner.into()), session }
    }
}

/// What a publisher declares.
fn provider(at: usize, declared: Declared) -> Provider {
    let status = if declared.asleep { "hibernating" } else { "active" };
    Provider {
        name: NAMES[at].into(),
        initial_status: Some(status.into()),
        pool: pool_of(NAMES[at]).map(Into::into),
        share_name: SHARES[declared.shares].iter().map(|user| (*user).to_owned()).collect(),
        max_concurrency: (NAMES[at] == TWO_SLOTS).then_some(2),
        // One of the three has no recipe.
        wake_max_wait_seconds: (at > 0).then_some(60),
        ..Provider::default()
    }
}

impl World {
    pub(super) fn returns(
        &mut self,
        who: usize,
        forgets: bool,
        out: &mut Actions,
    ) -> Result<(), String> {
        self.close(who);
        let declared = self.publishers[who].declared;
        self.register(who, declared, Memory::Own, (false, forgets), out)?;
        self.open(who, who, out)
    }

    pub(super) fn register(
        &mut self,
        who: usize,
        declared: Declared,
        memory: Memory,
        (takeover, forgets): (bool, bool),
        out: &mut Actions,
    ) -> Result<(), String> {
        let own = self.publishers[who].session.clone();
        let session = match memory {
            Memory::Own | Memory::Copied => own,
            Memory::Lost => None,
            Memory::Others => self.publishers[(who + 1) % OWNERS.len()].session.clone(),
            Memory::Invented => Some("0".repeat(32)),
        };
        let named = session.as_ref().filter(|_| !forgets);
        let named = named.map(|session| self.model.tasks_of(session)).unwrap_or_default();
        let copy = if matches!(memory, Memory::Copied) { "-copy" } else { "" };
        let instance = Instance { id: format!("machine-{who}{copy}"), ..Instance::default() };
        let request = Register {
            protocol: if declared.old { wire::PROTOCOL_1 } else { wire::PROTOCOL_2 },
            provider_session_id: session,
            inflight: named.iter().map(ToString::to_string).collect(),
            instance: Some(instance),
            takeover,
            providers: (0..NAMES.len())
                .filter(|at| declared.set & 1 << at != 0)
                .map(|at| provider(at, declared))
                .collect(),
        };
        let owner = owner(OWNERS[who]);
        let reply = self.relay.register(&owner, &request, self.now, out);
        self.model.registered(&owner.id, &request, reply.as_ref(), self.now)?;
        if let Ok(registered) = reply {
            let publisher = &mut self.publishers[who];
            publisher.session = Some(registered.provider_session_id);
            publisher.epoch = registered.epoch;
            publisher.declared = declared;
        }
        Ok(())
    }
}
