//! The control channel: an event stream, or long polling where a proxy holds a stream's bytes back.
//! One task reads, the driver gets signals through a bounded queue.

use crate::limits::{self, Times};
use crate::mcpd_client::{Fault, McpdClient, SessionRef};
use crate::reconnect_policy::Ending;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use wire::limits::{SSE_EVENT, SSE_LINE};
use wire::sse::{Decoded, Decoder, Event, TooLong};

/// What the channel tells.
#[derive(Debug)]
pub(crate) enum Signal {
    /// The server has accepted the stream. A protocol-2 server says `hello` next.
    Open,
    /// An event.
    Event(Event),
    /// An event was too long and is left out.
    LeftOut(TooLong),
    /// No `hello`: a proxy keeps the bytes.
    Buffered,
    /// It is over.
    Ended(Ending),
}

/// How events travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One response that never ends.
    Stream,
    /// One request after the other.
    Poll,
}

/// An open channel; dropping it closes the connection.
pub(crate) struct Channel {
    signals: mpsc::Receiver<Signal>,
    _reader: AbortOnDropHandle<()>,
}

impl Channel {
    /// Opens a channel for this session.
    pub(crate) fn open(mcpd: McpdClient, session: SessionRef, mode: Mode, times: Times) -> Self {
        let (sender, signals) = mpsc::channel(limits::EVENTS);
        let reader = tokio::spawn(async move {
            let reader = Reader { mcpd, session, times, sender };
            let last = match mode {
                Mode::Stream => reader.stream().await,
                Mode::Poll => reader.poll().await,
            };
            // The driver may be gone: then nobody needs to know.
            let _ = reader.sender.send(last).await;
        });
        Self { signals, _reader: AbortOnDropHandle::new(reader) }
    }

    /// The next signal; the last one is [`Signal::Buffered`] or [`Signal::Ended`].
    pub(crate) async fn next(&mut self) -> Signal {
        let ended = || Signal::Ended(Ending::Lost("the control channel ended".into()));
        self.signals.recv().await.unwrap_or_else(ended)
    }

    /// The next signal, if it is there already.
    pub(crate) fn waiting(&mut self) -> Option<Signal> {
        self.signals.try_recv().ok()
    }
}

struct Reader {
    mcpd: McpdClient,
    session: SessionRef,
    times: Times,
    sender: mpsc::Sender<Signal>,
}

impl Reader {
    async fn stream(&self) -> Signal {
        match timeout(self.times.hello, self.mcpd.stream(&self.session)).await {
            Err(_) => Signal::Buffered,
            Ok(Err(fault)) => Signal::Ended(Ending::Fault(fault)),
            Ok(Ok(response)) => {
                let _ = self.sender.send(Signal::Open).await;
                self.read(response).await
            }
        }
    }

    async fn read(&self, mut response: reqwest::Response) -> Signal {
        let mut decoder = Decoder::new(SSE_LINE, SSE_EVENT);
        let mut events = Vec::<Decoded>::new();
        let mut heard = self.session.epoch.is_none();
        loop {
            let wait = if heard { self.times.silence } else { self.times.hello };
            let bytes = match timeout(wait, response.chunk()).await {
                Err(_) if !heard => return Signal::Buffered,
                Err(_) => return lost(format!("the server was silent for {}", seconds(wait))),
                Ok(Err(_)) => return lost("the connection to the server broke".into()),
                Ok(Ok(None)) => return lost("the server closed the control channel".into()),
                Ok(Ok(Some(bytes))) => bytes,
            };
            decoder.feed(&bytes, &mut events);
            for decoded in events.drain(..) {
                heard = true;
                if !self.tell(decoded).await {
                    return lost("nobody listens".into());
                }
            }
        }
    }

    async fn poll(&self) -> Signal {
        let _ = self.sender.send(Signal::Open).await;
        loop {
            match self.mcpd.poll(&self.session).await {
                Err(fault) => return Signal::Ended(Ending::Fault(fault)),
                Ok(events) => {
                    for decoded in events {
                        if !self.tell(decoded).await {
                            return lost("nobody listens".into());
                        }
                    }
                }
            }
        }
    }

    /// False when nobody listens.
    async fn tell(&self, decoded: Decoded) -> bool {
        let signal = decoded.map_or_else(Signal::LeftOut, Signal::Event);
        self.sender.send(signal).await.is_ok()
    }
}

fn lost(why: String) -> Signal {
    Signal::Ended(Ending::Lost(why))
}

fn seconds(wait: Duration) -> String {
    format!("{} s", wait.as_secs_f64().round())
}

/// A fault without a delay of its own.
impl From<Fault> for Ending {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
