//! Wake and sleep recipes in config.json: their kinds, how each is parsed, checked and described.
//! [`crate::wake`] runs them.

use super::fields::Fields;
use super::{mac_address, urls};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;
use url::Url;
use wire::limits::{WAKE_MAX_WAIT_CAP_SECS, WAKE_MAX_WAIT_SECS};

/// An action that the publisher wrote down. Each kind of recipe is one variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Recipe {
    /// A program with arguments, never a shell.
    Command(CommandRecipe),
    /// An HTTP request.
    Http(HttpRecipe),
    /// A Wake-on-LAN magic packet.
    Wol(WolRecipe),
}

/// `type` of each recipe in config.json, and whether it can put a backend to sleep, too; in the
/// order in which a form offers them.
pub const RECIPE_KINDS: &[RecipeKind] = &[
    RecipeKind { id: "command", can_sleep: true },
    RecipeKind { id: "http", can_sleep: true },
    RecipeKind { id: "wol", can_sleep: false },
];

/// A kind of recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "bindings", derive(ts_rs::TS))]
pub struct RecipeKind {
    /// `type` in config.json.
    pub id: &'static str,
    /// True if it can put a backend to sleep.
    pub can_sleep: bool,
}

/// An HTTP request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRecipe {
    /// Target of the request.
    pub url: Url,
    /// `POST` if absent.
    #[serde(default = "post")]
    pub method: String,
    /// Headers; `${VAR}` in a value is replaced by the environment variable.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Body, sent unchanged.
    #[serde(default)]
    pub body: Option<String>,
}

fn post() -> String {
    "POST".into()
}

/// A program with arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRecipe {
    /// The program: a path, or a name looked up in PATH.
    pub command: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// Variables added to the cleaned environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// A Wake-on-LAN magic packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WolRecipe {
    /// `aa:bb:cc:dd:ee:ff`.
    pub mac: String,
    /// 255.255.255.255 if absent.
    #[serde(default)]
    pub broadcast: Option<Ipv4Addr>,
    /// 9 if absent.
    #[serde(default)]
    pub port: Option<u16>,
}

/// A wake recipe and its time limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Wake {
    /// The action.
    pub recipe: Recipe,
    /// `maxWaitSeconds`: 60 s if absent, at most 900 s.
    pub max_wait: Duration,
}

/// A sleep recipe and when it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Sleep {
    /// The action; its [`RecipeKind::can_sleep`] is true.
    pub recipe: Recipe,
    /// `idleSeconds`: runs after this long without a request.
    pub idle: Duration,
}

impl Recipe {
    /// One line that says what the recipe does, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Command(command) => {
                format!("command {} {}", command.command, command.args.join(" "))
            }
            Self::Http(http) => format!("{} {}", http.method, http.url),
            Self::Wol(wol) => format!("magic packet to {}", wol.mac),
        }
    }

    /// The program that the recipe runs on this machine, if it runs one.
    #[must_use]
    pub fn program(&self) -> Option<&CommandRecipe> {
        match self {
            Self::Command(command) => Some(command),
            Self::Http(_) | Self::Wol(_) => None,
        }
    }
}

/// Parses `wake` of a provider.
pub(super) fn wake(fields: &mut Fields<'_>) -> Result<Wake, String> {
    let secs = fields.integer("maxWaitSeconds").unwrap_or(WAKE_MAX_WAIT_SECS);
    if !(1..=WAKE_MAX_WAIT_CAP_SECS).contains(&secs) {
        let message = format!("it must be between 1 and {WAKE_MAX_WAIT_CAP_SECS}");
        fields.refuse::<()>("maxWaitSeconds", message);
    }
    Ok(Wake { recipe: recipe(fields)?, max_wait: Duration::from_secs(secs) })
}

/// Parses `sleep` of a provider.
pub(super) fn sleep(fields: &mut Fields<'_>) -> Result<Sleep, String> {
    let idle = fields.integer("idleSeconds").unwrap_or_default();
    if idle == 0 {
        fields.refuse::<()>("idleSeconds", "it must be at least 1");
    }
    let recipe = recipe(fields)?;
    if matches!(recipe, Recipe::Wol(_)) {
        let message = "a magic packet cannot put a machine to sleep; use http or command";
        fields.refuse::<()>("type", message);
    }
    Ok(Sleep { recipe, idle: Duration::from_secs(idle) })
}

/// Checks the fields of each kind one by one, so that every invalid one is named; then parses.
fn recipe(fields: &mut Fields<'_>) -> Result<Recipe, String> {
    match fields.string("type").as_deref() {
        Some("command") => {
            if fields.string("command").is_none_or(|command| command.trim().is_empty()) {
                fields.refuse::<()>("command", "it must name a program");
            }
        }
        Some("http") => {
            let url = fields.string("url").unwrap_or_default();
            if let Err(message) = urls::check_backend_url(&url) {
                fields.refuse::<()>("url", message);
            }
        }
        Some("wol") => {
            let mac = fields.string("mac").unwrap_or_default();
            if let Err(message) = mac_address::parse(&mac) {
                fields.refuse::<()>("mac", message);
            }
        }
        Some(_) | None => {
            fields.refuse::<()>("type", "it must be http, command or wol");
        }
    }
    serde_json::from_value(fields.object()).map_err(|error| error.to_string())
}
