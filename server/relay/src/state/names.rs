//! The names of LLMs and pools: one table, one owner each.
//!
//! A name belongs to the first user who serves it, while any entry uses it and, once a request was
//! answered under it, for the reservation time after that.

use crate::{Limits, LlmId, Millis, Owner, OwnerId, SavedName};
use std::collections::{BTreeMap, BTreeSet};

/// One name, and the entries that it selects.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    owner: OwnerId,
    by_owner: Vec<String>,
    by_admin: Vec<String>,
    served: bool,
    members: BTreeSet<LlmId>,
    reserved_until: Option<Millis>,
}

/// All names.
#[derive(Debug)]
pub(super) struct Names {
    by_name: BTreeMap<String, Name>,
    /// Time for which an unused name stays its owner's, in milliseconds.
    reservation: u64,
    reservations_per_owner: usize,
}

impl Name {
    fn of(owner: OwnerId) -> Self {
        Self {
            owner,
            by_owner: Vec::new(),
            by_admin: Vec::new(),
            served: false,
            members: BTreeSet::new(),
            reserved_until: None,
        }
    }

    /// The user to whom it belongs.
    pub(crate) fn owner(&self) -> &OwnerId {
        &self.owner
    }

    /// With whom the owner's last register shared it.
    pub(crate) fn shared_by_owner(&self) -> &[String] {
        &self.by_owner
    }

    /// With whom an admin shares it.
    pub(crate) fn shared_by_admin(&self) -> &[String] {
        &self.by_admin
    }

    /// The entries that use it, as their own name or as their pool's.
    pub(crate) fn members(&self) -> &BTreeSet<LlmId> {
        &self.members
    }

    /// Without members: it is its owner's until then.
    pub(crate) fn reserved_until(&self) -> Option<Millis> {
        self.reserved_until
    }

    /// True if this user may serve it.
    pub(crate) fn admits(&self, user: &Owner) -> bool {
        self.owner == user.id
            || self.by_owner.iter().chain(&self.by_admin).any(|entry| covers(entry, user))
    }

    /// As it is stored.
    pub(crate) fn saved(&self, name: &str) -> SavedName {
        SavedName {
            name: name.to_owned(),
            owner: self.owner.clone(),
            shared_by_owner: self.by_owner.clone(),
            shared_by_admin: self.by_admin.clone(),
            served: self.served,
            reserved_until: self.reserved_until,
        }
    }

    fn has_lapsed(&self, now: Millis) -> bool {
        self.members.is_empty() && self.reserved_until.is_none_or(|at| at <= now)
    }
}

/// True if an entry of `shareName` means this user.
fn covers(entry: &str, user: &Owner) -> bool {
    match entry.split_once(':') {
        Some(("group", group)) => user.groups.iter().any(|g| g.eq_ignore_ascii_case(group)),
        Some(_) | None => entry == "*" || entry.eq_ignore_ascii_case(&user.id.0),
    }
}

impl Names {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            by_name: BTreeMap::new(),
            reservation: limits.reservation,
            reservations_per_owner: limits.reservations_per_owner,
        }
    }

    pub(super) fn restore(&mut self, saved: Vec<SavedName>) {
        let name = |saved: SavedName| Name {
            owner: saved.owner,
            by_owner: saved.shared_by_owner,
            by_admin: saved.shared_by_admin,
            served: saved.served,
            members: BTreeSet::new(),
            reserved_until: saved.reserved_until,
        };
        self.by_name = saved.into_iter().map(|saved| (saved.name.clone(), name(saved))).collect();
    }

    pub(super) fn get(&self, name: &str) -> Option<&Name> {
        self.by_name.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Name)> {
        self.by_name.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// True if the user may serve the name: it is free, theirs, or shared with them.
    pub(super) fn may_serve(&self, user: &Owner, name: &str, now: Millis) -> bool {
        self.get(name).is_none_or(|entry| entry.has_lapsed(now) || entry.admits(user))
    }

    /// An entry uses the name; the first user whose entry does so owns it.
    pub(super) fn join(
        &mut self,
        name: &str,
        id: LlmId,
        user: &Owner,
        now: Millis,
        changed: &mut Vec<String>,
    ) {
        let unused = self.get(name).is_none_or(|entry| entry.members.is_empty());
        let is_over =
            |entry: &Name| entry.reserved_until.is_some_and(|at| at <= now) || !entry.admits(user);
        if unused && self.get(name).is_none_or(is_over) {
            self.by_name.insert(name.to_owned(), Name::of(user.id.clone()));
        }
        if let Some(entry) = self.by_name.get_mut(name) {
            entry.reserved_until = None;
            entry.members.insert(id);
        }
        if unused {
            changed.push(name.to_owned());
        }
    }

    /// An entry of an earlier run uses the name; who owns it was stored.
    pub(super) fn rejoin(&mut self, name: &str, id: LlmId, user: &OwnerId) {
        let entry = self.by_name.entry(name.to_owned());
        let entry = entry.or_insert_with(|| Name::of(user.clone()));
        entry.members.insert(id);
        entry.reserved_until = None;
    }

    /// An entry does not use the name any more. A name that was never served is free at once.
    pub(super) fn leave(&mut self, name: &str, id: LlmId, now: Millis, changed: &mut Vec<String>) {
        let Some(entry) = self.by_name.get_mut(name) else {
            return;
        };
        entry.members.remove(&id);
        if !entry.members.is_empty() {
            return;
        }
        if entry.served || !entry.by_admin.is_empty() {
            entry.reserved_until = Some(now + self.reservation);
            let owner = entry.owner.clone();
            self.bound_reservations(&owner, changed);
        } else {
            self.by_name.remove(name);
        }
        changed.push(name.to_owned());
    }

    /// Ends the reservations of an owner that lapse first, until they are no more than allowed.
    fn bound_reservations(&mut self, owner: &OwnerId, changed: &mut Vec<String>) {
        let of_owner = self.by_name.iter().filter(|(_, entry)| entry.owner == *owner);
        let mut reserved: Vec<(Millis, String)> = of_owner
            .filter_map(|(name, entry)| Some((entry.reserved_until?, name.clone())))
            .collect();
        reserved.sort_unstable();
        let excess = reserved.len().saturating_sub(self.reservations_per_owner);
        for (_, name) in reserved.drain(..excess) {
            self.by_name.remove(&name);
            changed.push(name);
        }
    }

    /// Frees the names whose reservation is over, and returns them.
    pub(super) fn end_reservations(&mut self, now: Millis) -> Vec<String> {
        let lapsed = self.by_name.iter().filter(|(_, entry)| entry.has_lapsed(now));
        let lapsed: Vec<String> = lapsed.map(|(name, _)| name.clone()).collect();
        for name in &lapsed {
            self.by_name.remove(name);
        }
        lapsed
    }

    /// A request was answered under the name: it stays reserved when its last entry leaves.
    pub(super) fn mark_served(&mut self, name: &str, changed: &mut Vec<String>) {
        if let Some(entry) = self.by_name.get_mut(name)
            && !std::mem::replace(&mut entry.served, true)
        {
            changed.push(name.to_owned());
        }
    }

    /// Sets with whom the owner shares the name; true if that has changed.
    pub(super) fn set_shared_by_owner(
        &mut self,
        name: &str,
        owner: &OwnerId,
        with: Vec<String>,
    ) -> bool {
        let entry = self.by_name.get_mut(name).filter(|entry| entry.owner == *owner);
        let Some(entry) = entry.filter(|entry| entry.by_owner != with) else { return false };
        entry.by_owner = with;
        true
    }

    /// Sets with whom an admin shares the name; false if there is no such name.
    pub(super) fn set_shared_by_admin(&mut self, name: &str, with: Vec<String>) -> bool {
        let Some(entry) = self.by_name.get_mut(name) else { return false };
        entry.by_admin = with;
        true
    }

    /// Forgets what held the name for its owner, before its entries are removed.
    pub(super) fn release(&mut self, name: &str) {
        if let Some(entry) = self.by_name.get_mut(name) {
            entry.served = false;
            entry.by_admin.clear();
            entry.by_owner.clear();
        }
    }

    /// Gives the name to another owner, or without one removes it.
    pub(super) fn hand_over(&mut self, name: &str, heir: Option<OwnerId>) {
        match (heir, self.by_name.get_mut(name)) {
            (Some(heir), Some(entry)) => entry.owner = heir,
            _ => drop(self.by_name.remove(name)),
        }
    }
}
