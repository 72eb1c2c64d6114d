//! Columns for people.

use crate::out;
use comfy_table::{Table, presets};
use jiff::Timestamp;
use wire::names::printable;

/// A table with these headings.
pub(crate) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headings.to_vec());
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// Adds a row. What could move a terminal's cursor is replaced here, before widths are measured.
pub(crate) fn add(table: &mut Table, cells: &[String]) {
    table.add_row(cells.iter().map(|cell| printable(cell)));
}

/// Prints without the spaces at the ends of lines.
pub(crate) fn print(table: &Table) {
    print_lines(table, 0);
}

/// The same without the headings, which stand further above.
pub(crate) fn print_rows(table: &Table) {
    print_lines(table, 1);
}

fn print_lines(table: &Table, from: usize) {
    for line in table.lines().skip(from) {
        out::line(line.trim_end());
    }
}

/// How long ago, in the two coarsest units, as people of clusters know it.
pub(crate) fn age(unix_ms: u64) -> String {
    let now = Timestamp::now().as_millisecond();
    let then = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    duration((now - then).max(0) / 1000)
}

fn duration(secs: i64) -> String {
    match secs {
        0..120 => format!("{secs}s"),
        120..7200 => format!("{}m", secs / 60),
        7200..172_800 => format!("{}h", secs / 3600),
        _ => format!("{}d", secs / 86_400),
    }
}

/// A moment, to the second, in local time.
pub(crate) fn moment(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    let zone = jiff::tz::TimeZone::system();
    Timestamp::from_millisecond(ms)
        .map(|at| at.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S").to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn an_age_has_one_unit_that_is_neither_too_fine_nor_too_coarse() {
        let shown = [0, 119, 120, 7_199, 7_200, 172_799, 172_800].map(duration);
        assert_eq!(shown, ["0s", "119s", "2m", "119m", "2h", "47h", "2d"]);
    }
}
