//! Actions of the menu's lines, and the identifiers by which the desktop's menu returns them.

use crate::pause::Pause;

/// The action of a menu line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Show the window.
    OpenSettings,
    /// Show the requests that ended.
    OpenActivity,
    /// Show the models.
    OpenModels,
    /// Show this model.
    OpenModel(String),
    /// Copy the callers' base URL.
    CopyUrl,
    /// Withdraw the published models and exit.
    Quit,
    /// Pause publishing, or resume it.
    TogglePublishing,
    /// Pause publishing for this long.
    Pause(Pause),
    /// Switch the publishing of this model on or off.
    TogglePublish(String),
    /// Publish this model under another name.
    PublishAs {
        /// The current name.
        name: String,
        /// The new name.
        new: String,
    },
}

/// Actions with a fixed identifier.
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
/// Prefix of a model's switch.
const TOGGLE: &str = "publish:";
/// Prefix of a line that opens a model's page.
const MODEL: &str = "model:";
/// Prefix of a line that publishes a model under another name. Both names follow, separated by a
/// space, which is not allowed in names.
const PUBLISH_AS: &str = "publish-as:";

impl Action {
    /// The identifier in the desktop's menu.
    pub(crate) fn id(&self) -> String {
        match self {
            Self::TogglePublish(name) => format!("{TOGGLE}{name}"),
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

    /// Finds the action of an identifier; `None` for lines that do nothing.
    pub(crate) fn from_id(id: &str) -> Option<Self> {
        if let Some(name) = id.strip_prefix(TOGGLE) {
            return Some(Self::TogglePublish(name.into()));
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

#[cfg(test)]
mod tests {
    use super::{Action, PLAIN};
    use crate::pause::Pause;

    #[test]
    fn every_action_is_found_by_its_identifier() {
        let plain = PLAIN.iter().map(|(_, action)| action.clone());
        let (name, new) = ("a:b/c".to_owned(), "a:b/c-mia".to_owned());
        let of_models = [
            Action::TogglePublish(name.clone()),
            Action::OpenModel(name.clone()),
            Action::PublishAs { name, new },
        ];
        for action in plain.chain(of_models) {
            assert_eq!(Action::from_id(&action.id()), Some(action));
        }
        assert_eq!(Action::from_id("pause-hour"), Some(Action::Pause(Pause::Hour)));
        assert_eq!(Action::from_id("something else"), None);
    }
}
