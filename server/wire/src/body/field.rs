//! The fields of a request body that the relay reads.

/// A field that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Model,
    Stream,
}

impl Field {
    /// The field that this key is, or that a decoder without regard to case would take it for.
    pub(super) fn like(key: &str) -> Option<Self> {
        let fields = [Self::Model, Self::Stream];
        fields.into_iter().find(|field| key.chars().map(fold).eq(field.name().chars()))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Stream => "stream",
        }
    }

    pub(super) fn wrong_type(self) -> String {
        match self {
            Self::Model => "`model` must be a string".into(),
            Self::Stream => "`stream` must be a boolean".into(),
        }
    }
}

/// Unicode's simple case folding, as far as it leads to a letter of ASCII.
fn fold(c: char) -> char {
    match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    }
}
