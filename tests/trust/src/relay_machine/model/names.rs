//! §8 names.

use super::{Check, Model, ensure};
use relay::{LlmId, Millis, OwnerId, SavedName, TaskId};
use std::collections::{BTreeMap, BTreeSet};
use wire::names::NameInfo;

/// Most requests that an owner is shown (§8.7).
const SHOWN_REQUESTS: usize = 20;

/// A name of entries or pools.
pub(super) struct Name {
    pub(super) owner: OwnerId,
    shared_by_admin: BTreeSet<String>,
    /// The owner's shares when its last entry left.
    last_shares: BTreeSet<String>,
    /// §8.9: a request was delivered under it.
    served: bool,
    reserved_until: Option<Millis>,
}

impl Model {
    /// §8.3, §8.4.
    pub(super) fn may_serve(&self, user: &OwnerId, groups: &[String], name: &str) -> bool {
        self.has_lapsed(name) || self.admits(user, groups, name)
    }

    /// §8.9: its reservation has ended, and no sweep has removed it yet.
    fn has_lapsed(&self, name: &str) -> bool {
        let until = self.names.get(name).and_then(|name| name.reserved_until);
        until.is_some_and(|until| until <= self.now)
    }

    fn admits(&self, user: &OwnerId, groups: &[String], name: &str) -> bool {
        let Some(entry) = self.names.get(name) else { return true };
        let covers = |share: &String| {
            share == "*"
                || share.eq_ignore_ascii_case(&user.0)
                || groups.iter().any(|group| share.eq_ignore_ascii_case(&format!("group:{group}")))
        };
        entry.owner == *user
            || entry.shared_by_admin.iter().any(covers)
            || self.shared_by_owner(name).iter().any(covers)
    }

    /// §8.4: the union over all entries of the owner that use the name; the last ones stay while the
    /// owner has none.
    fn shared_by_owner(&self, name: &str) -> BTreeSet<String> {
        let Some(known) = self.names.get(name) else { return BTreeSet::new() };
        let of_owner = |entry: &&super::Entry| entry.uses(name) && entry.owner == known.owner;
        let mut entries = self.entries.values().filter(of_owner).peekable();
        if entries.peek().is_none() {
            return known.last_shares.clone();
        }
        entries.flat_map(|entry| entry.share_name.iter().cloned()).collect()
    }

    fn users(&self, name: &str) -> BTreeSet<String> {
        let users = self.entries.values().filter(|entry| entry.uses(name));
        users.map(|entry| entry.owner.0.to_string()).collect()
    }

    /// An entry begins to use a name (§8.2, §8.10).
    pub(super) fn use_name(&mut self, name: &str, user: &OwnerId) {
        let new = || Name {
            owner: user.clone(),
            shared_by_admin: BTreeSet::new(),
            last_shares: BTreeSet::new(),
            served: false,
            reserved_until: None,
        };
        if self.has_lapsed(name) {
            self.names.remove(name);
        }
        self.names.entry(name.to_owned()).or_insert_with(new).reserved_until = None;
    }

    /// Notes the shares that stay if the owner's last entry leaves in this step (§8.4).
    pub(super) fn note_shares(&mut self) {
        let names: Vec<String> = self.names.keys().cloned().collect();
        for name in names {
            let shares = self.shared_by_owner(&name);
            if let Some(known) = self.names.get_mut(&name) {
                known.last_shares = shares;
            }
        }
    }

    /// An entry has left a name (§8.9).
    pub(super) fn leave_name(&mut self, name: &str) {
        if !self.users(name).is_empty() {
            return;
        }
        let until = self.now + self.limits.reservation;
        let Some(entry) = self.names.get_mut(name) else { return };
        if entry.served || !entry.shared_by_admin.is_empty() {
            entry.reserved_until = Some(until);
            let owner = entry.owner.clone();
            self.limit_reservations(&owner);
        } else {
            self.names.remove(name);
        }
    }

    /// §8.10: beyond the limit, the reservations that end first end now.
    fn limit_reservations(&mut self, owner: &OwnerId) {
        let of = |(name, entry): (&String, &Name)| {
            let until = entry.reserved_until.filter(|_| entry.owner == *owner)?;
            Some((until, name.clone()))
        };
        let mut reserved: Vec<_> = self.names.iter().filter_map(of).collect();
        reserved.sort();
        let surplus = reserved.len().saturating_sub(self.limits.reservations_per_owner);
        for (_, name) in &reserved[..surplus] {
            self.names.remove(name);
        }
    }

    pub(super) fn free_expired_reservations(&mut self) {
        let now = self.now;
        self.names.retain(|_, name| name.reserved_until.is_none_or(|until| until > now));
        self.apply_shares();
    }

    /// §8.5: withdraws entries of users who may no longer serve their names, until none is left; and
    /// notes `registerAgain` for their sessions and for those that may serve a refused name now.
    pub(super) fn apply_shares(&mut self) {
        while let Some(entry) = self.unshared_entry() {
            self.withdraw_and_register_again(entry);
        }
        let ids: Vec<_> = self.sessions.keys().copied().collect();
        for id in ids {
            let session = &self.sessions[&id];
            let may = |name: &String| self.admits(&session.owner, &session.groups, name);
            if session.requests.iter().any(may)
                && let Some(session) = self.sessions.get_mut(&id)
            {
                session.register_again = true;
            }
        }
    }

    fn unshared_entry(&self) -> Option<LlmId> {
        let lost = |(id, entry): (&LlmId, &super::Entry)| {
            let groups = &self.sessions.get(&entry.session)?.groups;
            let may = |name: &String| self.may_serve(&entry.owner, groups, name);
            (!entry.names().iter().all(may)).then_some(*id)
        };
        self.entries.iter().find_map(lost)
    }

    fn withdraw_and_register_again(&mut self, entry: LlmId) {
        let session = self.entries[&entry].session;
        if let Some(session) = self.sessions.get_mut(&session) {
            session.register_again = true;
        }
        self.withdraw(entry);
    }

    /// §8.7: other users' requests for names of this owner.
    pub(super) fn name_requests_for(&self, owner: &OwnerId) -> Vec<(String, String)> {
        let mut requests = BTreeSet::new();
        for session in self.sessions.values().filter(|session| session.owner != *owner) {
            let of =
                |name: &&String| self.names.get(*name).is_some_and(|name| name.owner == *owner);
            for name in session.requests.iter().filter(of) {
                requests.insert((name.clone(), session.owner.0.to_string()));
            }
        }
        requests.into_iter().take(SHOWN_REQUESTS).collect()
    }

    /// A request was delivered at an entry, under both of its names (§8.9).
    pub(super) fn mark_served(&mut self, task: TaskId) {
        let entry = self.tasks.get(&task).and_then(|task| self.entries.get(&task.entry));
        for name in entry.map(super::Entry::names).unwrap_or_default() {
            if let Some(name) = self.names.get_mut(&name) {
                name.served = true;
            }
        }
    }

    /// An admin shares a name (§18.4, §8.5).
    pub(in crate::relay_machine) fn shared(
        &mut self,
        name: &str,
        with: &[String],
        ok: bool,
    ) -> Check {
        let known = self.names.get_mut(name);
        ensure(ok == known.is_some(), || format!("§18.4: share of {name} is ok: {ok}"))?;
        if let Some(entry) = known {
            entry.shared_by_admin = with.iter().cloned().collect();
            self.apply_shares();
        }
        Ok(())
    }

    /// An admin frees a name (§8.11).
    pub(in crate::relay_machine) fn freed(&mut self, name: &str, ok: bool) -> Check {
        let known = self.names.contains_key(name);
        ensure(ok == known, || format!("§18.4: freeing {name} is ok: {ok}"))?;
        let Some(owner) = self.names.get(name).map(|name| name.owner.clone()) else {
            return Ok(());
        };
        if let Some(entry) = self.names.get_mut(name) {
            entry.shared_by_admin.clear();
            entry.last_shares.clear();
            // Not reserved for its owner when the last entry leaves.
            entry.served = false;
        }
        let using = |model: &Self| -> Vec<LlmId> {
            let uses = |(id, entry): (&LlmId, &super::Entry)| entry.uses(name).then_some(*id);
            model.entries.iter().filter_map(uses).collect()
        };
        for entry in using(self) {
            if self.entries[&entry].owner == owner {
                self.withdraw_and_register_again(entry);
            }
        }
        let oldest = using(self)
            .into_iter()
            .min_by_key(|id| (!self.is_live(*id), self.entries[id].created, *id));
        match oldest.map(|id| self.entries[&id].owner.clone()) {
            Some(user) => {
                if let Some(entry) = self.names.get_mut(name) {
                    entry.owner = user;
                }
            }
            None => drop(self.names.remove(name)),
        }
        self.apply_shares();
        Ok(())
    }

    /// Compares the list of names (§18.4).
    pub(in crate::relay_machine) fn check_names(&self, names: &[NameInfo]) -> Check {
        let found: Vec<_> = names.iter().map(|info| info.name.clone()).collect();
        let expected: Vec<_> = self.names.keys().cloned().collect();
        ensure(found == expected, || format!("§8: names are {found:?}, not {expected:?}"))?;
        for info in names {
            let entry = &self.names[&info.name];
            let requested = self.sessions.values().filter(|session| {
                session.requests.contains(&info.name) && session.owner != entry.owner
            });
            let requested: BTreeSet<String> =
                requested.map(|session| session.owner.0.to_string()).collect();
            let found = (
                (&*info.owner, info.reserved_until),
                (set(&info.shared_by_owner), set(&info.shared_by_admin)),
                (set(&info.served_by), set(&info.requested_by)),
            );
            let expected = (
                (&*entry.owner.0, entry.reserved_until),
                (self.shared_by_owner(&info.name), entry.shared_by_admin.clone()),
                (self.users(&info.name), requested),
            );
            ensure(found == expected, || {
                format!("§8: name {} is {found:?}, not {expected:?}", info.name)
            })?;
        }
        Ok(())
    }
    /// Compares the stored names (§16.3.1).
    pub(in crate::relay_machine) fn check_stored_names(
        &self,
        stored: &BTreeMap<String, SavedName>,
    ) -> Check {
        ensure(stored.keys().eq(self.names.keys()), || {
            format!("§16.3: stored names are {:?}", stored.keys())
        })?;
        for (name, entry) in &self.names {
            let saved = &stored[name];
            let found = (&saved.owner, saved.served, saved.reserved_until);
            let expected = (&entry.owner, entry.served, entry.reserved_until);
            ensure(found == expected, || {
                format!("§16.3: {name} is stored as {found:?}, not {expected:?}")
            })?;
            let found = (set(&saved.shared_by_owner), set(&saved.shared_by_admin));
            let expected = (self.shared_by_owner(name), entry.shared_by_admin.clone());
            ensure(found == expected, || {
                format!("§16.3: the shares of {name} are stored as {found:?}, not {expected:?}")
            })?;
        }
        Ok(())
    }
}

fn set(list: &[String]) -> BTreeSet<String> {
    list.iter().cloned().collect()
}
