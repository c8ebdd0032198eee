//! Numbers, times and texts as people read them.

use std::borrow::Cow;

use dripline_model::Contact;
use jiff::Timestamp;

/// Text that came from outside, on one line and without anything that a terminal would obey.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        Cow::Owned(text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// `2024-01-31 09:30:00`, UTC.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `1,234,567`
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 row`, `2,000 rows`
pub(crate) fn plural(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `fit 40 (B), intent 20`
pub(crate) fn score_list(contact: &Contact, now: Timestamp) -> String {
    let each: Vec<_> = contact
        .scores
        .keys()
        .map(|name| {
            let grade = contact.grade(name, now).map(|grade| format!(" ({})", clean(grade)));
            format!("{} {}{}", clean(name), contact.score(name, now), grade.unwrap_or_default())
        })
        .collect();
    each.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_nouns_agree() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!((plural(1, "row"), plural(2_000, "row")), ("1 row".into(), "2,000 rows".into()));
    }

    #[test]
    fn data_never_drives_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\nc"), "a [2Jb c");
    }
}
