//! Checks that bytes which arrive in pieces are UTF-8.

/// The state of the check: a character that the last piece has cut.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    cut: [u8; 4],
    len: usize,
}

impl Utf8 {
    /// False if the bytes so far cannot become UTF-8.
    pub(super) fn feed(&mut self, piece: &[u8]) -> bool {
        let mut rest = piece;
        while self.len > 0 {
            let Some((byte, after)) = rest.split_first() else { return true };
            self.cut[self.len] = *byte;
            self.len += 1;
            rest = after;
            match std::str::from_utf8(&self.cut[..self.len]) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return false,
            }
        }
        match std::str::from_utf8(rest) {
            Ok(_) => true,
            Err(error) if error.error_len().is_some() => false,
            Err(error) => {
                let cut = &rest[error.valid_up_to()..];
                self.cut[..cut.len()].copy_from_slice(cut);
                self.len = cut.len();
                true
            }
        }
    }
}
