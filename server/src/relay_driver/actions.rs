//! Performs the relay's actions under the driver's lock; nothing here waits.

use super::{Frame, Inner};
use crate::store::Change;
use relay::{Action, Actions, ChannelId, Dispatch};

impl Inner {
    /// Performs actions in order. Returns true if there are changes to store.
    pub(super) fn perform(&mut self, actions: Actions) -> bool {
        let mut has_changes = false;
        let mut broken = Vec::new();
        for action in actions {
            has_changes |= self.perform_one(action, &mut broken);
        }
        for channel in broken {
            tracing::warn!(channel = channel.0, "a publisher does not read its channel; closing");
            self.channels.remove(&channel);
            self.relay.channel_closed(channel);
        }
        has_changes
    }

    fn perform_one(&mut self, action: Action, broken: &mut Vec<ChannelId>) -> bool {
        match action {
            Action::Dispatch(dispatch) => self.dispatch(dispatch, broken),
            Action::Wake { channel, task, llm_name, max_wait_secs } => {
                self.send(channel, Frame::wake(task, llm_name, max_wait_secs), broken);
            }
            Action::Cancel { channel, task, reason } => {
                self.send(channel, Frame::cancel(task, reason), broken);
            }
            Action::CloseChannel { channel, last } => {
                if let Some(channel) = self.channels.remove(&channel)
                    && let Some(frame) = Frame::last(&last)
                {
                    let _ = channel.frames.try_send(frame);
                }
            }
            Action::Drain { channel, reconnect_after_ms } => {
                self.send(channel, Frame::drain(reconnect_after_ms), broken);
            }
            Action::Notice { task, notice } => {
                if let Some(call) = self.calls.get(&task) {
                    call.answer.notify(notice);
                }
            }
            Action::Fail { task, failure } => {
                if let Some(call) = self.calls.get(&task) {
                    call.answer.end(Err(failure));
                }
            }
            Action::Complete { task } => {
                if let Some(call) = self.calls.get(&task) {
                    call.answer.end(Ok(()));
                }
            }
            Action::StopAnswer { task } => {
                if let Some(call) = self.calls.get(&task) {
                    call.answer.stop();
                }
            }
            Action::Forget { task } => drop(self.calls.remove(&task)),
            Action::SaveLlm(id) => return self.dirty_llms.insert(id),
            Action::SaveSession(id) => return self.dirty_sessions.insert(id),
            Action::SaveName(name) => return self.dirty_names.insert(name),
            Action::Withdrawn { .. } => {}
        }
        false
    }

    fn dispatch(&mut self, dispatch: Dispatch, broken: &mut Vec<ChannelId>) {
        let Some(call) = self.calls.get(&dispatch.task) else { return };
        let Some(request) = call.request.clone() else { return };
        if let Some(channel) = self.channels.get(&dispatch.channel)
            && let Some(account) = call.account.upgrade()
        {
            account.dispatched(&channel.publisher);
        }
        let (task, llm) = (dispatch.task, dispatch.llm_name.clone());
        let id = request.headers.get(wire::headers::REQUEST_ID).cloned();
        self.send(dispatch.channel, Frame::Infer(Box::new(dispatch), request), broken);
        tracing::debug!(%task, llm, request = id, "a task is dispatched");
    }

    fn send(&mut self, channel: ChannelId, frame: Frame, broken: &mut Vec<ChannelId>) {
        let Some(open) = self.channels.get(&channel) else {
            return;
        };
        if open.frames.try_send(frame).is_err() {
            broken.push(channel);
        }
    }

    /// Takes the changes to store. Deletions come first: a new entry may replace a deleted one.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for id in std::mem::take(&mut self.dirty_sessions) {
            let saved = self.relay.saved_session(id).map(Box::new);
            changes.push(Change::Session(id, saved));
        }
        for id in std::mem::take(&mut self.dirty_llms) {
            let saved = self.relay.saved_llm(id).map(Box::new);
            changes.push(Change::Llm(id, saved));
        }
        for name in std::mem::take(&mut self.dirty_names) {
            let saved = self.relay.saved_name(&name).map(Box::new);
            changes.push(Change::Name(name, saved));
        }
        changes.sort_by_key(|change| !change.deletes());
        changes
    }

    /// Puts back changes that could not be stored.
    pub(super) fn put_back(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Llm(id, _) => drop(self.dirty_llms.insert(id)),
                Change::Session(id, _) => drop(self.dirty_sessions.insert(id)),
                Change::Name(name, _) => drop(self.dirty_names.insert(name)),
            }
        }
    }
}
