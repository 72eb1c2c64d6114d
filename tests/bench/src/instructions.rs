//! Instructions of our processes per answer, counted by callgrind: they do not depend on the noise of
//! the machine. The kernel's are not among them.

use crate::caller::Caller;
use crate::fast_backend::{FastBackend, Script, WHOLE};
use crate::report::{TableRow, short};
use crate::routes::ours::Ours;
use futures_util::future::join_all;
use std::path::Path;
use std::process::Command;

const CALLERS: usize = 64;
/// Answers of each caller before the count begins: connections, caches and tables are warm then.
const BEFORE: usize = 5;
/// Answers of each caller that are counted.
const COUNTED: usize = 40;

/// Counts, and leaves the profiles in `folder`.
pub(crate) async fn measure(backend: &FastBackend, folder: &Path) -> Vec<TableRow> {
    let tools = ["mcpd", "agent"].map(|name| callgrind(&folder.join(format!("{name}.callgrind"))));
    let ours = Ours::open_run_by(&backend.url, [&tools[0], &tools[1]]).await;
    let route = ours.route();
    let mut callers = Caller::several(&route, CALLERS).await;
    let body = Script::Whole.body("bench", 100);
    answers(&mut callers, &body, BEFORE).await;
    let pids = [("mcpd", ours.mcpd.process.pid()), ("agent", ours.agent.process.pid())];
    pids.iter().for_each(|(_, pid)| control("--instr=on", *pid));
    answers(&mut callers, &body, COUNTED).await;
    pids.iter().for_each(|(_, pid)| control("--instr=off", *pid));
    pids.iter().for_each(|(_, pid)| control("--dump", *pid));
    let row = |(name, _): &(&str, u32)| {
        let counted = counted(folder, name) / (CALLERS * COUNTED) as f64;
        let wanted = if *name == "agent" { "≤ 60000" } else { "≤ 65000" };
        TableRow::new(&format!("{name}, instructions per answer"), short(counted), wanted)
    };
    pids.iter().map(row).collect()
}

async fn answers(callers: &mut [Caller], body: &bytes::Bytes, each: usize) {
    let caller = async |caller: &mut Caller| {
        for _ in 0..each {
            caller.whole(body, WHOLE.len()).await;
        }
    };
    join_all(callers.iter_mut().map(caller)).await;
}

fn callgrind(out: &Path) -> Vec<String> {
    let out = format!("--callgrind-out-file={}", out.display());
    let tool = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet", &out];
    tool.map(str::to_owned).to_vec()
}

fn control(what: &str, pid: u32) {
    let done = Command::new("callgrind_control").args([what, &pid.to_string()]).output().unwrap();
    assert!(done.status.success(), "callgrind_control {what}: {done:?}");
}

/// The instructions in the dumps of a process.
fn counted(folder: &Path, name: &str) -> f64 {
    let dumps = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let dumps = dumps.filter(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file.starts_with(&format!("{name}.callgrind"))
    });
    let total = |path| {
        let text = std::fs::read_to_string(path).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("totals: ")).unwrap_or("0");
        line.trim().parse::<f64>().unwrap()
    };
    dumps.map(total).sum()
}
