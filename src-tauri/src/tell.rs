//! What is worth a notification: pure, decided from the status as it changes. Few things are, and
//! each can be switched off; nothing is told twice, and a connection that flaps is not told at all.

use crate::limits::{OFFLINE_TOLD, TOLD_REQUESTS_MAX};
use crate::page::Page;
use crate::words::{say, say_with};
use registrar::config::settings::Notifications;
use registrar::status::{BackendState, ConnectionState, NameRequest, Status};
use std::collections::{HashMap, VecDeque};

/// One notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// The first line.
    pub title: String,
    /// The rest.
    pub body: String,
    /// Where a click leads.
    pub page: Page,
}

/// Closing the window is not the end.
pub(crate) fn still_there() -> Told {
    let (title, body) = (say("tell.stillThere"), say("tell.stillThereBody"));
    Told { title, body, page: Page::Overview }
}

/// What a person knows already.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    was_online: bool,
    /// Unix milliseconds.
    offline_since: Option<u64>,
    told_offline: bool,
    told_refused: bool,
    /// Why the last wake of each model failed.
    told_wakes: HashMap<String, String>,
    /// Requests for a name, the oldest first. One that is withdrawn and made again is not told again.
    told_requests: VecDeque<NameRequest>,
}

impl Teller {
    /// What is to be told now.
    pub(crate) fn next(&mut self, status: &Status, wanted: Notifications, now: u64) -> Vec<Told> {
        let mut told = Vec::new();
        told.extend(self.refused(status).filter(|_| wanted.sign_in));
        told.extend(self.connection(status, now).filter(|_| wanted.connection));
        told.extend(self.wakes(status).into_iter().filter(|_| wanted.wake));
        told.extend(self.requests(status).into_iter().filter(|_| wanted.requests));
        told
    }

    fn refused(&mut self, status: &Status) -> Option<Told> {
        let ConnectionState::Stopped { message } = &status.connection else {
            self.told_refused &= !matches!(status.connection, ConnectionState::Online { .. });
            return None;
        };
        let first = !std::mem::replace(&mut self.told_refused, true);
        let title = say("tell.refused");
        first.then(|| Told { title, body: message.clone(), page: Page::Connection })
    }

    fn connection(&mut self, status: &Status, now: u64) -> Option<Told> {
        let server = status.server.clone().unwrap_or_else(|| say("state.theServer"));
        match &status.connection {
            ConnectionState::Online { .. } => {
                self.was_online = true;
                self.offline_since = None;
                std::mem::take(&mut self.told_offline).then(|| Told {
                    title: say("tell.online"),
                    body: say_with("tell.onlineBody", &[("server", &server)]),
                    page: Page::Overview,
                })
            }
            ConnectionState::Reconnecting { message, .. } if self.was_online => {
                let since = *self.offline_since.get_or_insert(now);
                let long = u128::from(now.saturating_sub(since)) >= OFFLINE_TOLD.as_millis();
                (long && !std::mem::replace(&mut self.told_offline, true)).then(|| Told {
                    title: say("tell.offline"),
                    body: message.clone(),
                    page: Page::Overview,
                })
            }
            // Somebody's own decision.
            ConnectionState::Idle
            | ConnectionState::Held(_)
            | ConnectionState::NotConfigured { .. } => {
                (self.was_online, self.offline_since, self.told_offline) = (false, None, false);
                None
            }
            ConnectionState::Connecting
            | ConnectionState::Reconnecting { .. }
            | ConnectionState::WaitingForKeyring
            | ConnectionState::Stopped { .. } => None,
        }
    }

    fn wakes(&mut self, status: &Status) -> Vec<Told> {
        let failed = status.providers.iter().filter_map(|provider| match provider.state {
            BackendState::Asleep => Some((provider.name.clone(), provider.message.clone()?)),
            BackendState::Unknown
            | BackendState::Ready
            | BackendState::Waking
            | BackendState::Down
            | BackendState::Rejected => None,
        });
        let failed: HashMap<String, String> = failed.collect();
        // A wake under way has not succeeded yet.
        let waking = |name: &String| {
            let mut all = status.providers.iter();
            all.any(|p| p.name == *name && p.state == BackendState::Waking)
        };
        let mut new: Vec<Told> = Vec::new();
        for (name, why) in &failed {
            if self.told_wakes.get(name) != Some(why) {
                let title = say_with("tell.wake", &[("model", name)]);
                new.push(Told { title, body: why.clone(), page: Page::Models });
            }
        }
        self.told_wakes.retain(|name, _| waking(name));
        self.told_wakes.extend(failed);
        new
    }

    fn requests(&mut self, status: &Status) -> Vec<Told> {
        let mut new = Vec::new();
        for request in &status.name_requests {
            if self.told_requests.contains(request) {
                continue;
            }
            if self.told_requests.len() == TOLD_REQUESTS_MAX {
                self.told_requests.pop_front();
            }
            self.told_requests.push_back(request.clone());
            let values: [(&str, &dyn std::fmt::Display); 2] =
                [("user", &request.user), ("model", &request.name)];
            let (title, body) = (say_with("tell.request", &values), say("tell.requestBody"));
            new.push(Told { title, body, page: Page::Models });
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::{Teller, Told};
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

    fn titles(told: &[Told]) -> Vec<&str> {
        told.iter().map(|told| told.title.as_str()).collect()
    }

    #[test]
    fn offline_is_told_once_after_two_minutes_and_back_online_only_then() {
        let mut teller = Teller::default();
        assert!(teller.next(&lost(), ALL, 0).is_empty());
        assert!(teller.next(&lost(), ALL, 999_000).is_empty(), "it never was online");
        assert!(teller.next(&online(), ALL, 999_000).is_empty());
        for second in 0..120 {
            assert!(teller.next(&lost(), ALL, 1_000_000 + second * 1_000).is_empty());
        }
        assert_eq!(teller.next(&lost(), ALL, 1_120_000).len(), 1);
        assert!(teller.next(&lost(), ALL, 1_130_000).is_empty(), "once");
        assert_eq!(teller.next(&online(), ALL, 1_140_000).len(), 1);
        assert!(teller.next(&lost(), ALL, 1_150_000).is_empty());
        assert!(teller.next(&online(), ALL, 1_160_000).is_empty(), "a short gap is not told");
    }

    #[test]
    fn a_refused_token_is_told_once_until_it_works_again() {
        let mut teller = Teller::default();
        let refused = status(ConnectionState::Stopped { message: "401".into() });
        assert_eq!(teller.next(&refused, ALL, 0)[0].body, "401");
        assert!(teller.next(&refused, ALL, 1).is_empty());
        assert!(teller.next(&online(), ALL, 2).is_empty());
        assert_eq!(teller.next(&refused, ALL, 3).len(), 1);
    }

    #[test]
    fn a_failed_wake_is_told_with_its_cause_and_again_only_when_it_fails_again() {
        let with = |state, message: Option<&str>| Status {
            providers: vec![ProviderStatus {
                name: "qwen".into(),
                state,
                message: message.map(str::to_owned),
                ..ProviderStatus::default()
            }],
            ..online()
        };
        let mut teller = Teller::default();
        assert!(teller.next(&with(BackendState::Asleep, None), ALL, 0).is_empty());
        let failed = with(BackendState::Asleep, Some("exit code 7"));
        let told = teller.next(&failed, ALL, 1);
        assert!(titles(&told)[0].contains("qwen") && told[0].body == "exit code 7");
        assert!(teller.next(&failed, ALL, 2).is_empty());
        teller.next(&with(BackendState::Ready, None), ALL, 3);
        assert_eq!(teller.next(&failed, ALL, 4).len(), 1);
    }

    fn asks(user: &str) -> NameRequest {
        NameRequest { name: "qwen".into(), user: user.into() }
    }

    #[test]
    fn a_request_for_a_name_is_told_once_whatever_the_connection_does() {
        let mut teller = Teller::default();
        let with = |users: &[&str], connection| Status {
            name_requests: users.iter().map(|user| asks(user)).collect(),
            ..status(connection)
        };
        let told = teller.next(&with(&["tom"], ONLINE), ALL, 0);
        assert!(titles(&told)[0].contains("tom") && titles(&told)[0].contains("qwen"));
        assert!(teller.next(&with(&["tom"], ONLINE), ALL, 1).is_empty());
        assert!(teller.next(&with(&[], ConnectionState::Idle), ALL, 2).is_empty());
        let told = teller.next(&with(&["tom", "ann"], ONLINE), ALL, 3);
        assert!(told.len() == 1 && titles(&told)[0].contains("ann"), "{told:?}");
    }

    #[test]
    fn what_is_switched_off_is_not_told() {
        let none =
            Notifications { sign_in: false, connection: false, wake: false, requests: false };
        let mut refused = status(ConnectionState::Stopped { message: "401".into() });
        refused.name_requests.push(asks("tom"));
        assert!(Teller::default().next(&refused, none, 0).is_empty());
    }
}
