//! Decides whether publishing is on hold although publish switches are on: a pause, quiet hours, a
//! battery. Pure: [`crate::config_watch`] passes the time and the power source.

use crate::config::settings::{PausedUntil, QuietHours, Settings};
use jiff::Zoned;
use jiff::civil::Time;
use serde::{Deserialize, Serialize};

/// Publishing is on hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// The cause.
    pub reason: HoldReason,
    /// Its end in unix milliseconds, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

/// Why publishing is on hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HoldReason {
    /// A person paused it.
    Paused,
    /// The quiet hours of the settings.
    QuietHours,
    /// The machine runs on battery.
    OnBattery,
}

/// The hold in force, if there is one. A pause comes before quiet hours, and those before a battery.
#[must_use]
pub fn check(settings: &Settings, now: &Zoned, on_battery: bool) -> Option<Hold> {
    paused(settings, now)
        .or_else(|| quiet(settings.quiet_hours?, now))
        .or_else(|| on_battery.then_some(Hold { reason: HoldReason::OnBattery, until: None }))
}

fn paused(settings: &Settings, now: &Zoned) -> Option<Hold> {
    let until = match settings.paused_until.as_ref()? {
        PausedUntil::TurnedOn | PausedUntil::Restart => None,
        PausedUntil::At(at) if *at > now.timestamp() => Some(unix_ms(at.as_millisecond())),
        PausedUntil::At(_) => return None,
    };
    Some(Hold { reason: HoldReason::Paused, until })
}

fn quiet(hours: QuietHours, now: &Zoned) -> Option<Hold> {
    let QuietHours { from, to } = hours;
    let time = now.time();
    let inside = if from < to { from <= time && time < to } else { from <= time || time < to };
    inside.then(|| Hold { reason: HoldReason::QuietHours, until: next(now, to) })
}

/// The next moment with this local time.
fn next(now: &Zoned, time: Time) -> Option<u64> {
    let day = if now.time() < time { now.date() } else { now.date().tomorrow().ok()? };
    let at = day.to_datetime(time).to_zoned(now.time_zone().clone()).ok()?;
    Some(unix_ms(at.timestamp().as_millisecond()))
}

fn unix_ms(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Hold, HoldReason, check};
    use crate::config::settings::{PausedUntil, QuietHours, Settings};
    use jiff::Zoned;

    fn at(time: &str) -> Zoned {
        format!("2026-11-25T{time}:00+01:00[Europe/Berlin]").parse().unwrap()
    }

    fn ms(time: &str) -> Option<u64> {
        at(time).timestamp().as_millisecond().try_into().ok()
    }

    #[test]
    fn a_pause_lasts_until_its_time_or_until_a_person_ends_it() {
        let until = |until| Settings { paused_until: Some(until), ..Settings::default() };
        let hour = until(PausedUntil::At(at("13:00").timestamp()));
        let held = |until| Some(Hold { reason: HoldReason::Paused, until });
        assert_eq!(check(&hour, &at("12:59"), false), held(ms("13:00")));
        assert_eq!(check(&hour, &at("13:00"), false), None);
        for open in [PausedUntil::TurnedOn, PausedUntil::Restart] {
            assert_eq!(check(&until(open), &at("12:00"), true), held(None));
        }
    }

    #[test]
    fn quiet_hours_may_span_midnight_and_end_at_local_time() {
        let quiet = |from: &str, to: &str| Settings {
            quiet_hours: Some(QuietHours { from: from.parse().unwrap(), to: to.parse().unwrap() }),
            ..Settings::default()
        };
        let night = quiet("22:00", "07:00");
        let until = |time| check(&night, &at(time), false).map(|held| held.until);
        assert_eq!(until("21:59"), None);
        assert_eq!(until("06:00"), Some(ms("07:00")));
        assert_eq!(until("07:00"), None);
        let tomorrow = ms("07:00").map(|ms| ms + 24 * 3_600_000);
        assert_eq!(until("22:00"), Some(tomorrow));
        let noon = quiet("12:00", "13:00");
        assert!(check(&noon, &at("12:30"), false).is_some());
        assert!(check(&noon, &at("13:30"), false).is_none());
    }

    #[test]
    fn nothing_is_published_on_battery() {
        let held = check(&Settings::default(), &at("12:00"), true);
        assert_eq!(held, Some(Hold { reason: HoldReason::OnBattery, until: None }));
        assert_eq!(check(&Settings::default(), &at("12:00"), false), None);
    }
}
