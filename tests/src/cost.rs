//! What running processes cost: memory and CPU, of a process and all of its descendants.

/// Their share of the machine's memory (PSS), in MiB.
#[must_use]
pub fn memory(pid: u32) -> f64 {
    let kib = |pid: u32| -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or("0 kB");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let all: f64 = tree(pid).into_iter().map(kib).sum();
    (all / 102.4).round() / 10.0
}

/// The CPU time that they have used, in seconds.
#[must_use]
pub fn cpu(pid: u32) -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let ticks = |pid: u32| -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> = text.rsplit(") ").next().unwrap().split(' ').collect();
        let field = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
        field(11) + field(12)
    };
    tree(pid).into_iter().map(ticks).sum::<f64>() / TICKS_PER_SECOND
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
