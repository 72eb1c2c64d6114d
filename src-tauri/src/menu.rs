//! The tray's menu as data: a pure function from the view. [`crate::tray`] paints it.

use crate::limits::{MENU_LINE_CHARS_MAX, MENU_MODELS_MAX};
use crate::view::{Mark, Model, View};

/// Picture, tooltip and lines of the tray.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Menu {
    /// The icon.
    pub mark: Mark,
    /// Shown while the pointer rests on the icon.
    pub tooltip: String,
    /// From top to bottom.
    pub items: Vec<Item>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// Says something; cannot be clicked.
    Words(String),
    /// The publish switch of a model.
    Switch {
        /// The model.
        name: String,
        /// Name and live state.
        label: String,
        /// Checked.
        on: bool,
    },
    /// Does something.
    Button {
        /// What it does.
        action: Action,
        /// What it says.
        label: String,
    },
    /// A line between groups.
    Separator,
}

impl Item {
    /// The identifier that the platform's menu carries; none for lines that do nothing.
    pub(crate) fn id(&self) -> Option<String> {
        match self {
            Self::Switch { name, .. } => Some(Action::Toggle(name.clone()).id()),
            Self::Button { action, .. } => Some(action.id()),
            Self::Words(_) | Self::Separator => None,
        }
    }
}

/// What a click asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Show the window.
    OpenSettings,
    /// Say goodbye and end.
    Quit,
    /// Flip the publish switch of this model.
    Toggle(String),
}

const OPEN: &str = "open";
const QUIT: &str = "quit";
const TOGGLE: &str = "publish:";

impl Action {
    /// The identifier that the platform's menu carries.
    pub(crate) fn id(&self) -> String {
        match self {
            Self::OpenSettings => OPEN.into(),
            Self::Quit => QUIT.into(),
            Self::Toggle(name) => format!("{TOGGLE}{name}"),
        }
    }

    /// The action behind an identifier; none for lines that do nothing.
    pub(crate) fn from_id(id: &str) -> Option<Self> {
        match id {
            OPEN => Some(Self::OpenSettings),
            QUIT => Some(Self::Quit),
            _ => id.strip_prefix(TOGGLE).map(|name| Self::Toggle(name.into())),
        }
    }
}

/// The menu that says what the view says.
pub(crate) fn menu(view: &View) -> Menu {
    let mut items = vec![Item::Words(line(&format!("{} {}", bullet(view.mark), view.headline)))];
    items.extend(view.notices.iter().map(|notice| Item::Words(line(notice))));
    items.push(Item::Separator);
    items.extend(model_items(&view.models));
    items.push(Item::Separator);
    items.push(button(Action::OpenSettings, "Open settings…"));
    items.push(button(Action::Quit, "Quit (stop publishing)"));
    Menu { mark: view.mark, tooltip: line(&format!("mcplocal: {}", view.headline)), items }
}

fn model_items(models: &[Model]) -> Vec<Item> {
    if models.is_empty() {
        return vec![Item::Words("No models in config.json yet".into())];
    }
    let mut items: Vec<Item> = models.iter().take(MENU_MODELS_MAX).map(switch).collect();
    if let Some(more) = models.len().checked_sub(MENU_MODELS_MAX).filter(|more| *more > 0) {
        items.push(button(Action::OpenSettings, &format!("{more} more…")));
    }
    items
}

fn switch(model: &Model) -> Item {
    let mut label = model.name.clone();
    if !model.state.is_empty() {
        label = format!("{label} — {}", model.state);
    }
    if let Some(trouble) = &model.trouble {
        label = format!("{label}: {trouble}");
    }
    Item::Switch { name: model.name.clone(), label: line(&label), on: model.publish }
}

fn button(action: Action, label: &str) -> Item {
    Item::Button { action, label: label.into() }
}

/// The icon's shape again, for those who read the menu and not the panel.
fn bullet(mark: Mark) -> char {
    match mark {
        Mark::Off => '○',
        Mark::Connecting => '◌',
        Mark::Online | Mark::Busy => '●',
        Mark::Partial => '◐',
        Mark::Error => '▲',
    }
}

/// One line of bounded length: a server's error text may have many and be long.
fn line(text: &str) -> String {
    let flat: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if flat.chars().count() <= MENU_LINE_CHARS_MAX {
        return flat;
    }
    let cut: String = flat.chars().take(MENU_LINE_CHARS_MAX - 1).collect();
    format!("{}…", cut.trim_end())
}

#[cfg(test)]
mod tests;
