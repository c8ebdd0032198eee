//! What the caps look at, and turns that are put off.

use std::sync::Arc;

use dripline_model::{decision::DecisionKind, id::ContactId};
use dripline_store::{Advance, AppliedTurn, Delivery, DeliveryResult, Mailed, Outgoing, RunFilter, Store};

use crate::{stores, workspace::*};

/// Queues an email to each contact at second `now`, and fails those to `failing`.
async fn mail(store: &Arc<dyn Store>, name: &str, ids: &[ContactId], failing: &[ContactId], now: i64) {
    let version = publish(store, name).await;
    let runs = runs_of(store, &version, ids, at(now)).await;
    let turns: Vec<_> = runs.iter().map(|run| turn(run, vec![send_email("Hi")])).collect();
    apply(store, &turns, at(now)).await;
    let due = due_messages(store, at(now)).await;
    let failing: Vec<_> =
        due.iter().filter(|due| failing.contains(&due.contact.id)).map(|due| due.id).collect();
    let outgoing: Vec<Outgoing> = failing
        .iter()
        .map(|id| Outgoing { id: *id, message_id: format!("<{id}>"), source: b"Hi".to_vec() })
        .collect();
    store.mark_sending(&claimant("test"), &outgoing, at(now), at(now + 10)).await.unwrap();
    let failed: Vec<Delivery> =
        failing.iter().map(|id| Delivery { id: *id, result: DeliveryResult::Failed("no".into()) }).collect();
    store.settle(&claimant("test"), &failed, at(now)).await.unwrap();
}

stores! {
    async fn what_a_contact_was_mailed_lately_is_known_without_what_failed(store: Arc<dyn Store>) {
        let ids = contacts(&store, 3).await;
        mail(&store, "old", &ids, &[], 10).await;
        mail(&store, "failed", &ids, &ids[1..2], 20).await;
        mail(&store, "new", &ids[..2], &[], 30).await;
        let mut batch = store.begin().await.unwrap();
        let since = batch.mailed(&[ids[1], ids[0], ids[1]], at(10)).await.unwrap();
        let mailed = |id, second| Mailed { contact: id, at: at(second), transactional: false };
        assert_eq!(since, [mailed(ids[0], 20), mailed(ids[0], 30), mailed(ids[1], 30)]);
        assert_eq!(batch.mailed(&ids[2..], at(9)).await.unwrap(), [mailed(ids[2], 10), mailed(ids[2], 20)]);
        assert_eq!(batch.mailed(&[], at(0)).await.unwrap(), []);
    }

    async fn a_batch_sees_the_mails_that_it_queued_and_where_its_runs_have_gone(store: Arc<dyn Store>) {
        let ids = contacts(&store, 2).await;
        let (first, second) = (publish(&store, "first").await, publish(&store, "second").await);
        let runs = runs_of(&store, &first, &ids, at(1)).await;
        runs_of(&store, &second, &ids[..1], at(2)).await;
        let mut batch = store.begin().await.unwrap();
        batch.apply(&[turn(&runs[0], vec![send_email("Hi")])], at(3)).await.unwrap();
        assert_eq!(batch.mailed(&ids, at(0)).await.unwrap().len(), 1);
        let mut active = batch.active_runs(&ids).await.unwrap();
        active.sort_by_key(|active| active.run.run);
        let found: Vec<_> = active
            .iter()
            .map(|active| (active.run.contact, active.run.workflow, active.due_at, active.enrolled_at))
            .collect();
        assert_eq!(
            found,
            [
                (ids[0], first.workflow, at(1_000_000), at(1)),
                (ids[1], first.workflow, at(1), at(1)),
                (ids[0], second.workflow, at(2), at(2)),
            ]
        );
    }

    async fn a_step_that_is_put_off_remembers_since_when_it_was_due(store: Arc<dyn Store>) {
        let ids = contacts(&store, 1).await;
        let version = publish(&store, "nurture").await;
        let run = runs_of(&store, &version, &ids, at(5)).await.remove(0);
        assert_eq!(run.due, at(5));
        let put_off = |run, advance| AppliedTurn {
            run,
            // What a turn that is put off wants does not happen.
            effects: vec![Arc::new(send_email("Hi"))],
            decision: DecisionKind::Waiting,
            reason: "quiet hours".into(),
            advance,
        };
        let mut run = run;
        for (advance, now) in [
            (Advance::Hold { due: at(10) }, 10),
            (Advance::Retry { due: at(20) }, 20),
            (Advance::Hold { due: at(30) }, 30),
        ] {
            apply(&store, &[put_off(run, advance)], at(5)).await;
            let mut batch = store.begin().await.unwrap();
            assert_eq!(batch.claim_runs(version.workflow, at(now - 1), 1).await.unwrap(), []);
            run = batch.claim_runs(version.workflow, at(now), 1).await.unwrap().remove(0);
            assert_eq!((run.due, run.node), (at(5), 0));
        }
        assert_eq!((run.turn, run.attempts, run.hops), (2, 1, 0));
        assert_eq!(store.counts().await.unwrap().messages[0].1, 0);
        // The next step is due when it is due.
        let on = Advance::To { node: 1, due: at(40), waited: true };
        apply(&store, &[AppliedTurn { effects: vec![], ..put_off(run, on) }], at(30)).await;
        let mut batch = store.begin().await.unwrap();
        assert_eq!(batch.claim_runs(version.workflow, at(40), 1).await.unwrap()[0].due, at(40));
        drop(batch);
        assert_eq!(store.list_runs(&RunFilter::default(), 10).await.unwrap()[0].step, "second");
    }
}
