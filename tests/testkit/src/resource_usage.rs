//! Memory and CPU time of a process and all of its descendants.

use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;
use std::time::Duration;

/// Proportional set size (PSS), in MiB.
#[must_use]
pub fn memory(pid: u32) -> f64 {
    sum_of(pid, "Pss:")
}

/// Resident set size (RSS), in MiB; shared pages count for each process.
#[must_use]
pub fn resident(pid: u32) -> f64 {
    sum_of(pid, "Rss:")
}

fn sum_of(pid: u32, kind: &str) -> f64 {
    let kib = |pid: u32| -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(kind)).unwrap_or("0 kB");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let all: f64 = tree(pid).into_iter().map(kib).sum();
    (all / 102.4).round() / 10.0
}

/// CPU time in seconds, from the scheduler's clock: it counts nanoseconds, and includes threads that
/// have ended.
#[must_use]
pub fn cpu(pid: u32) -> f64 {
    let used = |pid: u32| -> f64 {
        let clock = clock_getcpuclockid(Pid::from_raw(pid.cast_signed()));
        let time = clock.and_then(ClockId::now).map(Duration::from);
        time.unwrap_or_default().as_secs_f64()
    };
    tree(pid).into_iter().map(used).sum()
}

/// The process and all of its descendants.
fn tree(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    let mut found = vec![pid];
    for task in tasks.into_iter().flatten().flatten() {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            found.extend(tree(child));
        }
    }
    found
}
