//! Stand-in for the server's store: what the relay has asked to save, and a relay restored from it.

use relay::{
    Action, Actions, CountedIds, Limits, LlmId, Millis, Relay, Saved, SavedLlm, SavedName,
    SavedSession, SessionId,
};
use std::collections::BTreeMap;

/// The stored models, sessions and names.
#[derive(Default)]
pub(crate) struct StoredState {
    llms: BTreeMap<LlmId, SavedLlm>,
    sessions: BTreeMap<SessionId, SavedSession>,
    names: BTreeMap<String, SavedName>,
    starts: u128,
}

impl StoredState {
    /// Stores or removes the object that this action names; ignores all other actions.
    pub(crate) fn apply(&mut self, relay: &Relay, action: &Action) {
        match action {
            Action::SaveLlm(id) => match relay.saved_llm(*id) {
                Some(row) => drop(self.llms.insert(*id, row)),
                None => drop(self.llms.remove(id)),
            },
            Action::SaveSession(id) => match relay.saved_session(*id) {
                Some(session) => drop(self.sessions.insert(*id, session)),
                None => drop(self.sessions.remove(id)),
            },
            Action::SaveName(name) => match relay.saved_name(name) {
                Some(saved) => drop(self.names.insert(name.clone(), saved)),
                None => drop(self.names.remove(name)),
            },
            Action::Withdrawn { .. }
            | Action::Dispatch(_)
            | Action::Wake { .. }
            | Action::Cancel { .. }
            | Action::CloseChannel { .. }
            | Action::Drain { .. }
            | Action::Notice { .. }
            | Action::Fail { .. }
            | Action::Complete { .. }
            | Action::StopAnswer { .. }
            | Action::Forget { .. } => {}
        }
    }

    pub(crate) fn llms(&self) -> &BTreeMap<LlmId, SavedLlm> {
        &self.llms
    }

    pub(crate) fn sessions(&self) -> &BTreeMap<SessionId, SavedSession> {
        &self.sessions
    }

    pub(crate) fn names(&self) -> &BTreeMap<String, SavedName> {
        &self.names
    }

    /// Starts a relay as mcpd does: from the stored state, followed by a sweep.
    pub(crate) fn start_relay(&mut self, limits: Limits, now: Millis) -> Relay {
        self.starts += 1;
        let saved = Saved {
            llms: self.llms.values().cloned().collect(),
            sessions: self.sessions.values().cloned().collect(),
            names: self.names.values().cloned().collect(),
        };
        let ids = CountedIds::starting_at((1 << 100) + (self.starts << 64));
        let mut relay = Relay::new(limits, saved, Box::new(ids), now);
        relay.sweep(now, &mut Actions::new());
        relay
    }
}
