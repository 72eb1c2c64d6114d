//! The main job, end to end: a person publishes, somebody else calls, and everything that can go
//! wrong between them.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod admin;
mod bad_input;
mod bad_server;
mod commands;
mod folder;
mod instances;
mod keyring;
mod kinds;
mod live_edits;
mod mcpctl;
mod names;
mod nginx;
mod owner;
mod protocol1;
mod proxies;
mod publish;
mod real_model;
mod recipes;
mod relay;
mod secrets;
mod wake;

pub(crate) use testkit::world::{World, and, whole};
