//! Everything the publishing machine does: it reads what its owner wrote down, keeps a session with
//! mcpd, runs the requests that come down the control channel at a local backend, and wakes that
//! backend first when it sleeps. No desktop, no listening socket.

pub mod client;
pub mod config;
pub mod credentials;
pub mod home;
pub mod limits;
pub mod lock;
pub mod provider;
pub mod sse;
pub mod status;
pub mod wake;
pub mod watch;
