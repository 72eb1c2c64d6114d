//! The channel through a proxy that holds a stream's bytes back: one request after the other.

use super::{Reader, Signal};
use crate::reconnect_policy::Ending;

pub(super) async fn read(reader: &Reader) -> Signal {
    reader.report_open(None).await;
    loop {
        let events = match reader.mcpd.poll(&reader.session).await {
            Ok(events) => events,
            Err(fault) => return Signal::Ended(Ending::Fault(fault)),
        };
        for decoded in events {
            if let Err(end) = reader.report(decoded).await {
                return end;
            }
        }
    }
}
