//! mcpd over real sockets: a server with a real database, a small publisher, and plain HTTP clients. The
//! real agent is in the e2e tests.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]

mod authorization;
mod connection_endings;
mod database_outage;
mod limits;
mod names;
mod openapi;
mod pairing;
mod publisher;
mod registration;
mod request_bodies;
mod request_log;
mod responses;
mod server;
mod shutdown;
mod tokens;
