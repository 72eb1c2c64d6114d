//! Pages of the window that the tray, a notification or a second start can open.

use serde::Serialize;

/// A page that can be opened from outside of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(export))]
pub(crate) enum Page {
    /// State, publish switch and running requests.
    Overview,
    /// The list of models.
    Models,
    /// Server and token.
    Connection,
    /// Requests that ended.
    Activity,
}

impl Page {
    /// All of them. A notification's number is its page's index in here.
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

/// A page, or the page of one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) struct Route {
    /// The page.
    pub page: Page,
    /// The name of the model to open on that page.
    pub model: Option<String>,
}

impl From<Page> for Route {
    fn from(page: Page) -> Self {
        Self { page, model: None }
    }
}

impl Route {
    /// The page of this model.
    pub(crate) fn to_model(name: String) -> Self {
        Self { page: Page::Models, model: Some(name) }
    }

    /// Formats the route for a command line or a file: `models`, or `models/qwen3-8b`.
    pub(crate) fn text(&self) -> String {
        match &self.model {
            Some(model) => format!("{}/{model}", self.page.name()),
            None => self.page.name().to_owned(),
        }
    }

    /// Parses what [`Route::text`] returns.
    pub(crate) fn parse(text: &str) -> Option<Self> {
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
    use super::{Page, Route};

    #[test]
    fn a_route_is_parsed_back_from_its_text() {
        let pages = Page::ALL.map(Route::from).into_iter();
        for route in pages.chain([Route::to_model("mia/llama3.2:1b".into())]) {
            assert_eq!(Route::parse(&route.text()), Some(route));
        }
        assert_eq!(Route::parse("elsewhere/x"), None);
    }
}
