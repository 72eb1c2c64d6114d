//! Whose a name is, as the protocol has it.

use super::{Model, RowKey, Verdict, check};
use crate::relay_machine::publishers::pool_of;
use relay::{Millis, OwnerId, SavedName};
use std::collections::{BTreeMap, BTreeSet};
use wire::names::NameInfo;
use wire::publisher::Register;

/// One name.
#[derive(Debug, Clone)]
pub(super) struct Name {
    owner: OwnerId,
    by_owner: BTreeSet<String>,
    by_admin: BTreeSet<String>,
    served: bool,
    /// Nothing uses it; as the store has it.
    until: Option<Millis>,
}

impl Name {
    fn admits(&self, user: &OwnerId) -> bool {
        let shared = |with: &BTreeSet<String>| with.contains("*") || with.contains(&*user.0);
        self.owner == *user || shared(&self.by_owner) || shared(&self.by_admin)
    }
}

/// The names that a row uses.
fn names_of(name: &str) -> impl Iterator<Item = &str> {
    std::iter::once(name).chain(pool_of(name))
}

fn uses(row: &RowKey, name: &str) -> bool {
    names_of(&row.0).any(|used| used == name)
}

/// Names and the rows that use them, while a register changes both.
struct Books {
    names: BTreeMap<String, Name>,
    rows: BTreeSet<RowKey>,
}

impl Books {
    fn is_used(&self, name: &str) -> bool {
        self.rows.iter().any(|row| uses(row, name))
    }

    fn leave(&mut self, row: &RowKey, now: Millis, reservation: Millis) {
        self.rows.remove(row);
        for name in names_of(&row.0) {
            if self.is_used(name) {
                continue;
            }
            match self.names.get_mut(name) {
                Some(entry) if entry.served || !entry.by_admin.is_empty() => {
                    entry.until = Some(now + reservation);
                }
                _ => drop(self.names.remove(name)),
            }
        }
    }

    fn may_serve(&self, user: &OwnerId, name: &str, now: Millis) -> bool {
        self.names.get(name).is_none_or(|entry| {
            let lapsed = !self.is_used(name) && entry.until.is_none_or(|at| at <= now);
            lapsed || entry.admits(user)
        })
    }

    fn enter(&mut self, row: &RowKey) {
        for name in names_of(&row.0) {
            let used = self.is_used(name);
            let keeps = self.names.get(name).is_some_and(|entry| used || entry.admits(&row.1));
            if !keeps {
                let owner = row.1.clone();
                let (by_owner, by_admin) = (BTreeSet::new(), BTreeSet::new());
                let name = name.to_owned();
                let entry = Name { owner, by_owner, by_admin, served: false, until: None };
                self.names.insert(name, entry);
            }
            if let Some(entry) = self.names.get_mut(name) {
                entry.until = None;
            }
        }
        self.rows.insert(row.clone());
    }
}

/// What a register must come to.
pub(super) struct Expected {
    pub(super) taken: BTreeSet<String>,
    /// In their order.
    pub(super) refused: Vec<String>,
}

impl Model {
    /// Plays a register through on the model's books: what is taken, and whose the names are then.
    pub(super) fn play_register(
        &mut self,
        user: &OwnerId,
        session: &str,
        request: &Register,
        now: Millis,
    ) -> Expected {
        let reservation = self.limits.reservation;
        let rows = self.rows.keys().cloned().collect();
        let mut books = Books { names: std::mem::take(&mut self.names), rows };
        let theirs: Vec<RowKey> = self.rows_of(session);
        for row in theirs.iter().filter(|row| request.providers.iter().all(|p| p.name != row.0)) {
            books.leave(row, now, reservation);
        }
        let mut expected = Expected { taken: BTreeSet::new(), refused: Vec::new() };
        for provider in &request.providers {
            let row = (provider.name.clone(), user.clone());
            let free = names_of(&row.0).all(|name| books.may_serve(user, name, now));
            let here = self.rows.get(&row).map(|known| known.session.as_str());
            let elsewhere = here.filter(|known| *known != session);
            let busy =
                elsewhere.and_then(|id| self.sessions.get(id)).is_some_and(|s| s.channel.is_some());
            let owned = books.rows.iter().filter(|(_, owner)| owner == user).count();
            let room = books.rows.contains(&row) || owned < self.limits.llms_per_owner;
            if free && !busy && room {
                books.enter(&row);
                expected.taken.insert(row.0);
            } else {
                expected.refused.push(row.0);
            }
        }
        for row in theirs.iter().filter(|row| !expected.taken.contains(&row.0)) {
            if books.rows.contains(row) {
                books.leave(row, now, reservation);
            }
        }
        self.names = books.names;
        self.rows.retain(|row, _| books.rows.contains(row));
        expected
    }

    fn rows_of(&self, session: &str) -> Vec<RowKey> {
        let rows = self.rows.iter().filter(|(_, row)| row.session == session);
        rows.map(|(key, _)| key.clone()).collect()
    }

    /// What a user's rows say about sharing counts when a session of theirs has registered.
    pub(super) fn apply_shares(&mut self, user: &OwnerId, session: &str, now: Millis) {
        let used: BTreeSet<String> =
            self.rows_of(session).iter().flat_map(|row| names_of(&row.0)).map(Into::into).collect();
        for name in used {
            let own = self.rows.iter().filter(|(row, _)| row.1 == *user && uses(row, &name));
            let shares = own.flat_map(|(_, row)| row.shares.clone()).collect();
            if let Some(entry) = self.names.get_mut(&name).filter(|entry| entry.owner == *user) {
                entry.by_owner = shares;
                self.drop_unshared(&name, now);
            }
        }
    }

    /// Rows of those who may not serve the name any more leave at once.
    fn drop_unshared(&mut self, name: &str, now: Millis) {
        let Some(entry) = self.names.get(name).cloned() else { return };
        let stays = |row: &RowKey| !uses(row, name) || entry.admits(&row.1);
        let gone: Vec<RowKey> = self.rows.keys().filter(|row| !stays(row)).cloned().collect();
        for row in gone {
            self.row_leaves(&row, now);
        }
    }

    /// A row is gone; the store tells until when exactly its names are reserved.
    pub(super) fn row_leaves(&mut self, row: &RowKey, now: Millis) {
        let rows = self.rows.keys().cloned().collect();
        let mut books = Books { names: std::mem::take(&mut self.names), rows };
        books.leave(row, now, self.limits.reservation);
        self.names = books.names;
        self.rows.remove(row);
    }

    pub(in crate::relay_machine) fn shared(
        &mut self,
        name: &str,
        with: &[String],
        done: bool,
        now: Millis,
    ) -> Verdict {
        check(done == self.names.contains_key(name), || format!("{name} is shared oddly"))?;
        if let Some(entry) = self.names.get_mut(name) {
            entry.by_admin = with.iter().cloned().collect();
            self.drop_unshared(name, now);
        }
        Ok(())
    }

    /// The owner's rows leave; a member that is left has the name then. Which one is the relay's choice.
    pub(in crate::relay_machine) fn freed(
        &mut self,
        name: &str,
        done: bool,
        now: Millis,
    ) -> Verdict {
        check(done == self.names.contains_key(name), || format!("{name} is freed oddly"))?;
        let Some(entry) = self.names.get_mut(name) else { return Ok(()) };
        let owner = entry.owner.clone();
        entry.served = false;
        entry.by_owner.clear();
        entry.by_admin.clear();
        let rows = self.rows.keys().filter(|row| uses(row, name));
        let (theirs, others): (Vec<RowKey>, Vec<RowKey>) =
            rows.cloned().partition(|row| row.1 == owner);
        for row in theirs {
            self.row_leaves(&row, now);
        }
        match (others.first(), self.names.get_mut(name)) {
            // There are two users here, so the others are one.
            (Some(heir), Some(entry)) => entry.owner = heir.1.clone(),
            _ => drop(self.names.remove(name)),
        }
        Ok(())
    }

    /// A request was answered on this row.
    pub(super) fn row_served(&mut self, row: &str) {
        let served = self.rows.iter().find(|(_, known)| known.id == row);
        let names: Vec<String> =
            served.into_iter().flat_map(|(key, _)| names_of(&key.0)).map(Into::into).collect();
        for name in names {
            if let Some(entry) = self.names.get_mut(&name) {
                entry.served = true;
            }
        }
    }

    /// A name was written down: it is reserved for as long as it should be, or it is free.
    pub(in crate::relay_machine) fn name_is_saved(
        &mut self,
        name: &str,
        saved: Option<SavedName>,
        all: &[NameInfo],
        now: Millis,
    ) -> Verdict {
        let Some(saved) = saved else {
            return self.name_is_free(name, all, now);
        };
        let used = self.rows.keys().any(|row| uses(row, name));
        check(saved.reserved_until.is_none_or(|at| at <= now + self.limits.reservation), || {
            format!("{name} is reserved for too long")
        })?;
        match self.names.get_mut(name) {
            Some(entry) => entry.until = saved.reserved_until,
            None => return check(!used, || format!("{name} is used by nobody")),
        }
        Ok(())
    }

    fn name_is_free(&mut self, name: &str, all: &[NameInfo], now: Millis) -> Verdict {
        let Some(entry) = self.names.get(name) else { return Ok(()) };
        let theirs = all.iter().filter(|other| *other.owner == *entry.owner.0);
        // Some of those that were reserved meanwhile may be in use again.
        let crowded = theirs.count() >= self.limits.reservations_per_owner;
        let kept = entry.served || !entry.by_admin.is_empty();
        let over = entry.until.is_some_and(|at| at <= now);
        check(!kept || over || crowded, || format!("{name} was free too early"))?;
        self.names.remove(name);
        Ok(())
    }

    pub(in crate::relay_machine) fn names(&self, names: &[NameInfo]) -> Verdict {
        for info in names {
            let known = self.names.get(&info.name);
            let known = known.ok_or(format!("{} belongs to nobody", info.name))?;
            check(*known.owner.0 == *info.owner, || {
                format!("{} is {}'s, not {}'s", info.name, known.owner, info.owner)
            })?;
        }
        let listed = names.iter().map(|info| info.name.as_str()).collect::<BTreeSet<_>>();
        let lost = self.names.keys().find(|name| !listed.contains(name.as_str()));
        check(lost.is_none(), || format!("{lost:?} is nobody's any more"))
    }
}
