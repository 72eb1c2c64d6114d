//! What was measured, as tables in the terminal and in docs/benchmarks.md, and as a picture.

mod chart;

use crate::load::Figure;
use crate::roads::{DIRECT, FLOOR, LITELLM, OURS};
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// Everything between these lines of docs/benchmarks.md is written by [`Report::keep`].
const MARKS: [&str; 2] = ["<!-- measured: begin -->", "<!-- measured: end -->"];
/// The direct road's spread above which the machine was busy with something else.
const NOISY: f64 = 0.3;

/// A line of a table: what, how much, and the target where there is one.
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) value: String,
    pub(crate) target: String,
}

impl Line {
    pub(crate) fn new(what: &str, value: impl Into<String>, target: &str) -> Self {
        Self { what: what.into(), value: value.into(), target: target.into() }
    }
}

/// The figures of all rounds.
#[derive(Default)]
pub(crate) struct Rounds {
    values: BTreeMap<(Figure, &'static str, usize), f64>,
    roads: Vec<&'static str>,
    count: usize,
}

impl Rounds {
    pub(crate) fn add(&mut self, round: usize, road: &'static str, found: Vec<(Figure, f64)>) {
        if !self.roads.contains(&road) {
            self.roads.push(road);
        }
        self.count = self.count.max(round);
        self.values.extend(found.into_iter().map(|(figure, value)| ((figure, road, round), value)));
    }

    /// Every figure of every road: the median, and the least and the greatest of the self.
    pub(crate) fn table(&self) -> Table {
        let against = if self.roads.contains(&FLOOR) { FLOOR } else { LITELLM };
        let mut table =
            empty(&[&["what"], &*self.roads, &[&*format!("ours by {against}")]].concat());
        let measured =
            |figure: &Figure| self.roads.iter().any(|road| !self.sorted(*figure, road).is_empty());
        for figure in Figure::ALL.into_iter().filter(measured) {
            let cell = |road: &&'static str| {
                let values = self.sorted(figure, road);
                let (Some(least), Some(most)) = (values.first(), values.last()) else {
                    return "–".to_owned();
                };
                let middle = median(&values).unwrap_or_default();
                format!("{} ({}–{})", short(middle), short(*least), short(*most))
            };
            let cells = self.roads.iter().map(cell);
            let ratio = self.by(against, figure).map(short);
            table.add_row(std::iter::once(figure.name().to_owned()).chain(cells).chain(ratio));
        }
        table
    }

    /// The values of all rounds, sorted.
    fn sorted(&self, figure: Figure, road: &'static str) -> Vec<f64> {
        let rounds = 1..=self.count;
        let values = rounds.filter_map(|round| self.values.get(&(figure, road, round)).copied());
        sorted(values.collect())
    }

    fn median(&self, figure: Figure, road: &'static str) -> Option<f64> {
        median(&self.sorted(figure, road))
    }

    /// The median of the ratios of the rounds: what is slow for a round is slow for both.
    fn ratio(&self, of: impl Fn(usize) -> Option<f64>) -> Option<f64> {
        median(&sorted((1..=self.count).filter_map(of).collect()))
    }

    /// Ours by another.
    fn by(&self, other: &'static str, figure: Figure) -> Option<f64> {
        let at = |road, round| self.values.get(&(figure, road, round)).copied();
        self.ratio(|round| Some(at(OURS, round)? / at(other, round)?))
    }

    /// What ours adds to the direct road by what the floor adds.
    fn added(&self, figure: Figure) -> Option<f64> {
        let at = |road, round| self.values.get(&(figure, road, round)).copied();
        self.ratio(|round| {
            let direct = at(DIRECT, round)?;
            Some((at(OURS, round)? - direct) / (at(FLOOR, round)? - direct))
        })
    }

    /// How far the direct road's rounds lie apart.
    fn spread(&self) -> Option<f64> {
        let values = self.sorted(Figure::UnaryP50, DIRECT);
        Some((values.last()? - values.first()?) / median(&values)?)
    }
}

/// All that one run has found.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) near: Rounds,
    /// With a long way between the server and the backend's machine.
    pub(crate) far: Rounds,
    /// With TLS.
    pub(crate) tls: Rounds,
    /// Beside LiteLLM; measured when asked.
    pub(crate) gateways: Rounds,
    pub(crate) growth: Vec<Line>,
    pub(crate) feel: Vec<Line>,
}

impl Report {
    /// Ours against the floor.
    pub(crate) fn targets(&self) -> Table {
        let rounds = &self.near;
        let mut table = empty(&["ours by nginx + rathole", "ratio", "target", ""]);
        let mut line = |what: &str, ratio: Option<f64>, target: f64, more_is_better: bool| {
            let Some(ratio) = ratio else { return };
            let met = if more_is_better { ratio >= target } else { ratio <= target };
            let target = format!("{} {target}", if more_is_better { "≥" } else { "≤" });
            let verdict = if met { "" } else { "missed" };
            table.add_row([what, &format!("{ratio:.2}"), &target, verdict]);
        };
        let added = |figure| rounds.added(figure);
        line("whole answer, 1 caller, time added", added(Figure::UnaryP50), 2.0, false);
        line("whole answers per s, 64 callers", rounds.by(FLOOR, Figure::PerSecond), 0.6, true);
        line("CPU per 1,000 of them", rounds.by(FLOOR, Figure::CpuPerThousand), 2.0, false);
        line("first byte, time added", added(Figure::FirstByte), 1.5, false);
        line("1 stream at full speed", rounds.by(FLOOR, Figure::OneStream), 0.9, true);
        line("100 streams at full speed", rounds.by(FLOOR, Figure::ManyStreams), 0.9, true);
        line("paced tokens, time added, p50", added(Figure::PacedP50), 1.5, false);
        line("paced tokens, time added, p99", added(Figure::PacedP99), 2.0, false);
        table
    }

    /// Writes docs/benchmarks.md, all but what people wrote in it, and its picture.
    pub(crate) fn keep(&self) -> std::io::Result<()> {
        let docs = testkit::repository().join("docs");
        chart::draw(&self.near, &docs.join("benchmarks.svg")).map_err(std::io::Error::other)?;
        let file: PathBuf = docs.join("benchmarks.md");
        let text = std::fs::read_to_string(&file)?;
        let [begin, end] = MARKS.map(|mark| text.find(mark));
        let (Some(begin), Some(end)) = (begin, end) else {
            return Err(std::io::Error::other("docs/benchmarks.md has lost its marks"));
        };
        let begin = begin + MARKS[0].len();
        let measured = self.markdown();
        std::fs::write(file, format!("{}\n\n{measured}\n{}", &text[..begin], &text[end..]))
    }

    fn markdown(&self) -> String {
        let noise = match self.near.spread() {
            Some(spread) if spread > NOISY => format!(
                "**The machine was noisy**: the direct road's rounds lie {:.0} % apart.\n\n",
                spread * 100.0
            ),
            _ => String::new(),
        };
        let gateways = if self.gateways.count == 0 {
            String::new()
        } else {
            let table = self.gateways.table();
            format!("\n### Beside LiteLLM\n\nWith less work, for it is slower.\n\n{table}\n")
        };
        format!(
            "{}\n\n{noise}Median of {} interleaved rounds, least and greatest in brackets.\n\n{}\n\n\
             ### Ours by the floor, round by round\n\n{}\n\n\
             ### With 25 ms, each way, between the server and the backend's machine\n\n{}\n\n\
             ### With TLS\n\nIn front of both, and on the way out of the backend's machine: nginx in \
             front of mcpd, the tunnel's own encryption (noise) beside it.\n\n{}\n\n\
             ### How cost grows\n\nIn brackets: by a server that has one \
             publisher, measured beside it in pairs.\n\n{}\n\n### What people feel\n\n{}\n{gateways}",
            setting(),
            self.near.count,
            self.near.table(),
            self.targets(),
            self.far.table(),
            self.tls.table(),
            table(&self.growth),
            table(&self.feel),
        )
    }
}

/// Lines as a table.
pub(crate) fn table(lines: &[Line]) -> Table {
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

/// When, where and what.
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

/// Three digits that count.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        0.0..1.0 => format!("{value:.3}"),
        1.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
