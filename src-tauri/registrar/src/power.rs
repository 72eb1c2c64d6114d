//! Whether this machine runs on battery.

use crate::limits::POWER_EVERY;
use starship_battery::{Manager, State};
use tokio::time::Instant;

/// Looks at the batteries, and not more often than they change.
#[derive(Debug, Default)]
pub(crate) struct Power {
    seen: Option<(Instant, bool)>,
}

impl Power {
    /// True while the machine has a battery that is being emptied.
    pub(crate) fn on_battery(&mut self) -> bool {
        if let Some((at, seen)) = self.seen
            && at.elapsed() < POWER_EVERY
        {
            return seen;
        }
        let now = is_discharging();
        self.seen = Some((Instant::now(), now));
        now
    }
}

/// A machine that cannot say is taken for one that is plugged in.
fn is_discharging() -> bool {
    let Ok(batteries) = Manager::new().and_then(|manager| manager.batteries()) else {
        return false;
    };
    batteries.flatten().any(|battery| battery.state() == State::Discharging)
}
