//! `mcplocal` in config.json: settings of this machine. All of them are optional.

use super::problem::Problem;
use jiff::Timestamp;
use jiff::civil::Time;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Key of the settings in config.json.
pub const KEY: &str = "mcplocal";

/// Settings of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "bindings", derive(ts_rs::TS))]
pub struct Settings {
    /// Publishing is paused until then, regardless of the publish switches.
    pub paused_until: Option<PausedUntil>,
    /// Publish only on mains power.
    pub only_on_ac: bool,
    /// Publish nothing during these hours.
    pub quiet_hours: Option<QuietHours>,
    /// When the machine is kept from going to sleep.
    pub keep_awake: KeepAwake,
    /// Open no window after a start at login.
    pub start_hidden: bool,
    /// Which desktop notifications are shown.
    pub notifications: Notifications,
    /// Colour theme of the window.
    pub theme: Theme,
    /// Verbosity of the log.
    pub log_level: LogLevel,
}

/// End of a pause.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "bindings", derive(ts_rs::TS), ts(type = "string"))]
pub enum PausedUntil {
    /// `"turnedOn"`: publishing is turned on again.
    TurnedOn,
    /// `"restart"`: the program that publishes starts again.
    Restart,
    /// A moment, as `"2026-11-25T14:00:00Z"`.
    At(Timestamp),
}

/// Hours without publishing in local time, as `"22:00"` to `"07:00"`; over midnight if `from` is later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "bindings", derive(ts_rs::TS))]
pub struct QuietHours {
    /// First quiet minute.
    #[cfg_attr(feature = "bindings", ts(type = "string"))]
    pub from: Time,
    /// First minute after the quiet hours.
    #[cfg_attr(feature = "bindings", ts(type = "string"))]
    pub to: Time,
}

/// When the machine is kept awake.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "bindings", derive(ts_rs::TS))]
pub enum KeepAwake {
    /// Never.
    #[default]
    Never,
    /// While a request runs.
    Answering,
    /// While a model is published.
    Publishing,
}

/// Which desktop notifications are shown; all of them unless switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "bindings", derive(ts_rs::TS))]
pub struct Notifications {
    /// The server refuses the token.
    pub sign_in: bool,
    /// The connection was lost for a while, or is back.
    pub connection: bool,
    /// A wake failed.
    pub wake: bool,
    /// Another user requests to publish under a name of this publisher.
    pub requests: bool,
}

impl Default for Notifications {
    fn default() -> Self {
        Self { sign_in: true, connection: true, wake: true, requests: true }
    }
}

/// Colour theme of the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "bindings", derive(ts_rs::TS))]
pub enum Theme {
    /// The desktop's theme.
    #[default]
    System,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

/// Verbosity of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "bindings", derive(ts_rs::TS))]
pub enum LogLevel {
    /// Failures.
    Warn,
    /// Events.
    #[default]
    Info,
    /// Every step of each request.
    Debug,
}

impl LogLevel {
    /// The level as a log filter names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// Parses the settings. An invalid one keeps its default and is reported in `warnings`.
pub(super) fn settings(root: &Map<String, Value>, warnings: &mut Vec<Problem>) -> Settings {
    let map = match root.get(KEY) {
        None | Some(Value::Null) => return Settings::default(),
        Some(Value::Object(map)) => map,
        Some(_) => {
            warnings.push(Problem::new(format!("{KEY} must be an object")));
            return Settings::default();
        }
    };
    let mut reader = Reader { map, warnings };
    Settings {
        paused_until: reader.get("pausedUntil"),
        only_on_ac: reader.get("onlyOnAc").unwrap_or_default(),
        quiet_hours: reader.get("quietHours"),
        keep_awake: reader.get("keepAwake").unwrap_or_default(),
        start_hidden: reader.get("startHidden").unwrap_or_default(),
        notifications: reader.get("notifications").unwrap_or_default(),
        theme: reader.get("theme").unwrap_or_default(),
        log_level: reader.get("logLevel").unwrap_or_default(),
    }
}

struct Reader<'a> {
    map: &'a Map<String, Value>,
    warnings: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn get<T: DeserializeOwned>(&mut self, key: &str) -> Option<T> {
        let value = self.map.get(key).filter(|value| !value.is_null())?;
        match serde_json::from_value(value.clone()) {
            Ok(value) => Some(value),
            Err(why) => {
                let message = format!("{KEY}.{key} is not used: {why}");
                self.warnings.push(Problem::new(message));
                None
            }
        }
    }
}

impl Serialize for PausedUntil {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::TurnedOn => serializer.serialize_str("turnedOn"),
            Self::Restart => serializer.serialize_str("restart"),
            Self::At(at) => serializer.collect_str(at),
        }
    }
}

impl<'de> Deserialize<'de> for PausedUntil {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "turnedOn" => Ok(Self::TurnedOn),
            "restart" => Ok(Self::Restart),
            _ => text.parse().map(Self::At).map_err(|_| {
                serde::de::Error::custom(
                    "it must be \"turnedOn\", \"restart\" or a time as \"2026-11-25T14:00:00Z\"",
                )
            }),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct QuietText {
    from: String,
    to: String,
}

impl Serialize for QuietHours {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |time: Time| format!("{:02}:{:02}", time.hour(), time.minute());
        QuietText { from: text(self.from), to: text(self.to) }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for QuietHours {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = QuietText::deserialize(deserializer)?;
        let time = |text: &str| {
            let parsed = Time::strptime("%H:%M", text);
            parsed
                .map_err(|_| serde::de::Error::custom(format!("{text:?} is no time as \"22:00\"")))
        };
        let hours = Self { from: time(&text.from)?, to: time(&text.to)? };
        if hours.from == hours.to {
            return Err(serde::de::Error::custom("`from` and `to` must differ"));
        }
        Ok(hours)
    }
}

#[cfg(test)]
mod tests {
    use super::{KeepAwake, PausedUntil, Settings};
    use crate::config::parse;
    use serde_json::json;

    #[test]
    fn settings_are_read_and_written_in_the_same_words() {
        let text = json!({
            "pausedUntil": "2026-11-25T14:00:00Z", "onlyOnAc": true,
            "quietHours": {"from": "22:00", "to": "07:30"}, "keepAwake": "answering",
            "startHidden": true,
            "notifications": {"signIn": true, "connection": false, "wake": true, "requests": false},
            "theme": "dark", "logLevel": "debug",
        });
        let parsed = parse(&json!({"mcplocal": text}).to_string()).unwrap();
        assert_eq!(parsed.warnings, vec![]);
        assert_eq!(serde_json::to_value(&parsed.config.settings).unwrap(), text);
    }

    #[test]
    fn an_invalid_setting_is_named_and_keeps_its_default() {
        let text = r#"{"mcplocal": {"quietHours": {"from": "25:00", "to": "x"}, "theme": "pink",
            "pausedUntil": "soon", "keepAwake": "publishing", "unknown": 1}}"#;
        let parsed = parse(text).unwrap();
        let expected = Settings { keep_awake: KeepAwake::Publishing, ..Settings::default() };
        assert_eq!(parsed.config.settings, expected);
        let messages: Vec<_> = parsed.warnings.iter().map(|w| w.message.as_str()).collect();
        assert_eq!(messages.len(), 3, "{messages:?}");
        for word in ["quietHours", "theme", "pausedUntil"] {
            assert!(messages.iter().any(|m| m.contains(word)), "{word}: {messages:?}");
        }
        let restart = parse(r#"{"mcplocal": {"pausedUntil": "restart"}}"#).unwrap();
        assert_eq!(restart.config.settings.paused_until, Some(PausedUntil::Restart));
    }
}
