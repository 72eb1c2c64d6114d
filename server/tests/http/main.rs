//! mcpd over real sockets: a server with a real database, the fake publisher of `testkit` and plain
//! HTTP clients. The end-to-end tests run it with the real agent.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]

mod authorization;
mod connection_endings;
mod cors;
mod database_outage;
mod forms;
mod invalid_frames;
mod limits;
mod lost_uplinks;
mod names;
mod openapi;
mod pairing;
mod registration;
mod request_bodies;
mod request_log;
mod responses;
mod server;
mod shutdown;
mod tls;
mod tokens;
mod uplinks;
mod windows;
