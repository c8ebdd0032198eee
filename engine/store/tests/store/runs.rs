use std::sync::Arc;

use dripline_model::{
    Effect,
    decision::{Awaited, DecisionKind, RunStatus},
    id::{ContactId, EventId},
};
use dripline_store::{
    Advance, FiringCause, FiringProgress, NewFiring, Refusal, RunFilter, Store, TimelineWhat, Waiting,
};

use crate::{stores, workspace::*};

async fn kinds(store: &Arc<dyn Store>, run: dripline_model::id::RunId) -> Vec<DecisionKind> {
    let decisions = store.run_decisions(run).await.unwrap();
    decisions
        .into_iter()
        .map(|entry| match entry.what {
            TimelineWhat::Decision { kind, .. } => kind,
            other => panic!("a decision, not {other:?}"),
        })
        .collect()
}

stores! {
    async fn events_arrive_in_the_order_of_their_times_and_once(store: Arc<dyn Store>) {
        contacts(&store, 2).await;
        let events = [event(1, "late", at(20)), event(0, "early", at(5)), event(1, "middle", at(10))];
        import_events(&store, &events).await;
        assert_eq!(store.next_arrival().await.unwrap(), Some(at(5)));
        assert_eq!(store.next_due().await.unwrap(), Some(at(5)));

        let mut batch = store.begin().await.unwrap();
        let claimed = batch.claim_events(at(10), 10).await.unwrap();
        let names: Vec<&str> = claimed.iter().map(|claimed| claimed.event.name.as_str()).collect();
        assert_eq!(names, ["early", "middle"]);
        assert_eq!(batch.claim_events(at(30), 1).await.unwrap().len(), 1, "no more than the limit");
        let ids: Vec<EventId> = claimed.iter().map(|claimed| claimed.id).collect();
        batch.finish_events(&ids).await.unwrap();
        batch.commit().await.unwrap();

        assert_eq!(store.next_arrival().await.unwrap(), Some(at(20)));
        let mut batch = store.begin().await.unwrap();
        assert!(batch.claim_events(at(10), 10).await.unwrap().is_empty());
    }

    async fn a_batch_that_is_dropped_never_was(store: Arc<dyn Store>) {
        let ids = contacts(&store, 1).await;
        let version = publish(&store, "nurture").await;
        let mut batch = store.begin().await.unwrap();
        batch.enroll(&[enrolment(&version, ids[0], None)], at(1)).await.unwrap();
        batch.put_state("assign", "team", b"1");
        let runs = batch.claim_runs(version.workflow, at(1), 10).await.unwrap();
        batch.apply(&[turn(&runs[0], vec![add_score("fit", 5, "new"), send_email("Hi")])], at(1)).await.unwrap();
        drop(batch);
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.decisions, counts.runs[0].1, counts.messages[0].1), (0, 0, 0));
        let mut batch = store.begin().await.unwrap();
        assert_eq!(batch.state("assign", "team").await.unwrap(), None);
        drop(batch);
        // The words of the batch went with it and are stored anew.
        let runs = runs_of(&store, &version, &ids, at(2)).await;
        apply(&store, &[turn(&runs[0], vec![add_score("fit", 5, "new")])], at(2)).await;
        assert_eq!(load(&store, ids[0]).await.scores["fit"], 5);
    }

    async fn nobody_is_in_a_workflow_twice_at_a_time(store: Arc<dyn Store>) {
        let ids = contacts(&store, 2).await;
        let version = publish(&store, "nurture").await;
        let other = publish(&store, "other").await;
        import_events(&store, &[event(0, "go", at(0)), event(0, "go", at(0))]).await;
        let mut batch = store.begin().await.unwrap();
        let events = batch.claim_events(at(0), 10).await.unwrap();
        let mut enrolments = vec![
            enrolment(&version, ids[1], None),
            enrolment(&version, ids[0], Some(events[0].id)),
            enrolment(&version, ids[0], Some(events[1].id)),
            enrolment(&other, ids[0], Some(events[1].id)),
        ];
        enrolments[2].reason = "too late".into();
        batch.enroll(&enrolments, at(1)).await.unwrap();
        let mut runs = batch.claim_runs(version.workflow, at(1), 10).await.unwrap();
        assert_eq!(runs.len(), 2);
        runs.extend(batch.claim_runs(other.workflow, at(1), 10).await.unwrap());
        assert_eq!(runs.len(), 3);

        // Ended: the same event does not start a second run, another one does.
        let mut over = turn(runs.iter().find(|run| run.contact == ids[0]).unwrap(), vec![]);
        assert_eq!(over.run.workflow, version.workflow);
        over.advance = Advance::End(RunStatus::Completed);
        batch.apply(&[over], at(2)).await.unwrap();
        batch.enroll(&[enrolment(&version, ids[0], Some(events[0].id))], at(3)).await.unwrap();
        let latest = batch.latest_runs(version.workflow, &ids).await.unwrap();
        assert_eq!((latest[&ids[0]].is_active, latest[&ids[0]].enrolled_at), (false, at(1)));
        batch.enroll(&[enrolment(&version, ids[0], Some(events[1].id))], at(4)).await.unwrap();
        let latest = batch.latest_runs(version.workflow, &[ids[0], ContactId(77)]).await.unwrap();
        assert_eq!(latest.len(), 1);
        assert_eq!((latest[&ids[0]].is_active, latest[&ids[0]].enrolled_at), (true, at(4)));
        batch.commit().await.unwrap();
        let counts = store.counts().await.unwrap();
        assert_eq!(counts.decisions, 5, "one for each real enrolment and one for the turn");
        let timeline = store.timeline(ids[0]).await.unwrap();
        assert!(!format!("{timeline:?}").contains("too late"));
    }

    async fn the_longest_due_are_claimed_and_come_in_contact_order(store: Arc<dyn Store>) {
        let ids = contacts(&store, 4).await;
        let version = publish(&store, "nurture").await;
        let mut batch = store.begin().await.unwrap();
        for (contact, second) in [(3, 1), (2, 2), (0, 2), (1, 3)] {
            batch.enroll(&[enrolment(&version, ids[contact], None)], at(second)).await.unwrap();
        }
        let claimed = batch.claim_runs(version.workflow, at(5), 2).await.unwrap();
        let order: Vec<ContactId> = claimed.iter().map(|run| run.contact).collect();
        assert_eq!(order, [ids[0], ids[3]]);
        assert_eq!(batch.claim_runs(version.workflow, at(2), 10).await.unwrap().len(), 3, "only those that are due");
        batch.commit().await.unwrap();
        assert_eq!(store.next_due().await.unwrap(), Some(at(1)));
    }

    async fn runs_move_try_again_and_end(store: Arc<dyn Store>) {
        let ids = contacts(&store, 1).await;
        let version = publish(&store, "nurture").await;
        let run = runs_of(&store, &version, &ids, at(1)).await.remove(0);
        assert_eq!((run.node, run.turn, run.attempts, run.hops), (0, 0, 0, 0));

        let claim = async |second: i64| {
            let mut batch = store.begin().await.unwrap();
            batch.claim_runs(version.workflow, at(second), 10).await.unwrap().pop()
        };
        let step = async |run: &dripline_store::ClaimedRun, advance: Advance| {
            let mut step = turn(run, vec![add_score("fit", 1, "step")]);
            step.advance = advance;
            apply(&store, &[step], at(1)).await;
        };
        step(&run, Advance::To { node: 1, due: at(2), waited: false }).await;
        let run = claim(2).await.unwrap();
        assert_eq!((run.node, run.turn, run.attempts, run.hops), (1, 1, 0, 1));

        step(&run, Advance::Retry { due: at(3) }).await;
        assert_eq!(claim(2).await, None);
        let run = claim(3).await.unwrap();
        assert_eq!((run.node, run.turn, run.attempts, run.hops), (1, 1, 1, 1));
        assert_eq!(load(&store, ids[0]).await.scores["fit"], 1, "what is tried again has not happened");

        step(&run, Advance::To { node: 2, due: at(4), waited: true }).await;
        let run = claim(4).await.unwrap();
        assert_eq!((run.node, run.turn, run.attempts, run.hops), (2, 2, 0, 0));

        step(&run, Advance::End(RunStatus::Completed)).await;
        assert_eq!((claim(9).await, store.next_due().await.unwrap()), (None, None));
        let row = store.list_runs(&RunFilter { run: Some(run.run), ..RunFilter::default() }, 1).await.unwrap().remove(0);
        assert_eq!((row.status, row.step.as_str(), row.due_at), (RunStatus::Completed, "third", None));
        assert_eq!((row.ended_at, row.reason.as_deref()), (Some(at(1)), Some("did it")));
    }

    async fn a_run_that_waits_is_found_by_its_contact_until_it_goes_on(store: Arc<dyn Store>) {
        let ids = contacts(&store, 3).await;
        let version = publish(&store, "nurture").await;
        let runs = runs_of(&store, &version, &ids, at(1)).await;
        let event = Waiting { what: Awaited::Event, since: at(1), until: at(50) };
        let condition = Waiting { what: Awaited::Condition, since: at(1), until: at(60) };
        let mut turns: Vec<_> = runs.iter().map(|run| turn(run, vec![])).collect();
        turns[0].advance = Advance::Wait { waiting: event, due: at(50) };
        turns[1].advance = Advance::Wait { waiting: condition, due: at(40) };
        turns[2].advance = Advance::To { node: 1, due: at(70), waited: true };
        let mut batch = store.begin().await.unwrap();
        batch.apply(&turns, at(1)).await.unwrap();
        let standing = batch.waiting_runs(&ids).await.unwrap();
        assert_eq!(standing.iter().map(|run| run.waiting).collect::<Vec<_>>(), [Some(event), Some(condition)]);
        assert_eq!((standing[0].node, standing[0].turn, standing[0].hops), (0, 1, 1));
        assert_eq!(batch.active_runs(&ids).await.unwrap().len(), 3);
        batch.commit().await.unwrap();
        assert_eq!(store.next_due().await.unwrap(), Some(at(40)));

        // Put back, it waits on as before; nothing is recorded.
        let mut batch = store.begin().await.unwrap();
        let claimed = batch.claim_runs(version.workflow, at(45), 10).await.unwrap();
        assert_eq!(claimed, [standing[1]]);
        batch.put_back(&[(claimed[0], at(60))]).await.unwrap();
        batch.commit().await.unwrap();
        let mut batch = store.begin().await.unwrap();
        assert_eq!(batch.waiting_runs(&[ids[1]]).await.unwrap(), claimed);
        assert_eq!(batch.claim_runs(version.workflow, at(59), 10).await.unwrap().len(), 1, "the event's time is over");
        drop(batch);
        assert_eq!(kinds(&store, runs[1].run).await.len(), 2);

        // On it goes, or ends, and waits no more.
        let mut over: Vec<_> = standing.iter().map(|run| turn(run, vec![])).collect();
        over[0].advance = Advance::To { node: 1, due: at(80), waited: true };
        over[1].advance = Advance::End(RunStatus::Completed);
        apply(&store, &over, at(50)).await;
        let mut batch = store.begin().await.unwrap();
        assert_eq!(batch.waiting_runs(&ids).await.unwrap(), []);
        let left = batch.active_runs(&ids).await.unwrap();
        let left: Vec<_> = left.into_iter().map(|active| active.run).collect();
        assert_eq!(left.iter().map(|run| (run.contact, run.hops)).collect::<Vec<_>>(), [(ids[0], 0), (ids[2], 0)]);
        drop(batch);
        store.cancel_run(left[0].run, "enough", at(51)).await.unwrap();
        assert_eq!(store.begin().await.unwrap().active_runs(&ids).await.unwrap().len(), 1);
    }

    async fn what_changes_a_contact_wakes_its_runs_that_wait_for_a_condition(store: Arc<dyn Store>) {
        let ids = contacts(&store, 4).await;
        let version = publish(&store, "nurture").await;
        let other = publish(&store, "other").await;
        let runs = runs_of(&store, &version, &ids, at(1)).await;
        let mut turns: Vec<_> = runs.iter().map(|run| turn(run, vec![])).collect();
        for turn in &mut turns {
            let waiting = Waiting { what: Awaited::Condition, since: at(1), until: at(90) };
            turn.advance = Advance::Wait { waiting, due: at(90) };
        }
        let Advance::Wait { waiting, .. } = &mut turns[3].advance else { panic!("it waits") };
        waiting.what = Awaited::Event;
        apply(&store, &turns, at(1)).await;
        let due = async |second: i64| -> Vec<ContactId> {
            let mut batch = store.begin().await.unwrap();
            let runs = batch.claim_runs(version.workflow, at(second), 10).await.unwrap();
            runs.iter().map(|run| run.contact).collect()
        };
        assert_eq!(due(10).await, []);

        // A step of another workflow; the run that waits for an event is left alone.
        let there = runs_of(&store, &other, &[ids[0], ids[3]], at(10)).await;
        let mut steps: Vec<_> = there.iter().map(|run| turn(run, vec![add_score("fit", 1, "step")])).collect();
        steps.iter_mut().for_each(|step| step.advance = Advance::End(RunStatus::Completed));
        apply(&store, &steps, at(10)).await;
        assert_eq!(due(10).await, [ids[0]]);

        // An import: a tag alone is a change as well, and what is known already is none.
        let mut tagged = row(1);
        tagged.tags = vec!["vip".into()];
        import_contacts(&store, &[tagged, row(2)]).await;
        assert_eq!(due(10).await, [ids[0], ids[1]]);
        let mut history = event(2, "visit", at(0));
        history.live = false;
        import_events(&store, &[history]).await;
        assert_eq!(due(10).await, [ids[0], ids[1], ids[2]]);
    }

    async fn events_that_wait_are_found_by_contact_and_name(store: Arc<dyn Store>) {
        let ids = contacts(&store, 2).await;
        let mut history = event(0, "click", at(1));
        history.live = false;
        import_events(&store, &[history, event(0, "click", at(5)), event(0, "visit", at(2)), event(1, "click", at(9))]).await;
        let mut batch = store.begin().await.unwrap();
        assert_eq!(batch.pending_events(&ids, "click", at(8)).await.unwrap(), [(ids[0], at(5))]);
        assert_eq!(batch.pending_events(&ids, "never", at(8)).await.unwrap(), []);
    }

    async fn running_on_within_a_batch_leaves_the_last_place(store: Arc<dyn Store>) {
        let ids = contacts(&store, 1).await;
        let version = publish(&store, "nurture").await;
        let mut run = runs_of(&store, &version, &ids, at(1)).await.remove(0);
        let mut batch = store.begin().await.unwrap();
        for node in [1, 2] {
            let mut step = turn(&run, vec![]);
            step.advance = Advance::To { node, due: at(1), waited: false };
            batch.apply(&[step], at(1)).await.unwrap();
            run.node = node;
            run.turn += 1;
            run.hops += 1;
        }
        assert_eq!(batch.claim_runs(version.workflow, at(1), 10).await.unwrap(), [run]);
        batch.commit().await.unwrap();
        assert_eq!(store.run_decisions(run.run).await.unwrap().len(), 3);
    }

    async fn failed_runs_are_set_going_again_unless_the_contact_is_back(store: Arc<dyn Store>) {
        let ids = contacts(&store, 2).await;
        let version = publish(&store, "nurture").await;
        let runs = runs_of(&store, &version, &ids, at(1)).await;
        let failed: Vec<_> = runs
            .iter()
            .map(|run| {
                let mut failed = turn(run, vec![]);
                (failed.decision, failed.advance) = (DecisionKind::Failed, Advance::End(RunStatus::Failed));
                failed
            })
            .collect();
        apply(&store, &failed, at(2)).await;
        runs_of(&store, &version, &ids[1..], at(3)).await;
        assert_eq!(store.retry_runs(None, at(4)).await.unwrap(), 1);
        assert_eq!(store.retry_runs(Some(runs[0].run), at(4)).await.unwrap(), 0, "not failed any more");
        let mut batch = store.begin().await.unwrap();
        let again = batch.claim_runs(version.workflow, at(4), 10).await.unwrap().remove(0);
        assert_eq!((again.run, again.turn, again.hops), (runs[0].run, 1, 0));
        drop(batch);
        use DecisionKind::{Enrolled, Failed, Retrying};
        assert_eq!(kinds(&store, again.run).await, [Enrolled, Failed, Retrying]);
    }

    async fn a_person_ends_a_run_once(store: Arc<dyn Store>) {
        let ids = contacts(&store, 1).await;
        let version = publish(&store, "nurture").await;
        let run = runs_of(&store, &version, &ids, at(1)).await.remove(0);
        assert!(store.cancel_run(run.run, "asked to", at(2)).await.unwrap());
        assert!(!store.cancel_run(run.run, "asked to", at(2)).await.unwrap());
        assert_eq!(kinds(&store, run.run).await, [DecisionKind::Enrolled, DecisionKind::Cancelled]);
        let rows = store.list_runs(&RunFilter::default(), 10).await.unwrap();
        assert_eq!((rows[0].status, rows[0].ended_at), (RunStatus::Cancelled, Some(at(2))));
    }

    async fn who_is_not_enrolled_is_told_why(store: Arc<dyn Store>) {
        let ids = contacts(&store, 1).await;
        let version = publish(&store, "nurture").await;
        let refusal = Refusal {
            workflow: version.workflow,
            version: version.version,
            contact: ids[0],
            event: None,
            waits: false,
            reason: "no consent".into(),
        };
        let mut batch = store.begin().await.unwrap();
        batch.refuse(&[refusal], at(1)).await.unwrap();
        batch.commit().await.unwrap();
        let timeline = store.timeline(ids[0]).await.unwrap();
        let expected = TimelineWhat::Decision {
            run: None,
            workflow: "nurture".into(),
            step: None,
            path: None,
            kind: DecisionKind::NotEnrolled,
            reason: "no consent".into(),
        };
        assert_eq!((timeline[0].at, &timeline[0].what), (at(1), &expected));
    }

    async fn state_cells_are_kept_by_plugin_and_key(store: Arc<dyn Store>) {
        let mut batch = store.begin().await.unwrap();
        assert_eq!(batch.state("assign", "a").await.unwrap(), None);
        batch.put_state("assign", "a", b"one");
        batch.put_state("assign", "a", b"");
        batch.put_state("assign", "b", b"two");
        batch.commit().await.unwrap();
        let mut batch = store.begin().await.unwrap();
        assert_eq!(batch.state("assign", "a").await.unwrap(), Some(vec![]));
        assert_eq!(batch.state("assign", "b").await.unwrap(), Some(b"two".to_vec()));
        assert_eq!(batch.state("other", "a").await.unwrap(), None);
    }

    async fn due_runs_are_found_workflow_by_workflow(store: Arc<dyn Store>) {
        let ids = contacts(&store, 2).await;
        let (first, second) = (publish(&store, "nurture").await, publish(&store, "other").await);
        publish(&store, "idle").await;
        let mut batch = store.begin().await.unwrap();
        batch.enroll(&[enrolment(&second, ids[0], None), enrolment(&second, ids[1], None)], at(1)).await.unwrap();
        batch.enroll(&[enrolment(&first, ids[1], None)], at(2)).await.unwrap();
        batch.lock_contacts(&ids).await.unwrap();
        assert_eq!(batch.due_workflows(at(0)).await.unwrap(), []);
        assert_eq!(batch.due_workflows(at(1)).await.unwrap(), [second.workflow]);
        assert_eq!(batch.due_workflows(at(2)).await.unwrap(), [first.workflow, second.workflow]);
        let runs = batch.claim_runs(second.workflow, at(2), 10).await.unwrap();
        assert_eq!(runs.iter().map(|run| run.contact).collect::<Vec<_>>(), ids);
        assert!(!batch.arrived(at(9)).await.unwrap().events);
        batch.commit().await.unwrap();
        import_events(&store, &[event(0, "go", at(5))]).await;
        store.retire_all_but(&["idle"].into(), at(5)).await.unwrap();
        let mut batch = store.begin().await.unwrap();
        assert_eq!((batch.arrived(at(4)).await.unwrap().events, batch.arrived(at(5)).await.unwrap().events), (false, true));
        assert_eq!(batch.due_workflows(at(2)).await.unwrap().len(), 2, "runs of a retired workflow go on");
    }

    async fn a_schedule_fires_once_and_goes_on_where_it_stopped(store: Arc<dyn Store>) {
        let version = publish(&store, "nurture").await;
        contacts(&store, 3).await;
        assert_eq!(store.last_firing(version.workflow).await.unwrap(), None);
        let schedule = |second| NewFiring {
            workflow: version.workflow,
            cause: FiringCause::Schedule,
            at: at(second),
            segment: None,
        };
        let firing = store.begin_firing(&schedule(10)).await.unwrap();
        assert_eq!(store.begin_firing(&schedule(10)).await.unwrap(), firing);
        assert_eq!(store.next_due().await.unwrap(), Some(at(10)));
        let mut batch = store.begin().await.unwrap();
        let begun = batch.firing(firing).await.unwrap().unwrap();
        assert_eq!((&begun.new, begun.total), (&schedule(10), 3));
        assert_eq!(begun.progress, FiringProgress { last: ContactId(0), seen: 0, enrolled: 0, done: false });
        let halfway = FiringProgress { last: ContactId(5), seen: 2, enrolled: 1, done: false };
        batch.advance_firing(firing, &halfway).await.unwrap();
        batch.commit().await.unwrap();
        assert_eq!(store.firing(firing).await.unwrap().unwrap().progress, halfway);
        let mut batch = store.begin().await.unwrap();
        assert_eq!(batch.open_firings().await.unwrap(), [batch.firing(firing).await.unwrap().unwrap()]);
        batch.advance_firing(firing, &FiringProgress { done: true, ..halfway }).await.unwrap();
        batch.commit().await.unwrap();
        assert_eq!(store.begin_firing(&schedule(10)).await.unwrap(), firing, "done is not begun again");
        assert_eq!(store.open_firings().await.unwrap(), []);
        store.begin_firing(&schedule(5)).await.unwrap();
        assert_eq!(store.last_firing(version.workflow).await.unwrap(), Some(at(10)));
    }

    async fn a_batch_hears_of_who_should_not_wait_for_it(store: Arc<dyn Store>) {
        contacts(&store, 1).await;
        let batch = store.begin().await.unwrap();
        assert!(!batch.is_wanted());
        // SQLite lets it in after the batch, PostgreSQL beside it.
        let importer = Arc::clone(&store);
        let import = tokio::spawn(async move { import_events(&importer, &[event(0, "visit", at(1))]).await });
        while !batch.is_wanted() {
            tokio::task::yield_now().await;
        }
        batch.commit().await.unwrap();
        import.await.unwrap();
        assert!(!store.begin().await.unwrap().is_wanted());
    }

    async fn a_firing_by_hand_is_offered_to_a_segment(store: Arc<dyn Store>) {
        let version = publish(&store, "nurture").await;
        let ids = contacts(&store, 3).await;
        let joins: Vec<_> = runs_of(&store, &version, &ids[..2], at(1)).await.iter()
            .map(|run| turn(run, vec![Effect::JoinSegment("hot".into())]))
            .collect();
        apply(&store, &joins, at(1)).await;
        let by_hand = |segment: Option<&str>| NewFiring {
            workflow: version.workflow,
            cause: FiringCause::Hand,
            at: at(2),
            segment: segment.map(str::to_owned),
        };
        let hot = store.begin_firing(&by_hand(Some("hot"))).await.unwrap();
        let again = NewFiring { at: at(3), ..by_hand(Some("hot")) };
        assert_eq!(store.begin_firing(&again).await.unwrap(), hot, "the one under way is joined");
        assert_ne!(store.begin_firing(&by_hand(None)).await.unwrap(), hot);
        assert_eq!(store.firing(hot).await.unwrap().unwrap().total, 2);
        assert_eq!(store.last_firing(version.workflow).await.unwrap(), None, "no schedule fired");
        let mut batch = store.begin().await.unwrap();
        assert_eq!(batch.contacts_after(Some("hot"), ContactId(0), 9).await.unwrap(), ids[..2]);
        assert_eq!(batch.contacts_after(Some("hot"), ids[0], 1).await.unwrap(), ids[1..2]);
        assert_eq!(batch.contacts_after(Some("nobody"), ContactId(0), 9).await.unwrap(), []);
        let done = FiringProgress { last: ids[1], seen: 2, enrolled: 0, done: true };
        batch.advance_firing(hot, &done).await.unwrap();
        batch.commit().await.unwrap();
        assert_ne!(store.begin_firing(&again).await.unwrap(), hot, "a person may ask again");
    }
}
