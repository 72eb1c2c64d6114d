//! Events of admins: names are listed, shared, and taken from their owners.

use super::check_shares;
use crate::state::Name;
use crate::{Action, Actions, Millis, NameRefusal, Relay};
use std::collections::BTreeSet;
use wire::names::NameInfo;

impl Relay {
    /// Every name, for admins.
    #[must_use]
    pub fn names(&self) -> Vec<NameInfo> {
        self.catalogue.names().map(|(name, entry)| self.name_info(name, entry)).collect()
    }

    fn name_info(&self, name: &str, entry: &Name) -> NameInfo {
        let users = |ids: BTreeSet<&str>| ids.into_iter().map(str::to_owned).collect();
        let members = self.catalogue.members(name);
        let refused = self.sessions.refused(name);
        let refused = refused.iter().filter_map(|session| self.sessions.get(*session));
        let refused =
            refused.map(|session| &session.owner.id).filter(|user| *user != entry.owner());
        NameInfo {
            name: name.to_owned(),
            owner: entry.owner().to_string(),
            shared_by_owner: entry.shared_by_owner().to_vec(),
            shared_by_admin: entry.shared_by_admin().to_vec(),
            served_by: users(members.map(|(_, entry)| &*entry.owner().id.0).collect()),
            requested_by: users(refused.map(|user| &*user.0).collect()),
            reserved_until: entry.reserved_until(),
        }
    }

    /// Shares a name; the list replaces the last one. A name that this frees is returned as it was,
    /// without users.
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
        let with: BTreeSet<&String> = with.iter().collect();
        if !self.catalogue.share_by_admin(&name, with.into_iter().cloned().collect()) {
            return Err(NameRefusal::Unknown);
        }
        let before = self.info_of(&name).ok_or(NameRefusal::Unknown)?;
        out.push(Action::SaveName(name.clone()));
        self.shares_changed(&name, now, out);
        self.settle_shares(now, out);
        let freed = NameInfo { served_by: Vec::new(), ..before };
        Ok(self.info_of(&name).unwrap_or(freed))
    }

    fn info_of(&self, name: &str) -> Option<NameInfo> {
        Some(self.name_info(name, self.catalogue.name(name)?))
    }

    /// Takes a name from its owner: the owner's entries are withdrawn, and the name goes to the user
    /// whose entry has served it longest, one with a live session before one without, or to the next
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
        let owner = self.name_owner(&name).cloned().ok_or(NameRefusal::Unknown)?;
        self.catalogue.release_name(&name);
        let theirs = self.catalogue.members(&name).filter(|(_, entry)| entry.owner().id == owner);
        let theirs: Vec<_> = theirs.map(|(id, entry)| (id, entry.session())).collect();
        for (id, session) in theirs {
            self.delete_entry(id, "an admin freed its name", now, out);
            self.request_register(session);
        }
        let is_live = |session| self.sessions.get(session).is_some_and(|session| session.live);
        let heirs = self.catalogue.members(&name).map(|(_, entry)| entry);
        let heir = heirs.min_by_key(|entry| (!is_live(entry.session()), entry.created()));
        let heir = heir.map(|entry| entry.owner().id.clone());
        self.catalogue.hand_over_name(&name, heir);
        out.push(Action::SaveName(name.clone()));
        self.settle_shares(now, out);
        self.shares_changed(&name, now, out);
        self.settle_shares(now, out);
        Ok(())
    }
}
