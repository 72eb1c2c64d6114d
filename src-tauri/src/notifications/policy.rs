//! Decides which notifications are due, from the status as it changes. Pure.
//!
//! Few events are worth one, each kind can be switched off, none is shown twice, and a connection that
//! flaps causes none.

use super::Notification;
use crate::i18n::{tr, tr_with};
use crate::limits::{OFFLINE_NOTICE_AFTER, REMEMBERED_REQUESTS_MAX};
use crate::route::Page;
use registrar::config::settings::Notifications;
use registrar::status::{BackendState, ConnectionState, NameRequest, Status};
use std::collections::{HashMap, VecDeque};

/// Remembers which notifications were shown, and when the connection was lost.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    was_online: bool,
    /// Unix milliseconds.
    offline_since: Option<u64>,
    reported_offline: bool,
    reported_refused: bool,
    /// The cause of each model's last failed wake that was shown.
    reported_wakes: HashMap<String, String>,
    /// Shown requests for a name, the oldest first. A request that is withdrawn and made again is not
    /// shown again.
    reported_requests: VecDeque<NameRequest>,
}

impl Policy {
    /// Returns the notifications that are due in this state. `now` is in unix milliseconds.
    pub(crate) fn due(
        &mut self,
        status: &Status,
        enabled: Notifications,
        now: u64,
    ) -> Vec<Notification> {
        let mut due = Vec::new();
        due.extend(self.token_refused(status).filter(|_| enabled.sign_in));
        due.extend(self.connection(status, now).filter(|_| enabled.connection));
        due.extend(self.failed_wakes(status).into_iter().filter(|_| enabled.wake));
        due.extend(self.name_requests(status).into_iter().filter(|_| enabled.requests));
        due
    }

    fn token_refused(&mut self, status: &Status) -> Option<Notification> {
        let ConnectionState::Stopped { message } = &status.connection else {
            self.reported_refused &= !matches!(status.connection, ConnectionState::Online { .. });
            return None;
        };
        let first = !std::mem::replace(&mut self.reported_refused, true);
        let title = tr("notification.tokenRefused");
        first.then(|| Notification { title, body: message.clone(), page: Page::Connection })
    }

    fn connection(&mut self, status: &Status, now: u64) -> Option<Notification> {
        let server = status.server.clone().unwrap_or_else(|| tr("state.theServer"));
        match &status.connection {
            ConnectionState::Online { .. } => {
                self.was_online = true;
                self.offline_since = None;
                std::mem::take(&mut self.reported_offline).then(|| Notification {
                    title: tr("notification.online"),
                    body: tr_with("notification.onlineBody", &[("server", &server)]),
                    page: Page::Overview,
                })
            }
            ConnectionState::Reconnecting { message, .. } if self.was_online => {
                let since = *self.offline_since.get_or_insert(now);
                let offline_ms = u128::from(now.saturating_sub(since));
                let is_long = offline_ms >= OFFLINE_NOTICE_AFTER.as_millis();
                (is_long && !std::mem::replace(&mut self.reported_offline, true)).then(|| {
                    Notification {
                        title: tr("notification.offline"),
                        body: message.clone(),
                        page: Page::Overview,
                    }
                })
            }
            // The person decided this.
            ConnectionState::Idle
            | ConnectionState::Held(_)
            | ConnectionState::NotConfigured { .. } => {
                self.was_online = false;
                self.offline_since = None;
                self.reported_offline = false;
                None
            }
            ConnectionState::Connecting
            | ConnectionState::Reconnecting { .. }
            | ConnectionState::WaitingForKeyring
            | ConnectionState::Stopped { .. } => None,
        }
    }

    fn failed_wakes(&mut self, status: &Status) -> Vec<Notification> {
        let failed = status.providers.iter().filter_map(|provider| match provider.state {
            BackendState::Asleep => Some((provider.name.clone(), provider.message.clone()?)),
            BackendState::Unknown
            | BackendState::Ready
            | BackendState::Waking
            | BackendState::Down
            | BackendState::Rejected => None,
        });
        let failed: HashMap<String, String> = failed.collect();
        let is_waking = |name: &String| {
            let mut all = status.providers.iter();
            all.any(|p| p.name == *name && p.state == BackendState::Waking)
        };
        let mut due: Vec<Notification> = Vec::new();
        for (name, cause) in &failed {
            if self.reported_wakes.get(name) != Some(cause) {
                let title = tr_with("notification.wakeFailed", &[("model", name)]);
                due.push(Notification { title, body: cause.clone(), page: Page::Models });
            }
        }
        // A wake in progress has not succeeded yet: the same failure after it is no news.
        self.reported_wakes.retain(|name, _| is_waking(name));
        self.reported_wakes.extend(failed);
        due
    }

    fn name_requests(&mut self, status: &Status) -> Vec<Notification> {
        let mut due = Vec::new();
        for request in &status.name_requests {
            if self.reported_requests.contains(request) {
                continue;
            }
            if self.reported_requests.len() == REMEMBERED_REQUESTS_MAX {
                self.reported_requests.pop_front();
            }
            self.reported_requests.push_back(request.clone());
            let values: [(&str, &dyn std::fmt::Display); 2] =
                [("user", &request.user), ("model", &request.name)];
            let title = tr_with("notification.nameRequest", &values);
            let body = tr("notification.nameRequestBody");
            due.push(Notification { title, body, page: Page::Models });
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::{Notification, Policy};
    use registrar::config::settings::Notifications;
    use registrar::status::{BackendState, ConnectionState, NameRequest, ProviderStatus, Status};

    const ALL: Notifications =
        Notifications { sign_in: true, connection: true, wake: true, requests: true };

    fn status(connection: ConnectionState) -> Status {
        Status { connection, ..Status::default() }
    }

    const ONLINE: ConnectionState = ConnectionState::Online { since: 0 };

    fn online() -> Status {
        status(ONLINE)
    }

    fn lost() -> Status {
        let message = "the server cannot be reached".to_owned();
        status(ConnectionState::Reconnecting { message, retry_at: 0, attempt: 1 })
    }

    fn titles(due: &[Notification]) -> Vec<&str> {
        due.iter().map(|notification| notification.title.as_str()).collect()
    }

    #[test]
    fn offline_is_reported_once_after_two_minutes_and_online_only_after_that() {
        let mut policy = Policy::default();
        assert!(policy.due(&lost(), ALL, 0).is_empty());
        assert!(policy.due(&lost(), ALL, 999_000).is_empty(), "it was never online");
        assert!(policy.due(&online(), ALL, 999_000).is_empty());
        for second in 0..120 {
            assert!(policy.due(&lost(), ALL, 1_000_000 + second * 1_000).is_empty());
        }
        assert_eq!(policy.due(&lost(), ALL, 1_120_000).len(), 1);
        assert!(policy.due(&lost(), ALL, 1_130_000).is_empty(), "once");
        assert_eq!(policy.due(&online(), ALL, 1_140_000).len(), 1);
        assert!(policy.due(&lost(), ALL, 1_150_000).is_empty());
        assert!(policy.due(&online(), ALL, 1_160_000).is_empty(), "a short gap is not reported");
    }

    #[test]
    fn a_refused_token_is_reported_once_until_it_works_again() {
        let mut policy = Policy::default();
        let refused = status(ConnectionState::Stopped { message: "401".into() });
        assert_eq!(policy.due(&refused, ALL, 0)[0].body, "401");
        assert!(policy.due(&refused, ALL, 1).is_empty());
        assert!(policy.due(&online(), ALL, 2).is_empty());
        assert_eq!(policy.due(&refused, ALL, 3).len(), 1);
    }

    #[test]
    fn a_failed_wake_is_reported_with_its_cause_and_again_only_after_a_success() {
        let with = |state, message: Option<&str>| Status {
            providers: vec![ProviderStatus {
                name: "qwen".into(),
                state,
                message: message.map(str::to_owned),
                ..ProviderStatus::default()
            }],
            ..online()
        };
        let mut policy = Policy::default();
        assert!(policy.due(&with(BackendState::Asleep, None), ALL, 0).is_empty());
        let failed = with(BackendState::Asleep, Some("exit code 7"));
        let due = policy.due(&failed, ALL, 1);
        assert!(titles(&due)[0].contains("qwen") && due[0].body == "exit code 7");
        assert!(policy.due(&failed, ALL, 2).is_empty());
        policy.due(&with(BackendState::Ready, None), ALL, 3);
        assert_eq!(policy.due(&failed, ALL, 4).len(), 1);
    }

    fn request_of(user: &str) -> NameRequest {
        NameRequest { name: "qwen".into(), user: user.into() }
    }

    #[test]
    fn a_request_for_a_name_is_reported_once_even_across_reconnects() {
        let mut policy = Policy::default();
        let with = |users: &[&str], connection| Status {
            name_requests: users.iter().map(|user| request_of(user)).collect(),
            ..status(connection)
        };
        let due = policy.due(&with(&["tom"], ONLINE), ALL, 0);
        assert!(titles(&due)[0].contains("tom") && titles(&due)[0].contains("qwen"));
        assert!(policy.due(&with(&["tom"], ONLINE), ALL, 1).is_empty());
        assert!(policy.due(&with(&[], ConnectionState::Idle), ALL, 2).is_empty());
        let due = policy.due(&with(&["tom", "ann"], ONLINE), ALL, 3);
        assert!(due.len() == 1 && titles(&due)[0].contains("ann"), "{due:?}");
    }

    #[test]
    fn kinds_that_are_switched_off_are_not_reported() {
        let none =
            Notifications { sign_in: false, connection: false, wake: false, requests: false };
        let mut refused = status(ConnectionState::Stopped { message: "401".into() });
        refused.name_requests.push(request_of("tom"));
        assert!(Policy::default().due(&refused, none, 0).is_empty());
    }
}
