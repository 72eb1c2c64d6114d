//! The tray's menu as data, a pure function of the view. The tray shows it.

pub(crate) mod action;

use crate::i18n::{tr, tr_with};
use crate::limits::{MENU_LINE_CHARS_MAX, MENU_MODELS_MAX, MENU_REQUESTS_MAX, MENU_RUNNING_MAX};
use crate::pause::Pause;
use crate::view::{Model, RunningRequest, StateIcon, View};
use action::Action;

/// Icon, tooltip and menu lines of the tray.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Menu {
    /// The icon.
    pub icon: StateIcon,
    /// Shown while the pointer rests on the icon.
    pub tooltip: String,
    /// From top to bottom.
    pub items: Vec<Item>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// A text that cannot be clicked.
    Text(String),
    /// A line with a check mark.
    Switch {
        /// The action of a click.
        action: Action,
        /// Name and state.
        label: String,
        /// Checked.
        on: bool,
    },
    /// A line that can be clicked.
    Button {
        /// The action of a click.
        action: Action,
        /// The text.
        label: String,
    },
    /// A submenu; its lines never change.
    Submenu {
        /// The text.
        label: String,
        /// Buttons.
        items: Vec<Self>,
    },
    /// A line between groups.
    Separator,
}

impl Item {
    /// The line's identifier in the desktop's menu; `None` if a click does nothing.
    pub(crate) fn id(&self) -> Option<String> {
        match self {
            Self::Switch { action, .. } | Self::Button { action, .. } => Some(action.id()),
            Self::Text(_) | Self::Submenu { .. } | Self::Separator => None,
        }
    }
}

/// Builds the menu that shows this view.
pub(crate) fn menu(view: &View) -> Menu {
    let mut items = vec![Item::Text(line(&format!("{} {}", bullet(view.icon), view.headline)))];
    items.extend(view.notices.iter().map(|notice| Item::Text(line(&notice.text))));
    items.push(Item::Separator);
    items.push(Item::Switch {
        action: Action::TogglePublishing,
        label: tr("tray.publishing"),
        on: view.publishing,
    });
    items.extend(model_items(&view.models));
    items.push(pause_menu());
    items.push(Item::Separator);
    items.extend(request_items(&view.models));
    items.extend(running_items(&view.running));
    items.push(button(Action::OpenSettings, tr("tray.open")));
    if view.call_url.is_some() {
        items.push(button(Action::CopyUrl, tr("tray.copyUrl")));
    }
    items.push(button(Action::OpenActivity, tr("tray.activity")));
    items.push(Item::Separator);
    items.push(button(Action::Quit, tr("tray.quit")));
    Menu { icon: view.icon, tooltip: line(&format!("mcplocal: {}", view.headline)), items }
}

fn model_items(models: &[Model]) -> Vec<Item> {
    if models.is_empty() {
        return vec![Item::Text(tr("tray.noModels"))];
    }
    let mut items: Vec<Item> = models.iter().take(MENU_MODELS_MAX).flat_map(model_lines).collect();
    if let Some(more) = models.len().checked_sub(MENU_MODELS_MAX).filter(|more| *more > 0) {
        items.push(button(Action::OpenSettings, tr_with("tray.more", &[("count", &more)])));
    }
    items
}

/// The switch of a model; if its name is taken, also a line that publishes it under a free one.
fn model_lines(model: &Model) -> Vec<Item> {
    let mut lines = vec![publish_switch(model)];
    lines.extend(model.suggested_name.as_ref().map(|new| {
        let action = Action::PublishAs { name: model.name.clone(), new: new.clone() };
        button(action, line(&tr_with("tray.publishAs", &[("name", new)])))
    }));
    lines
}

fn publish_switch(model: &Model) -> Item {
    let mut label = model.name.clone();
    if !model.state.is_empty() {
        label = format!("{label} — {}", model.state);
    }
    if let Some(problem) = &model.problem {
        label = format!("{label}: {problem}");
    }
    Item::Switch {
        action: Action::TogglePublish(model.name.clone()),
        label: line(&label),
        on: model.publish,
    }
}

fn pause_menu() -> Item {
    let items = [
        (Pause::Hour, tr("tray.pauseHour")),
        (Pause::Restart, tr("tray.pauseRestart")),
        (Pause::TurnedOn, tr("tray.pauseTurnedOn")),
    ];
    let items = items.map(|(pause, label)| button(Action::Pause(pause), label)).to_vec();
    Item::Submenu { label: tr("tray.pause"), items }
}

/// Requests of other users for a name of this machine.
fn request_items(models: &[Model]) -> Vec<Item> {
    let requests =
        models.iter().flat_map(|model| model.name_requests.iter().map(move |user| (user, model)));
    let item = |(user, model): (&String, &Model)| {
        let values: [(&str, &dyn std::fmt::Display); 2] = [("user", user), ("model", &model.name)];
        let label = line(&tr_with("tray.nameRequest", &values));
        button(Action::OpenModel(model.name.clone()), label)
    };
    let mut items: Vec<Item> = requests.clone().take(MENU_REQUESTS_MAX).map(item).collect();
    if let Some(more) = requests.count().checked_sub(MENU_REQUESTS_MAX).filter(|more| *more > 0) {
        items.push(button(Action::OpenModels, tr_with("tray.more", &[("count", &more)])));
    }
    if !items.is_empty() {
        items.push(Item::Separator);
    }
    items
}

/// Running requests.
fn running_items(running: &[RunningRequest]) -> Vec<Item> {
    let item = |task: &RunningRequest| {
        let values: [(&str, &dyn std::fmt::Display); 2] =
            [("user", &task.user), ("model", &task.model)];
        Item::Text(line(&tr_with("tray.running", &values)))
    };
    let mut items: Vec<Item> = running.iter().take(MENU_RUNNING_MAX).map(item).collect();
    if let Some(more) = running.len().checked_sub(MENU_RUNNING_MAX).filter(|more| *more > 0) {
        items.push(button(Action::OpenSettings, tr_with("tray.more", &[("count", &more)])));
    }
    if !items.is_empty() {
        items.push(Item::Separator);
    }
    items
}

fn button(action: Action, label: String) -> Item {
    Item::Button { action, label }
}

/// The icon's shape as a character, for people who cannot see the panel.
fn bullet(icon: StateIcon) -> char {
    match icon {
        StateIcon::Off => '○',
        StateIcon::Connecting => '◌',
        StateIcon::Online | StateIcon::Busy => '●',
        StateIcon::Partial => '◐',
        StateIcon::Error => '▲',
    }
}

/// Shortens a text to one menu line: a server's error message may have many lines and be long.
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
