//! The tray's menu as data: a pure function from the view. [`crate::tray`] paints it.

use crate::limits::{MENU_LINE_CHARS_MAX, MENU_MODELS_MAX, MENU_REQUESTS_MAX, MENU_RUNNING_MAX};
use crate::view::{Mark, Model, Running, View};
use crate::words::{say, say_with};

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
    /// A switch.
    Switch {
        /// What a click does.
        action: Action,
        /// What it is and how it is.
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
    /// More lines, one level down; they never change.
    More {
        /// What it says.
        label: String,
        /// Buttons.
        items: Vec<Self>,
    },
    /// A line between groups.
    Separator,
}

impl Item {
    /// The identifier that the platform's menu carries; none for lines that do nothing.
    pub(crate) fn id(&self) -> Option<String> {
        match self {
            Self::Switch { action, .. } | Self::Button { action, .. } => Some(action.id()),
            Self::Words(_) | Self::More { .. } | Self::Separator => None,
        }
    }
}

/// What a click asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Show the window.
    OpenSettings,
    /// Show who used the models.
    OpenActivity,
    /// Show the models.
    OpenModels,
    /// Show this model.
    OpenModel(String),
    /// Put the base URL for callers into the clipboard.
    CopyUrl,
    /// Say goodbye and end.
    Quit,
    /// Flip the master switch.
    TogglePublishing,
    /// Publish nothing for a while.
    Pause(Pause),
    /// Flip the publish switch of this model.
    Toggle(String),
    /// Publish this model under another name.
    PublishAs {
        /// As it is called now.
        name: String,
        /// As it is to be called.
        new: String,
    },
}

/// How long a pause lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(export))]
pub(crate) enum Pause {
    /// An hour.
    Hour,
    /// Until this program starts again.
    Restart,
    /// Until a person turns it on.
    TurnedOn,
}

/// The actions whose identifiers are words.
const PLAIN: &[(&str, Action)] = &[
    ("open", Action::OpenSettings),
    ("activity", Action::OpenActivity),
    ("models", Action::OpenModels),
    ("copy-url", Action::CopyUrl),
    ("quit", Action::Quit),
    ("publishing", Action::TogglePublishing),
    ("pause-hour", Action::Pause(Pause::Hour)),
    ("pause-restart", Action::Pause(Pause::Restart)),
    ("pause-off", Action::Pause(Pause::TurnedOn)),
];
/// Begins the identifier of a model's switch.
const TOGGLE: &str = "publish:";
/// Begins the identifier of a line that opens a model's page.
const MODEL: &str = "model:";
/// Begins the identifier of a line that publishes a model under another name; both names follow, with
/// a space, which no name has.
const PUBLISH_AS: &str = "publish-as:";

impl Action {
    /// The identifier that the platform's menu carries.
    pub(crate) fn id(&self) -> String {
        match self {
            Self::Toggle(name) => format!("{TOGGLE}{name}"),
            Self::OpenModel(name) => format!("{MODEL}{name}"),
            Self::PublishAs { name, new } => format!("{PUBLISH_AS}{name} {new}"),
            Self::OpenSettings
            | Self::OpenActivity
            | Self::OpenModels
            | Self::CopyUrl
            | Self::Quit
            | Self::TogglePublishing
            | Self::Pause(_) => {
                let plain = PLAIN.iter().find(|(_, action)| action == self);
                plain.map(|(id, _)| (*id).to_owned()).unwrap_or_default()
            }
        }
    }

    /// The action behind an identifier; none for lines that do nothing.
    pub(crate) fn from_id(id: &str) -> Option<Self> {
        if let Some(name) = id.strip_prefix(TOGGLE) {
            return Some(Self::Toggle(name.into()));
        }
        if let Some(name) = id.strip_prefix(MODEL) {
            return Some(Self::OpenModel(name.into()));
        }
        if let Some((name, new)) = id.strip_prefix(PUBLISH_AS).and_then(|id| id.split_once(' ')) {
            return Some(Self::PublishAs { name: name.into(), new: new.into() });
        }
        PLAIN.iter().find(|(plain, _)| *plain == id).map(|(_, action)| action.clone())
    }
}

/// The menu that says what the view says.
pub(crate) fn menu(view: &View) -> Menu {
    let mut items = vec![Item::Words(line(&format!("{} {}", bullet(view.mark), view.headline)))];
    items.extend(view.notices.iter().map(|notice| Item::Words(line(&notice.text))));
    items.push(Item::Separator);
    items.push(Item::Switch {
        action: Action::TogglePublishing,
        label: say("tray.publishing"),
        on: view.publishing,
    });
    items.extend(model_items(&view.models));
    items.push(pause());
    items.push(Item::Separator);
    items.extend(request_items(&view.models));
    items.extend(running_items(&view.running));
    items.push(button(Action::OpenSettings, say("tray.open")));
    if view.call_url.is_some() {
        items.push(button(Action::CopyUrl, say("tray.copyUrl")));
    }
    items.push(button(Action::OpenActivity, say("tray.activity")));
    items.push(Item::Separator);
    items.push(button(Action::Quit, say("tray.quit")));
    Menu { mark: view.mark, tooltip: line(&format!("mcplocal: {}", view.headline)), items }
}

fn model_items(models: &[Model]) -> Vec<Item> {
    if models.is_empty() {
        return vec![Item::Words(say("tray.noModels"))];
    }
    let mut items: Vec<Item> = models.iter().take(MENU_MODELS_MAX).flat_map(lines_of).collect();
    if let Some(more) = models.len().checked_sub(MENU_MODELS_MAX).filter(|more| *more > 0) {
        items.push(button(Action::OpenSettings, say_with("tray.more", &[("count", &more)])));
    }
    items
}

/// Its switch, and the way out when its name is taken.
fn lines_of(model: &Model) -> Vec<Item> {
    let mut lines = vec![switch(model)];
    lines.extend(model.suggestion.as_ref().map(|new| {
        let action = Action::PublishAs { name: model.name.clone(), new: new.clone() };
        button(action, line(&say_with("tray.publishAs", &[("name", new)])))
    }));
    lines
}

fn switch(model: &Model) -> Item {
    let mut label = model.name.clone();
    if !model.state.is_empty() {
        label = format!("{label} — {}", model.state);
    }
    if let Some(trouble) = &model.trouble {
        label = format!("{label}: {trouble}");
    }
    Item::Switch {
        action: Action::Toggle(model.name.clone()),
        label: line(&label),
        on: model.publish,
    }
}

fn pause() -> Item {
    let items = [
        (Pause::Hour, say("tray.pauseHour")),
        (Pause::Restart, say("tray.pauseRestart")),
        (Pause::TurnedOn, say("tray.pauseTurnedOn")),
    ];
    let items = items.map(|(pause, label)| button(Action::Pause(pause), label)).to_vec();
    Item::More { label: say("tray.pause"), items }
}

/// Who would like to publish under a name of ours.
fn request_items(models: &[Model]) -> Vec<Item> {
    let asking =
        models.iter().flat_map(|model| model.requests.iter().map(move |user| (user, model)));
    let words = |(user, model): (&String, &Model)| {
        let values: [(&str, &dyn std::fmt::Display); 2] = [("user", user), ("model", &model.name)];
        let label = line(&say_with("tray.request", &values));
        button(Action::OpenModel(model.name.clone()), label)
    };
    let mut items: Vec<Item> = asking.clone().take(MENU_REQUESTS_MAX).map(words).collect();
    if let Some(more) = asking.count().checked_sub(MENU_REQUESTS_MAX).filter(|more| *more > 0) {
        items.push(button(Action::OpenModels, say_with("tray.more", &[("count", &more)])));
    }
    if !items.is_empty() {
        items.push(Item::Separator);
    }
    items
}

/// Who uses the machine now.
fn running_items(running: &[Running]) -> Vec<Item> {
    let words = |task: &Running| {
        let values: [(&str, &dyn std::fmt::Display); 2] =
            [("user", &task.user), ("model", &task.model)];
        Item::Words(line(&say_with("tray.running", &values)))
    };
    let mut items: Vec<Item> = running.iter().take(MENU_RUNNING_MAX).map(words).collect();
    if let Some(more) = running.len().checked_sub(MENU_RUNNING_MAX).filter(|more| *more > 0) {
        items.push(button(Action::OpenSettings, say_with("tray.more", &[("count", &more)])));
    }
    if !items.is_empty() {
        items.push(Item::Separator);
    }
    items
}

fn button(action: Action, label: String) -> Item {
    Item::Button { action, label }
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
