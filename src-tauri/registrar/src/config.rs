//! The typed view of `~/.mcpctl/config.json`: our keys only, the rest belongs to other tools.
//!
//! [`mod@file`] reads and writes it, [`edit`] changes it without touching what is not ours, and
//! [`crate::config_watch`] tells when somebody else did.

pub mod edit;
pub mod file;
pub mod mac_address;
pub mod name_sharing;
mod parse;
pub mod settings;

pub use parse::{check, parse, value};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

/// What this program takes from the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// The server, absent until somebody signs in.
    pub mcpd_url: Option<Url>,
    /// `llm.providers`, in the file's order. Every provider that the file names with a valid name;
    /// only those with `publish` are published.
    pub providers: Vec<ProviderConfig>,
    /// What a person chose for this machine.
    pub settings: settings::Settings,
}

impl Config {
    /// The provider of that name (names are compared in lower case).
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<&ProviderConfig> {
        let name = name.to_ascii_lowercase();
        self.providers.iter().find(|p| p.name == name)
    }

    /// The provider that serves this name of the catalogue: as its own, or as its pool.
    #[must_use]
    pub fn serving(&self, name: &str) -> Option<&ProviderConfig> {
        let in_pool = |p: &&ProviderConfig| {
            p.pool.as_ref().is_some_and(|pool| pool.eq_ignore_ascii_case(name))
        };
        self.provider(name).or_else(|| self.providers.iter().find(in_pool))
    }

    /// Those that their owner publishes.
    pub fn published(&self) -> impl Iterator<Item = &ProviderConfig> {
        self.providers.iter().filter(|p| p.publish)
    }
}

/// One entry of `llm.providers`.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderConfig {
    /// Normalised ([`wire::names::normalise`]).
    pub name: String,
    /// `type`, `openai` when absent. A kind this version cannot serve stays in the list; publishing
    /// it is reported in the status.
    pub kind: ProviderKind,
    /// Where the backend listens; the kind's usual loopback address when absent.
    pub url: Url,
    /// The backend's own model id; the provider's name when absent.
    pub model: Option<String>,
    /// Passed on.
    pub tier: Option<String>,
    /// Passed on.
    pub description: Option<String>,
    /// False when absent.
    pub publish: bool,
    /// How to wake it.
    pub wake: Option<Wake>,
    /// How to put it to sleep again.
    pub sleep: Option<Sleep>,
    /// Several machines behind one name.
    pub pool: Option<String>,
    /// Other users who may serve its name and pool, see [`name_sharing`].
    pub share_name: Vec<String>,
    /// Users whose requests for its name and pool are not shown.
    pub decline_name: Vec<String>,
    /// Requests at once, 1 when absent.
    pub max_concurrency: u32,
    /// Passed on, tokens.
    pub context_length: Option<u64>,
    /// Name of the environment variable that holds the backend's key.
    pub api_key_env: Option<String>,
}

/// Kinds of backend that can be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderKind {
    /// Any OpenAI-compatible server.
    OpenAi,
    /// Ollama.
    Ollama,
    /// llama.cpp's server.
    LlamaCpp,
    /// vLLM.
    Vllm,
    /// LM Studio.
    LmStudio,
    /// Something this version does not serve.
    Other(String),
}

impl ProviderKind {
    /// As it stands in the file.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::OpenAi => "openai",
            Self::Ollama => "ollama",
            Self::LlamaCpp => "llamacpp",
            Self::Vllm => "vllm",
            Self::LmStudio => "lmstudio",
            Self::Other(text) => text,
        }
    }
}

/// A recipe and how long it may take.
#[derive(Debug, Clone, PartialEq)]
pub struct Wake {
    /// What is done.
    pub recipe: Recipe,
    /// `maxWaitSeconds`, 60 when absent, at most 900.
    pub max_wait: Duration,
}

/// A recipe and when it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Sleep {
    /// What is done; never [`Recipe::Wol`].
    pub recipe: Recipe,
    /// `idleSeconds`: without a request for this long.
    pub idle: Duration,
}

/// What the owner wrote down to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Recipe {
    /// An HTTP request.
    Http(HttpRecipe),
    /// A program with arguments, never a shell.
    Command(CommandRecipe),
    /// A Wake-on-LAN magic packet.
    Wol(WolRecipe),
}

/// An HTTP request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRecipe {
    /// Where to.
    pub url: Url,
    /// POST when absent.
    #[serde(default = "post")]
    pub method: String,
    /// `${VAR}` in a value is taken from the environment.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Sent as it is.
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
    /// Added to the cleaned environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// A magic packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WolRecipe {
    /// `aa:bb:cc:dd:ee:ff`.
    pub mac: String,
    /// 255.255.255.255 when absent.
    #[serde(default)]
    pub broadcast: Option<std::net::Ipv4Addr>,
    /// 9 when absent.
    #[serde(default)]
    pub port: Option<u16>,
}

/// Why the file, or a part of it, cannot be used. Shown to the owner as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{message}")]
pub struct Problem {
    /// What is wrong and what to do. Names the provider and field where it can.
    pub message: String,
    /// From 1; absent when the problem has no place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// From 1, in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

impl Problem {
    /// One without a place.
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), line: None, column: None }
    }
}

/// What is wrong with one field of a provider. Shown beside the field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "bindings", derive(ts_rs::TS))]
pub struct Wrong {
    /// The field, as `url` or `wake.command`.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Wrong {
    fn new(field: &str, message: impl Into<String>) -> Self {
        Self { field: field.to_owned(), message: message.into() }
    }
}

/// What [`parse`] made of a text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parsed {
    /// What can be used.
    pub config: Config,
    /// Providers that were left out, and why; the others work.
    pub warnings: Vec<Problem>,
}
