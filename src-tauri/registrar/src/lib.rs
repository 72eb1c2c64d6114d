//! Everything the publishing machine does: it reads what its owner wrote down, keeps a session with
//! mcpd, runs the requests that come down the control channel at a local backend, and wakes that
//! backend first when it sleeps. No desktop, no listening socket.

pub mod account;
mod backends;
pub mod client;
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
mod name_requests;
mod power;
mod private_file;
mod protocol1;
pub mod provider;
pub mod provider_kinds;
pub mod publish_gate;
pub mod reconnect_policy;
pub mod registrar;
mod relayed_response;
mod running_tasks;
mod said;
mod server_link;
pub mod status;
mod task;
mod task_failure;
pub mod test_request;
mod transport;
mod uplink;
pub mod wake;
