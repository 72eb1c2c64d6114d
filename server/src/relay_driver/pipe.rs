//! A bounded pipe for the body of one response, between the publisher's upload and its caller.
//!
//! At most [`wire::limits::ANSWER_BUFFER`] bytes wait in it: if the caller does not read, the
//! writer waits, and with it the upload, the publisher and the backend. An end without
//! [`Writer::finish`] is a broken response.

use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Writes that may wait; small ones reach this limit before the one in bytes.
const WRITES: usize = 64;

enum Item {
    Data(Bytes, OwnedSemaphorePermit),
    End,
}

/// The upload's end of the pipe.
pub(crate) struct Writer {
    items: mpsc::Sender<Item>,
    room: Arc<Semaphore>,
}

/// The caller's end of the pipe.
pub(crate) struct Reader {
    items: mpsc::Receiver<Item>,
}

/// Result of a read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Bytes of the response.
    Data(Bytes),
    /// The response is complete.
    End,
    /// The writer was dropped before the end.
    Broken,
}

/// The reader was dropped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReaderGone;

/// Makes a pipe.
#[must_use]
pub(crate) fn pipe() -> (Writer, Reader) {
    let (sender, receiver) = mpsc::channel(WRITES);
    let room = Arc::new(Semaphore::new(wire::limits::ANSWER_BUFFER));
    (Writer { items: sender, room }, Reader { items: receiver })
}

impl Writer {
    /// Waits for room and writes the bytes.
    ///
    /// # Errors
    /// [`ReaderGone`] if the reader was dropped.
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

    /// Marks the response as complete.
    ///
    /// # Errors
    /// [`ReaderGone`] if the reader was dropped.
    pub(crate) async fn finish(&self) -> Result<(), ReaderGone> {
        self.items.send(Item::End).await.map_err(|_| ReaderGone)
    }
}

impl Reader {
    /// Reads the next bytes. Nothing follows after `End` and `Broken`.
    pub(crate) async fn read(&mut self) -> Read {
        match self.items.recv().await {
            Some(Item::Data(bytes, _frees_room)) => Read::Data(bytes),
            Some(Item::End) => Read::End,
            None => Read::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Read, ReaderGone, pipe};
    use bytes::Bytes;
    use std::time::Duration;
    use tokio::time::timeout;

    const KIB: usize = 1024;

    #[tokio::test(start_paused = true)]
    async fn a_writer_waits_while_256_kib_are_unread() {
        let (writer, mut reader) = pipe();
        let piece = Bytes::from(vec![b'x'; 64 * KIB]);
        for _ in 0..4 {
            writer.write(piece.clone()).await.unwrap();
        }
        let full = timeout(Duration::from_secs(3600), writer.write(piece.clone())).await;
        assert!(full.is_err(), "the fifth 64 KiB must wait");
        assert_eq!(reader.read().await, Read::Data(piece.clone()));
        writer.write(piece).await.unwrap();
    }

    #[tokio::test]
    async fn only_a_finished_response_is_complete_and_a_dropped_reader_is_noticed() {
        let (writer, mut reader) = pipe();
        writer.write(Bytes::from_static(b"a")).await.unwrap();
        drop(writer);
        assert_eq!(reader.read().await, Read::Data(Bytes::from_static(b"a")));
        assert_eq!(reader.read().await, Read::Broken);

        let (writer, mut reader) = pipe();
        writer.finish().await.unwrap();
        assert_eq!(reader.read().await, Read::End);

        let (writer, reader) = pipe();
        drop(reader);
        assert_eq!(writer.write(Bytes::from_static(b"a")).await, Err(ReaderGone));
    }
}
