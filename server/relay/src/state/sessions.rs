//! Publishers' sessions, their control channels, and the names that they were refused.

use super::id_map::IdMap;
use crate::{ChannelId, Millis, Owner, OwnerId, SavedSession, SessionId};
use std::collections::{BTreeMap, BTreeSet};
use wire::publisher::Instance;

/// A publisher's session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) owner: Owner,
    pub(crate) instance: Option<Instance>,
    /// Raised by every register.
    pub(crate) epoch: u64,
    pub(crate) protocol: u32,
    /// When its last request was taken.
    pub(crate) last_seen: Millis,
    /// Its lease is valid; false after a server start until its first request.
    pub(crate) live: bool,
    /// The response to its next heartbeat requests a register.
    pub(crate) register_again: bool,
    channel: Option<ChannelId>,
}

/// All sessions and open channels. A channel belongs to the session that has it.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    sessions: BTreeMap<SessionId, Session>,
    channels: IdMap<ChannelId, SessionId>,
    /// Channels opened so far.
    opened: u64,
    /// Sessions that were refused a name which is another user's, by that name.
    refused: BTreeMap<String, BTreeSet<SessionId>>,
}

impl Session {
    /// A session of a publisher that has just registered.
    pub(crate) fn new(owner: Owner, now: Millis) -> Self {
        Self {
            owner,
            instance: None,
            epoch: 0,
            protocol: wire::PROTOCOL_1,
            last_seen: now,
            live: true,
            register_again: false,
            channel: None,
        }
    }

    /// A session of an earlier run. Heartbeats are not stored, so its lease counts from the start.
    pub(crate) fn restored(saved: SavedSession, started: Millis) -> Self {
        let session = Self::new(saved.owner, started);
        Self { instance: saved.instance, epoch: saved.epoch, live: false, ..session }
    }

    /// Its open control channel.
    pub(crate) fn channel(&self) -> Option<ChannelId> {
        self.channel
    }

    /// True if tasks can be sent to it.
    pub(crate) fn is_reachable(&self) -> bool {
        self.live && self.channel.is_some()
    }

    /// True if its publisher acknowledges tasks, names them, and stops them on request.
    pub(crate) fn speaks_v2(&self) -> bool {
        self.protocol >= wire::PROTOCOL_2
    }
}

impl Sessions {
    pub(crate) fn get(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.sessions.iter().map(|(id, session)| (*id, session))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.sessions.values_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Sessions of a user.
    pub(crate) fn of_owner(&self, owner: &OwnerId) -> impl Iterator<Item = (SessionId, &Session)> {
        self.iter().filter(move |(_, session)| session.owner.id == *owner)
    }

    /// True if the user has a session of this id.
    pub(crate) fn is_owned(&self, id: SessionId, owner: &OwnerId) -> bool {
        self.get(id).is_some_and(|session| session.owner.id == *owner)
    }

    pub(crate) fn insert(&mut self, id: SessionId, session: Session) {
        self.sessions.insert(id, session);
    }

    /// Removes a session with all that belongs to it. Returns the channel that it had open.
    pub(crate) fn remove(&mut self, id: SessionId) -> Option<ChannelId> {
        self.set_refused_names(id, BTreeSet::new());
        let channel = self.sessions.remove(&id)?.channel?;
        self.channels.remove(&channel);
        Some(channel)
    }

    /// Opens a channel in place of the one that the session has; `None` for an unknown session.
    pub(crate) fn open_channel(&mut self, id: SessionId) -> Option<ChannelId> {
        let session = self.sessions.get_mut(&id)?;
        self.opened += 1;
        let channel = ChannelId(self.opened);
        if let Some(before) = session.channel.replace(channel) {
            self.channels.remove(&before);
        }
        self.channels.insert(channel, id);
        Some(channel)
    }

    /// Closes the session's channel, and returns it.
    pub(crate) fn close_channel_of(&mut self, id: SessionId) -> Option<ChannelId> {
        let channel = self.sessions.get_mut(&id)?.channel.take()?;
        self.channels.remove(&channel);
        Some(channel)
    }

    /// Closes a channel, and returns its session.
    pub(crate) fn close_channel(&mut self, channel: ChannelId) -> Option<SessionId> {
        let id = self.channels.remove(&channel)?;
        if let Some(session) = self.sessions.get_mut(&id) {
            session.channel = None;
        }
        Some(id)
    }

    /// The session of an open channel.
    pub(crate) fn of_channel(&self, channel: ChannelId) -> Option<SessionId> {
        self.channels.get(&channel).copied()
    }

    /// The open channels, in the order in which they were opened.
    pub(crate) fn channels(&self) -> BTreeSet<ChannelId> {
        self.channels.keys().copied().collect()
    }

    pub(crate) fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// Sets which names the session was refused because they are another user's. Of each name, only
    /// the first sessions are remembered.
    pub(crate) fn set_refused_names(&mut self, id: SessionId, names: BTreeSet<String>) {
        for sessions in self.refused.values_mut() {
            sessions.remove(&id);
        }
        self.refused.retain(|_, sessions| !sessions.is_empty());
        for name in names {
            let sessions = self.refused.entry(name).or_default();
            if sessions.len() < wire::limits::NAME_REQUESTS {
                sessions.insert(id);
            }
        }
    }

    /// The sessions that were refused the name.
    pub(crate) fn refused(&self, name: &str) -> BTreeSet<SessionId> {
        self.refused.get(name).cloned().unwrap_or_default()
    }

    /// Every name that was refused, with the user who registered it.
    pub(crate) fn refused_names(&self) -> impl Iterator<Item = (&String, &OwnerId)> {
        self.refused.iter().flat_map(|(name, sessions)| {
            let known = sessions.iter().filter_map(|id| self.get(*id));
            known.map(move |session| (name, &session.owner.id))
        })
    }
}
