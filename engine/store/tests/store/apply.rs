use std::sync::Arc;

use dripline_model::Effect;
use dripline_store::{MessageFilter, Store, TimelineWhat};
use serde_json::json;

use crate::{stores, workspace::*};

fn bounded(points: i64, min: Option<i64>, max: Option<i64>) -> Effect {
    Effect::AddScore { score: "fit".into(), points, because: "rule".into(), min, max, at_most: None }
}

fn clear() -> Effect {
    Effect::ClearScore("fit".into())
}

/// Points and totals of a contact's score entries.
async fn entries(store: &Arc<dyn Store>, contact: dripline_model::id::ContactId) -> Vec<(i64, i64)> {
    let timeline = store.timeline(contact).await.unwrap();
    timeline
        .into_iter()
        .filter_map(|entry| match entry.what {
            TimelineWhat::Score { points, total, .. } => Some((points, total)),
            _ => None,
        })
        .collect()
}

stores! {
    async fn scores_add_up_across_the_turns_of_a_batch(store: Arc<dyn Store>) {
        let ids = contacts(&store, 2).await;
        let (a, b) = (publish(&store, "a").await, publish(&store, "b").await);
        let run_a = runs_of(&store, &a, &ids, at(1)).await;
        let run_b = runs_of(&store, &b, &ids[..1], at(1)).await;
        let turns = [
            turn(&run_a[0], vec![bounded(70, None, None)]),
            turn(&run_a[1], vec![bounded(-5, None, None)]),
            turn(&run_b[0], vec![bounded(50, None, Some(100)), bounded(50, None, Some(100))]),
        ];
        apply(&store, &turns, at(2)).await;
        assert_eq!(load(&store, ids[0]).await.scores["fit"], 100);
        assert_eq!(load(&store, ids[1]).await.scores["fit"], -5);
        assert_eq!(entries(&store, ids[0]).await, [(70, 70), (30, 100)], "what was really added");
    }

    async fn a_step_takes_back_only_its_own_points(store: Arc<dyn Store>) {
        let ids = contacts(&store, 1).await;
        let version = publish(&store, "a").await;
        let run = runs_of(&store, &version, &ids, at(1)).await.remove(0);
        let mut second = run;
        (second.node, second.turn) = (1, 1);
        apply(&store, &[turn(&run, vec![clear(), bounded(20, None, None), bounded(10, None, None)])], at(2)).await;
        apply(&store, &[turn(&second, vec![bounded(5, None, None)])], at(3)).await;
        let mut again = run;
        again.turn = 2;
        apply(&store, &[turn(&again, vec![clear(), bounded(7, None, None)])], at(4)).await;
        assert_eq!(load(&store, ids[0]).await.scores["fit"], 12);
        again.turn = 3;
        let turns = [turn(&again, vec![bounded(1, None, None), clear(), bounded(2, None, None), clear()])];
        apply(&store, &turns, at(5)).await;
        assert_eq!(load(&store, ids[0]).await.scores["fit"], 5, "also what the same turn gave");
    }

    async fn fields_are_set_and_removed(store: Arc<dyn Store>) {
        let ids = contacts(&store, 2).await;
        let version = publish(&store, "a").await;
        let runs = runs_of(&store, &version, &ids, at(1)).await;
        let set = |field: &str, value| Effect::SetField { field: field.into(), value };
        let turns = [
            turn(&runs[0], vec![set("a", json!(1)), set("b", json!({"deep": {"er": null}})), set("a", json!(2))]),
            turn(&runs[1], vec![set("a", json!(true)), set("a", json!(null))]),
        ];
        apply(&store, &turns, at(2)).await;
        let expected = object(json!({"a": 2, "b": {"deep": {"er": null}}}));
        assert_eq!(load(&store, ids[0]).await.attributes, expected);
        assert!(load(&store, ids[1]).await.attributes.is_empty());
        let known = store.known_attributes().await.unwrap();
        let types: Vec<_> = known.iter().map(|(name, types)| (name.as_str(), types.field_type())).collect();
        assert_eq!(types, [("a", None), ("b", None)], "numbers and a truth, a mapping");
    }

    async fn the_last_word_on_a_tag_counts(store: Arc<dyn Store>) {
        let ids = contacts(&store, 1).await;
        let version = publish(&store, "a").await;
        let run = runs_of(&store, &version, &ids, at(1)).await.remove(0);
        let (add, remove) = (|tag: &str| Effect::AddTag(tag.into()), |tag: &str| Effect::RemoveTag(tag.into()));
        apply(&store, &[turn(&run, vec![add("a"), add("b"), remove("a"), remove("c")])], at(2)).await;
        assert!(load(&store, ids[0]).await.tags.iter().eq(["b"]));
        apply(&store, &[turn(&run, vec![remove("b"), add("b"), add("a")])], at(2)).await;
        assert!(load(&store, ids[0]).await.tags.iter().eq(["a", "b"]));
    }

    async fn only_a_real_change_of_membership_is_an_event(store: Arc<dyn Store>) {
        let ids = contacts(&store, 2).await;
        let version = publish(&store, "a").await;
        let runs = runs_of(&store, &version, &ids, at(1)).await;
        let (join, leave) = (|| Effect::JoinSegment("hot".into()), || Effect::LeaveSegment("hot".into()));
        let turns = [
            turn(&runs[0], vec![leave(), join(), join()]),
            turn(&runs[1], vec![Effect::LeaveSegment("nowhere".into()), join(), leave()]),
        ];
        apply(&store, &turns, at(2)).await;
        assert!(load(&store, ids[0]).await.segments.iter().eq(["hot"]));
        assert!(load(&store, ids[1]).await.segments.is_empty());
        let mut batch = store.begin().await.unwrap();
        let events = batch.claim_events(at(2), 10).await.unwrap();
        let seen: Vec<(i64, &str)> =
            events.iter().map(|claimed| (claimed.contact.0, claimed.event.name.as_str())).collect();
        assert_eq!(seen, [(1, "segment.joined"), (2, "segment.joined"), (2, "segment.left")]);
        assert_eq!(events[0].event.properties, object(json!({"segment": "hot"})));
        drop(batch);
        let timeline = store.timeline(ids[0]).await.unwrap();
        let joined = TimelineWhat::Segment { segment: "hot".into(), joined: true };
        assert!(timeline.iter().any(|entry| entry.what == joined));
    }

    async fn a_lead_has_the_latest_owner_and_all_assignments(store: Arc<dyn Store>) {
        let ids = contacts(&store, 1).await;
        let version = publish(&store, "a").await;
        let run = runs_of(&store, &version, &ids, at(1)).await.remove(0);
        apply(&store, &[turn(&run, vec![assign("rep_1"), assign("rep_2")])], at(2)).await;
        assert_eq!(load(&store, ids[0]).await.owner.as_deref(), Some("rep_2"));
        let timeline = store.timeline(ids[0]).await.unwrap();
        let assigned = timeline.iter().filter(|entry| matches!(entry.what, TimelineWhat::Assigned { .. }));
        assert_eq!(assigned.count(), 2);
        let leads = store.leads(10).await.unwrap();
        assert_eq!((leads.len(), leads[0].rep.as_str(), leads[0].team.as_deref()), (1, "rep_2", Some("enterprise")));
    }

    async fn a_message_is_queued_to_the_contacts_address(store: Arc<dyn Store>) {
        let ids = contacts(&store, 1).await;
        let version = publish(&store, "a").await;
        let run = runs_of(&store, &version, &ids, at(1)).await.remove(0);
        apply(&store, &[turn(&run, vec![Effect::AddTag("x".into()), send_email("Hello"), send_email("Again")])], at(2))
            .await;
        let due = due_messages(&store, at(2)).await;
        let keys: Vec<&str> = due.iter().map(|message| message.key.as_str()).collect();
        assert_eq!(keys, ["1/0/1", "1/0/2"]);
        assert_eq!((due[0].to.as_str(), due[0].subject.as_str()), ("0@example.com", "Hello"));
        assert_eq!((due[0].template.as_str(), due[0].topic.as_deref()), ("welcome.html", Some("news")));
        assert!(due[0].templates.contains_key("welcome.html") && due[0].contact.tags.contains("x"));
        let listed = store.list_messages(&MessageFilter::default(), 10).await.unwrap();
        assert_eq!((listed[1].step.as_str(), listed[1].workflow.as_str()), ("first", "a"));
    }

    async fn a_turn_that_was_applied_cannot_be_applied_again(store: Arc<dyn Store>) {
        let ids = contacts(&store, 1).await;
        let version = publish(&store, "a").await;
        let run = runs_of(&store, &version, &ids, at(1)).await.remove(0);
        apply(&store, &[turn(&run, vec![send_email("Hello")])], at(2)).await;
        let mut batch = store.begin().await.unwrap();
        // The key is broken now, or when what was written behind is kept.
        match batch.apply(&[turn(&run, vec![send_email("Hello")])], at(2)).await {
            Ok(_) => drop(batch.commit().await.unwrap_err()),
            Err(_) => drop(batch),
        }
        assert_eq!(due_messages(&store, at(2)).await.len(), 1);
    }

    async fn a_batch_of_a_thousand_is_applied_whole(store: Arc<dyn Store>) {
        let ids = contacts(&store, 1000).await;
        let version = publish(&store, "a").await;
        let runs = runs_of(&store, &version, &ids, at(1)).await;
        let turns: Vec<_> = runs
            .iter()
            .zip(0..)
            .map(|(run, position)| {
                turn(run, vec![bounded(position, None, None), send_email(&format!("Mail {position}")), assign("rep")])
            })
            .collect();
        apply(&store, &turns, at(2)).await;
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.decisions, counts.messages[0].1, counts.leads), (2000, 1000, 1000));
        let last = load(&store, ids[999]).await;
        assert_eq!((last.scores["fit"], last.owner.as_deref()), (999, Some("rep")));
    }
}
