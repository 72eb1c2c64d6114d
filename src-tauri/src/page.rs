//! The pages of the window, as the rest of the program names them.

use serde::Serialize;

/// The pages that something outside of the window can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(export))]
pub(crate) enum Page {
    /// How things are.
    Overview,
    /// The list of models.
    Models,
    /// Server and token.
    Connection,
    /// Who used the models.
    Activity,
}

impl Page {
    /// All of them.
    pub(crate) const ALL: [Self; 4] =
        [Self::Overview, Self::Models, Self::Connection, Self::Activity];

    /// As it stands on a command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Models => "models",
            Self::Connection => "connection",
            Self::Activity => "activity",
        }
    }

    /// The page of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|page| page.name() == name)
    }
}
