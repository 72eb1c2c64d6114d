//! Power source of this machine.

use crate::limits::POWER_EVERY;
use starship_battery::{Manager, State};
use tokio::time::Instant;

/// Reads the state of the batteries, at most once in [`POWER_EVERY`].
#[derive(Debug, Default)]
pub(crate) struct Power {
    last: Option<(Instant, bool)>,
}

impl Power {
    /// True while a battery of this machine is discharging.
    pub(crate) fn on_battery(&mut self) -> bool {
        if let Some((at, on_battery)) = self.last
            && at.elapsed() < POWER_EVERY
        {
            return on_battery;
        }
        let on_battery = is_discharging();
        self.last = Some((Instant::now(), on_battery));
        on_battery
    }
}

/// False if the state of the batteries cannot be read.
fn is_discharging() -> bool {
    let Ok(batteries) = Manager::new().and_then(|manager| manager.batteries()) else {
        return false;
    };
    batteries.flatten().any(|battery| battery.state() == State::Discharging)
}
