//! What people do with workflows in which somebody is on the way.

use std::sync::Arc;

use dripline_model::{
    decision::{DecisionKind, RunStatus},
    id::RunId,
    program::Program,
};
use dripline_store::{
    Advance, AppliedTurn, NewVersion, Published, RunFilter, RunMove, RunRow, Store, TimelineWhat,
};

use crate::{stores, workspace::*};

async fn rows(store: &Arc<dyn Store>) -> Vec<RunRow> {
    let mut rows = store.list_runs(&RunFilter::default(), 100).await.unwrap();
    rows.sort_by_key(|row| row.run);
    rows
}

/// Fails the run at `node`.
async fn fail(store: &Arc<dyn Store>, run: dripline_store::ClaimedRun, node: u32) {
    let failed = AppliedTurn {
        run: dripline_store::ClaimedRun { node, ..run },
        effects: vec![],
        decision: DecisionKind::Failed,
        reason: "broken".into(),
        advance: Advance::End(RunStatus::Failed),
    };
    apply(store, &[failed], at(2)).await;
}

/// The last decision of a run: kind, step, reason.
async fn last(store: &Arc<dyn Store>, run: RunId) -> (DecisionKind, Option<String>, String) {
    match store.run_decisions(run).await.unwrap().pop().unwrap().what {
        TimelineWhat::Decision { kind, step, reason, .. } => (kind, step, reason),
        other => panic!("a decision, not {other:?}"),
    }
}

/// Publishes another version of the workflow, with a step in front.
async fn publish_again(store: &Arc<dyn Store>, name: &str) -> Published {
    let mut new: Program = program(name);
    new.nodes.insert(0, new.nodes[0].clone());
    new.nodes[0].id = "fresh".into();
    let version = NewVersion { program: &new, source: "", plugins: vec![], templates: vec![] };
    store.publish(&version, at(0)).await.unwrap()
}

stores! {
    async fn a_failed_step_is_skipped_by_hand(store: Arc<dyn Store>) {
        let ids = contacts(&store, 3).await;
        let version = publish(&store, "nurture").await;
        let runs = runs_of(&store, &version, &ids, at(1)).await;
        fail(&store, runs[0], 0).await;
        fail(&store, runs[1], 2).await;
        assert_eq!(store.skip_runs(Some(runs[2].run), at(5)).await.unwrap(), 0, "it did not fail");
        assert_eq!(store.skip_runs(None, at(5)).await.unwrap(), 2);
        let rows = rows(&store).await;
        let found: Vec<_> = rows.iter().map(|row| (row.status, row.step.as_str(), row.due_at)).collect();
        assert_eq!(
            found,
            [
                (RunStatus::Active, "second", Some(at(5))),
                // Nothing is below the last step.
                (RunStatus::Completed, "third", None),
                (RunStatus::Active, "first", Some(at(1))),
            ]
        );
        let (kind, step, reason) = last(&store, runs[0].run).await;
        assert_eq!((kind, step.as_deref(), &*reason), (DecisionKind::Skipped, Some("first"), "skipped by hand, for it failed"));
        // The turn that failed counts, so that no message of the next has its key.
        let mut batch = store.begin().await.unwrap();
        let claimed = batch.claim_runs(version.workflow, at(5), 10).await.unwrap();
        assert_eq!(claimed.iter().find(|run| run.run == runs[0].run).unwrap().turn, 1);
    }

    async fn nothing_of_a_paused_workflow_is_due(store: Arc<dyn Store>) {
        let ids = contacts(&store, 2).await;
        let (first, second) = (publish(&store, "first").await, publish(&store, "second").await);
        runs_of(&store, &first, &ids[..1], at(10)).await;
        runs_of(&store, &second, &ids[1..], at(20)).await;
        let before = store.revision().await.unwrap();
        assert!(store.pause(first.workflow, at(11)).await.unwrap());
        assert!(!store.pause(first.workflow, at(12)).await.unwrap(), "it is already");
        assert_ne!(store.revision().await.unwrap(), before, "the engines hear of it");
        assert_eq!(store.next_due().await.unwrap(), Some(at(20)));
        let mut batch = store.begin().await.unwrap();
        assert_eq!(batch.due_workflows(at(30)).await.unwrap(), [second.workflow]);
        drop(batch);
        let pauses = store.pauses().await.unwrap();
        assert_eq!((pauses[0].workflow, pauses[0].from, pauses[0].until), (first.workflow, at(11), None));
        assert!(store.resume(first.workflow, false, at(40)).await.unwrap());
        assert!(!store.resume(first.workflow, false, at(41)).await.unwrap());
        assert_eq!(store.pauses().await.unwrap()[0].until, Some(at(40)));
        assert_eq!(store.next_due().await.unwrap(), Some(at(10)));
        assert!(store.pause(first.workflow, at(50)).await.unwrap(), "it may be paused again");
    }

    async fn what_fell_due_during_a_pause_may_keep_its_distances(store: Arc<dyn Store>) {
        let ids = contacts(&store, 4).await;
        let version = publish(&store, "nurture").await;
        let runs = runs_of(&store, &version, &ids, at(1)).await;
        let wait = |run, due| AppliedTurn {
            advance: Advance::To { node: 1, due: at(due), waited: true },
            ..turn(run, vec![])
        };
        let turns: Vec<_> = runs.iter().zip([90, 110, 150, 250]).map(|(run, due)| wait(run, due)).collect();
        apply(&store, &turns, at(2)).await;
        store.pause(version.workflow, at(100)).await.unwrap();
        store.resume(version.workflow, true, at(200)).await.unwrap();
        let dues: Vec<_> = rows(&store).await.iter().map(|row| row.due_at.unwrap()).collect();
        // What was late before the pause, and what is due behind it, stays.
        assert_eq!(dues, [at(90), at(210), at(250), at(250)]);
        let mut batch = store.begin().await.unwrap();
        let claimed = batch.claim_runs(version.workflow, at(210), 10).await.unwrap();
        assert_eq!(claimed.iter().map(|run| run.due).collect::<Vec<_>>(), [at(90), at(110)]);
    }

    async fn runs_move_to_another_version_by_a_map_of_steps(store: Arc<dyn Store>) {
        let ids = contacts(&store, 4).await;
        let old = publish(&store, "nurture").await;
        let other = publish(&store, "other").await;
        let runs = runs_of(&store, &old, &ids, at(1)).await;
        runs_of(&store, &other, &ids[..1], at(1)).await;
        let place = |run, node| AppliedTurn {
            advance: Advance::To { node, due: at(100), waited: true },
            ..turn(run, vec![])
        };
        apply(&store, &[place(&runs[0], 0), place(&runs[1], 1), place(&runs[2], 2)], at(2)).await;
        fail(&store, runs[3], 1).await;
        let new = publish_again(&store, "nurture").await;
        let moves = [RunMove { from: old.version, node: 0, to: 1 }, RunMove { from: old.version, node: 1, to: 0 }];
        assert_eq!(store.migrate_runs(new.version, &moves, "moved", at(3)).await.unwrap(), 2);
        let rows = rows(&store).await;
        let found: Vec<_> = rows.iter().map(|row| (row.version, row.step.as_str(), row.due_at)).collect();
        assert_eq!(
            found,
            [
                (2, "first", Some(at(100))),
                (2, "fresh", Some(at(100))),
                (1, "third", Some(at(100))),
                (1, "second", None),
                (1, "first", Some(at(1))),
            ]
        );
        let moved = (DecisionKind::Moved, Some("fresh".to_owned()), "moved".to_owned());
        assert_eq!(last(&store, runs[1].run).await, moved);
        assert_eq!(last(&store, runs[2].run).await.0, DecisionKind::Done);
        assert_eq!(store.migrate_runs(new.version, &[], "moved", at(3)).await.unwrap(), 0);
    }

    async fn the_runs_of_older_versions_may_end(store: Arc<dyn Store>) {
        let ids = contacts(&store, 3).await;
        let old = publish(&store, "nurture").await;
        let other = publish(&store, "other").await;
        let runs = runs_of(&store, &old, &ids[..2], at(1)).await;
        runs_of(&store, &other, &ids[..1], at(1)).await;
        let new = publish_again(&store, "nurture").await;
        runs_of(&store, &new, &ids[2..], at(2)).await;
        assert_eq!(store.drain_runs(new.workflow, new.version, "over", at(3)).await.unwrap(), 2);
        let rows = rows(&store).await;
        use RunStatus::{Active, Cancelled};
        assert_eq!(rows.iter().map(|row| row.status).collect::<Vec<_>>(), [Cancelled, Cancelled, Active, Active]);
        assert_eq!((rows[0].ended_at, rows[0].due_at), (Some(at(3)), None));
        assert_eq!(last(&store, runs[0].run).await, (DecisionKind::Cancelled, Some("first".into()), "over".into()));
        assert_eq!(store.drain_runs(new.workflow, new.version, "over", at(3)).await.unwrap(), 0);
    }
}
