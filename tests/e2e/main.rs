//! End-to-end tests on real processes: a user publishes a model, another one calls it, and each part
//! between them fails.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod admin;
mod agent_commands;
mod bad_input;
mod bad_server;
mod bodies;
mod config_folder;
mod instances;
mod keyring;
mod live_edits;
mod mcpctl;
mod name_sharing;
mod nginx;
mod protocol1;
mod provider_kinds;
mod proxies;
mod publish;
mod publisher_controls;
mod real_model;
mod recipes;
mod relay;
mod secrets;
mod tls;
mod wake;

pub(crate) use testkit::setup::{Setup, chat_body, with_keys};
