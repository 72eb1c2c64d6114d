//! The chart: a panel for each figure, a bar for each route.

use super::{Rounds, short};
use crate::measurements::Figure;
use plotters::prelude::*;
use std::error::Error;
use std::path::Path;

const SIZE: (u32, u32) = (1080, 620);
const PANELS: [Figure; 6] = [
    Figure::UnaryP50,
    Figure::FirstByte,
    Figure::PacedP50,
    Figure::PerSecond,
    Figure::OneStream,
    Figure::ManyStreams,
];
/// Our route is the last one, and the only one in colour.
const COLOURS: [RGBColor; 5] = [
    RGBColor(196, 203, 213),
    RGBColor(176, 184, 196),
    RGBColor(148, 158, 173),
    RGBColor(116, 128, 146),
    RGBColor(26, 99, 204),
];

/// Draws the chart into an SVG file.
pub(super) fn draw(rounds: &Rounds, file: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    for (panel, figure) in area.split_evenly((2, 3)).iter().zip(PANELS) {
        let panel = panel.margin(14, 10, 12, 12);
        let values: Vec<(&str, f64)> = rounds
            .routes
            .iter()
            .filter_map(|route| Some((*route, rounds.median(figure, route)?)))
            .collect();
        let most = values.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        let better = if figure.more_is_better() { "more is better" } else { "less is better" };
        let (width, _) = panel.dim_in_pixel();
        let style = ("sans-serif", 14).into_font().color(&BLACK);
        panel.draw(&Text::new(figure.name(), (0, 0), style))?;
        let small = ("sans-serif", 12).into_font().color(&RGBColor(89, 97, 114));
        panel.draw(&Text::new(better, (0, 18), small.clone()))?;
        let (top, line) = (44, 50);
        for (at, (route, value)) in values.iter().enumerate() {
            let y = top + i32::try_from(at)? * line;
            let full = f64::from(width) - 70.0;
            #[expect(clippy::cast_possible_truncation, reason = "pixels")]
            let end = (value / most * full).max(1.0) as i32;
            let colour = COLOURS[at.min(COLOURS.len() - 1)];
            panel.draw(&Text::new(*route, (0, y), small.clone()))?;
            panel.draw(&Rectangle::new([(0, y + 16), (end, y + 32)], colour.filled()))?;
            panel.draw(&Text::new(short(*value), (end + 6, y + 17), small.clone()))?;
        }
    }
    area.present()?;
    Ok(())
}
