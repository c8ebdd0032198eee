//! `scores.yaml`: which scores there are, between which bounds, how their points fade, and what their grades are.

use dripline_model::{
    duration,
    field::{is_cel_word, is_identifier},
    score::{Decay, Grade, Score, Scores},
};
use jiff::{SignedDuration, SpanRelativeTo};

use crate::{
    Code, Diagnostic, Source,
    read::entry,
    source::Report,
    yaml::{self, Entry, Node},
};

/// The file's name.
pub const FILE: &str = "scores.yaml";

/// What a score may say of itself.
pub(crate) const KEYS: &[&str] = &["description", "min", "max", "decay", "expires", "grades"];

/// Most grades of a score.
const MOST_GRADES: usize = 50;

/// Reads `scores.yaml`.
///
/// # Errors
/// Everything that is wrong with the file.
pub fn parse(source: &Source) -> Result<Scores, Vec<Diagnostic>> {
    let mut report = Report::new(source);
    let tree = yaml::parse(source, &mut report);
    let scores = tree.map(|tree| document(&tree, &mut report)).unwrap_or_default();
    if report.errors() > 0 { Err(report.into_diagnostics()) } else { Ok(scores) }
}

fn document(tree: &Node, report: &mut Report<'_>) -> Scores {
    const EXAMPLE: &str = "`scores: {fit: {max: 100}}`";
    let Some(entries) = report.read_mapping(tree, "the file", EXAMPLE) else { return Scores::default() };
    report.unknown_keys(entries, &["scores"], FILE);
    let Some(list) = entry(entries, "scores").filter(|entry| !entry.value.is_null()) else {
        return Scores::default();
    };
    let declared = report.read_mapping(&list.value, "`scores`", EXAMPLE).unwrap_or_default();
    let scores = declared.iter().filter_map(|entry| {
        let is_named = name(entry, report);
        let score = score(entry, report);
        (is_named).then_some((entry.key.clone(), score))
    });
    scores.collect()
}

/// Whether the entry's key can be a score's name.
fn name(entry: &Entry, report: &mut Report<'_>) -> bool {
    let key = entry.key.as_str();
    let fits = |name: &str| is_identifier(name) && name.len() <= 200;
    let why = if is_cel_word(key) {
        format!("`{key}` is a word of CEL, so no score can be called so")
    } else if !fits(key) {
        format!("`{key}` is no name of a score: letters, digits and `_`, and no digit first")
    } else {
        return true;
    };
    let slug = crate::workflow::slug(key, '_');
    let diagnostic = report.error(Code::ScoreName, &entry.key_span, why);
    if slug != key && fits(&slug) {
        diagnostic.help(format!("write `{slug}`"));
    }
    false
}

fn score(entry: &Entry, report: &mut Report<'_>) -> Score {
    let place = format!("the score `{}`", entry.key);
    if entry.value.is_null() {
        return Score::default();
    }
    let Some(entries) = report.read_mapping(&entry.value, &place, "{max: 100, decay: {half_life: 14d}}")
    else {
        return Score::default();
    };
    report.unknown_keys(entries, KEYS, &place);
    let find = |key| crate::read::entry(entries, key).filter(|entry| !entry.value.is_null());
    let description = find("description").and_then(|entry| report.read_text(&entry.value, "`description`"));
    let min = find("min").and_then(|entry| points(&entry.value, "`min`", report));
    let max = find("max").and_then(|entry| points(&entry.value, "`max`", report));
    if let (Some(low), Some(high), Some(entry)) = (min, max, find("min"))
        && low > high
    {
        report
            .error(Code::ScoreBounds, &entry.value.span, format!("`min` {low} is above `max` {high}"))
            .help("exchange the two");
    }
    let decay = find("decay").and_then(|entry| decay(&entry.value, report));
    let expires_ms = find("expires").and_then(|entry| length(&entry.value, "`expires`", report));
    if let (Some(Decay::Linear(linear)), Some(expires), Some(entry)) = (decay, expires_ms, find("expires"))
        && expires >= linear
    {
        report
            .error(
                Code::ScoreDecay,
                &entry.value.span,
                "nothing is left by then: `decay` takes all points before",
            )
            .help("remove `expires`, or make it shorter");
    }
    let grades = find("grades").map(|entry| grades(&entry.value, (min, max), report)).unwrap_or_default();
    Score { description, min, max, decay, expires_ms, grades }
}

fn points(node: &Node, name: &str, report: &mut Report<'_>) -> Option<i64> {
    // Larger ones are not exact where they are compared.
    const LARGEST: i64 = 1_000_000_000_000;
    let number = node.value().as_i64().filter(|number| (-LARGEST..=LARGEST).contains(number));
    if number.is_none() {
        report.wrong_type(node, name, "a whole number").help("write for example 100");
    }
    number
}

fn decay(node: &Node, report: &mut Report<'_>) -> Option<Decay> {
    const FORMS: &str = "write {half_life: 14d}, or {linear: 30d}";
    let entries = report.read_mapping(node, "`decay`", "{half_life: 14d}")?;
    report.unknown_keys(entries, &["half_life", "linear"], "`decay`");
    let [only] = entries else {
        report.error(Code::ScoreDecay, &node.span, "`decay` says one thing").help(FORMS);
        return None;
    };
    let ms = match only.key.as_str() {
        "half_life" => length(&only.value, "`half_life`", report).map(Decay::HalfLife),
        "linear" => length(&only.value, "`linear`", report).map(Decay::Linear),
        _ => None,
    };
    ms.filter(|_| entries.len() == 1)
}

/// A length of time in milliseconds, where a day has 24 hours.
fn length(node: &Node, name: &str, report: &mut Report<'_>) -> Option<i64> {
    let text = report.read_duration(node, name)?;
    let span = duration::parse(&text).ok()?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok();
    // A hundred years; what is less than a minute is a slip.
    let sensible = SignedDuration::from_mins(1)..=SignedDuration::from_hours(24 * 36_525);
    match length.filter(|length| sensible.contains(length)) {
        Some(length) => i64::try_from(length.as_millis()).ok(),
        None => {
            let message = if length.is_some() {
                format!("{name} is between a minute and a hundred years")
            } else {
                format!("{name} cannot be counted in months or years, which differ in length")
            };
            report.error(Code::ScoreDecay, &node.span, message).help("write for example 14d");
            None
        }
    }
}

/// `{hot: 60, warm: 30, cold: 0}`: each band with its lowest value, the highest first.
fn grades(node: &Node, (min, max): (Option<i64>, Option<i64>), report: &mut Report<'_>) -> Vec<Grade> {
    let entries = report.read_mapping(node, "`grades`", "{hot: 60, warm: 30, cold: 0}").unwrap_or_default();
    if let Some(extra) = entries.get(MOST_GRADES) {
        report.error(Code::Grades, &extra.key_span, format!("a score has at most {MOST_GRADES} grades"));
    }
    let mut grades: Vec<Grade> = Vec::with_capacity(entries.len());
    let mut is_falling = true;
    for entry in entries {
        if entry.key.trim().is_empty() || entry.key.chars().count() > 100 {
            report.error(Code::Grades, &entry.key_span, "a grade's name has 1 to 100 characters");
            continue;
        }
        let Some(from) = points(&entry.value, &format!("the lowest value of `{}`", entry.key), report) else {
            continue;
        };
        if let Some(twin) = grades.iter().find(|grade| grade.from == from) {
            let message = format!("`{}` and `{}` both begin at {from}", twin.name, entry.key);
            report.error(Code::Grades, &entry.value.span, message).help("leave one of them out");
            continue;
        }
        if max.is_some_and(|max| from > max) {
            let message =
                format!("nobody gets `{}`: the score goes up to {}", entry.key, max.unwrap_or(from));
            report.error(Code::Grades, &entry.value.span, message).help("make `max` or this value another");
        }
        is_falling &= grades.last().is_none_or(|above| above.from > from);
        grades.push(Grade { name: entry.key.clone(), from });
    }
    let mut sorted = grades.clone();
    sorted.sort_by_key(|grade| std::cmp::Reverse(grade.from));
    if !is_falling {
        let right: Vec<String> =
            sorted.iter().map(|grade| format!("{}: {}", grade.name, grade.from)).collect();
        report
            .error(Code::Grades, &node.span, "the grades are not in the order of their values")
            .help(format!("begin with the highest: {{{}}}", right.join(", ")));
    }
    // Of the second of two that lie below the lowest value nobody would ever hear.
    let below = |grade: &&Grade| min.is_some_and(|min| grade.from < min);
    if let [.., above, last] = sorted.as_slice()
        && below(&last)
        && (below(&above) || min == Some(above.from))
        && is_falling
    {
        let message = format!("nobody gets `{}`: the score does not go so far down", last.name);
        report.error(Code::Grades, &node.span, message).help("leave it out");
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Scores, Vec<Diagnostic>> {
        super::parse(&Source { path: FILE.into(), text: text.into() })
    }

    #[test]
    fn scores_are_read() {
        let scores = parse(
            "scores:\n  fit: {min: 0, max: 100, grades: {A: 80, B: 60, D: 0}, description: Who they are}\n\
             \x20 intent: {decay: {half_life: 14d}, grades: {hot: 60, warm: 30}}\n\
             \x20 engagement: {decay: {linear: 30d}}\n  trial: {expires: 90d}\n  visits:\n",
        )
        .unwrap();
        const DAY: i64 = 86_400_000;
        let law = |name: &str| scores.law(name);
        assert_eq!(scores.names().collect::<Vec<_>>(), ["engagement", "fit", "intent", "trial", "visits"]);
        assert_eq!((law("fit"), law("visits")), (None, None));
        assert_eq!(law("intent").unwrap().decay, Some(Decay::HalfLife(14 * DAY)));
        assert_eq!(law("engagement").unwrap().decay, Some(Decay::Linear(30 * DAY)));
        assert_eq!(law("trial").unwrap().expires_ms, Some(90 * DAY));
        let fit = scores.get("fit").unwrap();
        assert_eq!((fit.min, fit.max, fit.grade(79), fit.grade(-1)), (Some(0), Some(100), Some("B"), None));
        assert!(parse("scores:").unwrap().is_empty());
    }

    #[test]
    fn every_mistake_is_placed() {
        let text = "score: {}\nscores:\n  in: {}\n  2nd: {}\n  Deal size: {}\n  a: {mx: 3}\n  b: {max: 1.5, min: many}\n\
            \x20 c: {min: 5, max: 3}\n  d: {decay: 14d}\n  e: {decay: {half_live: 14d}}\n  f: {decay: {half_life: 14d, linear: 3d}}\n\
            \x20 g: {decay: {half_life: soon}}\n  h: {expires: 3mo}\n  i: {expires: 1s}\n  j: {decay: {linear: 3d}, expires: 4d}\n\
            \x20 k: {grades: {cold: 0, warm: 30, hot: 60}}\n  l: {grades: {hot: 60, warm: 60}}\n  m: {max: 50, grades: {hot: 60, cold: 0}}\n\
            \x20 n: {grades: [hot]}\n  o: {min: 0, grades: {hot: 60, cold: 0, dead: -5}}\n  p: 3\n";
        let rendered: Vec<String> = parse(text)
            .unwrap_err()
            .iter()
            .map(|d| {
                let help = d.help.clone().unwrap_or_default();
                format!("{} {}:{} {} ({help})", d.code, d.line, d.column, d.message)
            })
            .collect();
        insta::assert_snapshot!(rendered.join("\n"), @"
        E0201 1:1 scores.yaml has no key `score` (did you mean `scores`?)
        E0853 3:3 `in` is a word of CEL, so no score can be called so ()
        E0853 4:3 `2nd` is no name of a score: letters, digits and `_`, and no digit first ()
        E0853 5:3 `Deal size` is no name of a score: letters, digits and `_`, and no digit first (write `deal_size`)
        E0201 6:7 the score `a` has no key `mx` (did you mean `max`?)
        E0204 7:12 `max` must be a whole number, but this is a number (write for example 100)
        E0204 7:22 `min` must be a whole number, but this is text (write for example 100)
        E0854 8:12 `min` 5 is above `max` 3 (exchange the two)
        E0204 9:14 `decay` must be a mapping, but this is text (write for example {half_life: 14d})
        E0201 10:15 `decay` has no key `half_live` (did you mean `half_life`?)
        E0855 11:14 `decay` says one thing (write {half_life: 14d}, or {linear: 30d})
        E0207 12:26 `soon` is not a duration; write for example 30m, 4h, 3d or 2w ()
        E0855 13:16 `expires` cannot be counted in months or years, which differ in length (write for example 14d)
        E0855 14:16 `expires` is between a minute and a hundred years (write for example 14d)
        E0855 15:37 nothing is left by then: `decay` takes all points before (remove `expires`, or make it shorter)
        E0856 16:15 the grades are not in the order of their values (begin with the highest: {hot: 60, warm: 30, cold: 0})
        E0856 17:31 `hot` and `warm` both begin at 60 (leave one of them out)
        E0856 18:30 nobody gets `hot`: the score goes up to 50 (make `max` or this value another)
        E0204 19:15 `grades` must be a mapping, but this is a list (write for example {hot: 60, warm: 30, cold: 0})
        E0856 20:23 nobody gets `dead`: the score does not go so far down (leave it out)
        E0204 21:6 the score `p` must be a mapping, but this is a number (write for example {max: 100, decay: {half_life: 14d}})
        ");
    }
}
