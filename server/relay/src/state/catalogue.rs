//! The catalogue: LLMs, the sessions that publish them, and the names that select them.

use super::names::Names;
use super::{Entry, Name};
use crate::{Limits, LlmId, Millis, Owner, OwnerId, SavedName, SessionId};
use std::collections::{BTreeMap, BTreeSet};
use wire::publisher::Provider;

/// All entries. Every entry is listed under its session, and is a member of its names.
#[derive(Debug)]
pub(crate) struct Catalogue {
    entries: BTreeMap<LlmId, Entry>,
    by_session: BTreeMap<SessionId, BTreeSet<LlmId>>,
    names: Names,
    /// Names that have changed since their shares were last computed.
    changed: BTreeSet<String>,
}

impl Catalogue {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            entries: BTreeMap::new(),
            by_session: BTreeMap::new(),
            names: Names::new(limits),
            changed: BTreeSet::new(),
        }
    }

    pub(crate) fn get(&self, id: LlmId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: LlmId) -> Option<&mut Entry> {
        self.entries.get_mut(&id)
    }

    pub(crate) fn contains(&self, id: LlmId) -> bool {
        self.entries.contains_key(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (LlmId, &Entry)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entries of a session.
    pub(crate) fn of_session(&self, session: SessionId) -> BTreeSet<LlmId> {
        self.by_session.get(&session).cloned().unwrap_or_default()
    }

    /// True if the session publishes nothing.
    pub(crate) fn publishes_nothing(&self, session: SessionId) -> bool {
        !self.by_session.contains_key(&session)
    }

    /// The entry that a user has under its own name.
    pub(crate) fn of_owner(&self, owner: &OwnerId, name: &str) -> Option<LlmId> {
        let is_theirs = |entry: &Entry| entry.name == name && entry.owner.id == *owner;
        let mut members = self.names.get(name)?.members().iter().copied();
        members.find(|id| self.get(*id).is_some_and(is_theirs))
    }

    /// The entries that a name selects.
    pub(crate) fn members(&self, name: &str) -> impl Iterator<Item = (LlmId, &Entry)> {
        let members = self.names.get(name).into_iter().flat_map(Name::members);
        members.filter_map(|id| Some((*id, self.entries.get(id)?)))
    }

    /// Adds an entry. Returns the names that are to be stored.
    pub(crate) fn insert(&mut self, id: LlmId, entry: Entry, now: Millis) -> Vec<String> {
        let mut changed = Vec::new();
        for name in entry.names() {
            self.names.join(name, id, &entry.owner, now, &mut changed);
            self.changed.insert(name.clone());
        }
        self.by_session.entry(entry.session).or_default().insert(id);
        self.entries.insert(id, entry);
        changed
    }

    /// Adds an entry of an earlier run. Names must have been restored before.
    pub(crate) fn restore(&mut self, id: LlmId, entry: Entry) {
        for name in entry.names() {
            self.names.rejoin(name, id, &entry.owner.id);
        }
        self.by_session.entry(entry.session).or_default().insert(id);
        self.entries.insert(id, entry);
    }

    /// Takes over the names of an earlier run.
    pub(crate) fn restore_names(&mut self, saved: Vec<SavedName>) {
        self.names.restore(saved);
    }

    /// Replaces what was declared of an entry. Returns the names that are to be stored.
    pub(crate) fn update(
        &mut self,
        id: LlmId,
        owner: &Owner,
        provider: &Provider,
        pool: Option<String>,
        now: Millis,
    ) -> Vec<String> {
        let mut changed = Vec::new();
        let Some(entry) = self.entries.get_mut(&id) else { return changed };
        let before: BTreeSet<String> = entry.names().cloned().collect();
        entry.owner = owner.clone();
        entry.provider = provider.clone();
        entry.served &= entry.pool == pool;
        entry.pool = pool;
        let after: BTreeSet<String> = entry.names().cloned().collect();
        for name in &after {
            self.names.join(name, id, owner, now, &mut changed);
        }
        for name in before.difference(&after) {
            self.names.leave(name, id, now, &mut changed);
        }
        self.changed.extend(before.into_iter().chain(after));
        self.changed.extend(changed.iter().cloned());
        changed
    }

    /// Lets another session publish the entry.
    pub(crate) fn move_to(&mut self, id: LlmId, session: SessionId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let before = std::mem::replace(&mut entry.session, session);
        self.unlist(id, before);
        self.by_session.entry(session).or_default().insert(id);
    }

    /// Removes an entry. Returns the names that are to be stored.
    pub(crate) fn remove(&mut self, id: LlmId, now: Millis) -> Vec<String> {
        let mut changed = Vec::new();
        let Some(entry) = self.entries.remove(&id) else { return changed };
        self.unlist(id, entry.session);
        for name in entry.names() {
            self.names.leave(name, id, now, &mut changed);
            self.changed.insert(name.clone());
        }
        self.changed.extend(changed.iter().cloned());
        changed
    }

    fn unlist(&mut self, id: LlmId, session: SessionId) {
        if let Some(listed) = self.by_session.get_mut(&session) {
            listed.remove(&id);
            if listed.is_empty() {
                self.by_session.remove(&session);
            }
        }
    }

    /// An entry has answered a request: from now on its names stay reserved when it leaves. Returns
    /// the names that are to be stored.
    pub(crate) fn mark_served(&mut self, id: LlmId) -> Vec<String> {
        let mut changed = Vec::new();
        if let Some(entry) = self.entries.get_mut(&id)
            && !std::mem::replace(&mut entry.served, true)
        {
            for name in entry.names() {
                self.names.mark_served(name, &mut changed);
            }
        }
        changed
    }

    pub(crate) fn name(&self, name: &str) -> Option<&Name> {
        self.names.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = (&String, &Name)> {
        self.names.iter()
    }

    /// Number of names that belong to a user.
    pub(crate) fn name_count(&self) -> usize {
        self.names.len()
    }

    /// True if the user may serve the name: it is free, theirs, or shared with them.
    pub(crate) fn may_serve(&self, user: &Owner, name: &str, now: Millis) -> bool {
        self.names.may_serve(user, name, now)
    }

    /// Frees the names whose reservation is over, and returns them.
    pub(crate) fn end_reservations(&mut self, now: Millis) -> Vec<String> {
        let freed = self.names.end_reservations(now);
        self.changed.extend(freed.iter().cloned());
        freed
    }

    /// A name that has changed; each is returned once.
    pub(crate) fn take_changed(&mut self) -> Option<String> {
        self.changed.pop_first()
    }

    /// Computes with whom the entries of a name's owner share it; true if that has changed. Without
    /// such entries the shares stay.
    pub(crate) fn update_shares(&mut self, name: &str) -> bool {
        let Some(owner) = self.names.get(name).map(|name| name.owner().clone()) else {
            return false;
        };
        let own = self.members(name).filter(|(_, entry)| entry.owner.id == owner);
        let mut own = own.map(|(_, entry)| &entry.provider.share_name).peekable();
        if own.peek().is_none() {
            return false;
        }
        let shares: BTreeSet<&String> = own.flatten().collect();
        let shares = shares.into_iter().cloned().collect();
        self.names.set_shared_by_owner(name, &owner, shares)
    }

    /// Sets with whom an admin shares the name; false if there is no such name.
    pub(crate) fn share_by_admin(&mut self, name: &str, with: Vec<String>) -> bool {
        self.names.set_shared_by_admin(name, with)
    }

    /// Forgets what held the name for its owner, before the owner's entries are removed.
    pub(crate) fn release_name(&mut self, name: &str) {
        self.names.release(name);
    }

    /// Gives the name to another owner, or without one removes it. What its members answer from now
    /// on reserves it for that owner.
    pub(crate) fn hand_over_name(&mut self, name: &str, heir: Option<OwnerId>) {
        for id in self.names.get(name).map(|name| name.members().clone()).unwrap_or_default() {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.served = false;
            }
        }
        self.names.hand_over(name, heir);
        self.changed.insert(name.to_owned());
    }
}
