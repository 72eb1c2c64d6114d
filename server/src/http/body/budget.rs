//! Limits the bytes of request bodies that the server holds at once, in total and per key.
//!
//! A body takes from the budget as it grows, and gives back when the last copy of it is dropped.

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// The budget of all request bodies.
pub(crate) struct Budget {
    all: usize,
    share: usize,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    all: usize,
    /// Bytes by key id; a key that holds nothing has no entry.
    keys: HashMap<String, usize>,
}

/// The part of the budget that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exceeded {
    /// All keys together hold the whole budget.
    Server,
    /// This key holds its share.
    Key,
}

impl Budget {
    /// A budget of `all` bytes, of which one key may hold `share`.
    #[must_use]
    pub(crate) fn new(all: usize, share: usize) -> Arc<Self> {
        Arc::new(Self { all, share: share.min(all), used: Mutex::default() })
    }

    /// An empty reservation for a body of this key.
    #[must_use]
    pub(crate) fn reserve(self: &Arc<Self>, key: &str) -> Reservation {
        Reservation { budget: Arc::clone(self), key: key.to_owned(), bytes: 0 }
    }

    /// Bytes that one key may hold, which is also the largest possible body.
    #[must_use]
    pub(crate) fn share(&self) -> usize {
        self.share
    }
}

/// The bytes that one body has taken from the budget; dropping it gives them back.
pub(crate) struct Reservation {
    budget: Arc<Budget>,
    key: String,
    bytes: usize,
}

impl Reservation {
    /// Checks that this many more bytes would fit now, without taking them.
    ///
    /// # Errors
    /// [`Exceeded`] if they would not.
    pub(crate) fn has_room(&self, more: usize) -> Result<(), Exceeded> {
        self.budget.fits(&self.budget.used.lock(), &self.key, more)
    }

    /// Takes this many more bytes.
    ///
    /// # Errors
    /// [`Exceeded`] if they do not fit; then nothing is taken.
    pub(crate) fn grow(&mut self, more: usize) -> Result<(), Exceeded> {
        let mut used = self.budget.used.lock();
        self.budget.fits(&used, &self.key, more)?;
        used.all += more;
        match used.keys.get_mut(&self.key) {
            Some(of_key) => *of_key += more,
            None => drop(used.keys.insert(self.key.clone(), more)),
        }
        self.bytes += more;
        Ok(())
    }

    /// Ties the reservation to the bytes: it ends when the last copy of them is dropped.
    #[must_use]
    pub(crate) fn attach(self, bytes: BytesMut) -> Bytes {
        if bytes.is_empty() {
            return Bytes::new();
        }
        Bytes::from_owner(Charged { bytes, _reserved: self })
    }
}

impl Budget {
    fn fits(&self, used: &Used, key: &str, more: usize) -> Result<(), Exceeded> {
        let of_key = used.keys.get(key).copied().unwrap_or(0);
        if of_key.saturating_add(more) > self.share {
            return Err(Exceeded::Key);
        }
        if used.all.saturating_add(more) > self.all {
            return Err(Exceeded::Server);
        }
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut used = self.budget.used.lock();
        used.all = used.all.saturating_sub(self.bytes);
        if let Some(of_key) = used.keys.get_mut(&self.key) {
            *of_key = of_key.saturating_sub(self.bytes);
            if *of_key == 0 {
                used.keys.remove(&self.key);
            }
        }
    }
}

struct Charged {
    bytes: BytesMut,
    _reserved: Reservation,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Exceeded};
    use bytes::BytesMut;

    #[test]
    fn one_key_is_limited_to_its_share_all_to_the_budget_and_dropped_bytes_are_free_again() {
        let budget = Budget::new(100, 40);
        let mut ann = budget.reserve("ann");
        ann.grow(30).unwrap();
        assert_eq!(ann.grow(11), Err(Exceeded::Key));
        assert_eq!(budget.reserve("ann").has_room(11), Err(Exceeded::Key));
        let mut others = [budget.reserve("tom"), budget.reserve("eve")];
        for other in &mut others {
            other.grow(30).unwrap();
        }
        let mut mia = budget.reserve("mia");
        assert_eq!(mia.grow(11), Err(Exceeded::Server));
        mia.grow(10).unwrap();
        let bytes = ann.attach(BytesMut::from(&[0; 30][..]));
        let copy = bytes.clone();
        drop(bytes);
        assert_eq!(mia.grow(1), Err(Exceeded::Server), "a copy is still there");
        drop(copy);
        mia.grow(30).unwrap();
        drop((mia, others));
        let used = budget.used.lock();
        assert!(used.all == 0 && used.keys.is_empty());
    }
}
