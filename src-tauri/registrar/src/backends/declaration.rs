//! A provider and its state in the words of the protocol.

use crate::config::ProviderConfig;
use crate::status::BackendState;
use wire::publisher::{Provider, ReportedStatus};

/// The state in a heartbeat.
pub(super) fn reported(state: BackendState) -> ReportedStatus {
    match state {
        BackendState::Ready => ReportedStatus::Active,
        BackendState::Asleep | BackendState::Waking => ReportedStatus::Hibernating,
        BackendState::Unknown | BackendState::Down | BackendState::Rejected => {
            ReportedStatus::Inactive
        }
    }
}

/// The entry of a register. `initialStatus` cannot be `inactive`: the heartbeat that follows every
/// register corrects it for a backend that is down.
pub(super) fn declare(provider: &ProviderConfig, state: BackendState) -> Provider {
    let hibernating = reported(state) == ReportedStatus::Hibernating;
    Provider {
        name: provider.name.clone(),
        kind: provider.kind.as_str().to_owned(),
        model: provider.model.clone(),
        tier: provider.tier.clone(),
        description: provider.description.clone(),
        initial_status: Some(if hibernating { "hibernating" } else { "active" }.into()),
        pool: provider.pool.clone(),
        share_name: provider.share_name.clone(),
        max_concurrency: Some(provider.max_concurrency),
        context_length: provider.context_length,
        wake_max_wait_seconds: provider.wake.as_ref().map(|wake| wake.max_wait.as_secs()),
    }
}
