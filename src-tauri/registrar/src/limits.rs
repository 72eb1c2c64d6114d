//! Every number that is the registrar's alone. What both sides of the protocol share stands in
//! [`wire::limits`].

use std::time::Duration;

/// Connecting to mcpd.
pub const CONNECT: Duration = Duration::from_secs(10);
/// A control request (register, heartbeat, ack, result) from start to end.
pub const REQUEST: Duration = Duration::from_secs(30);
/// Connecting to a local backend.
pub const BACKEND_CONNECT: Duration = Duration::from_secs(5);
/// A readiness check from start to end.
pub const READY: Duration = Duration::from_secs(3);
/// Between readiness checks of a published backend.
pub const READY_EVERY: Duration = Duration::from_secs(5);
/// Between readiness checks while it wakes.
pub const WAKE_EVERY: Duration = Duration::from_secs(1);
/// Shortest reconnect delay.
pub const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// The bound of the first delay; doubles with each try.
pub const BACKOFF_STEP: Duration = Duration::from_secs(5);
/// Longest reconnect delay.
pub const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A connection that held for so long starts over with short delays.
pub const HEALTHY: Duration = Duration::from_secs(60);
/// Another machine's hold on the session is waited out for so long.
pub const CONFLICT: Duration = Duration::from_secs(240);
/// Missing or locked credentials are looked for again this often.
pub const CREDENTIALS_EVERY: Duration = Duration::from_secs(5);
/// Control events that may wait for the driver.
pub const EVENTS: usize = 64;
/// Tasks at once, over all providers; mcpd's slots keep it far lower.
pub const TASKS: usize = 1024;
/// Running answers get so long when publishing stops.
pub const GOODBYE: Duration = Duration::from_secs(5);
/// A recipe that was told to end is killed after this.
pub const RECIPE_KILL: Duration = Duration::from_secs(5);
/// After a recipe's end its pipes are read for so long.
pub const RECIPE_PIPES: Duration = Duration::from_millis(200);
/// What is kept of a recipe's output, in bytes.
pub const RECIPE_OUTPUT: usize = 4 * 1024;
/// Runs of one provider's recipes within an hour.
pub const RECIPE_RUNS_PER_HOUR: usize = 20;
/// Connecting for an HTTP recipe.
pub const RECIPE_CONNECT: Duration = Duration::from_secs(5);
/// An HTTP recipe from start to end.
pub const RECIPE_HTTP: Duration = Duration::from_secs(30);
/// A whole answer for a protocol-1 server.
pub const WHOLE_ANSWER: usize = 64 * 1024 * 1024;
/// Between looks at the lock of the home by whoever came second.
pub const LOCK_EVERY: Duration = Duration::from_secs(1);
/// Between writes of `status.json`.
pub const STATUS_EVERY: Duration = Duration::from_secs(1);
