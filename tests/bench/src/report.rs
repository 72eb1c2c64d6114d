//! The results as tables, in the terminal and in docs/benchmarks.md, and as a chart.

mod chart;

use crate::measurements::Figure;
use crate::routes::{DIRECT, FLOOR, LITELLM, OURS};
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// [`Report::keep`] replaces all text between these lines of docs/benchmarks.md.
const MARKS: [&str; 2] = ["<!-- measured: begin -->", "<!-- measured: end -->"];
/// Relative spread of the direct route above which the machine counts as noisy.
const NOISY: f64 = 0.3;

/// A row of a table; the target may be empty.
pub(crate) struct TableRow {
    pub(crate) what: String,
    pub(crate) value: String,
    pub(crate) target: String,
}

impl TableRow {
    pub(crate) fn new(what: &str, value: impl Into<String>, target: &str) -> Self {
        Self { what: what.into(), value: value.into(), target: target.into() }
    }
}

/// The measurements of all rounds.
#[derive(Default)]
pub(crate) struct Rounds {
    values: BTreeMap<(Figure, &'static str, usize), f64>,
    routes: Vec<&'static str>,
    count: usize,
}

impl Rounds {
    pub(crate) fn add(&mut self, round: usize, route: &'static str, found: Vec<(Figure, f64)>) {
        if !self.routes.contains(&route) {
            self.routes.push(route);
        }
        self.count = self.count.max(round);
        self.values
            .extend(found.into_iter().map(|(figure, value)| ((figure, route, round), value)));
    }

    /// Returns a table with the median, minimum and maximum of every figure and route.
    pub(crate) fn table(&self) -> Table {
        let against = if self.routes.contains(&FLOOR) { FLOOR } else { LITELLM };
        let mut table =
            empty(&[&["what"], &*self.routes, &[&*format!("mcplocal / {against}")]].concat());
        let measured = |figure: &Figure| {
            self.routes.iter().any(|route| !self.sorted(*figure, route).is_empty())
        };
        for figure in Figure::ALL.into_iter().filter(measured) {
            let cell = |route: &&'static str| {
                let values = self.sorted(figure, route);
                let (Some(least), Some(most)) = (values.first(), values.last()) else {
                    return "–".to_owned();
                };
                let middle = median(&values).unwrap_or_default();
                format!("{} ({}–{})", short(middle), short(*least), short(*most))
            };
            let cells = self.routes.iter().map(cell);
            let ratio = self.by(against, figure).map(short);
            table.add_row(std::iter::once(figure.name().to_owned()).chain(cells).chain(ratio));
        }
        table
    }

    /// Returns the values of all rounds, sorted.
    fn sorted(&self, figure: Figure, route: &'static str) -> Vec<f64> {
        let rounds = 1..=self.count;
        let values = rounds.filter_map(|round| self.values.get(&(figure, route, round)).copied());
        sorted(values.collect())
    }

    fn median(&self, figure: Figure, route: &'static str) -> Option<f64> {
        median(&self.sorted(figure, route))
    }

    /// Returns the median of the rounds' ratios, which cancels out noise that affects a whole round.
    fn ratio(&self, of: impl Fn(usize) -> Option<f64>) -> Option<f64> {
        median(&sorted((1..=self.count).filter_map(of).collect()))
    }

    /// Returns our value divided by that of another route.
    fn by(&self, other: &'static str, figure: Figure) -> Option<f64> {
        let at = |route, round| self.values.get(&(figure, route, round)).copied();
        self.ratio(|round| Some(at(OURS, round)? / at(other, round)?))
    }

    /// Returns the time that our route adds to the direct one, divided by what the floor adds.
    fn added(&self, figure: Figure) -> Option<f64> {
        let at = |route, round| self.values.get(&(figure, route, round)).copied();
        self.ratio(|round| {
            let direct = at(DIRECT, round)?;
            Some((at(OURS, round)? - direct) / (at(FLOOR, round)? - direct))
        })
    }

    /// Returns the relative spread of the direct route over the rounds.
    fn spread(&self) -> Option<f64> {
        let values = self.sorted(Figure::UnaryP50, DIRECT);
        Some((values.last()? - values.first()?) / median(&values)?)
    }
}

/// All results of a run.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) near: Rounds,
    /// With a delay between server and backend.
    pub(crate) far: Rounds,
    /// With TLS.
    pub(crate) tls: Rounds,
    /// With LiteLLM; empty unless requested.
    pub(crate) gateways: Rounds,
    pub(crate) scaling: Vec<TableRow>,
    pub(crate) latency: Vec<TableRow>,
}

impl Report {
    /// Compares our route with the floor.
    pub(crate) fn targets(&self) -> Table {
        let rounds = &self.near;
        let mut table = empty(&["mcplocal / nginx + rathole", "ratio", "target", ""]);
        let mut line = |what: &str, ratio: Option<f64>, target: f64, more_is_better: bool| {
            let Some(ratio) = ratio else { return };
            let met = if more_is_better { ratio >= target } else { ratio <= target };
            let target = format!("{} {target}", if more_is_better { "≥" } else { "≤" });
            let verdict = if met { "" } else { "missed" };
            table.add_row([what, &format!("{ratio:.2}"), &target, verdict]);
        };
        let added = |figure| rounds.added(figure);
        line("whole response, 1 caller, time added", added(Figure::UnaryP50), 2.0, false);
        line("whole responses per s, 64 callers", rounds.by(FLOOR, Figure::PerSecond), 0.6, true);
        line("CPU per 1,000 of them", rounds.by(FLOOR, Figure::CpuPerThousand), 2.0, false);
        line("first byte, time added", added(Figure::FirstByte), 1.5, false);
        line("1 stream at full speed", rounds.by(FLOOR, Figure::OneStream), 0.9, true);
        line("100 streams at full speed", rounds.by(FLOOR, Figure::ManyStreams), 0.9, true);
        line("paced tokens, time added, p50", added(Figure::PacedP50), 1.5, false);
        line("paced tokens, time added, p99", added(Figure::PacedP99), 2.0, false);
        table
    }

    /// Writes the measured part of docs/benchmarks.md, and its chart.
    pub(crate) fn keep(&self) -> std::io::Result<()> {
        let docs = testkit::repository().join("docs");
        chart::draw(&self.near, &docs.join("benchmarks.svg")).map_err(std::io::Error::other)?;
        let file: PathBuf = docs.join("benchmarks.md");
        let text = std::fs::read_to_string(&file)?;
        let [begin, end] = MARKS.map(|mark| text.find(mark));
        let (Some(begin), Some(end)) = (begin, end) else {
            return Err(std::io::Error::other("docs/benchmarks.md has no marks for the results"));
        };
        let begin = begin + MARKS[0].len();
        let measured = self.markdown();
        std::fs::write(file, format!("{}\n\n{measured}\n{}", &text[..begin], &text[end..]))
    }

    fn markdown(&self) -> String {
        let noise = match self.near.spread() {
            Some(spread) if spread > NOISY => format!(
                "**The machine was noisy**: the direct route's rounds differ by {:.0} %.\n\n",
                spread * 100.0
            ),
            _ => String::new(),
        };
        let gateways = if self.gateways.count == 0 {
            String::new()
        } else {
            let table = self.gateways.table();
            format!(
                "\n### LiteLLM\n\nMeasured with fewer requests, because it is much slower.\n\n{table}\n"
            )
        };
        format!(
            "{}\n\n{noise}Median of {} interleaved rounds, minimum and maximum in brackets.\n\n{}\n\n\
             ### mcplocal compared with nginx + rathole\n\n{}\n\n\
             ### With 25 ms one-way delay between server and backend\n\n{}\n\n\
             ### With TLS\n\nBoth routes are encrypted from the caller and to the backend's machine: mcpd by nginx \
             in front of it, the tunnel by nginx and its own encryption (noise).\n\n{}\n\n\
             ### Scaling\n\nIn brackets: relative to a server with one \
             publisher, measured alternately.\n\n{}\n\n### Latency and resources\n\n{}\n{gateways}",
            setting(),
            self.near.count,
            self.near.table(),
            self.targets(),
            self.far.table(),
            self.tls.table(),
            table(&self.scaling),
            table(&self.latency),
        )
    }
}

/// Returns a table of these rows.
pub(crate) fn table(lines: &[TableRow]) -> Table {
    let mut table = empty(&["what", "measured", "target"]);
    for line in lines {
        table.add_row([&line.what, &line.value, &line.target]);
    }
    table
}

fn empty(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(heads.iter().copied());
    table
        .column_iter_mut()
        .skip(1)
        .for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// Returns date, commit, machine and versions.
fn setting() -> String {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok();
        let text = output.map(|o| [o.stdout, o.stderr].concat()).unwrap_or_default();
        String::from_utf8_lossy(&text).trim().to_owned()
    };
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let nginx = said(testkit::provided("nginx.sh").to_str().unwrap_or_default(), &["-v"]);
    let haproxy = said(testkit::provided("haproxy.sh").to_str().unwrap_or_default(), &["-v"]);
    let at = testkit::repository().display().to_string();
    format!(
        "{}, commit {}. {cores} cores of {}, Linux {}. {}; {}; {}; rathole 0.5.0.",
        jiff::Zoned::now().strftime("%Y-%m-%d"),
        said("git", &["-C", &at, "rev-parse", "--short", "HEAD"]),
        model.unwrap_or("an unknown CPU"),
        kernel.trim(),
        said("rustc", &["--version"]),
        nginx.trim_start_matches("nginx version: "),
        haproxy.split(" 20").next().unwrap_or_default(),
    )
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> Option<f64> {
    sorted.get(sorted.len() / 2).copied()
}

/// Formats a value with three significant digits.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        0.0..1.0 => format!("{value:.3}"),
        1.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
