//! Tables, ages and times for people.

use client::terminal;
use comfy_table::{Table, presets};
use jiff::Timestamp;
use wire::names::printable;

/// Creates a table with these headings.
pub(crate) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headings.to_vec());
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// Adds a row. Unprintable characters are replaced before the column widths are measured.
pub(crate) fn add(table: &mut Table, cells: &[String]) {
    table.add_row(cells.iter().map(|cell| printable(cell)));
}

/// Returns the text, or a dash if it is missing or empty.
pub(crate) fn or_dash<'a>(text: impl Into<Option<&'a str>>) -> String {
    text.into().filter(|text| !text.is_empty()).unwrap_or("-").to_owned()
}

/// Prints a table without trailing spaces.
pub(crate) fn print(table: &Table) {
    print_lines(table, 0);
}

/// Prints a table without its headings, as a continuation of an earlier one.
pub(crate) fn print_rows(table: &Table) {
    print_lines(table, 1);
}

fn print_lines(table: &Table, skip: usize) {
    for line in table.lines().skip(skip) {
        terminal::line(line.trim_end());
    }
}

/// Formats how long ago a time is, in the units of kubectl.
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

/// Formats a time in the local time zone, to the second.
pub(crate) fn local_time(unix_ms: u64) -> String {
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
    fn an_age_has_one_unit_of_fitting_size() {
        let shown = [0, 119, 120, 7_199, 7_200, 172_799, 172_800].map(duration);
        assert_eq!(shown, ["0s", "119s", "2m", "119m", "2h", "47h", "2d"]);
    }
}
