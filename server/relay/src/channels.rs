//! Events of a session's control channel, and the ends of sessions.

use crate::{
    Action, Actions, ChannelId, LastEvent, Millis, Opened, OwnerId, Relay, SessionId,
    SessionRefusal, TaskId, failures,
};
use std::collections::BTreeSet;

impl Relay {
    /// Opens a control channel for a session. An older one of the session is superseded.
    ///
    /// # Errors
    /// [`SessionRefusal::Unknown`], for unknown and foreign sessions.
    pub fn open_channel(
        &mut self,
        owner: &OwnerId,
        session: SessionId,
        now: Millis,
        out: &mut Actions,
    ) -> Result<Opened, SessionRefusal> {
        self.authorize_session(owner, session)?;
        self.supersede(session, out);
        let channel = self.sessions.open_channel(session).ok_or(SessionRefusal::Unknown)?;
        self.mark_alive(session, now);
        for llm in self.catalogue.of_session(session) {
            self.tasks.publisher_returned(llm);
            for task in self.tasks.waiting(llm).collect::<Vec<_>>() {
                self.reschedule(task);
            }
        }
        self.reschedule_session(session);
        let entry = self.sessions.get(session).ok_or(SessionRefusal::Unknown)?;
        Ok(Opened { channel, epoch: entry.epoch, protocol: entry.protocol })
    }

    /// The open channel of a session.
    ///
    /// # Errors
    /// [`SessionRefusal::Unknown`], for unknown and foreign sessions.
    pub fn channel_of(
        &self,
        owner: &OwnerId,
        session: SessionId,
    ) -> Result<Option<ChannelId>, SessionRefusal> {
        self.authorize_session(owner, session)?;
        Ok(self.sessions.get(session).and_then(|session| session.channel()))
    }

    /// The open channel of the session that runs a task.
    #[must_use]
    pub fn channel_of_task(&self, task: TaskId) -> Option<ChannelId> {
        let session = self.tasks.get(task)?.session()?;
        self.sessions.get(session)?.channel()
    }

    /// The tasks that a session runs.
    #[must_use]
    pub fn tasks_of(&self, session: SessionId) -> BTreeSet<TaskId> {
        self.tasks.of_session(session)
    }

    /// The driver has sent `hello`: requests that waited for the channel may be dispatched.
    pub fn channel_ready(&mut self, channel: ChannelId, now: Millis, out: &mut Actions) {
        let Some(session) = self.sessions.of_channel(channel) else { return };
        for llm in self.catalogue.of_session(session) {
            self.advance_queue(llm, now, out);
        }
    }

    /// The channel's response ended or its queue overflowed. Running tasks go on.
    pub fn channel_closed(&mut self, channel: ChannelId) {
        if let Some(session) = self.sessions.close_channel(channel) {
            self.reschedule_session(session);
        }
    }

    /// Ends everything of a user who lost the right to publish: channels close, entries go inactive.
    pub fn revoke_owner(&mut self, owner: &OwnerId, reason: &str, now: Millis, out: &mut Actions) {
        let theirs = self.sessions.of_owner(owner).map(|(id, _)| id);
        for id in theirs.collect::<Vec<_>>() {
            if let Some(channel) = self.sessions.close_channel_of(id) {
                let last = LastEvent::Revoked(reason.to_owned());
                out.push(Action::CloseChannel { channel, last });
                self.reschedule_session(id);
            }
            self.expire(id, "its publisher's token was revoked", now, out);
        }
    }

    /// Closes a session's channel because a newer channel or register took its place.
    pub(crate) fn supersede(&mut self, session: SessionId, out: &mut Actions) {
        if let Some(channel) = self.sessions.close_channel_of(session) {
            out.push(Action::CloseChannel { channel, last: LastEvent::Superseded });
            self.reschedule_session(session);
        }
    }

    /// Renews a session's lease. If it had expired, its entries get the status back that was
    /// reported last.
    pub(crate) fn mark_alive(&mut self, id: SessionId, now: Millis) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.last_seen = now;
        if std::mem::replace(&mut session.live, true) {
            return;
        }
        for llm in self.catalogue.of_session(id) {
            if let Some(entry) = self.catalogue.get_mut(llm) {
                entry.mark_reachable(now);
            }
        }
    }

    /// Ends a session's lease: its entries are inactive and what waits for them fails.
    pub(crate) fn expire(&mut self, id: SessionId, why: &str, now: Millis, out: &mut Actions) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.live = false;
        for llm in self.catalogue.of_session(id) {
            self.wakes.end(llm);
            let Some(entry) = self.catalogue.get_mut(llm) else { continue };
            entry.mark_unreachable(why, now);
            let failure = failures::inactive(entry.name(), why);
            self.fail_queue(llm, &failure, out);
            out.push(Action::SaveLlm(llm));
        }
        out.push(Action::SaveSession(id));
    }

    /// Deletes a session, its entries, its channel and its requests for names.
    pub(crate) fn end_session(&mut self, id: SessionId, why: &str, now: Millis, out: &mut Actions) {
        for llm in self.catalogue.of_session(id) {
            self.delete_entry(llm, why, now, out);
        }
        if let Some(channel) = self.sessions.remove(id) {
            out.push(Action::CloseChannel { channel, last: LastEvent::None });
        }
        out.push(Action::SaveSession(id));
    }

    /// Checks that a user has this session. Unknown and foreign ones get the same refusal.
    pub(crate) fn authorize_session(
        &self,
        owner: &OwnerId,
        session: SessionId,
    ) -> Result<(), SessionRefusal> {
        self.sessions.is_owned(session, owner).then_some(()).ok_or(SessionRefusal::Unknown)
    }

    /// Updates the timers of a session's tasks: they depend on its channel.
    fn reschedule_session(&mut self, session: SessionId) {
        for task in self.tasks.of_session(session) {
            self.reschedule(task);
        }
    }
}
