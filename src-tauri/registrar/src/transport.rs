//! Decides how one registration exchanges data with the server: pure, from what [`crate::driver`] has
//! found out about the server and the proxies on the way.
//!
//! Another transport is a variant of [`ChannelMode`] with a reader in [`crate::control_channel`], and
//! a variant of [`UploadMode`] with its requests in [`crate::uplink`].

/// How control events arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChannelMode {
    /// One response that never ends.
    Stream,
    /// One request after the other: a proxy holds the bytes of a stream back.
    Poll,
}

/// How the backends' responses are sent to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UploadMode {
    /// One request whose body stays open: an uplink.
    Stream,
    /// One request after the other: a proxy holds the bytes of an upload back until it ends.
    Batch,
    /// Results of protocol 1.
    Results,
}

/// The facts by which the modes are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transport {
    speaks_v2: bool,
    channel: ChannelMode,
    uploads_are_held_back: bool,
}

impl Transport {
    /// The modes of a new registration.
    pub(crate) fn new(speaks_v2: bool) -> Self {
        Self { speaks_v2, channel: ChannelMode::Stream, uploads_are_held_back: false }
    }

    /// How control events arrive.
    pub(crate) fn channel(self) -> ChannelMode {
        self.channel
    }

    /// How responses are sent.
    pub(crate) fn upload(self) -> UploadMode {
        match self {
            Self { speaks_v2: false, .. } => UploadMode::Results,
            // A proxy that holds the channel back is not trusted with uploads either.
            Self { channel: ChannelMode::Poll, .. } | Self { uploads_are_held_back: true, .. } => {
                UploadMode::Batch
            }
            Self { .. } => UploadMode::Stream,
        }
    }

    /// True if the server is online once it has accepted the channel: it sends no `hello`, or a poll
    /// is answered only if all is well.
    pub(crate) fn is_online_when_open(self) -> bool {
        !self.speaks_v2 || self.channel == ChannelMode::Poll
    }

    /// True if a probe must find out whether a proxy holds uploads back.
    pub(crate) fn needs_upload_probe(self) -> bool {
        self.speaks_v2 && self.channel == ChannelMode::Stream
    }

    /// True if the event stream should be tried again after a while.
    pub(crate) fn is_fallback(self) -> bool {
        self.channel == ChannelMode::Poll
    }

    /// Polls from now on: a proxy holds the event stream back.
    pub(crate) fn fall_back_to_polling(&mut self) {
        self.channel = ChannelMode::Poll;
    }

    /// Records the result of the upload probe.
    pub(crate) fn set_uploads_are_held_back(&mut self, held_back: bool) {
        self.uploads_are_held_back = held_back;
    }
}

impl ChannelMode {
    /// As `status.json` names it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Poll => "poll",
        }
    }
}

impl UploadMode {
    /// As `status.json` names it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "uplink",
            Self::Batch => "batches",
            Self::Results => "results",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ChannelMode, Transport, UploadMode};

    #[test]
    fn a_proxy_that_holds_bytes_back_gets_polls_and_batches() {
        let mut transport = Transport::new(true);
        assert_eq!(transport.upload(), UploadMode::Stream);
        transport.set_uploads_are_held_back(true);
        assert_eq!(transport.upload(), UploadMode::Batch);
        let mut transport = Transport::new(true);
        assert!(transport.needs_upload_probe() && !transport.is_online_when_open());
        transport.fall_back_to_polling();
        assert_eq!(
            (transport.channel(), transport.upload()),
            (ChannelMode::Poll, UploadMode::Batch)
        );
        assert!(!transport.needs_upload_probe() && transport.is_online_when_open());
    }

    #[test]
    fn a_protocol_1_server_gets_results_and_no_probe() {
        let mut transport = Transport::new(false);
        transport.set_uploads_are_held_back(true);
        assert_eq!(transport.upload(), UploadMode::Results);
        assert!(!transport.needs_upload_probe() && transport.is_online_when_open());
    }
}
