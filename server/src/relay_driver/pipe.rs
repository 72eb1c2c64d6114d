//! A bounded pipe for one answer's bytes, between the publisher's upload and its caller.
//!
//! At most [`wire::limits::ANSWER_BUFFER`] bytes wait in it: when the caller does not read, the
//! writer waits, and with it the upload, the publisher and the backend. An end that was not
//! announced with [`Writer::finish`] is a broken answer.

use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Pieces that may wait; small ones reach this bound before the one in bytes.
const PIECES: usize = 64;

enum Item {
    Data(Bytes, OwnedSemaphorePermit),
    End,
}

/// The upload's end.
pub(crate) struct Writer {
    items: mpsc::Sender<Item>,
    room: Arc<Semaphore>,
}

/// The caller's end.
pub(crate) struct Reader {
    items: mpsc::Receiver<Item>,
}

/// What the reader got.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Bytes of the answer.
    Data(Bytes),
    /// The answer is complete.
    End,
    /// The writer left without finishing.
    Broken,
}

/// The reader is gone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReaderGone;

/// A new pipe.
#[must_use]
pub(crate) fn pipe() -> (Writer, Reader) {
    let (sender, receiver) = mpsc::channel(PIECES);
    let room = Arc::new(Semaphore::new(wire::limits::ANSWER_BUFFER));
    (Writer { items: sender, room }, Reader { items: receiver })
}

impl Writer {
    /// Waits for room and puts the bytes in.
    ///
    /// # Errors
    /// [`ReaderGone`].
    pub(crate) async fn write(&self, mut bytes: Bytes) -> Result<(), ReaderGone> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(wire::limits::ANSWER_BUFFER));
            let size = u32::try_from(piece.len()).unwrap_or(u32::MAX);
            let room = Arc::clone(&self.room);
            let permit = tokio::select! {
                permit = room.acquire_many_owned(size) => permit.map_err(|_| ReaderGone)?,
                () = self.items.closed() => return Err(ReaderGone),
            };
            self.items.send(Item::Data(piece, permit)).await.map_err(|_| ReaderGone)?;
        }
        Ok(())
    }

    /// Announces that the answer is complete.
    ///
    /// # Errors
    /// [`ReaderGone`].
    pub(crate) async fn finish(&self) -> Result<(), ReaderGone> {
        self.items.send(Item::End).await.map_err(|_| ReaderGone)
    }
}

impl Reader {
    /// The next piece. After `End` and `Broken` nothing follows.
    pub(crate) async fn read(&mut self) -> Piece {
        match self.items.recv().await {
            Some(Item::Data(bytes, _room_again)) => Piece::Data(bytes),
            Some(Item::End) => Piece::End,
            None => Piece::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Piece, ReaderGone, pipe};
    use bytes::Bytes;
    use std::time::Duration;
    use tokio::time::timeout;

    const KIB: usize = 1024;

    #[tokio::test(start_paused = true)]
    async fn a_writer_waits_when_256_kib_are_unread_and_goes_on_when_they_are_read() {
        let (writer, mut reader) = pipe();
        let piece = Bytes::from(vec![b'x'; 64 * KIB]);
        for _ in 0..4 {
            writer.write(piece.clone()).await.unwrap();
        }
        let full = timeout(Duration::from_secs(3600), writer.write(piece.clone())).await;
        assert!(full.is_err(), "the fifth 64 KiB must wait");
        assert_eq!(reader.read().await, Piece::Data(piece.clone()));
        writer.write(piece).await.unwrap();
    }

    #[tokio::test]
    async fn only_an_announced_end_is_complete_and_a_gone_reader_is_noticed() {
        let (writer, mut reader) = pipe();
        writer.write(Bytes::from_static(b"a")).await.unwrap();
        drop(writer);
        assert_eq!(reader.read().await, Piece::Data(Bytes::from_static(b"a")));
        assert_eq!(reader.read().await, Piece::Broken);

        let (writer, mut reader) = pipe();
        writer.finish().await.unwrap();
        assert_eq!(reader.read().await, Piece::End);

        let (writer, reader) = pipe();
        drop(reader);
        assert_eq!(writer.write(Bytes::from_static(b"a")).await, Err(ReaderGone));
    }
}
