//! Limits and times of the registrar. Those that both sides of the protocol share are in
//! [`wire::limits`].

use std::time::Duration;

/// Time to connect to a local backend.
pub const BACKEND_CONNECT: Duration = Duration::from_secs(5);
/// An idle connection to a backend is used again within this time.
pub const BACKEND_IDLE: Duration = Duration::from_secs(1);
/// A reused connection that breaks within this time was being closed: the request is sent again.
pub const BACKEND_CLOSES: Duration = Duration::from_millis(500);
/// Idle connections to all backends.
pub const BACKEND_CONNECTIONS: usize = 64;
/// Models in the list of one backend.
pub const MODELS: usize = 500;
/// Bytes of a backend's list of models.
pub const MODELS_BODY: usize = 4 * 1024 * 1024;
/// Bytes of the response to a test request.
pub const TEST_RESPONSE_BODY: usize = 1024 * 1024;
/// Time for a readiness probe from start to end.
pub const READY: Duration = Duration::from_secs(3);
/// Time between the first two probes of a backend that wakes; doubles up to [`WAKE_EVERY`].
pub const WAKE_FIRST: Duration = Duration::from_millis(100);
/// Longest time between probes of a backend that wakes.
pub const WAKE_EVERY: Duration = Duration::from_secs(1);
/// Control events in the queue to the driver.
pub const EVENTS: usize = 64;
/// Requests at once over all providers; mcpd's slots allow far fewer.
pub const TASKS: usize = 1024;
/// Processes of a terminated recipe are killed after this time.
pub const RECIPE_KILL: Duration = Duration::from_secs(3);
/// Time to wait for the end of a killed recipe.
pub const RECIPE_REAP: Duration = Duration::from_secs(1);
/// Time between checks whether the processes of a terminated recipe are gone.
pub const RECIPE_POLL: Duration = Duration::from_millis(50);
/// Bytes of a recipe's output that are shown, from its end.
pub const RECIPE_OUTPUT: u64 = 4 * 1024;
/// Bytes of a recipe's output file before it is truncated: a backend that a recipe left in the
/// background writes there for as long as it runs.
pub const RECIPE_LOG: u64 = 4 * 1024 * 1024;
/// Bytes of a truncated output file, from its end.
pub const RECIPE_LOG_KEPT: u64 = 256 * 1024;
/// Time between checks of its size while the recipe runs; later it is checked with each probe.
pub const RECIPE_LOG_EVERY: Duration = Duration::from_millis(250);
/// Wakes and reports of skipped events at once.
pub const ATTACHED: usize = 64;
/// Time that a task waits for a slot of its backend; less than [`wire::limits::ACK_WAIT_MS`], in which
/// the server expects an acknowledgement.
pub const SLOT_WAIT: Duration = Duration::from_secs(4);
/// Bytes of fetched request bodies in memory, over all backends.
pub const BODIES: usize = 256 * 1024 * 1024;
/// Time to fetch a request body: enough for the largest one at 256 KiB/s.
pub const FETCH: Duration = Duration::from_secs(266);
/// Bytes of a response to a control request, or of an error.
pub const CONTROL_BODY: usize = 1024 * 1024;
/// Bytes of a response to a long poll.
pub const POLL_BODY: usize = 16 * 1024 * 1024;
/// Characters of a task id, which the server chooses.
pub const TASK_ID: usize = 64;
/// Characters of a session id, which the server chooses.
pub const SESSION_ID: usize = 128;
/// Refused providers in the reply to a register.
pub const REFUSALS: usize = 256;
/// Longest pause that a server may ask for.
pub const SERVER_PAUSE: Duration = Duration::from_secs(600);
/// Shortest and longest time between heartbeats that a server may ask for, in seconds.
pub const HEARTBEAT_SECS: (u64, u64) = (1, 60);
/// Log lines about invalid messages of the server, for one registration.
pub const LOG_BUDGET: usize = 20;
/// Time in which stopped requests report their end when publishing stops.
pub const STOP_GRACE: Duration = Duration::from_millis(500);
/// Minimum of [`Times::withdraw`] in tests: a real server answers within it.
pub const WITHDRAW_MIN: Duration = Duration::from_secs(2);
/// Recipe runs of one provider within an hour.
pub const RECIPE_RUNS_PER_HOUR: usize = 20;
/// Time to connect for an HTTP recipe.
pub const RECIPE_CONNECT: Duration = Duration::from_secs(5);
/// Time for an HTTP recipe from start to end.
pub const RECIPE_HTTP: Duration = Duration::from_secs(30);
/// Bytes of one read from a backend.
pub const BACKEND_READ: usize = 64 * 1024;
/// Pieces of an answer up to this size are copied while they are kept.
pub const COPIED: usize = 4 * 1024;
/// Bytes of one answer's body that are sent before another answer has its turn.
pub const TURN: usize = 16 * 1024;
/// Bytes that are gathered for one write to an uplink.
pub const GATHERED: usize = 64 * 1024;
/// Bytes of all answers that are kept before their backends are slowed down.
pub const KEPT: usize = 128 * 1024 * 1024;
/// Bytes of one answer that are kept in any case.
pub const KEPT_ALWAYS: usize = 32 * 1024;
/// Bytes after which an uplink is replaced.
pub const UPLINK_BYTES: u64 = 16 * 1024 * 1024;
/// The least of that, when a proxy limits the size of requests.
pub const UPLINK_BYTES_MIN: u64 = 64 * 1024;
/// Uplinks that break in a row before the next ones are replaced earlier.
pub const UPLINK_BREAKS: u32 = 3;
/// Time from the end of an uplink's body to its response.
pub const UPLINK_CONFIRM: Duration = Duration::from_secs(15);
/// Bytes of a response that goes to a protocol-1 server as one result.
pub const WHOLE_RESPONSE: usize = 64 * 1024 * 1024;
/// Largest `maxConcurrency` that config.json may have.
pub const MAX_CONCURRENCY: u32 = 1024;
/// Bytes of the largest file of the folder that is read.
pub const FILE: u64 = 8 * 1024 * 1024;
/// Time that an edit of config.json waits for the lock.
pub const EDIT_LOCK: Duration = Duration::from_secs(5);
/// Time between tries to take a held lock.
pub const LOCK_RETRY: Duration = Duration::from_millis(20);
/// Time between two copies of the status for display; it changes with every request.
pub const SHOW_EVERY: Duration = Duration::from_millis(100);
/// Time between checks of the batteries.
pub const POWER_EVERY: Duration = Duration::from_secs(10);
/// Time between checks for control requests without a file event.
pub const REQUESTS_EVERY: Duration = Duration::from_secs(5);
/// Age at which a control request is ignored.
pub const REQUEST_STALE: Duration = Duration::from_secs(60);
/// Ended requests in the status.
pub const RECENT: usize = 100;
/// Milliseconds of one step of the status's traffic.
pub const TRAFFIC_STEP_MS: u64 = 60_000;
/// Steps of the traffic: half an hour.
pub const TRAFFIC_STEPS: usize = 30;
/// Time that a stop by the publisher waits for its report to the server.
pub const STOP_REPORT: Duration = Duration::from_secs(1);
/// Stored log files, one a day.
pub const LOG_FILES: usize = 5;
/// Log files in a diagnostics bundle.
pub const BUNDLE_LOGS: usize = 2;
/// Bytes of each log file in the bundle, from its end.
pub const BUNDLE_LOG: u64 = 256 * 1024;
/// Time for a long poll from start to end; longer than the server holds it.
pub const POLL: Duration = Duration::from_secs(60);

/// Environment variable with a factor that shortens [`Times`], for tests.
const TIME_SCALE: &str = "MCPCTL_TIME_SCALE";

/// Times that tests shorten by one factor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Times {
    /// Time between heartbeats; the server may ask for less.
    pub heartbeat: Duration,
    /// Time between heartbeats while requests run.
    pub heartbeat_busy: Duration,
    /// A control channel without a byte for this long is dead.
    pub silence: Duration,
    /// Without `hello` for this long, a proxy holds the channel back, and it is polled instead.
    pub hello: Duration,
    /// Time of polling after which the event stream is tried again.
    pub stream_again: Duration,
    /// Time after which an unconfirmed probe upload counts as held back by a proxy.
    pub probe: Duration,
    /// Time between readiness probes of a published backend.
    pub ready_every: Duration,
    /// Shortest reconnect delay.
    pub backoff_min: Duration,
    /// Upper bound of the first reconnect delay; doubles with each try.
    pub backoff_step: Duration,
    /// Longest reconnect delay.
    pub backoff_max: Duration,
    /// Upper bound of the first reconnect delay while answers are unfinished; doubles with each try.
    pub quick_step: Duration,
    /// Longest reconnect delay while answers are unfinished.
    pub quick_max: Duration,
    /// Duration of a connection after which reconnect delays start over.
    pub healthy: Duration,
    /// Time to wait for a session that another machine holds.
    pub conflict: Duration,
    /// Time between tries to load missing, locked or refused credentials.
    pub credentials_every: Duration,
    /// Time without a response of the backend after which a task is acknowledged. The server waits
    /// [`wire::limits::ACK_WAIT_MS`] for that or for the response.
    pub ack_after: Duration,
    /// Age at which an uplink is replaced.
    pub uplink_age: Duration,
    /// The least of that, when a proxy limits the age of requests.
    pub uplink_age_min: Duration,
    /// Time without a new task after which no uplink is opened.
    pub uplink_idle: Duration,
    /// Time before the second uplink after a loss; the first is opened at once. Doubles with each.
    pub uplink_again: Duration,
    /// Longest time before another uplink.
    pub uplink_again_max: Duration,
    /// Time without a session after which running tasks are stopped: the server has given them up.
    pub lost: Duration,
    /// Time before a recipe of a killed process may run again.
    pub recipe_again: Duration,
    /// Time after which the holder of the folder's lock must have written its status.
    pub lock_silent: Duration,
    /// Time between checks for another network.
    pub network_every: Duration,
    /// Time between checks for a suspend of the machine.
    pub clock_every: Duration,
    /// Time between tries to lock the folder while another process publishes from it.
    pub lock_every: Duration,
    /// Time between writes of `status.json`.
    pub status_every: Duration,
    /// Time for the withdrawal, and for running requests, when publishing stops.
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
            quick_step: Duration::from_millis(250),
            quick_max: Duration::from_secs(2),
            healthy: Duration::from_secs(60),
            conflict: Duration::from_secs(240),
            credentials_every: Duration::from_secs(5),
            ack_after: Duration::from_millis(500),
            uplink_age: Duration::from_secs(50),
            uplink_age_min: Duration::from_secs(1),
            uplink_idle: Duration::from_secs(300),
            uplink_again: Duration::from_millis(100),
            uplink_again_max: Duration::from_secs(5),
            lost: Duration::from_secs(60),
            recipe_again: Duration::from_secs(30),
            lock_silent: Duration::from_secs(15),
            network_every: Duration::from_secs(1),
            clock_every: Duration::from_secs(5),
            lock_every: Duration::from_secs(1),
            status_every: Duration::from_secs(1),
            withdraw: Duration::from_secs(4),
        }
    }
}

impl Times {
    /// The default times, shortened by the factor in the environment.
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
            &mut self.quick_step,
            &mut self.quick_max,
            &mut self.healthy,
            &mut self.conflict,
            &mut self.credentials_every,
            &mut self.ack_after,
            &mut self.uplink_age,
            &mut self.uplink_age_min,
            &mut self.uplink_idle,
            &mut self.uplink_again,
            &mut self.uplink_again_max,
            &mut self.lost,
            &mut self.recipe_again,
            &mut self.lock_silent,
            &mut self.network_every,
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
