//! Charts as SVG, drawn by hand: there are only bars in them.

use std::fmt::Write as _;

use handlebars::html_escape;
use jiff::civil::Date;

use crate::report::Day;

/// How many colours there are for workflows (`.c0` … in the page's style); further workflows share them.
pub(super) const COLOURS: usize = 6;

/// The size of the drawing; the page scales it.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 240.0;
/// Room for the numbers on the left, and for the days below.
const LEFT: f64 = 48.0;
const BELOW: f64 = 26.0;
const ABOVE: f64 = 10.0;

/// Mails by day, a colour for each workflow.
pub(super) fn days(days: &[Day], workflows: &[String]) -> String {
    let most = days.iter().map(|day| day.mails).max().unwrap_or_default();
    if most == 0 {
        return "<p class=\"none\">No mails at all.</p>".to_owned();
    }
    let top = round_up(most);
    let (room, width) = (HEIGHT - ABOVE - BELOW, WIDTH - LEFT);
    let step = width / days.len().max(1) as f64;
    let bar = (step * 0.8).min(48.0);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Mails by day\">");
    for part in 0..=4_u64 {
        let y = ABOVE + room - room * part as f64 / 4.0;
        let value = top as f64 * part as f64 / 4.0;
        // Writing to a String cannot fail.
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
        );
    }
    for (place, day) in days.iter().enumerate() {
        let x = LEFT + step * place as f64 + (step - bar) / 2.0;
        let mut y = ABOVE + room;
        let _ = write!(svg, "<g><title>{}: {}</title>", day.day, html_escape(&told(day)));
        for (colour, workflow) in workflows.iter().enumerate() {
            let number = day.by_workflow.get(workflow).copied().unwrap_or_default();
            let height = room * number as f64 / top as f64;
            y -= height;
            if number > 0 {
                let _ = write!(
                    svg,
                    "<rect class=\"c{}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{bar:.1}\" height=\"{height:.1}\"/>",
                    colour % COLOURS
                );
            }
        }
        svg.push_str("</g>");
    }
    let labels: Vec<(usize, Date)> = labels(days);
    for (place, day) in labels {
        let x = LEFT + step * (place as f64 + 0.5);
        let _ = write!(
            svg,
            "<text class=\"axis\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - 8.0,
            day.strftime("%-d %b")
        );
    }
    svg.push_str("</svg>");
    svg
}

/// Small bars one beside the other, as for the weeks of a representative.
pub(super) fn sparks(numbers: &[u64], most: u64) -> String {
    let (bar, height) = (8.0, 24.0);
    let width = (bar + 2.0) * numbers.len() as f64;
    let mut svg = format!(
        "<svg class=\"sparks\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">"
    );
    for (place, number) in numbers.iter().enumerate() {
        let tall = (height - 2.0) * *number as f64 / most.max(1) as f64;
        let _ = write!(
            svg,
            "<rect class=\"{}\" x=\"{:.0}\" y=\"{:.1}\" width=\"{bar}\" height=\"{:.1}\"><title>week {}: {number}</title></rect>",
            if *number > 0 { "c0" } else { "empty" },
            (bar + 2.0) * place as f64,
            height - tall - 1.0,
            tall + 1.0,
            place + 1
        );
    }
    svg.push_str("</svg>");
    svg
}

fn told(day: &Day) -> String {
    let parts: Vec<String> =
        day.by_workflow.iter().map(|(workflow, number)| format!("{workflow} {number}")).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

/// Some six days that are named below the chart.
fn labels(days: &[Day]) -> Vec<(usize, Date)> {
    let every = days.len().div_ceil(6).max(1);
    days.iter().enumerate().step_by(every).map(|(place, day)| (place, day.day)).collect()
}

/// The next number that a person would write on an axis: 1, 2 or 5 with zeros, and not below 4.
fn round_up(number: u64) -> u64 {
    let mut unit = 1_u64;
    loop {
        for factor in [4, 8, 10, 20] {
            let top = unit.saturating_mul(factor);
            if top >= number {
                return top;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!([1, 4, 5, 9, 17, 60, 420].map(round_up), [4, 4, 8, 10, 20, 80, 800]);
    }
}
