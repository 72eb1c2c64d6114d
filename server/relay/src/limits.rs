//! The relay's limits.

/// Limits of the relay. Times are in milliseconds; tests scale all of them by one factor.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Length of one second of a publisher's declared wake time: 1000, less in tests.
    pub second: u64,
    /// Interval of heartbeats, as it is reported to publishers.
    pub heartbeat: u64,
    /// Without an authenticated request of its epoch for this long, a session is inactive.
    pub lease: u64,
    /// An inactive entry is deleted after this long.
    pub delete_after: u64,
    /// A name that was served stays its owner's for this long after its last entry has gone.
    pub reservation: u64,
    /// A session without entries and without a channel ends after this long.
    pub empty_session: u64,
    /// Interval of [`crate::Relay::sweep`].
    pub sweep: u64,
    /// After a start, a request waits for a missing publisher only while the server is this young.
    pub grace: u64,
    /// Time limit of that wait.
    pub grace_wait: u64,
    /// After a start, nothing is deleted for this long.
    pub grace_delete: u64,
    /// Deletions stop for this long when one sweep would expire most publishers.
    pub freeze: u64,
    /// A dispatched task must be acknowledged within this time.
    pub ack_wait: u64,
    /// Requests that may wait for one LLM. A key may fill a quarter of the places while others wait; for
    /// those there is a quarter more.
    pub queue: usize,
    /// Time limit of the wait for a slot.
    pub queue_wait: u64,
    /// Added to a recipe's own time before a wake is given up.
    pub wake_margin: u64,
    /// A request without a stream waits this long while a backend wakes.
    pub wake_hold: u64,
    /// First pause after a failed wake; doubles up to `wake_cooldown_max`.
    pub wake_cooldown: u64,
    /// Longest pause after failed wakes.
    pub wake_cooldown_max: u64,
    /// From dispatch to the first byte of the answer.
    pub first_byte: u64,
    /// From dispatch to the end of the answer.
    pub total: u64,
    /// A running task that no request names for this long is lost.
    pub lost: u64,
    /// The same while its publisher's channel is down.
    pub lost_disconnected: u64,
    /// A waiting streaming caller gets its first notice after this long, and one at each interval.
    pub notice: u64,
    /// Dispatches of one task after its first, before its first byte.
    pub redispatch: u32,
    /// LLMs per owner.
    pub llms_per_owner: usize,
    /// Sessions per owner.
    pub sessions_per_owner: usize,
    /// Unused names that stay reserved for an owner; the one that lapses first makes room.
    pub reservations_per_owner: usize,
    /// Providers in one register.
    pub providers_per_register: usize,
    /// When publishers may come back after a drain.
    pub reconnect_after: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            second: 1_000,
            heartbeat: wire::limits::HEARTBEAT_MS,
            lease: wire::limits::LEASE_MS,
            delete_after: 4 * 3_600_000,
            reservation: 30 * 24 * 3_600_000,
            empty_session: 10 * 60_000,
            sweep: 5_000,
            grace: 60_000,
            grace_wait: 10_000,
            grace_delete: 90_000,
            freeze: 15 * 60_000,
            ack_wait: wire::limits::ACK_WAIT_MS,
            queue: 100,
            queue_wait: 60_000,
            wake_margin: 10_000,
            wake_hold: 60_000,
            wake_cooldown: 30_000,
            wake_cooldown_max: 600_000,
            first_byte: 15 * 60_000,
            total: 30 * 60_000,
            lost: 45_000,
            lost_disconnected: 15_000,
            notice: 10_000,
            redispatch: 2,
            llms_per_owner: wire::limits::LLMS_PER_OWNER,
            sessions_per_owner: 20,
            reservations_per_owner: 60,
            providers_per_register: 100,
            reconnect_after: 2_000,
        }
    }
}

impl Limits {
    /// The same limits with every time multiplied by `factor` (tests use less than 1). Counts stay.
    #[must_use]
    pub fn scaled(mut self, factor: f64) -> Self {
        let times = [
            &mut self.second,
            &mut self.heartbeat,
            &mut self.lease,
            &mut self.delete_after,
            &mut self.reservation,
            &mut self.empty_session,
            &mut self.sweep,
            &mut self.grace,
            &mut self.grace_wait,
            &mut self.grace_delete,
            &mut self.freeze,
            &mut self.ack_wait,
            &mut self.queue_wait,
            &mut self.wake_margin,
            &mut self.wake_hold,
            &mut self.wake_cooldown,
            &mut self.wake_cooldown_max,
            &mut self.first_byte,
            &mut self.total,
            &mut self.lost,
            &mut self.lost_disconnected,
            &mut self.notice,
            &mut self.reconnect_after,
        ];
        for time in times {
            *time =
                std::time::Duration::from_millis(*time).mul_f64(factor).as_millis().max(1) as u64;
        }
        self
    }
}
