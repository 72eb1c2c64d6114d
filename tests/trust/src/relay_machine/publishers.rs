//! The publishers of the harness, and what they declare.

use super::event::{Memory, Pick};
use super::{Harness, owner};
use relay::{ChannelId, Owner, OwnerId, SessionId, TaskSender};
use wire::publisher::{Instance, Provider, Register};

/// The owner of each publisher; two publishers have the same one.
pub(super) const OWNERS: [&str; 4] = ["mia", "tom", "tom", "ann"];
/// The names of models. All but the first are in the pool; the last has two slots.
pub(super) const NAMES: [&str; 3] = ["a", "b", "c"];
pub(super) const POOL: &str = "pool";
/// The names that callers request.
pub(super) const SUBMITTED: [&str; 7] = ["a", "b", "c", POOL, "nobody", "b@tom", "pool@mia"];
/// The shares that owners and admins choose among.
pub(super) const SHARES: [&[&str]; 6] =
    [&[], &["Tom"], &["*"], &["mia", "nobody"], &["group:Crew"], &["group:others", "group:crew"]];
/// The group of some keys.
const GROUP: &str = "crew";

/// The declaration of a publisher.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Declared {
    /// One bit per name.
    pub(super) set: u8,
    pub(super) asleep: bool,
    /// True for protocol 1.
    pub(super) old: bool,
    /// Index in [`SHARES`].
    pub(super) shares: usize,
    /// True if the key is of [`GROUP`].
    pub(super) grouped: bool,
    /// True for models without a pool.
    pub(super) alone: bool,
}

/// The state that a publisher remembers.
#[derive(Default)]
pub(super) struct Publisher {
    pub(super) session: Option<SessionId>,
    pub(super) epoch: u64,
    pub(super) channel: Option<ChannelId>,
    /// Its latest declaration.
    declared: Declared,
}

impl Publisher {
    pub(super) fn all() -> [Self; OWNERS.len()] {
        <_>::default()
    }

    pub(super) fn sender(&self, owner: &str) -> TaskSender {
        TaskSender { owner: OwnerId(owner.into()), session: self.session }
    }
}

fn provider(at: usize, declared: Declared) -> Provider {
    let status = if declared.asleep { "hibernating" } else { "active" };
    Provider {
        name: NAMES[at].into(),
        initial_status: Some(status.into()),
        pool: (at > 0 && !declared.alone).then(|| POOL.into()),
        share_name: SHARES[declared.shares].iter().map(|user| (*user).to_owned()).collect(),
        max_concurrency: (at == 2).then_some(2),
        // The first has no wake recipe.
        wake_max_wait_seconds: (at > 0).then_some(60),
        ..Provider::default()
    }
}

impl Harness {
    /// A publisher's channel breaks, and it registers and opens a channel again.
    pub(super) fn reconnect(&mut self, who: usize, forgets: bool) -> Result<(), String> {
        self.close(who)?;
        let declared = self.publishers[who].declared;
        self.register(who, declared, Memory::Own, (false, forgets))?;
        self.open(who, who)
    }

    pub(super) fn register(
        &mut self,
        who: usize,
        declared: Declared,
        memory: Memory,
        (takeover, forgets): (bool, bool),
    ) -> Result<(), String> {
        let session = match memory {
            Memory::Own | Memory::Copied => self.publishers[who].session,
            Memory::Lost => None,
            Memory::Others => self.publishers[(who + 1) % OWNERS.len()].session,
            Memory::Invented => Some(SessionId(0)),
        };
        // The protocol does not say which version counts for a task that runs when it changes.
        let old = session.and_then(|id| self.model.protocol_of_tasks(id)).unwrap_or(declared.old);
        let named = session.filter(|_| !forgets);
        let mut named = named.map(|session| self.model.tasks_of(session)).unwrap_or_default();
        // The latest request may run elsewhere, wait, or be over.
        named.extend(self.model.pick(Pick::Any(0)).filter(|_| !forgets));
        let copy = if matches!(memory, Memory::Copied) { "-copy" } else { "" };
        let instance = Instance { id: format!("machine-{who}{copy}"), ..Instance::default() };
        let request = Register {
            protocol: if old { wire::PROTOCOL_1 } else { wire::PROTOCOL_2 },
            provider_session_id: session.as_ref().map(ToString::to_string),
            inflight: named.iter().map(ToString::to_string).collect(),
            instance: Some(instance),
            takeover,
            providers: (0..NAMES.len())
                .filter(|at| declared.set & 1 << at != 0)
                .map(|at| provider(at, declared))
                .collect(),
        };
        let groups = declared.grouped.then(|| GROUP.to_owned()).into_iter().collect();
        let owner = Owner { groups, ..owner(OWNERS[who]) };
        let reply = self.checked(
            |relay, now, out| relay.register(&owner, &request, now, out),
            |model, reply| model.registered(&owner, &request, reply.as_ref()),
        )?;
        if let Ok(registered) = reply {
            let publisher = &mut self.publishers[who];
            publisher.session = registered.provider_session_id.parse().ok();
            publisher.epoch = registered.epoch;
            publisher.declared = declared;
        }
        Ok(())
    }

    /// Publishers of other users register nothing, and are not heard of again.
    pub(super) fn crowd(&mut self, size: usize) -> Result<(), String> {
        let request = Register { protocol: wire::PROTOCOL_2, ..Register::default() };
        for number in 0..size {
            let owner = owner(&format!("user-{number}"));
            self.check(
                |relay, now, out| relay.register(&owner, &request, now, out),
                |model, reply| model.registered(&owner, &request, reply.as_ref()),
            )?;
        }
        Ok(())
    }
}
