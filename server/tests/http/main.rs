//! mcpd over real sockets: a server with a real database, the fake publisher of `testkit` and plain HTTP
//! clients. The end-to-end tests run it with the real agent.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]

mod answers;
mod authorization;
mod bodies;
mod endings;
mod limits;
mod names;
mod pairing;
mod registers;
mod server;
mod shutdown;
mod stored;
mod tokens;
