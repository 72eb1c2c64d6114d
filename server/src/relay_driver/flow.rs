//! Flow control of one answer: decides which bytes of a data frame are new, and when the publisher may
//! send more. Pure.

use bytes::{Buf as _, Bytes};
use wire::limits::WINDOW;

/// The rule that a frame breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Bytes before these are missing.
    #[error("bytes are missing before an offset")]
    Gap,
    /// The publisher may not send that much before more is taken.
    #[error("more bytes are sent than the window allows")]
    Window,
    /// The body does not have the announced length.
    #[error("the body does not have the announced length")]
    Length,
    /// A frame stands where its kind is not allowed.
    #[error("a frame stands where its kind is not allowed")]
    Order,
    /// The payload is not as the kind requires.
    #[error("a payload is not usable")]
    Payload,
}

/// The report to the publisher about an answer's progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Bytes of the body that the caller's side has taken.
    pub offset: u64,
    /// Bytes that may be sent beyond that.
    pub window: u64,
}

/// Progress of one answer's body, in bytes.
#[derive(Debug)]
pub struct Flow {
    /// The whole length, if it was announced.
    length: Option<u64>,
    received: u64,
    taken: u64,
    /// The offset in the last report to the publisher.
    told: u64,
    window: u64,
    /// The most bytes that all reports so far allow it to send.
    most: u64,
}

impl Default for Flow {
    fn default() -> Self {
        Self { length: None, received: 0, taken: 0, told: 0, window: WINDOW, most: WINDOW }
    }
}

impl Flow {
    /// Sets the announced length of the body.
    pub fn announce(&mut self, length: Option<u64>) {
        self.length = length;
    }

    /// Bytes that have arrived.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes the bytes of a data frame, and returns those that are new: after a lost connection a
    /// publisher sends some again.
    ///
    /// # Errors
    /// [`Violation`]: nothing is taken.
    pub fn receive(&mut self, offset: u64, mut bytes: Bytes) -> Result<Bytes, Violation> {
        let known = self.received.checked_sub(offset).ok_or(Violation::Gap)?;
        let known = usize::try_from(known).unwrap_or(usize::MAX).min(bytes.len());
        bytes.advance(known);
        let received = self.received + bytes.len() as u64;
        if received > self.most {
            return Err(Violation::Window);
        }
        if self.length.is_some_and(|length| received > length) {
            return Err(Violation::Length);
        }
        self.received = received;
        Ok(bytes)
    }

    /// Checks that the body may end here.
    ///
    /// # Errors
    /// [`Violation::Length`] before the announced length.
    pub fn end(&self) -> Result<(), Violation> {
        let is_whole = self.length.is_none_or(|length| length == self.received);
        is_whole.then_some(()).ok_or(Violation::Length)
    }

    /// Bytes that may still arrive before the next report to the publisher.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.most - self.received
    }

    /// Records that the caller's side has taken bytes. Returns the report that is due now.
    pub fn take(&mut self, bytes: usize) -> Option<Taken> {
        self.taken += bytes as u64;
        (self.taken - self.told >= self.window / 4).then(|| self.tell())
    }

    /// A report on the present state, also for a publisher that may have missed the last one.
    pub fn tell(&mut self) -> Taken {
        self.told = self.taken;
        self.most = self.most.max(self.taken + self.window);
        Taken { offset: self.taken, window: self.window }
    }
}

#[cfg(test)]
mod tests {
    use super::{Flow, Taken, Violation};
    use bytes::Bytes;
    use wire::limits::WINDOW;

    fn zeros(length: u64) -> Bytes {
        vec![0; usize::try_from(length).unwrap()].into()
    }

    #[test]
    fn bytes_that_were_sent_again_are_cut_off_and_missing_ones_are_noticed() {
        let mut flow = Flow::default();
        assert_eq!(flow.receive(0, Bytes::from_static(b"hello")).unwrap(), "hello");
        assert_eq!(flow.receive(3, Bytes::from_static(b"lo, you")).unwrap(), ", you");
        assert_eq!(flow.receive(0, Bytes::from_static(b"hel")).unwrap(), "");
        assert_eq!(flow.receive(11, Bytes::from_static(b"!")), Err(Violation::Gap));
        assert_eq!(flow.receive(u64::MAX, Bytes::from_static(b"!")), Err(Violation::Gap));
        assert_eq!(flow.receive(10, Bytes::from_static(b"!")).unwrap(), "!");
        assert_eq!(flow.received(), 11);
    }

    #[test]
    fn no_more_than_the_window_arrives_before_more_is_taken() {
        let mut flow = Flow::default();
        flow.receive(0, zeros(WINDOW)).unwrap();
        assert_eq!(flow.receive(WINDOW, zeros(1)), Err(Violation::Window));
        let quarter = usize::try_from(WINDOW / 4).unwrap();
        assert_eq!((flow.take(quarter - 1), flow.room()), (None, 0));
        let told = Taken { offset: WINDOW / 4, window: WINDOW };
        assert_eq!(flow.take(1), Some(told));
        flow.receive(WINDOW, zeros(WINDOW / 4)).unwrap();
        assert_eq!(flow.room(), 0);
    }

    #[test]
    fn a_body_has_its_announced_length() {
        let mut flow = Flow::default();
        flow.announce(Some(3));
        assert_eq!(flow.receive(0, zeros(4)), Err(Violation::Length));
        flow.receive(0, zeros(2)).unwrap();
        assert_eq!(flow.end(), Err(Violation::Length));
        flow.receive(2, zeros(1)).unwrap();
        assert_eq!(flow.end(), Ok(()));
    }
}
