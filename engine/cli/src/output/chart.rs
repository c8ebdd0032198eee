//! A small bar chart for the terminal.

use std::fmt;

use jiff::civil::Date;

/// Rows of the chart.
const HEIGHT: usize = 6;
/// Columns of the chart at the most; days share a column where there are more.
const WIDTH: usize = 64;
/// Eighths of a row, from none to all.
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How many of something there were on each day.
pub(crate) struct BarChart {
    bars: Vec<u64>,
    days_a_bar: usize,
    first: Option<Date>,
    last: Option<Date>,
}

impl BarChart {
    /// A chart of these days, which are in order; days that are not there had none.
    pub(crate) fn new(days: &[(Date, u64)]) -> Self {
        let (first, last) = (days.first().map(|(day, _)| *day), days.last().map(|(day, _)| *day));
        let since =
            |day: Date| first.and_then(|first| usize::try_from((day - first).get_days()).ok()).unwrap_or(0);
        let span = last.map_or(0, |last| since(last) + 1);
        let days_a_bar = span.div_ceil(WIDTH).max(1);
        let mut bars = vec![0; span.div_ceil(days_a_bar)];
        for (day, number) in days {
            if let Some(bar) = bars.get_mut(since(*day) / days_a_bar) {
                *bar += number;
            }
        }
        Self { bars, days_a_bar, first, last }
    }
}

impl fmt::Display for BarChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let highest = self.bars.iter().copied().max().unwrap_or(0);
        let (Some(first), Some(last), 1..) = (self.first, self.last, highest) else {
            return writeln!(f, "  none");
        };
        let eighths = |bar: u64| usize::try_from((bar * HEIGHT as u64 * 8).div_ceil(highest)).unwrap_or(0);
        for row in (0..HEIGHT).rev() {
            let label = if row == HEIGHT - 1 { highest.to_string() } else { String::new() };
            let line: String = self
                .bars
                .iter()
                .map(|bar| BLOCKS.get(eighths(*bar).saturating_sub(row * 8).min(8)).copied().unwrap_or(' '))
                .collect();
            writeln!(f, "{label:>6} ┤{}", line.trim_end())?;
        }
        writeln!(f, "{:>6} └{}", 0, "─".repeat(self.bars.len()))?;
        let gap = self.bars.len().saturating_sub(20).max(1);
        write!(f, "        {first}{}{last}", " ".repeat(gap))?;
        if self.days_a_bar > 1 {
            write!(f, "  (each column {} days)", self.days_a_bar)?;
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_without_any_leave_a_gap() {
        let days = [("2024-01-01", 3), ("2024-01-02", 6), ("2024-01-05", 1)];
        let days = days.map(|(day, number)| (day.parse().unwrap(), number));
        insta::assert_snapshot!(BarChart::new(&days).to_string(), @r"
             6 ┤ █
               ┤ █
               ┤ █
               ┤██
               ┤██
               ┤██  █
             0 └─────
                2024-01-01 2024-01-05
        ");
    }

    #[test]
    fn a_long_time_is_drawn_in_wider_steps() {
        let first: Date = "2024-01-01".parse().unwrap();
        let days: Vec<_> = (0..200).map(|day| (first + jiff::Span::new().days(day), 1)).collect();
        let chart = BarChart::new(&days);
        assert_eq!((chart.days_a_bar, chart.bars.len()), (4, 50));
    }

    #[test]
    fn no_mail_at_all_is_said() {
        assert_eq!(BarChart::new(&[]).to_string(), "  none\n");
    }
}
