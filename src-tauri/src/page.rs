//! The places of the window, as the rest of the program names them.

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

    fn name(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Models => "models",
            Self::Connection => "connection",
            Self::Activity => "activity",
        }
    }
}

/// A page, or one model of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) struct Place {
    /// The page.
    pub page: Page,
    /// The name of the model whose own page is meant.
    pub model: Option<String>,
}

impl From<Page> for Place {
    fn from(page: Page) -> Self {
        Self { page, model: None }
    }
}

impl Place {
    /// The page of this model.
    pub(crate) fn of_model(name: String) -> Self {
        Self { page: Page::Models, model: Some(name) }
    }

    /// As it stands on a command line and in a file: `models`, or `models/qwen3-8b`.
    pub(crate) fn text(&self) -> String {
        match &self.model {
            Some(model) => format!("{}/{model}", self.page.name()),
            None => self.page.name().to_owned(),
        }
    }

    /// The place of this text.
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        let (page, model) = match text.split_once('/') {
            Some((page, model)) => (page, Some(model.to_owned())),
            None => (text, None),
        };
        let page = Page::ALL.into_iter().find(|known| known.name() == page)?;
        Some(Self { page, model })
    }
}

#[cfg(test)]
mod tests {
    use super::{Page, Place};

    #[test]
    fn a_place_is_found_again_by_its_text() {
        let models = Page::ALL.map(Place::from).into_iter();
        for place in models.chain([Place::of_model("mia/llama3.2:1b".into())]) {
            assert_eq!(Place::of_text(&place.text()), Some(place));
        }
        assert_eq!(Place::of_text("elsewhere/x"), None);
    }
}
