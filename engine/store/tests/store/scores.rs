//! Scores that are declared: points fade, bounds hold, and what the file says may change.

use std::{collections::BTreeSet, sync::Arc};

use dripline_expression::{Expression, Scope, Subject};
use dripline_model::{
    Contact, Effect,
    id::ContactId,
    score::{Decay, Grade, Score, Scores},
};
use dripline_store::{HeldBy, Store, TimelineWhat};

use crate::{stores, workspace::*};

const DAY: i64 = 24 * 60 * 60;

fn declared(scores: &[(&str, Score)]) -> Scores {
    scores.iter().map(|(name, score)| ((*name).to_owned(), score.clone())).collect()
}

fn half_life(days: i64) -> Score {
    Score { decay: Some(Decay::HalfLife(days * DAY * 1000)), ..Score::default() }
}

fn linear(days: i64) -> Score {
    Score { decay: Some(Decay::Linear(days * DAY * 1000)), ..Score::default() }
}

fn expiring(days: i64) -> Score {
    Score { expires_ms: Some(days * DAY * 1000), ..Score::default() }
}

fn add(score: &str, points: i64) -> Effect {
    capped(score, points, None)
}

fn capped(score: &str, points: i64, at_most: Option<i64>) -> Effect {
    let because = "clicked".to_owned();
    Effect::AddScore { score: score.into(), points, because, min: None, max: None, at_most }
}

async fn load_at(store: &Arc<dyn Store>, id: ContactId, seconds: i64) -> Contact {
    let mut batch = store.begin().await.unwrap();
    batch.load_contacts(&[id], &all_needs(), at(seconds)).await.unwrap().remove(0)
}

/// The score as each way of loading has it.
async fn value(store: &Arc<dyn Store>, id: ContactId, score: &str, seconds: i64) -> i64 {
    let contact = load_at(store, id, seconds).await;
    let value = contact.score(score, at(seconds));
    assert_eq!(contact.scores.get(score).copied().unwrap_or(0), value, "loaded for that moment");
    let mut batch = store.begin().await.unwrap();
    let part = batch.load_parts(&[id], &all_needs()).await.unwrap().remove(0);
    assert_eq!(part.score(score, at(seconds)), value);
    value
}

stores! {
    async fn points_fade_by_what_is_declared(store: Arc<dyn Store>) {
        let scores = declared(&[("half", half_life(10)), ("even", linear(10)), ("gone", expiring(10)), ("stays", Score::default())]);
        store.publish_scores(&scores, at(0)).await.unwrap();
        let version = publish(&store, "w").await;
        let ids = contacts(&store, 1).await;
        let run = runs_of(&store, &version, &ids, at(0)).await[0];
        let all = ["half", "even", "gone", "stays", "unheard_of"];
        let gifts = || all.iter().map(|score| add(score, 40)).collect::<Vec<_>>();
        apply(&store, &[turn(&run, gifts())], at(0)).await;
        let mut seen = Vec::new();
        for days in [0, 5, 10, 20] {
            let mut values = Vec::new();
            for score in all {
                values.push(value(&store, ids[0], score, days * DAY).await);
            }
            seen.push(values);
        }
        assert_eq!(seen, [[40, 40, 40, 40, 40], [28, 20, 40, 40, 40], [20, 0, 0, 40, 40], [10, 0, 0, 40, 40]]);
        // Points add up to what is left of the others.
        apply(&store, &[turn(&run, gifts())], at(5 * DAY)).await;
        let mut values = Vec::new();
        for score in all {
            values.push(value(&store, ids[0], score, 10 * DAY).await);
        }
        assert_eq!(values, [48, 20, 40, 80, 80]);
        let totals: Vec<i64> = store.timeline(ids[0]).await.unwrap().iter().filter_map(|entry| match &entry.what {
            TimelineWhat::Score { total, .. } if entry.at == at(5 * DAY) => Some(*total),
            _ => None,
        }).collect();
        assert_eq!(totals, [68, 60, 80, 80, 80], "what the score was then");
        let mut first = store.timeline(ids[0]).await.unwrap().into_iter().find(|entry| matches!(entry.what, TimelineWhat::Score { .. })).unwrap();
        first.as_of(&scores, at(10 * DAY));
        assert_eq!(first.line().1, "half +40 = 40: clicked (20 of 40 left)");
    }

    async fn a_step_takes_back_what_is_left_of_its_points(store: Arc<dyn Store>) {
        store.publish_scores(&declared(&[("half", half_life(10)), ("even", linear(10))]), at(0)).await.unwrap();
        let version = publish(&store, "w").await;
        let ids = contacts(&store, 2).await;
        let runs = runs_of(&store, &version, &ids, at(0)).await;
        let mut elsewhere = runs[0];
        elsewhere.node = 1;
        for score in ["half", "even"] {
            apply(&store, &[turn(&runs[0], vec![add(score, 40)]), turn(&elsewhere, vec![add(score, 8)])], at(0)).await;
            let again = vec![Effect::ClearScore(score.into()), add(score, 30)];
            apply(&store, &[turn(&runs[0], again)], at(5 * DAY)).await;
        }
        // 30 anew, and what is left of 8.
        assert_eq!(value(&store, ids[0], "half", 5 * DAY).await, 36);
        assert_eq!(value(&store, ids[0], "even", 5 * DAY).await, 34);
        // Within one batch too.
        let twice = vec![add("half", 5), Effect::ClearScore("half".into()), add("half", 2)];
        apply(&store, &[turn(&runs[1], twice)], at(0)).await;
        assert_eq!(value(&store, ids[1], "half", 0).await, 2);
    }

    async fn declared_bounds_hold_and_say_what_they_kept_back(store: Arc<dyn Store>) {
        let scores = declared(&[
            ("fit", Score { min: Some(0), max: Some(50), ..Score::default() }),
            ("intent", Score { max: Some(50), ..half_life(10) }),
        ]);
        store.publish_scores(&scores, at(0)).await.unwrap();
        let version = publish(&store, "w").await;
        let ids = contacts(&store, 1).await;
        let run = runs_of(&store, &version, &ids, at(0)).await[0];
        let effects = vec![add("fit", 40), add("fit", 40), add("fit", 1), add("intent", 60), add("fit", -70)];
        apply(&store, &[turn(&run, effects)], at(0)).await;
        let contact = load_at(&store, ids[0], 0).await;
        assert_eq!((contact.scores["fit"], contact.scores["intent"]), (0, 50));
        // What fades makes room.
        apply(&store, &[turn(&run, vec![add("intent", 40)])], at(10 * DAY)).await;
        assert_eq!(value(&store, ids[0], "intent", 10 * DAY).await, 50);
        // For one reason at one step only so much counts at a time.
        let click = || capped("clicks", 8, Some(20));
        apply(&store, &[turn(&run, vec![click(), click()])], at(20)).await;
        apply(&store, &[turn(&run, vec![click(), click()])], at(21)).await;
        assert_eq!(value(&store, ids[0], "clicks", 30).await, 20);
        let mut held: Vec<_> = store.held_points(ids[0]).await.unwrap().into_iter()
            .map(|held| (held.score, held.by, held.times, held.points, held.workflow, held.step))
            .collect();
        held.sort();
        let row = |score: &str, by, times, points| (score.to_owned(), by, times, points, "w".to_owned(), "first".to_owned());
        assert_eq!(held, [
            row("clicks", HeldBy::Reason, 2, 12),
            row("fit", HeldBy::Lowest, 1, -20),
            row("fit", HeldBy::Highest, 2, 31),
            row("intent", HeldBy::Highest, 2, 25),
        ]);
        let standing = store.standing_points(&ids).await.unwrap();
        assert_eq!(standing.iter().find(|points| points.score == "clicks").map(|points| (points.points, points.times)), Some((20, 3)));
    }

    async fn what_is_declared_later_holds_for_points_that_were_given_before(store: Arc<dyn Store>) {
        let version = publish(&store, "w").await;
        let ids = contacts(&store, 3).await;
        let runs = runs_of(&store, &version, &ids, at(0)).await;
        apply(&store, &[turn(&runs[0], vec![add("intent", 40), add("other", 7)]), turn(&runs[1], vec![add("intent", 8)])], at(0)).await;
        let before = store.revision().await.unwrap();
        let changed = store.publish_scores(&declared(&[("intent", half_life(10))]), at(DAY)).await.unwrap();
        assert_eq!(changed, ["intent"]);
        assert!(store.revision().await.unwrap() > before);
        assert_eq!(value(&store, ids[0], "intent", 10 * DAY).await, 20);
        assert_eq!(value(&store, ids[0], "other", 10 * DAY).await, 7);
        assert_eq!(value(&store, ids[1], "intent", 10 * DAY).await, 4);
        assert_eq!(value(&store, ids[2], "intent", 10 * DAY).await, 0);
        // Otherwise than before: as if it had always been so.
        store.publish_scores(&declared(&[("intent", linear(20))]), at(5 * DAY)).await.unwrap();
        assert_eq!(value(&store, ids[0], "intent", 10 * DAY).await, 20);
        assert_eq!(value(&store, ids[0], "intent", 20 * DAY).await, 0);
        // The same again changes nothing, and grades alone work nothing out anew.
        let before = store.revision().await.unwrap();
        assert!(store.publish_scores(&declared(&[("intent", linear(20))]), at(5 * DAY)).await.unwrap().is_empty());
        assert_eq!(store.revision().await.unwrap(), before);
        let grades = vec![Grade { name: "hot".into(), from: 20 }, Grade { name: "cold".into(), from: 0 }];
        store.publish_scores(&declared(&[("intent", Score { grades, ..linear(20) })]), at(5 * DAY)).await.unwrap();
        let contact = load_at(&store, ids[0], 10 * DAY).await;
        assert_eq!((contact.grade("intent", at(10 * DAY)), contact.grade("intent", at(11 * DAY))), (Some("hot"), Some("cold")));
        assert_eq!(store.declared_scores().await.unwrap().names().collect::<Vec<_>>(), ["intent"]);
        // Declared no more: the points are there in full, and add up.
        assert_eq!(store.publish_scores(&Scores::default(), at(6 * DAY)).await.unwrap(), ["intent"]);
        assert_eq!(value(&store, ids[0], "intent", 300 * DAY).await, 40);
        assert!(load_at(&store, ids[0], 0).await.fading.is_empty());
        apply(&store, &[turn(&runs[0], vec![add("intent", 2)])], at(7 * DAY)).await;
        assert_eq!(value(&store, ids[0], "intent", 300 * DAY).await, 42);
    }

    async fn a_filter_never_leaves_out_whom_a_fading_score_admits(store: Arc<dyn Store>) {
        let scores = declared(&[("a", half_life(10)), ("b", Score { min: Some(-30), max: Some(30), ..linear(10) }), ("c", expiring(10))]);
        store.publish_scores(&scores, at(0)).await.unwrap();
        let version = publish(&store, "w").await;
        let ids = contacts(&store, 40).await;
        let runs = runs_of(&store, &version, &ids, at(0)).await;
        for (day, sign) in [(0, 1), (3, -1), (6, 1)] {
            let turns: Vec<_> = runs.iter().zip(0_i64..).map(|(run, number)| {
                let points = |by: i64| sign * ((number * by + day) % 23);
                turn(run, vec![add("a", points(5)), add("b", points(7)), add("c", points(11)), add("d", points(3))])
            }).collect();
            apply(&store, &turns, at(day * DAY)).await;
        }
        let mut exact = BTreeSet::new();
        for hours in [6 * 24, 6 * 24 + 5, 9 * 24, 11 * 24, 14 * 24, 40 * 24] {
            let now = at(hours * 3600);
            let mut batch = store.begin().await.unwrap();
            let people = batch.load_contacts(&ids, &all_needs(), now).await.unwrap();
            drop(batch);
            for score in ["a", "b", "c", "d"] {
                for sign in ["==", "!=", "<", "<=", ">", ">="] {
                    for number in ["-7", "-1", "0", "1", "4.5", "9", "25"] {
                        for rule in [
                            format!("contact.scores.{score} {sign} {number}"),
                            format!("!(contact.scores.{score} {sign} {number}) && contact.scores.d >= 0"),
                        ] {
                            let rule = Expression::compile_rule(&rule, &Scope::default()).unwrap();
                            let narrowing = rule.narrow(now, &scores);
                            if narrowing.is_exact {
                                exact.insert(score);
                            }
                            let selected = store.narrowed(&narrowing.filter).await.unwrap();
                            let admitted = people.iter().filter(|contact| rule.test(&Subject::new(contact, None, now)) == Ok(true));
                            for contact in admitted {
                                assert!(selected.contains(&contact.id), "{} at {now}: {contact:#?}", rule.source());
                            }
                        }
                    }
                }
            }
        }
        assert_eq!(exact, BTreeSet::from(["d"]), "only what does not fade can be counted by the store");
    }
}
