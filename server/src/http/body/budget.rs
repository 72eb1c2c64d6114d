//! How many bytes of request bodies the server holds at once: in all, and for one key.
//!
//! A body takes from the budget as it grows and gives back when its last byte is forgotten.

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// See the module's page.
pub(crate) struct Budget {
    all: usize,
    share: usize,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    all: usize,
    /// By the key's id; a key that holds nothing has no entry.
    keys: HashMap<String, usize>,
}

/// Whose part of the budget is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// All keys together hold too much.
    All,
    /// This key holds too much.
    Key,
}

impl Budget {
    /// So many bytes in all, and so many of them for one key.
    #[must_use]
    pub(crate) fn new(all: usize, share: usize) -> Arc<Self> {
        Arc::new(Self { all, share: share.min(all), used: Mutex::default() })
    }

    /// Nothing yet, for a body of this key.
    #[must_use]
    pub(crate) fn hold(self: &Arc<Self>, key: &str) -> Held {
        Held { budget: Arc::clone(self), key: key.to_owned(), bytes: 0 }
    }

    /// Bytes that one key may hold, and so the largest body.
    #[must_use]
    pub(crate) fn share(&self) -> usize {
        self.share
    }
}

/// What one body has taken from the budget. Dropping it gives that back.
pub(crate) struct Held {
    budget: Arc<Budget>,
    key: String,
    bytes: usize,
}

impl Held {
    /// Whether so many more bytes would fit now.
    ///
    /// # Errors
    /// [`Over`].
    pub(crate) fn has_room(&self, more: usize) -> Result<(), Over> {
        self.budget.fits(&self.budget.used.lock(), &self.key, more)
    }

    /// Takes so many more bytes.
    ///
    /// # Errors
    /// [`Over`]; then nothing is taken.
    pub(crate) fn grow(&mut self, more: usize) -> Result<(), Over> {
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

    /// The bytes, which give back what they have taken when the last copy of them is dropped.
    #[must_use]
    pub(crate) fn with(self, bytes: BytesMut) -> Bytes {
        if bytes.is_empty() {
            return Bytes::new();
        }
        Bytes::from_owner(Charged { bytes, _held: self })
    }
}

impl Budget {
    fn fits(&self, used: &Used, key: &str, more: usize) -> Result<(), Over> {
        let of_key = used.keys.get(key).copied().unwrap_or(0);
        if of_key.saturating_add(more) > self.share {
            return Err(Over::Key);
        }
        if used.all.saturating_add(more) > self.all {
            return Err(Over::All);
        }
        Ok(())
    }
}

impl Drop for Held {
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
    _held: Held,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Over};
    use bytes::BytesMut;

    #[test]
    fn a_key_has_its_share_and_all_have_the_whole_and_what_is_forgotten_comes_back() {
        let budget = Budget::new(100, 40);
        let mut ann = budget.hold("ann");
        ann.grow(30).unwrap();
        assert_eq!(ann.grow(11), Err(Over::Key));
        assert_eq!(budget.hold("ann").has_room(11), Err(Over::Key));
        let mut others = [budget.hold("tom"), budget.hold("eve")];
        for other in &mut others {
            other.grow(30).unwrap();
        }
        let mut mia = budget.hold("mia");
        assert_eq!(mia.grow(11), Err(Over::All));
        mia.grow(10).unwrap();
        let bytes = ann.with(BytesMut::from(&[0; 30][..]));
        let copy = bytes.clone();
        drop(bytes);
        assert_eq!(mia.grow(1), Err(Over::All), "a copy is still there");
        drop(copy);
        mia.grow(30).unwrap();
        drop((mia, others));
        let used = budget.used.lock();
        assert!(used.all == 0 && used.keys.is_empty());
    }
}
