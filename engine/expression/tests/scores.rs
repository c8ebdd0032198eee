//! Scores that fade, and their grades.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use dripline_expression::{Expression, Scope, Subject};
use dripline_model::{
    Contact,
    batch::ColumnType,
    clock::from_ms,
    id::ContactId,
    score::{Curve, Decay, Grade, Score, Scores},
};
use jiff::{SignedDuration, Timestamp};

const DAY: i64 = 86_400_000;

fn contact() -> Contact {
    let grade = |name: &str, from| Grade { name: name.to_owned(), from };
    let decay = Some(Decay::HalfLife(14 * DAY));
    let grades = vec![grade("hot", 60), grade("warm", 30), grade("cold", 0)];
    let intent = Score { decay, grades: grades.clone(), ..Score::default() };
    let fit = Score { grades, ..Score::default() };
    let scores: Scores = [("intent".to_owned(), intent), ("fit".to_owned(), fit)].into_iter().collect();
    let mut contact = Contact::new(ContactId(1));
    let mut curve = Curve::new(scores.law("intent").unwrap());
    curve.give(80, 0);
    contact.scores.insert("intent".into(), 80);
    contact.scores.insert("fit".into(), 45);
    contact.fading.insert("intent".into(), curve);
    contact.graded = Some(Arc::new(scores));
    contact
}

fn test(source: &str, at: Timestamp) -> Option<bool> {
    let expression = Expression::compile(source, ColumnType::Boolean, &Scope::default()).unwrap();
    expression.test(&Subject::new(&contact(), None, at)).ok()
}

#[test]
fn conditions_see_what_is_left_at_their_moment() {
    for (days, source, holds) in [
        (0, "contact.scores.intent == 80", true),
        (14, "contact.scores.intent == 40 && contact.scores.fit == 45", true),
        (14, "contact.scores[\"in\" + \"tent\"] + contact.scores.fit == 85", true),
        (28, "contact.grades.intent == \"cold\" && contact.grades.fit == \"warm\"", true),
        (0, "contact.grades.intent in [\"hot\", \"warm\"]", true),
        (
            14,
            "has(contact.grades.intent) && !has(contact.grades.unknown) && contact.grades.size() == 2",
            true,
        ),
        (400, "contact.scores.intent == 0 && has(contact.scores.intent)", true),
    ] {
        assert_eq!(test(source, from_ms(days * DAY)), Some(holds), "{source} after {days} days");
    }
    assert_eq!(test("contact.grades.unknown == \"hot\"", from_ms(0)), None);
}

#[test]
fn it_is_known_when_a_rule_has_another_answer_because_a_score_fades() {
    for source in [
        "contact.scores.intent >= 60",
        "contact.scores.intent > 59.5",
        "60 <= contact.scores.intent",
        "contact.scores.intent == 60",
        "contact.scores.intent != 60 && contact.scores.fit > 3",
        "contact.grades.intent == \"hot\"",
        "contact.scores.intent + contact.scores.fit > 100",
        "contact.scores.intent in [60, 61, 62]",
        "contact.scores.exists(name, contact.scores[name] == 61)",
        "contact.?grades.intent.orValue(\"none\") != \"warm\"",
        "contact.scores.intent > -1 ? contact.scores.intent < 50 : false",
    ] {
        let rule = Expression::compile_rule(source, &Scope::default()).unwrap();
        let contact = contact();
        let answer = |at| rule.test(&Subject::new(&contact, None, at)).ok();
        // From instant to instant the answer stays, and each change is at one of them.
        let mut now = from_ms(0);
        let mut changes = 0;
        while let Some(next) = rule.next_change(&Subject::new(&contact, None, now)).once {
            assert!(next > now, "{source}");
            let before = next - SignedDuration::from_millis(1);
            for part in 1..=20 {
                let between = from_ms(
                    now.as_millisecond() + (before.as_millisecond() - now.as_millisecond()) * part / 20,
                );
                assert_eq!(answer(between.min(before)), answer(now), "{source} at {between}");
            }
            changes += usize::from(answer(next) != answer(now));
            now = next;
        }
        assert!(changes > 0, "{source}");
        assert_eq!(answer(now + SignedDuration::from_hours(24 * 400)), answer(now), "{source}");
    }
}

#[test]
fn a_rule_that_compares_is_looked_at_only_when_its_answer_changes() {
    let looks = |source: &str| {
        let rule = Expression::compile_rule(source, &Scope::default()).unwrap();
        let (contact, mut now, mut looks) = (contact(), from_ms(0), 0);
        while let Some(next) = rule.next_change(&Subject::new(&contact, None, now)).once {
            (now, looks) = (next, looks + 1);
        }
        looks
    };
    assert_eq!(looks("contact.scores.intent >= 60 || contact.scores.intent < 10"), 2);
    assert_eq!(looks("contact.grades.intent == \"hot\""), 2);
    assert_eq!(looks("contact.scores.intent == 40"), 2);
    assert_eq!(looks("contact.scores.fit >= 10 && has(contact.scores.intent)"), 0);
    assert_eq!(looks("contact.scores.intent * 2 > 100"), 80, "once for each point");
}
