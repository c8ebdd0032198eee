//! Texts, line by line: what is new in them and what is gone.

use serde::Serialize;

/// How many lines around a change are shown.
const AROUND: usize = 2;

/// Texts whose lines would need a larger table than this to compare are shown as one whole and another.
const LARGEST: usize = 4_000_000;

/// A line of two texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// It is in both.
    Same(String),
    /// It is gone.
    Old(String),
    /// It is new.
    New(String),
    /// Lines that are in both are left out.
    Gap,
}

/// What has to be done to `old` to make it `new`, with a few lines around each change; nothing where they are the same.
pub(crate) fn lines(old: &str, new: &str) -> Vec<Line> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let before = old.iter().zip(&new).take_while(|(one, other)| one == other).count();
    let rest = old.len().min(new.len()) - before;
    let after =
        old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(one, other)| one == other).count();
    let middle = |lines: &[&str]| -> Vec<String> {
        lines.iter().take(lines.len() - after).skip(before).map(|line| (*line).to_owned()).collect()
    };
    let same = |line: &&str| Line::Same((*line).to_owned());
    let mut all: Vec<Line> = old.iter().take(before).map(same).collect();
    all.extend(compare(&middle(&old), &middle(&new)));
    all.extend(old.iter().skip(old.len() - after).map(same));
    shorten(all)
}

fn compare(old: &[String], new: &[String]) -> Vec<Line> {
    let width = new.len() + 1;
    if (old.len() + 1) * width > LARGEST {
        let gone = old.iter().cloned().map(Line::Old);
        return gone.chain(new.iter().cloned().map(Line::New)).collect();
    }
    // How many lines the rests have in common, from each place on.
    let mut longest = vec![0_u32; (old.len() + 1) * width];
    let at =
        |longest: &[u32], row: usize, column: usize| longest.get(row * width + column).copied().unwrap_or(0);
    for (row, one) in old.iter().enumerate().rev() {
        for (column, other) in new.iter().enumerate().rev() {
            let length = if one == other {
                at(&longest, row + 1, column + 1) + 1
            } else {
                at(&longest, row + 1, column).max(at(&longest, row, column + 1))
            };
            if let Some(place) = longest.get_mut(row * width + column) {
                *place = length;
            }
        }
    }
    let (mut row, mut column, mut all) = (0, 0, Vec::new());
    loop {
        match (old.get(row), new.get(column)) {
            (Some(one), Some(other)) if one == other => {
                all.push(Line::Same(one.clone()));
                row += 1;
                column += 1;
            }
            (Some(one), other)
                if other.is_none() || at(&longest, row + 1, column) >= at(&longest, row, column + 1) =>
            {
                all.push(Line::Old(one.clone()));
                row += 1;
            }
            (_, Some(other)) => {
                all.push(Line::New(other.clone()));
                column += 1;
            }
            _ => return all,
        }
    }
}

/// Leaves out what is far from every change.
fn shorten(all: Vec<Line>) -> Vec<Line> {
    let changes: Vec<usize> = all
        .iter()
        .enumerate()
        .filter(|(_, line)| !matches!(line, Line::Same(_)))
        .map(|(place, _)| place)
        .collect();
    if changes.is_empty() {
        return Vec::new();
    }
    let is_near = |place: usize| {
        let next = changes.partition_point(|change| *change < place);
        let near = |change: Option<&usize>| change.is_some_and(|change| change.abs_diff(place) <= AROUND);
        near(changes.get(next)) || near(next.checked_sub(1).and_then(|last| changes.get(last)))
    };
    let mut shown: Vec<Line> = Vec::new();
    for (place, line) in all.into_iter().enumerate() {
        if is_near(place) {
            shown.push(line);
        } else if !matches!(shown.last(), Some(Line::Gap)) {
            shown.push(Line::Gap);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(old: &str, new: &str) -> String {
        let line = |line: Line| match line {
            Line::Same(text) => format!(" {text}"),
            Line::Old(text) => format!("-{text}"),
            Line::New(text) => format!("+{text}"),
            Line::Gap => "…".to_owned(),
        };
        lines(old, new).into_iter().map(line).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn only_what_changed_is_shown_with_the_lines_around_it() {
        assert_eq!(shown("a\nb\nc", "a\nb\nc"), "");
        assert_eq!(shown("", "a"), "+a");
        assert_eq!(shown("a\nb\nc", "a\nx\nc"), " a|-b|+x| c");
        assert_eq!(shown("1\n2\n3\n4\n5\n6\n7\n8", "1\n2\n3\n4\n5\n6\n7\nx"), "…| 6| 7|-8|+x");
        assert_eq!(
            shown("a\nb\nc\nd\ne\nf\ng\nh\ni", "x\nb\nc\nd\ne\nf\ng\nh\ny"),
            "-a|+x| b| c|…| g| h|-i|+y"
        );
        assert_eq!(shown("a\nb\nc", "b\nc\nd"), "-a| b| c|+d");
        assert_eq!(shown("a\na\na", "a\na"), " a| a|-a");
    }
}
