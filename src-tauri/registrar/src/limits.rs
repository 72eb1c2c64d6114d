//! Every number that is the registrar's alone. What both sides of the protocol share stands in
//! [`wire::limits`].

use std::time::Duration;

/// Connecting to mcpd.
pub const CONNECT: Duration = Duration::from_secs(10);
/// A control request (register, heartbeat, ack, result) from start to end.
pub const REQUEST: Duration = Duration::from_secs(30);
/// An idle connection to mcpd is used again within this time; the server keeps it for longer.
pub const IDLE_CONNECTION: Duration = Duration::from_secs(5);
/// Connecting to a local backend.
pub const BACKEND_CONNECT: Duration = Duration::from_secs(5);
/// A connection to a backend that has answered is asked again within this time.
pub const BACKEND_IDLE: Duration = Duration::from_secs(1);
/// One that breaks off so soon after it was asked again was being closed, most likely.
pub const BACKEND_CLOSES: Duration = Duration::from_millis(500);
/// Such connections, over all backends.
pub const BACKEND_CONNECTIONS: usize = 64;
/// Models of one backend that are offered to choose from.
pub const MODELS: usize = 500;
/// A backend's list of models, in bytes.
pub const MODELS_BODY: usize = 4 * 1024 * 1024;
/// The answer to a test question, in bytes.
pub const TEST_RESPONSE_BODY: usize = 1024 * 1024;
/// A readiness check from start to end.
pub const READY: Duration = Duration::from_secs(3);
/// Between the first two readiness checks while it wakes; doubles up to [`WAKE_EVERY`].
pub const WAKE_FIRST: Duration = Duration::from_millis(100);
/// Longest time between readiness checks while it wakes.
pub const WAKE_EVERY: Duration = Duration::from_secs(1);
/// Control events that may wait for the driver.
pub const EVENTS: usize = 64;
/// RunningTasks at once, over all providers; mcpd's slots keep it far lower.
pub const TASKS: usize = 1024;
/// What is left of a recipe that was told to end is killed after this.
pub const RECIPE_KILL: Duration = Duration::from_secs(3);
/// A killed recipe's end is waited for so long.
pub const RECIPE_REAP: Duration = Duration::from_secs(1);
/// Between looks whether a recipe that was told to end has gone.
pub const RECIPE_POLL: Duration = Duration::from_millis(50);
/// What is shown of a recipe's output: its end, in bytes.
pub const RECIPE_OUTPUT: u64 = 4 * 1024;
/// The file of a recipe's output is cut when it is larger, in bytes: a backend that a recipe left in
/// the background writes there for as long as it runs.
pub const RECIPE_LOG: u64 = 4 * 1024 * 1024;
/// What a cut leaves of it: its end, in bytes.
pub const RECIPE_LOG_KEPT: u64 = 256 * 1024;
/// Between looks at its size while the recipe runs; later it is looked at with the backend.
pub const RECIPE_LOG_EVERY: Duration = Duration::from_millis(250);
/// Wakes, and reports of events that were left out, at once.
pub const ATTACHED: usize = 64;
/// A task waits so long for one of its backend's slots; the server waits for a sign of life for
/// [`wire::limits::ACK_WAIT_MS`].
pub const SLOT_WAIT: Duration = Duration::from_secs(4);
/// Request bodies that are fetched from the server, at once and over all backends, in bytes.
pub const BODIES: usize = 256 * 1024 * 1024;
/// Fetching one request body from start to end: the largest one at 256 KiB a second.
pub const FETCH: Duration = Duration::from_secs(266);
/// What the server answers to a control request, an error included, in bytes.
pub const CONTROL_BODY: usize = 1024 * 1024;
/// What the server answers to one long poll, in bytes.
pub const POLL_BODY: usize = 16 * 1024 * 1024;
/// A task id that the server chose, in characters.
pub const TASK_ID: usize = 64;
/// A session id that the server chose, in characters.
pub const SESSION_ID: usize = 128;
/// Refused providers that one register tells of.
pub const REFUSALS: usize = 256;
/// The longest time until the next try that a server may ask for.
pub const SERVER_PAUSE: Duration = Duration::from_secs(600);
/// Shortest and longest time between heartbeats that a server may ask for, in seconds.
pub const HEARTBEAT_SECS: (u64, u64) = (1, 60);
/// Events of one connection that the log says were unusable; further ones are not mentioned.
pub const LOG_BUDGET: usize = 20;
/// What is stopped when publishing stops gets so long to say so.
pub const STOP_GRACE: Duration = Duration::from_millis(500);
/// [`Times::withdraw`] is not shortened below this: a real server answers within it.
pub const WITHDRAW_MIN: Duration = Duration::from_secs(2);
/// Runs of one provider's recipes within an hour.
pub const RECIPE_RUNS_PER_HOUR: usize = 20;
/// Connecting for an HTTP recipe.
pub const RECIPE_CONNECT: Duration = Duration::from_secs(5);
/// An HTTP recipe from start to end.
pub const RECIPE_HTTP: Duration = Duration::from_secs(30);
/// An answer that goes up in pieces: what is gathered for one.
pub const CHUNK: usize = 64 * 1024;
/// Reads from a backend that may wait to go up in a piece.
pub const CHUNK_READS: usize = 4;
/// A whole answer for a protocol-1 server.
pub const WHOLE_RESPONSE: usize = 64 * 1024 * 1024;
/// Largest `maxConcurrency` that config.json may have.
pub const MAX_CONCURRENCY: u32 = 1024;
/// The largest file of the folder that is read, in bytes.
pub const FILE: u64 = 8 * 1024 * 1024;
/// An edit of config.json waits this long for another program that edits it.
pub const EDIT_LOCK: Duration = Duration::from_secs(5);
/// Between tries for a lock that another process holds.
pub const LOCK_RETRY: Duration = Duration::from_millis(20);
/// Between two looks at a status that changes with every request.
pub const SHOW_EVERY: Duration = Duration::from_millis(100);
/// Between looks at the batteries, where that matters.
pub const POWER_EVERY: Duration = Duration::from_secs(10);
/// Between looks for requests of other processes, where the file system does not tell of them.
pub const REQUESTS_EVERY: Duration = Duration::from_secs(5);
/// A request that nobody took within this time is not meant any more.
pub const REQUEST_STALE: Duration = Duration::from_secs(60);
/// Ended requests that the status remembers.
pub const RECENT: usize = 100;
/// One step of the status's count of requests, in milliseconds.
pub const TRAFFIC_STEP_MS: u64 = 60_000;
/// Steps of that count: half an hour.
pub const TRAFFIC_STEPS: usize = 30;
/// The end of an answer that is looked through for its count of tokens, in bytes.
pub const USAGE_TAIL: usize = 4 * 1024;
/// An owner's stop waits this long for the server to hear why.
pub const STOP_REPORT: Duration = Duration::from_secs(1);
/// Log files that are kept, one a day.
pub const LOG_FILES: usize = 5;
/// Log files that go into a diagnostics bundle.
pub const BUNDLE_LOGS: usize = 2;
/// Bytes of each of them, from its end.
pub const BUNDLE_LOG: u64 = 256 * 1024;
/// A long poll from start to end, with room for a slow network.
pub const POLL: Duration = Duration::from_secs(60);

/// Environment variable that shortens [`Times`], for tests.
const TIME_SCALE: &str = "MCPCTL_TIME_SCALE";

/// Waits between one thing and the next. Tests shorten all of them by one factor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Times {
    /// Longest time between heartbeats; the server may ask for less.
    pub heartbeat: Duration,
    /// Between heartbeats while tasks run.
    pub heartbeat_busy: Duration,
    /// A control channel without a byte for so long is dead.
    pub silence: Duration,
    /// Without `hello` for so long, a proxy holds the channel's bytes back: poll instead.
    pub hello: Duration,
    /// While polling, the channel is tried again this often.
    pub stream_again: Duration,
    /// A probe upload that is not confirmed within this time is held back by a proxy.
    pub probe: Duration,
    /// Between readiness checks of a published backend.
    pub ready_every: Duration,
    /// Shortest reconnect delay.
    pub backoff_min: Duration,
    /// The bound of the first delay; doubles with each try.
    pub backoff_step: Duration,
    /// Longest reconnect delay.
    pub backoff_max: Duration,
    /// A connection that held for so long starts over with short delays.
    pub healthy: Duration,
    /// Another machine's hold on the session is waited out for so long.
    pub conflict: Duration,
    /// Missing, locked or refused credentials are looked for again this often.
    pub credentials_every: Duration,
    /// A backend that has not answered for so long: the server is told that the task has arrived.
    /// It waits for that, or for the answer, for [`wire::limits::ACK_WAIT_MS`].
    pub ack_after: Duration,
    /// What a killed process has begun, a recipe, is not begun again for so long.
    pub recipe_again: Duration,
    /// Whoever holds the folder's lock has written its status after so long, or does not publish.
    pub lock_silent: Duration,
    /// Between looks at the wall clock, which jumps when the machine was suspended.
    pub clock_every: Duration,
    /// Between attempts to lock the folder while another process publishes from it.
    pub lock_every: Duration,
    /// Between writes of `status.json`.
    pub status_every: Duration,
    /// When publishing stops: the server's answer to the goodbye, and running answers, get so long.
    pub withdraw: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(wire::limits::HEARTBEAT_MS),
            heartbeat_busy: Duration::from_millis(wire::limits::HEARTBEAT_BUSY_MS),
            silence: Duration::from_millis(wire::limits::CHANNEL_DEAD_MS),
            hello: Duration::from_millis(wire::limits::HELLO_WAIT_MS),
            stream_again: Duration::from_secs(600),
            probe: Duration::from_millis(wire::limits::PROBE_WAIT_MS),
            ready_every: Duration::from_secs(5),
            backoff_min: Duration::from_millis(500),
            backoff_step: Duration::from_secs(5),
            backoff_max: Duration::from_secs(60),
            healthy: Duration::from_secs(60),
            conflict: Duration::from_secs(240),
            credentials_every: Duration::from_secs(5),
            ack_after: Duration::from_millis(500),
            recipe_again: Duration::from_secs(30),
            lock_silent: Duration::from_secs(15),
            clock_every: Duration::from_secs(5),
            lock_every: Duration::from_secs(1),
            status_every: Duration::from_secs(1),
            withdraw: Duration::from_secs(4),
        }
    }
}

impl Times {
    /// The usual times, shortened when the environment says so.
    #[must_use]
    pub fn from_env() -> Self {
        let factor = std::env::var(TIME_SCALE).ok().and_then(|text| text.parse().ok());
        Self::default().scaled(factor.filter(|f| (0.001..=1.0).contains(f)).unwrap_or(1.0))
    }

    fn scaled(mut self, factor: f64) -> Self {
        let times = [
            &mut self.heartbeat,
            &mut self.heartbeat_busy,
            &mut self.silence,
            &mut self.hello,
            &mut self.stream_again,
            &mut self.probe,
            &mut self.ready_every,
            &mut self.backoff_min,
            &mut self.backoff_step,
            &mut self.backoff_max,
            &mut self.healthy,
            &mut self.conflict,
            &mut self.credentials_every,
            &mut self.ack_after,
            &mut self.recipe_again,
            &mut self.lock_silent,
            &mut self.clock_every,
            &mut self.lock_every,
            &mut self.status_every,
            &mut self.withdraw,
        ];
        for time in times {
            *time = time.mul_f64(factor);
        }
        self.withdraw = self.withdraw.max(WITHDRAW_MIN);
        self
    }
}
