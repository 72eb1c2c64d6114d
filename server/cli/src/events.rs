//! The events of a streamed answer, line by line, with a limit per line. Pure.

/// The longest line that is followed.
const LINE: usize = 1024 * 1024;

/// One line that matters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The payload of a `data:` field; answers of models put each on one line.
    Data(String),
    /// What follows a colon: how long one will still wait, say.
    Comment(String),
}

/// The reader.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Takes bytes as they came and gives the lines that they complete; `None` when one is too
    /// long to be followed.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Option<Vec<Line>> {
        let mut found = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' => found.extend(line(&std::mem::take(&mut self.rest))),
                b'\r' => {}
                _ => self.rest.push(*byte),
            }
        }
        (self.rest.len() <= LINE).then_some(found)
    }
}

fn line(bytes: &[u8]) -> Option<Line> {
    let text = String::from_utf8_lossy(bytes);
    let value = |rest: &str| rest.strip_prefix(' ').unwrap_or(rest).to_owned();
    if let Some(rest) = text.strip_prefix("data:") {
        return Some(Line::Data(value(rest)));
    }
    text.strip_prefix(':').map(|rest| Line::Comment(value(rest)))
}

#[cfg(test)]
mod tests {
    use super::{Line, Lines};

    #[test]
    fn lines_are_found_wherever_the_bytes_were_cut() {
        let stream = ": waking 3s\r\n\r\ndata: {\"a\":1}\n\ndata:[DONE]\nevent: x\n".as_bytes();
        let expected = [
            Line::Comment("waking 3s".into()),
            Line::Data("{\"a\":1}".into()),
            Line::Data("[DONE]".into()),
        ];
        for at in 0..=stream.len() {
            let mut lines = Lines::default();
            let mut found = lines.feed(&stream[..at]).unwrap();
            found.extend(lines.feed(&stream[at..]).unwrap());
            assert_eq!(found, expected, "cut at {at}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_given_up() {
        let mut lines = Lines::default();
        assert_eq!(lines.feed(&vec![b'x'; super::LINE + 1]), None);
    }
}
