//! Everything the publishing machine does: it reads what its owner wrote down, keeps a session with
//! mcpd, runs the requests that come down the control channel at a local backend, and wakes that
//! backend first when it sleeps. No desktop, no listening socket.

pub mod account;
mod backends;
mod channel;
pub mod client;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod diagnostics;
pub mod discover;
pub mod doctor;
mod driver;
pub mod hints;
pub mod hold;
pub mod home;
pub mod host;
mod identity;
pub mod limits;
pub mod lock;
pub mod logging;
mod name_requests;
pub mod net;
mod power;
mod private_file;
pub mod provider;
pub mod registrar;
pub mod requests;
mod said;
pub mod session;
mod stamp;
pub mod status;
mod task;
mod tasks;
pub mod try_out;
pub mod untrusted;
pub mod wake;
pub mod watch;
