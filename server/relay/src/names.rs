//! Names that users share, and requests of other users for them.

mod admin;

use crate::{Action, Actions, LlmId, Millis, Owner, OwnerId, Relay, SavedName, SessionId};
use std::collections::BTreeSet;
use wire::publisher::NameRequest;

/// The reason for which an entry of another user is withdrawn.
const UNSHARED: &str = "its owner does not share the name any more";
/// The most numbers that are tried behind a suggested name.
const SUGGESTIONS: u32 = 99;

impl Relay {
    /// The user to whom a name belongs.
    #[must_use]
    pub fn name_owner(&self, name: &str) -> Option<&OwnerId> {
        self.catalogue.name(name).map(|name| name.owner())
    }

    /// The name as it is stored; `None` if it is free.
    #[must_use]
    pub fn saved_name(&self, name: &str) -> Option<SavedName> {
        self.catalogue.name(name).map(|found| found.saved(name))
    }

    /// Computes the shares of the names whose entries have changed, and applies them. At the end of
    /// an event, because a name that is free in between may be its owner's again.
    pub(crate) fn settle_shares(&mut self, now: Millis, out: &mut Actions) {
        while let Some(name) = self.catalogue.take_changed() {
            if self.catalogue.update_shares(&name) {
                out.push(Action::SaveName(name.clone()));
                self.shares_changed(&name, now, out);
            } else if self.catalogue.name(&name).is_none() {
                self.invite(&name);
            }
        }
    }

    /// Withdraws the entries of users who may not serve the name any more, and requests a register
    /// of those who may now.
    fn shares_changed(&mut self, name: &str, now: Millis, out: &mut Actions) {
        let Some(shared) = self.catalogue.name(name) else { return };
        let members = self.catalogue.members(name);
        let unshared: Vec<(LlmId, SessionId)> = members
            .filter(|(_, entry)| !shared.admits(entry.owner()))
            .map(|(id, entry)| (id, entry.session()))
            .collect();
        for (id, session) in unshared {
            self.delete_entry(id, UNSHARED, now, out);
            self.request_register(session);
        }
        self.invite(name);
    }

    /// Requests a register of the sessions that were refused the name and would get it now.
    fn invite(&mut self, name: &str) {
        for id in self.sessions.refused(name) {
            let owner = self.sessions.get(id).map(|session| &session.owner);
            let admits = |owner| self.catalogue.name(name).is_none_or(|name| name.admits(owner));
            if owner.is_some_and(admits) {
                self.request_register(id);
            }
        }
    }

    fn request_register(&mut self, session: SessionId) {
        if let Some(session) = self.sessions.get_mut(session) {
            session.register_again = true;
        }
    }

    /// Open requests of other users for names of this owner, by name.
    pub(crate) fn name_requests_for(&self, owner: &OwnerId) -> Vec<NameRequest> {
        let is_theirs = |name: &str| self.name_owner(name) == Some(owner);
        let requests: BTreeSet<(&String, &OwnerId)> = self
            .sessions
            .refused_names()
            .filter(|(name, user)| is_theirs(name) && *user != owner)
            .collect();
        let requests = requests.into_iter().take(wire::limits::NAME_REQUESTS);
        requests
            .map(|(name, user)| NameRequest { name: name.clone(), user: user.to_string() })
            .collect()
    }

    /// A free name near a taken one, with the user's name or, where it is the user's own on another
    /// machine, the machine's.
    pub(crate) fn suggest_name(
        &self,
        name: &str,
        user: &Owner,
        machine: &str,
        now: Millis,
    ) -> Option<String> {
        let own = self.name_owner(name) == Some(&user.id);
        let tag = wire::names::tag(if own { machine } else { &user.id.0 });
        let is_free = |candidate: &String| {
            let entry = self.catalogue.name(candidate);
            entry.is_none_or(|entry| entry.members().is_empty())
                && self.catalogue.may_serve(user, candidate, now)
        };
        let numbered = (2..=SUGGESTIONS).map(|number| format!("{tag}-{number}"));
        std::iter::once(tag.clone())
            .chain(numbered)
            .map(|tail| {
                let room = wire::names::MAX - (tail.len() + 1).min(wire::names::MAX - 1);
                format!("{}-{tail}", name.get(..room).unwrap_or(name))
            })
            .find(is_free)
    }
}

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
