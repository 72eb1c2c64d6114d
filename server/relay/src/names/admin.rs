//! An admin's word on names: the list, sharing a name, taking it from its owner.

use super::{Name, check_shares};
use crate::rows::Llm;
use crate::{Action, Actions, Millis, NameRefusal, Relay};
use std::collections::BTreeSet;
use wire::names::NameInfo;

impl Relay {
    /// Every name, for admins.
    #[must_use]
    pub fn names(&self) -> Vec<NameInfo> {
        self.names.iter().map(|(name, entry)| self.name_info(name, entry)).collect()
    }

    fn name_info(&self, name: &str, entry: &Name) -> NameInfo {
        let users = |ids: BTreeSet<&str>| ids.into_iter().map(str::to_owned).collect();
        let rows = entry.rows.iter().filter_map(|id| self.llms.get(id));
        let waiting = self.name_requests.get(name).into_iter().flatten();
        let waiting = waiting.filter_map(|session| self.sessions.get(session));
        NameInfo {
            name: name.to_owned(),
            owner: entry.owner.to_string(),
            shared_by_owner: entry.by_owner.clone(),
            shared_by_admin: entry.by_admin.clone(),
            served_by: users(rows.map(|llm| &*llm.owner.id.0).collect()),
            requested_by: users(waiting.map(|session| &*session.owner.id.0).collect()),
            reserved_until: entry.reserved_until,
        }
    }

    /// An admin shares a name; the list replaces the last one.
    ///
    /// # Errors
    /// The name is not known, or an entry is not a user, `group:<group>` or `*`.
    pub fn share_name(
        &mut self,
        name: &str,
        with: &[String],
        now: Millis,
        out: &mut Actions,
    ) -> Result<NameInfo, NameRefusal> {
        check_shares(with).map_err(NameRefusal::Invalid)?;
        let name = name.to_ascii_lowercase();
        let Some(entry) = self.names.get_mut(&name) else {
            return Err(NameRefusal::Unknown);
        };
        entry.by_admin = with.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect();
        out.push(Action::SaveName(name.clone()));
        self.shares_changed(&name, now, out);
        let entry = self.names.get(&name).ok_or(NameRefusal::Unknown)?;
        Ok(self.name_info(&name, entry))
    }

    /// An admin takes a name from its owner: the owner's rows are withdrawn, and the name goes to the
    /// member that has served it longest, one that is there before one that is gone, or to the next
    /// user who registers it.
    ///
    /// # Errors
    /// The name is not known.
    pub fn free_name(
        &mut self,
        name: &str,
        now: Millis,
        out: &mut Actions,
    ) -> Result<(), NameRefusal> {
        let name = name.to_ascii_lowercase();
        let Some(entry) = self.names.get_mut(&name) else {
            return Err(NameRefusal::Unknown);
        };
        let owner = entry.owner.clone();
        entry.served = false;
        entry.by_admin.clear();
        entry.by_owner.clear();
        for id in entry.rows.clone() {
            if let Some(llm) = self.llms.get(&id).filter(|llm| llm.owner.id == owner) {
                let session = llm.session;
                self.delete_row(&id, "an admin freed its name", now, out);
                self.register_again(&session);
            }
        }
        let members = self.names.get(&name).map(|entry| entry.rows.clone()).unwrap_or_default();
        for id in &members {
            if let Some(llm) = self.llms.get_mut(id) {
                // What it answers from now on reserves the name for its new owner.
                llm.served = false;
            }
        }
        let gone = |llm: &Llm| !self.sessions.get(&llm.session).is_some_and(|s| s.live);
        let heirs = members.iter().filter_map(|id| self.llms.get(id));
        let heir = heirs.min_by_key(|llm| (gone(llm), llm.created));
        let heir = heir.map(|llm| llm.owner.id.clone());
        match (heir, self.names.get_mut(&name)) {
            (Some(heir), Some(entry)) => entry.owner = heir,
            _ => drop(self.names.remove(&name)),
        }
        out.push(Action::SaveName(name.clone()));
        self.shares_changed(&name, now, out);
        self.invite(&name);
        Ok(())
    }
}
