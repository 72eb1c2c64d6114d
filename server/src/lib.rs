//! mcpd: lists virtual LLMs and relays calls to the machines that publish them.
//!
//! Decisions are made in the [`relay`] crate; this package has the sockets, the bytes, the tokens
//! and the database. Rooms import in one direction: `api` above `publishers`, `callers`,
//! `catalogue`, `admin` and `health`, those above `state`, and that above `auth`, `relay_driver`,
//! `accounting`, `http` and `store`, and `tls` is below `http`.

mod accounting;
mod admin;
mod api;
pub mod auth;
mod callers;
mod catalogue;
pub mod clock;
pub mod config;
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod http;
pub mod limits;
pub mod lock;
mod publishers;
mod relay_driver;
mod server;
mod state;
pub mod store;
pub mod telemetry;
pub mod tls;
mod token_upkeep;

pub use http::Listener;
pub use http::cors::CorsOrigins;
pub use server::{ServeError, serve, serve_by};
