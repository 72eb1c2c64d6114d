//! mcpd over real sockets: a server with a real database, a small publisher of our own, plain HTTP
//! clients. What the real agent does with it is told in the e2e tests.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]

mod answers;
mod authorization;
mod bodies;
mod endings;
mod limits;
mod lives;
mod names;
mod pairing;
mod publisher;
mod registers;
mod server;
mod stored;
mod tokens;
