//! Sends the answers of one registration: opens an uplink when a task begins, replaces it before a
//! proxy ends it, and opens it again when it breaks.

use super::Answers;
use super::body::UplinkBody;
use super::pace::Pace;
use crate::limits::{self, Times, UPLINK_CONFIRM};
use crate::mcpd_client::Fault;
use crate::server_link::ServerLink;
use crate::transport::UploadMode;
use reqwest::Body;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

/// The uplinks of one registration; dropping it closes the one in use.
pub(crate) struct Carrier(AbortOnDropHandle<Fault>);

impl Carrier {
    /// Starts sending. What an earlier carrier has sent must have been confirmed or marked as lost.
    pub(crate) fn start(link: Arc<ServerLink>, answers: Arc<Answers>, times: Times) -> Self {
        let carrying = async move {
            tokio::select! {
                fault = carry(&link, &answers, times) => fault,
                never = answers.acknowledge_slow(times.ack_after) => never,
            }
        };
        Self(AbortOnDropHandle::new(tokio::spawn(carrying)))
    }

    /// Waits until the server does not take uplinks of this session any more.
    pub(crate) async fn ended(&mut self) -> Fault {
        match (&mut self.0).await {
            Ok(fault) => fault,
            Err(_) => Fault::failed("the uplink ended"),
        }
    }
}

/// How an uplink ended.
enum Ended {
    /// The server has all of its frames.
    Confirmed,
    /// Its frames may not have arrived; the cause, and the pause that the server asks for.
    Lost(String, Duration),
    /// There is no use in another one.
    Refused(Fault),
}

async fn carry(link: &ServerLink, answers: &Arc<Answers>, times: Times) -> Fault {
    let mut pace = Pace::new(times);
    loop {
        answers.until_needed(times.uplink_idle).await;
        let opened = Instant::now();
        let ended = match link.upload_mode() {
            UploadMode::Batch => send_batch(link, answers).await,
            UploadMode::Stream | UploadMode::Results => stream(link, answers, &pace).await,
        };
        match ended {
            Ended::Confirmed => {
                answers.uplink_confirmed();
                pace.confirmed();
            }
            Ended::Lost(cause, pause) => {
                link.log_budget.log(|| tracing::warn!("{cause}; the uplink is opened again"));
                let was_used = answers.uplink_lost();
                sleep(pace.lost(was_used, opened.elapsed()).max(pause)).await;
            }
            Ended::Refused(fault) => return fault,
        }
    }
}

/// Sends frames as they become ready.
async fn stream(link: &ServerLink, answers: &Arc<Answers>, pace: &Pace) -> Ended {
    let body = UplinkBody::new(Arc::clone(answers), answers.open_uplink(), pace.bytes);
    let mut sent = pin!(link.mcpd.uplink(&link.session, Body::wrap(body)));
    let mut replaced_at = pin!(sleep(pace.age));
    loop {
        tokio::select! {
            // The server may refuse it while its body flows.
            sent = &mut sent => return ending(sent, answers.uplink_has_ended()),
            () = &mut replaced_at => {
                answers.end_uplink();
                break;
            }
            () = answers.ended.notified() => {
                // It may be the notice of an earlier uplink.
                if answers.uplink_has_ended() {
                    break;
                }
            }
        }
    }
    match tokio::time::timeout(UPLINK_CONFIRM, sent).await {
        Ok(sent) => ending(sent, answers.uplink_has_ended()),
        Err(_) => lost("the server did not confirm an uplink in time"),
    }
}

/// Sends what is ready as one request.
async fn send_batch(link: &ServerLink, answers: &Answers) -> Ended {
    let batch = answers.next_batch().await;
    let sent = link.mcpd.uplink(&link.session, Body::from(batch));
    match tokio::time::timeout(UPLINK_CONFIRM, sent).await {
        Ok(sent) => ending(sent, true),
        Err(_) => lost("the server did not confirm an uplink in time"),
    }
}

fn ending(sent: Result<(), Fault>, body_has_ended: bool) -> Ended {
    match sent {
        Ok(()) if body_has_ended => Ended::Confirmed,
        Ok(()) => lost("the server ended an uplink before its end"),
        Err(Fault::Failed { message, retry_after }) => {
            Ended::Lost(message, retry_after.unwrap_or_default().min(limits::SERVER_PAUSE))
        }
        // A newer uplink of the session, or a request that a proxy has held back for long.
        Err(Fault::Conflict(message)) => lost(&message),
        Err(fault @ (Fault::UnknownSession | Fault::Denied(_))) => Ended::Refused(fault),
    }
}

fn lost(cause: &str) -> Ended {
    Ended::Lost(cause.to_owned(), Duration::ZERO)
}
