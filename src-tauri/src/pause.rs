//! The durations of a pause, and the edit of config.json that starts one.

use crate::limits::PAUSE_HOUR;
use jiff::Timestamp;
use registrar::config::edit::Edit;
use registrar::config::settings::PausedUntil;
use serde::Deserialize;
use serde_json::json;

/// Duration of a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(export))]
pub(crate) enum Pause {
    /// One hour.
    Hour,
    /// Until this program starts again.
    Restart,
    /// Until a person resumes publishing.
    TurnedOn,
}

/// The edit that pauses publishing, or resumes it without a [`Pause`].
pub(crate) fn edit(pause: Option<Pause>) -> Edit {
    let until = pause.map(|pause| match pause {
        Pause::Hour => {
            let end = Timestamp::now().checked_add(PAUSE_HOUR).unwrap_or(Timestamp::MAX);
            PausedUntil::At(Timestamp::from_second(end.as_second()).unwrap_or(end))
        }
        Pause::Restart => PausedUntil::Restart,
        Pause::TurnedOn => PausedUntil::TurnedOn,
    });
    Edit::ChangeSettings([("pausedUntil".to_owned(), json!(until))].into_iter().collect())
}
