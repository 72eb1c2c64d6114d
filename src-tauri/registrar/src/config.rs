//! The typed view of `~/.mcpctl/config.json`: our keys only, the rest belongs to other tools.
//!
//! [`mod@file`] reads and writes the file, [`edit`] changes its text and leaves everything else as it
//! is, and [`crate::config_watch`] reports changes of other programs.

pub mod edit;
mod fields;
pub mod file;
pub mod mac_address;
pub mod name_sharing;
mod parse;
mod problem;
mod provider;
mod recipe;
pub mod settings;
mod urls;

pub use parse::{Parsed, parse, value};
pub use problem::{FieldError, Problem};
pub use provider::{ProviderConfig, check};
pub use recipe::{
    CommandRecipe, HttpRecipe, RECIPE_KINDS, Recipe, RecipeKind, Sleep, Wake, WolRecipe,
};

use url::Url;

/// The part of the file that this program uses.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// The server; absent before the first sign-in.
    pub mcpd_url: Option<Url>,
    /// `llm.providers`, in the file's order: every valid entry, published or not.
    pub providers: Vec<ProviderConfig>,
    /// Settings of this machine.
    pub settings: settings::Settings,
}

impl Config {
    /// The provider of that name; upper and lower case are the same.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<&ProviderConfig> {
        let name = name.to_ascii_lowercase();
        self.providers.iter().find(|p| p.name == name)
    }

    /// The provider that serves this name of the catalogue, as its own or as its pool.
    #[must_use]
    pub fn serving(&self, name: &str) -> Option<&ProviderConfig> {
        let in_pool = |p: &&ProviderConfig| {
            p.pool.as_ref().is_some_and(|pool| pool.eq_ignore_ascii_case(name))
        };
        self.provider(name).or_else(|| self.providers.iter().find(in_pool))
    }

    /// The providers whose publish switch is on.
    pub fn published(&self) -> impl Iterator<Item = &ProviderConfig> {
        self.providers.iter().filter(|p| p.publish)
    }
}
