use std::{collections::BTreeMap, sync::Arc};

use dripline_model::{
    Effect,
    decision::{DecisionKind, RunStatus},
    id::{ContactId, MessageId},
    message::MessageStatus,
};
use dripline_store::{
    Advance, AppliedTurn, ClaimedRun, Decision, Delivery, DeliveryResult, EventRow, Outgoing, Prunable,
    Pruned, Refusal, Store, TimelineWhat, Undecided,
};

use crate::{stores, workspace::*};

/// Deletes all of it, slice by slice. Answers how many rows went, and in how many slices.
async fn prune_all(store: &Arc<dyn Store>, what: Prunable, before: i64, limit: usize) -> (u64, u32) {
    let (mut rows, mut slices) = (0, 0);
    loop {
        let pruned = store.prune(what, at(before), limit).await.unwrap();
        rows += pruned.rows;
        slices += 1;
        if pruned.is_last {
            return (rows, slices);
        }
    }
}

/// What is left of a contact's history, by what it is.
async fn history(store: &Arc<dyn Store>, contact: ContactId) -> BTreeMap<&'static str, usize> {
    let mut lines = BTreeMap::new();
    for entry in store.timeline(contact).await.unwrap() {
        let what = match entry.what {
            TimelineWhat::Event { .. } => "event",
            TimelineWhat::Decision { run: Some(_), .. } => "decision",
            TimelineWhat::Decision { run: None, .. } => "refusal",
            TimelineWhat::Score { taken_back: Some(_), .. } => "taken back",
            TimelineWhat::Score { .. } => "score",
            TimelineWhat::Message { .. } => "message",
            _ => continue,
        };
        *lines.entry(what).or_insert(0) += 1;
    }
    lines
}

/// An event of history.
fn visited(second: i64) -> EventRow {
    EventRow { live: false, ..event(0, "visited", at(second)) }
}

/// A turn that ends the run.
fn ended(run: &ClaimedRun) -> AppliedTurn {
    AppliedTurn {
        decision: DecisionKind::Ended,
        advance: Advance::End(RunStatus::Completed),
        ..turn(run, Vec::new())
    }
}

stores! {
    async fn old_events_go_and_those_that_wait_stay(store: Arc<dyn Store>) {
        let ids = contacts(&store, 1).await;
        let mut rows: Vec<_> = (0..25).map(visited).collect();
        rows.push(event(0, "waits", at(3)));
        rows.push(visited(100));
        import_events(&store, &rows).await;
        let count = store.count_prunable(Prunable::Events, at(50)).await.unwrap();
        assert_eq!(count, 25);
        let first = store.prune(Prunable::Events, at(50), 10).await.unwrap();
        assert_eq!(first, Pruned { rows: 10, is_last: false });
        assert_eq!(prune_all(&store, Prunable::Events, 50, 10).await, (15, 2));
        assert_eq!(store.counts().await.unwrap().events, 1);
        assert_eq!(store.counts().await.unwrap().pending_events, 1);

        // Once it was dealt with, it goes like the others, although the search had passed it.
        let mut batch = store.begin().await.unwrap();
        let claimed = batch.claim_events(at(60), 10).await.unwrap();
        batch.finish_events(&[claimed[0].id]).await.unwrap();
        batch.commit().await.unwrap();
        assert_eq!(prune_all(&store, Prunable::Events, 50, 10).await, (1, 1));
        assert_eq!(history(&store, ids[0]).await["event"], 1);
    }

    async fn the_id_of_an_event_that_went_is_given_to_no_other(store: Arc<dyn Store>) {
        contacts(&store, 1).await;
        let version = publish(&store, "nurture").await;
        for second in [1, 2] {
            import_events(&store, &[event(0, "go", at(second))]).await;
            let mut batch = store.begin().await.unwrap();
            let claimed = batch.claim_events(at(second), 1).await.unwrap();
            let enrolment = enrolment(&version, claimed[0].contact, Some(claimed[0].id));
            batch.enroll(&[enrolment], at(second)).await.unwrap();
            batch.finish_events(&[claimed[0].id]).await.unwrap();
            let runs = batch.claim_runs(version.workflow, at(second), 10).await.unwrap();
            assert_eq!(runs.len(), 1, "one event, one run, however many events are gone");
            batch.apply(&[ended(&runs[0])], at(second)).await.unwrap();
            batch.commit().await.unwrap();
            prune_all(&store, Prunable::Events, 50, 10).await;
        }
    }

    async fn decisions_go_with_the_whole_run_once_it_has_ended(store: Arc<dyn Store>) {
        let ids = contacts(&store, 30).await;
        let version = publish(&store, "nurture").await;
        let runs = runs_of(&store, &version, &ids, at(1)).await;
        apply(&store, &runs.iter().map(|run| turn(run, Vec::new())).collect::<Vec<_>>(), at(2)).await;
        // Ten end early, ten later, ten go on.
        apply(&store, &runs[..10].iter().map(ended).collect::<Vec<_>>(), at(3)).await;
        apply(&store, &runs[10..20].iter().map(ended).collect::<Vec<_>>(), at(60)).await;
        assert_eq!(store.count_prunable(Prunable::Decisions, at(50)).await.unwrap(), 30);
        // Three runs are looked at in a slice of 24.
        assert_eq!(prune_all(&store, Prunable::Decisions, 50, 24).await, (30, 4));
        let left = |position: usize| history(&store, ids[position]);
        assert!(left(0).await.is_empty());
        assert_eq!(left(10).await["decision"], 3, "it ended later");
        assert_eq!(left(20).await["decision"], 2, "it has not ended");
        assert_eq!(store.count_prunable(Prunable::Decisions, at(50)).await.unwrap(), 0);

        apply(&store, &runs[20..].iter().map(ended).collect::<Vec<_>>(), at(70)).await;
        assert_eq!(prune_all(&store, Prunable::Decisions, 100, 1_000).await, (60, 1), "30 and 30, each once");
        assert_eq!(store.counts().await.unwrap().runs.iter().map(|(_, runs)| runs).sum::<u64>(), 30);
    }

    async fn refusals_go_by_their_own_age(store: Arc<dyn Store>) {
        let ids = contacts(&store, 2).await;
        let version = publish(&store, "nurture").await;
        for second in [1, 100] {
            let refusals: Vec<_> = ids
                .iter()
                .map(|contact| Refusal {
                    workflow: version.workflow,
                    version: version.version,
                    contact: *contact,
                    event: None,
                    waits: false,
                    reason: "not now".into(),
                })
                .collect();
            let mut batch = store.begin().await.unwrap();
            batch.refuse(&refusals, at(second)).await.unwrap();
            batch.commit().await.unwrap();
        }
        runs_of(&store, &version, &ids, at(1)).await;
        assert_eq!(store.count_prunable(Prunable::Refusals, at(50)).await.unwrap(), 2);
        assert_eq!(prune_all(&store, Prunable::Refusals, 50, 1).await.0, 2);
        assert_eq!(history(&store, ids[0]).await, BTreeMap::from([("decision", 1), ("refusal", 1)]));
    }

    async fn entries_that_were_taken_back_go_and_those_that_stand_explain_the_score(store: Arc<dyn Store>) {
        let ids = contacts(&store, 2).await;
        let version = publish(&store, "nurture").await;
        let runs = runs_of(&store, &version, &ids, at(1)).await;
        let again = |points| vec![Effect::ClearScore("fit".into()), add_score("fit", points, "fits")];
        for (second, points) in [(1, 5), (2, 7), (100, 9)] {
            apply(&store, &runs.iter().map(|run| turn(run, again(points))).collect::<Vec<_>>(), at(second)).await;
        }
        assert_eq!(store.count_prunable(Prunable::ScoreEntries, at(50)).await.unwrap(), 2);
        assert_eq!(prune_all(&store, Prunable::ScoreEntries, 50, 1).await.0, 2);
        let left = history(&store, ids[0]).await;
        assert_eq!((left["score"], left["taken back"]), (1, 1), "the last was taken back at 100");
        assert_eq!(load(&store, ids[0]).await.scores["fit"], 9);
    }

    async fn bodies_of_old_mails_go_unless_their_fate_is_open(store: Arc<dyn Store>) {
        let ids = contacts(&store, 40).await;
        let version = publish(&store, "nurture").await;
        let runs = runs_of(&store, &version, &ids, at(1)).await;
        let mail = |runs: &[ClaimedRun]| {
            runs.iter().map(|run| turn(run, vec![send_email("Hi")])).collect::<Vec<_>>()
        };
        apply(&store, &mail(&runs[..30]), at(1)).await;
        apply(&store, &mail(&runs[30..]), at(100)).await;
        let who = claimant("w");
        let claimed = store.claim_messages(&who, at(100), at(200), 100).await.unwrap();
        let outgoing: Vec<_> = claimed
            .iter()
            .map(|message| Outgoing { id: message.id, message_id: message.key.clone(), source: b"Hi".to_vec() })
            .collect();
        store.mark_sending(&who, &outgoing, at(100), at(200)).await.unwrap();
        let results: Vec<_> = claimed
            .iter()
            .enumerate()
            .map(|(position, message)| Delivery {
                id: message.id,
                result: match position {
                    0 => DeliveryResult::Failed("550".into()),
                    1..=5 => DeliveryResult::Uncertain("gone".into()),
                    6 => DeliveryResult::Retry { due: at(300), reason: "451".into() },
                    _ => DeliveryResult::Sent("250".into()),
                },
            })
            .collect();
        store.settle(&who, &results, at(101)).await.unwrap();
        let sources = async |ids: &[MessageId]| {
            let mut found = Vec::new();
            for id in ids {
                let (row, source) = store.message(*id).await.unwrap().unwrap();
                found.push((row.status, source.is_some()));
            }
            found
        };

        assert_eq!(store.count_prunable(Prunable::MailBodies, at(50)).await.unwrap(), 24);
        // A slice looks at two messages: those that stay do not stop it.
        assert_eq!(prune_all(&store, Prunable::MailBodies, 50, 16).await.0, 24);
        let id = |position: usize| claimed[position].id;
        assert_eq!(
            sources(&[id(0), id(1), id(6), id(7), id(29), id(30)]).await,
            [
                (MessageStatus::Failed, false),
                (MessageStatus::Uncertain, true),
                (MessageStatus::Queued, true),
                (MessageStatus::Sent, false),
                (MessageStatus::Sent, false),
                (MessageStatus::Sent, true),
            ]
        );
        assert_eq!(prune_all(&store, Prunable::MailBodies, 50, 1_000).await.0, 0);
        let one = Undecided { status: MessageStatus::Uncertain, ids: Some(vec![id(1)]) };
        store.decide(&one, Decision::Drop, at(102)).await.unwrap();
        assert_eq!(prune_all(&store, Prunable::MailBodies, 50, 1_000).await.0, 1, "its fate is known now");
    }

    async fn several_at_once_delete_each_row_once(store: Arc<dyn Store>) {
        contacts(&store, 1).await;
        let rows: Vec<_> = (0..300).map(visited).collect();
        import_events(&store, &rows).await;
        let pruners: Vec<_> = (0..4)
            .map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move { prune_all(&store, Prunable::Events, 250, 20).await.0 })
            })
            .collect();
        let mut rows = 0;
        for pruner in pruners {
            rows += pruner.await.unwrap();
        }
        assert_eq!(rows, 250);
        assert_eq!(store.counts().await.unwrap().events, 50);
    }
}
