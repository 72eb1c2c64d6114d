//! Finds the boundary of a form in bytes that arrive in pieces (Knuth, Morris and Pratt).

use memchr::memchr;

/// A search for `--` and the boundary.
#[derive(Debug)]
pub(super) struct BoundarySearch {
    line: Vec<u8>,
    /// For each length of a match, minus one: the length of the next shorter one at its end.
    shorter: Vec<usize>,
    /// Bytes of `line` that the last bytes match.
    matched: usize,
    /// The two bytes before the next match.
    before: [u8; 2],
    follows_line_break: bool,
}

/// A boundary that was found.
pub(super) struct Found {
    /// The number of bytes up to its end.
    pub(super) end: usize,
    /// It follows a line break.
    pub(super) follows_line_break: bool,
}

impl BoundarySearch {
    pub(super) fn new(line: String) -> Self {
        let line = line.into_bytes();
        let mut shorter = vec![0; line.len()];
        for at in 1..line.len() {
            let mut length = shorter[at - 1];
            while length > 0 && line[at] != line[length] {
                length = shorter[length - 1];
            }
            shorter[at] = length + usize::from(line[at] == line[length]);
        }
        Self { line, shorter, matched: 0, before: [0; 2], follows_line_break: false }
    }

    /// `--` and the boundary.
    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }

    /// Begins at the content of a part. The line break before it is not the boundary's.
    pub(super) fn begin(&mut self) {
        self.matched = 0;
        self.before = [0; 2];
    }

    /// Reads up to the end of the next boundary.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Option<Found> {
        let mut at = 0;
        while at < bytes.len() {
            if self.matched == 0 {
                let skipped = memchr(self.line[0], &bytes[at..]).unwrap_or(bytes.len() - at);
                for byte in &bytes[at + skipped.saturating_sub(2)..at + skipped] {
                    self.before = [self.before[1], *byte];
                }
                at += skipped;
                self.follows_line_break = self.before == *b"\r\n";
            }
            let Some(byte) = bytes.get(at) else { break };
            at += 1;
            while self.matched > 0 && *byte != self.line[self.matched] {
                self.matched = self.shorter[self.matched - 1];
                // The shorter match begins behind bytes of the boundary, which are no line break.
                self.follows_line_break = false;
            }
            if *byte == self.line[self.matched] {
                self.matched += 1;
            } else {
                self.before = [0, *byte];
            }
            if self.matched == self.line.len() {
                self.matched = 0;
                return Some(Found { end: at, follows_line_break: self.follows_line_break });
            }
        }
        None
    }
}
