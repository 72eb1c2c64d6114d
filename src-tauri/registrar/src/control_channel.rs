//! The control channel: one task reads events, by an event stream or by long polling, and the driver
//! gets signals through a bounded queue.

mod event_stream;
mod long_poll;

use crate::limits::{self, Times};
use crate::mcpd_client::{McpdClient, SessionRef};
use crate::reconnect_policy::Ending;
use crate::transport::ChannelMode;
use std::net::SocketAddr;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use wire::sse::{Decoded, Event, TooLong};

/// A message of the channel to the driver.
#[derive(Debug)]
pub(crate) enum Signal {
    /// The server has accepted the channel, from this address. A protocol-2 server sends `hello` next.
    Open(Option<SocketAddr>),
    /// An event.
    Event(Event),
    /// An event was too long and was skipped.
    TooLong(TooLong),
    /// `hello` did not arrive: a proxy holds the bytes back.
    HeldBack,
    /// The channel has ended.
    Ended(Ending),
}

/// An open channel; dropping it closes the connection.
pub(crate) struct ControlChannel {
    signals: mpsc::Receiver<Signal>,
    _reader: AbortOnDropHandle<()>,
}

impl ControlChannel {
    /// Opens a channel for this session.
    pub(crate) fn open(
        mcpd: McpdClient,
        session: SessionRef,
        mode: ChannelMode,
        times: Times,
    ) -> Self {
        let (sender, signals) = mpsc::channel(limits::EVENTS);
        let reader = Reader { mcpd, session, times, sender };
        let reader = tokio::spawn(async move {
            let end = match mode {
                ChannelMode::Stream => event_stream::read(&reader).await,
                ChannelMode::Poll => long_poll::read(&reader).await,
            };
            // Fails only if the driver has dropped the channel.
            let _ = reader.sender.send(end).await;
        });
        Self { signals, _reader: AbortOnDropHandle::new(reader) }
    }

    /// Waits for the next signal; the last one is [`Signal::HeldBack`] or [`Signal::Ended`].
    pub(crate) async fn next(&mut self) -> Signal {
        self.signals.recv().await.unwrap_or_else(|| ended("the control channel ended"))
    }

    /// The next signal if it has already arrived.
    pub(crate) fn try_next(&mut self) -> Option<Signal> {
        self.signals.try_recv().ok()
    }
}

/// The reading end; `event_stream` and `long_poll` return the last signal.
struct Reader {
    mcpd: McpdClient,
    session: SessionRef,
    times: Times,
    sender: mpsc::Sender<Signal>,
}

impl Reader {
    async fn report_open(&self, peer: Option<SocketAddr>) {
        let _ = self.sender.send(Signal::Open(peer)).await;
    }

    /// Passes an event on.
    ///
    /// # Errors
    /// The driver has dropped the channel; the last signal.
    async fn report(&self, decoded: Decoded) -> Result<(), Signal> {
        let signal = decoded.map_or_else(Signal::TooLong, Signal::Event);
        self.sender.send(signal).await.map_err(|_| ended("the control channel was dropped"))
    }
}

fn ended(cause: impl Into<String>) -> Signal {
    Signal::Ended(Ending::Lost(cause.into()))
}
