//! The publishing machine without a desktop: reads the configuration, keeps a session with mcpd, sends
//! the requests that arrive on the control channel to local backends, and wakes those that sleep. It
//! opens no listening socket.
//!
//! Rooms: [`leader`] decides which process publishes and starts [`registrar`], whose `driver` holds the
//! connection. `control_channel` reads events, `task` runs one request, `uplink` sends the answers,
//! `transport` decides how, and `protocol1` has what only old servers need. `backends` monitors the
//! published backends, [`provider`] talks to them, [`provider_kinds`] has their differences, and
//! [`wake`] runs recipes. [`config`], [`credentials`], `identity` and [`home`] are the folder,
//! [`config_watch`] follows it, [`status`] is what people see.

pub mod account;
mod backends;
pub mod clock;
pub mod config;
pub mod config_watch;
mod control_channel;
pub mod control_files;
pub mod credentials;
pub mod diagnostics;
pub mod discover;
pub mod doctor;
mod driver;
pub mod file_lock;
mod file_stamp;
pub mod fs_events;
pub mod fuzzing;
pub mod home;
pub mod http_clients;
mod identity;
pub mod leader;
pub mod limits;
pub mod logging;
pub mod mcpd_client;
mod name_requests;
mod power;
mod protocol1;
pub mod provider;
pub mod provider_kinds;
pub mod publish_gate;
pub mod reconnect_policy;
pub mod registrar;
mod relayed_response;
mod running_tasks;
mod server_link;
mod server_text;
pub mod status;
mod task;
mod task_failure;
pub mod test_request;
mod transport;
mod uplink;
pub mod wake;
