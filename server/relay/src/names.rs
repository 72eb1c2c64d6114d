//! Whose a name is, who else may serve it, and who would like to.
//!
//! The names of LLMs and of pools are one table. A name belongs to the first user who serves it, while
//! any row uses it and, once a request was answered under it, for the reservation time after that.
//! All rows that use a name, as their own or as their pool's, are its members.

mod admin;

use crate::rows::Llm;
use crate::{Action, Actions, LlmId, Millis, Owner, OwnerId, Relay, SavedName, SessionId};
use std::collections::{BTreeMap, BTreeSet};
use wire::publisher::NameRequest;

/// Why a row of another user is withdrawn.
const UNSHARED: &str = "its owner does not share the name any more";
/// Numbers that are tried behind a suggested name.
const SUGGESTIONS: u32 = 99;

/// One name, and what uses it.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    pub(crate) owner: OwnerId,
    /// With whom the owner's register shared it last.
    pub(crate) by_owner: Vec<String>,
    /// With whom an admin shares it.
    pub(crate) by_admin: Vec<String>,
    /// A request was answered under it.
    pub(crate) served: bool,
    /// Rows that use it.
    pub(crate) rows: BTreeSet<LlmId>,
    /// Without rows: it is its owner's until then.
    pub(crate) reserved_until: Option<Millis>,
}

impl Name {
    pub(crate) fn of(owner: OwnerId) -> Self {
        Self {
            owner,
            by_owner: Vec::new(),
            by_admin: Vec::new(),
            served: false,
            rows: BTreeSet::new(),
            reserved_until: None,
        }
    }

    /// True if this user may serve it.
    fn admits(&self, user: &Owner) -> bool {
        self.owner == user.id
            || self.by_owner.iter().chain(&self.by_admin).any(|entry| covers(entry, user))
    }
}

/// True if an entry of `shareName` means this user.
fn covers(entry: &str, user: &Owner) -> bool {
    match entry.split_once(':') {
        Some(("group", group)) => user.groups.iter().any(|g| g.eq_ignore_ascii_case(group)),
        Some(_) | None => entry == "*" || entry.eq_ignore_ascii_case(&user.id.0),
    }
}

/// What a request asks for: a name, and with `NAME@user` the one user who serves it.
#[must_use]
pub fn parse_wanted(wanted: &str) -> (&str, Option<&str>) {
    match wanted.split_once('@') {
        Some((name, user)) => (name, Some(user)),
        None => (wanted, None),
    }
}

impl Llm {
    /// The names that it uses: its own, and its pool's.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        let pool = self.pool.as_ref().filter(|pool| **pool != self.name);
        std::iter::once(&self.name).chain(pool)
    }
}

impl Relay {
    /// True if the user may serve the name: it is free, theirs, or shared with them.
    pub(crate) fn may_serve(&self, user: &Owner, name: &str, now: Millis) -> bool {
        self.names.get(name).is_none_or(|entry| {
            let lapsed = entry.rows.is_empty() && entry.reserved_until.is_none_or(|at| at <= now);
            lapsed || entry.admits(user)
        })
    }

    /// Notes that a row uses a name; the first user to do so owns it.
    pub(crate) fn use_name(&mut self, name: &str, id: &LlmId, user: &Owner, out: &mut Actions) {
        let unused = self.names.get(name).is_none_or(|entry| entry.rows.is_empty());
        if unused && self.names.get(name).is_none_or(|entry| !entry.admits(user)) {
            self.names.insert(name.to_owned(), Name::of(user.id.clone()));
        }
        if let Some(entry) = self.names.get_mut(name) {
            entry.reserved_until = None;
            entry.rows.insert(*id);
        }
        if unused {
            out.push(Action::SaveName(name.to_owned()));
        }
    }

    /// Notes that a row does not use a name any more. A name that was never served is free at once.
    pub(crate) fn leave_name(&mut self, name: &str, id: &LlmId, now: Millis, out: &mut Actions) {
        let Some(entry) = self.names.get_mut(name) else {
            return;
        };
        entry.rows.remove(id);
        if !entry.rows.is_empty() {
            return;
        }
        if entry.served || !entry.by_admin.is_empty() {
            entry.reserved_until = Some(now + self.limits.reservation);
            let owner = entry.owner.clone();
            self.bound_reservations(&owner, out);
        } else {
            self.names.remove(name);
            self.invite(name);
        }
        out.push(Action::SaveName(name.to_owned()));
    }

    /// Ends the reservations of an owner that lapse first, until they are no more than allowed.
    fn bound_reservations(&mut self, owner: &OwnerId, out: &mut Actions) {
        let of_owner = self.names.iter().filter(|(_, entry)| entry.owner == *owner);
        let mut reserved: Vec<(Millis, String)> = of_owner
            .filter_map(|(name, entry)| Some((entry.reserved_until?, name.clone())))
            .collect();
        reserved.sort_unstable();
        let excess = reserved.len().saturating_sub(self.limits.reservations_per_owner);
        for (_, name) in reserved.drain(..excess) {
            self.names.remove(&name);
            self.invite(&name);
            out.push(Action::SaveName(name));
        }
    }

    /// Forgets names whose reservation is over.
    pub(crate) fn end_reservations(&mut self, now: Millis, out: &mut Actions) {
        let over =
            |entry: &Name| entry.rows.is_empty() && entry.reserved_until.is_none_or(|at| at <= now);
        let lapsed = self.names.iter().filter(|(_, entry)| over(entry));
        for name in lapsed.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.names.remove(&name);
            self.invite(&name);
            out.push(Action::SaveName(name));
        }
    }

    /// A row has answered a request: from now on its names stay reserved when it leaves.
    pub(crate) fn mark_served(&mut self, id: &LlmId, out: &mut Actions) {
        let names = self.llms.get(id).into_iter().flat_map(Llm::names);
        for name in names {
            if let Some(entry) = self.names.get_mut(name)
                && !std::mem::replace(&mut entry.served, true)
            {
                out.push(Action::SaveName(name.clone()));
            }
        }
    }

    /// Takes over what an owner's rows of a session say about sharing, and withdraws the rows of users
    /// with whom a name is not shared any more.
    pub(crate) fn apply_shares(&mut self, key: &SessionId, now: Millis, out: &mut Actions) {
        let Some(session) = self.sessions.get(key) else {
            return;
        };
        let owner = session.owner.id.clone();
        let rows = session.llms.iter().filter_map(|id| self.llms.get(id));
        let used: BTreeSet<String> = rows.flat_map(Llm::names).cloned().collect();
        for name in used {
            let shares = self.declared_shares(&name, &owner);
            let Some(entry) = self.names.get_mut(&name).filter(|entry| entry.owner == owner) else {
                continue;
            };
            if entry.by_owner != shares {
                entry.by_owner = shares;
                out.push(Action::SaveName(name.clone()));
                self.shares_changed(&name, now, out);
            }
        }
    }

    /// What all rows of a name's owner say about sharing it.
    fn declared_shares(&self, name: &str, owner: &OwnerId) -> Vec<String> {
        let rows = self.names.get(name).into_iter().flat_map(|entry| &entry.rows);
        let own = rows.filter_map(|id| self.llms.get(id)).filter(|llm| llm.owner.id == *owner);
        let shares: BTreeSet<&String> = own.flat_map(|llm| &llm.provider.share_name).collect();
        shares.into_iter().cloned().collect()
    }

    /// Withdraws the rows of users who may not serve the name any more, and asks those who may now to
    /// register again.
    fn shares_changed(&mut self, name: &str, now: Millis, out: &mut Actions) {
        let Some(entry) = self.names.get(name) else {
            return;
        };
        let unshared: Vec<(LlmId, SessionId)> = entry
            .rows
            .iter()
            .filter_map(|id| Some((id, self.llms.get(id)?)))
            .filter(|(_, llm)| !entry.admits(&llm.owner))
            .map(|(id, llm)| (*id, llm.session))
            .collect();
        for (id, session) in unshared {
            self.delete_row(&id, UNSHARED, now, out);
            self.register_again(&session);
        }
        self.invite(name);
    }

    /// Asks publishers that were refused a name to register again if they would get it now.
    fn invite(&mut self, name: &str) {
        let waiting = self.name_requests.get(name).cloned().unwrap_or_default();
        for session in waiting {
            let admitted = self
                .sessions
                .get(&session)
                .is_some_and(|s| self.names.get(name).is_none_or(|entry| entry.admits(&s.owner)));
            if admitted {
                self.register_again(&session);
            }
        }
    }

    fn register_again(&mut self, session: &SessionId) {
        if let Some(session) = self.sessions.get_mut(session) {
            session.register_again = true;
        }
    }

    /// Notes which names a session was refused because they are another user's, instead of what was
    /// noted before.
    pub(crate) fn set_name_requests(&mut self, key: &SessionId, refused: BTreeSet<String>) {
        for waiting in self.name_requests.values_mut() {
            waiting.remove(key);
        }
        self.name_requests.retain(|_, waiting| !waiting.is_empty());
        for name in refused {
            let waiting = self.name_requests.entry(name).or_default();
            if waiting.len() < wire::limits::NAME_REQUESTS {
                waiting.insert(*key);
            }
        }
    }

    /// Open requests of other users for names of this owner, by name.
    pub(crate) fn name_requests_for(&self, owner: &OwnerId) -> Vec<NameRequest> {
        let theirs = |name: &str| self.names.get(name).is_some_and(|entry| entry.owner == *owner);
        let asked = self.name_requests.iter().filter(|(name, _)| theirs(name));
        let requests: BTreeSet<(&String, &str)> = asked
            .flat_map(|(name, waiting)| waiting.iter().map(move |session| (name, session)))
            .filter_map(|(name, session)| Some((name, &*self.sessions.get(session)?.owner.id.0)))
            .collect();
        let requests = requests.into_iter().take(wire::limits::NAME_REQUESTS);
        requests.map(|(name, user)| NameRequest { name: name.clone(), user: user.into() }).collect()
    }

    /// A free name near a taken one, with the user's name or, where it is the user's own on another
    /// machine, the machine's.
    pub(crate) fn suggest(
        &self,
        name: &str,
        user: &Owner,
        machine: &str,
        now: Millis,
    ) -> Option<String> {
        let own = self.names.get(name).is_some_and(|entry| entry.owner == user.id);
        let tag = wire::names::tag(if own { machine } else { &user.id.0 });
        let free = |candidate: &String| {
            let unused = self.names.get(candidate).is_none_or(|entry| entry.rows.is_empty());
            unused && self.may_serve(user, candidate, now)
        };
        let numbered = (2..=SUGGESTIONS).map(|number| format!("{tag}-{number}"));
        std::iter::once(tag.clone())
            .chain(numbered)
            .map(|tail| {
                let room = wire::names::MAX - (tail.len() + 1).min(wire::names::MAX - 1);
                format!("{}-{tail}", name.get(..room).unwrap_or(name))
            })
            .find(free)
    }

    /// The user to whom a name belongs.
    #[must_use]
    pub fn name_owner(&self, name: &str) -> Option<&OwnerId> {
        self.names.get(name).map(|entry| &entry.owner)
    }

    /// The name as it is stored. `None`: it is free.
    #[must_use]
    pub fn saved_name(&self, name: &str) -> Option<SavedName> {
        let entry = self.names.get(name)?;
        Some(SavedName {
            name: name.to_owned(),
            owner: entry.owner.clone(),
            shared_by_owner: entry.by_owner.clone(),
            shared_by_admin: entry.by_admin.clone(),
            served: entry.served,
            reserved_until: entry.reserved_until,
        })
    }

    /// The names of an earlier run, before its rows.
    pub(crate) fn restore_names(&mut self, saved: Vec<SavedName>) {
        let entry = |saved: SavedName| Name {
            owner: saved.owner,
            by_owner: saved.shared_by_owner,
            by_admin: saved.shared_by_admin,
            served: saved.served,
            rows: BTreeSet::new(),
            reserved_until: saved.reserved_until,
        };
        self.names = saved.into_iter().map(|saved| (saved.name.clone(), entry(saved))).collect();
    }

    /// Notes the names of a row of an earlier run.
    pub(crate) fn restore_row_names(&mut self, id: &LlmId, llm: &Llm) {
        for name in llm.names() {
            let entry = self.names.entry(name.clone());
            let entry = entry.or_insert_with(|| Name::of(llm.owner.id.clone()));
            entry.rows.insert(*id);
            entry.reserved_until = None;
        }
    }
}

/// Sessions that were refused a name which is another user's, by that name.
pub(crate) type NameRequests = BTreeMap<String, BTreeSet<SessionId>>;

/// Checks the entries of `shareName`.
pub(crate) fn check_shares(entries: &[String]) -> Result<(), String> {
    if entries.len() > wire::limits::SHARES {
        return Err(format!("a name is shared with at most {} entries", wire::limits::SHARES));
    }
    for entry in entries {
        wire::names::check_text("an entry of shareName", entry)?;
        let text = entry.strip_prefix("group:").unwrap_or(entry);
        if text.trim().is_empty() {
            return Err("an entry of shareName is a user, group:<group> or *".into());
        }
    }
    Ok(())
}
