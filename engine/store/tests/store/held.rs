//! Events that wait before they start a run, and runs of one contact side by side.

use std::sync::Arc;

use dripline_model::{contact::EventView, decision::RunStatus, id::HeldId};
use dripline_store::{Advance, Arrived, ClaimedEvent, NewHeld, Published, Store, Transaction, Until};
use serde_json::json;

use crate::{stores, workspace::*};

/// An event of the contact that the workflow holds.
fn held(version: &Published, event: &ClaimedEvent, until: Until) -> NewHeld {
    NewHeld { workflow: version.workflow, version: version.version, event: event.clone(), until }
}

async fn claim(batch: &mut dyn Transaction, seconds: i64) -> Vec<HeldId> {
    let arrived = batch.arrived(at(seconds)).await.unwrap();
    let claimed = batch.claim_held(at(seconds), 100).await.unwrap();
    assert_eq!(arrived.held, !claimed.is_empty());
    claimed.into_iter().map(|held| held.id).collect()
}

stores! {
    async fn what_is_held_is_kept_as_a_whole_until_its_time(store: Arc<dyn Store>) {
        let ids = contacts(&store, 2).await;
        let (one, two) = (publish(&store, "one").await, publish(&store, "two").await);
        let view = EventView {
            name: "cart.updated".into(),
            at: at(5),
            properties: object(json!({"total": 7.5})),
        };
        let event = ClaimedEvent { id: dripline_model::id::EventId(7), contact: ids[0], event: view };
        let until = Until::Quiet { first: at(3), due: at(35) };
        let mut batch = store.begin().await.unwrap();
        batch.hold(&[held(&one, &event, until), held(&two, &event, Until::Turn)]).await.unwrap();
        batch.commit().await.unwrap();
        assert_eq!(store.next_due().await.unwrap(), Some(at(35)), "what waits for a run is not due");

        let mut batch = store.begin().await.unwrap();
        assert_eq!(batch.arrived(at(34)).await.unwrap(), Arrived { events: false, held: false });
        let kept = batch.held(one.workflow, &ids).await.unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].held, held(&one, &event, until));
        assert_eq!(batch.held(two.workflow, &ids).await.unwrap()[0].held, held(&two, &event, Until::Turn));
        assert_eq!(batch.held(one.workflow, &ids[1..]).await.unwrap(), []);
        assert_eq!(claim(batch.as_mut(), 35).await, [kept[0].id]);
        batch.let_go(&[kept[0].id]).await.unwrap();
        assert_eq!(claim(batch.as_mut(), 35).await, []);
        batch.commit().await.unwrap();
        assert_eq!(store.next_due().await.unwrap(), None);
    }

    async fn events_wait_in_line_for_the_end_of_a_run(store: Arc<dyn Store>) {
        let ids = contacts(&store, 2).await;
        let version = publish(&store, "one").await;
        let view = EventView { name: "order.paid".into(), at: at(5), properties: object(json!({})) };
        let event = |id: i64, who: usize| ClaimedEvent {
            id: dripline_model::id::EventId(id),
            contact: ids[who],
            event: view.clone(),
        };
        let mut batch = store.begin().await.unwrap();
        let new: Vec<NewHeld> =
            [event(1, 0), event(2, 0), event(3, 1)].iter().map(|event| held(&version, event, Until::Turn)).collect();
        batch.hold(&new).await.unwrap();
        assert_eq!(claim(batch.as_mut(), 100).await, []);
        let line = batch.held(version.workflow, &ids[..1]).await.unwrap();
        batch.next_in_line(version.workflow, &ids[..1], at(6)).await.unwrap();
        assert_eq!(claim(batch.as_mut(), 5).await, []);
        assert_eq!(claim(batch.as_mut(), 6).await, [line[0].id]);
        // It waits on, and is the first again.
        batch.wait_again(&[line[0].id]).await.unwrap();
        assert_eq!(claim(batch.as_mut(), 6).await, []);
        batch.next_in_line(version.workflow, &ids[..1], at(7)).await.unwrap();
        assert_eq!(claim(batch.as_mut(), 7).await, [line[0].id]);
        batch.let_go(&[line[0].id]).await.unwrap();
        batch.next_in_line(version.workflow, &ids[..1], at(8)).await.unwrap();
        assert_eq!(claim(batch.as_mut(), 8).await, [line[1].id]);
        batch.commit().await.unwrap();
    }

    async fn a_person_who_ends_a_run_lets_the_next_event_in(store: Arc<dyn Store>) {
        let ids = contacts(&store, 2).await;
        let version = publish(&store, "one").await;
        let runs = runs_of(&store, &version, &ids, at(1)).await;
        let view = EventView { name: "order.paid".into(), at: at(5), properties: object(json!({})) };
        let mut batch = store.begin().await.unwrap();
        for (id, contact) in [(1, ids[0]), (2, ids[1])] {
            let event =
                ClaimedEvent { id: dripline_model::id::EventId(id), contact, event: view.clone() };
            batch.hold(&[held(&version, &event, Until::Turn)]).await.unwrap();
        }
        batch.commit().await.unwrap();
        assert!(store.cancel_run(runs[0].run, "enough", at(9)).await.unwrap());
        let mut batch = store.begin().await.unwrap();
        assert_eq!(batch.claim_held(at(9), 100).await.unwrap()[0].contact(), ids[0]);
        drop(batch);

        // A workflow that does not queue any more lets all of them in.
        store.retire_all_but(&[].into(), at(10)).await.unwrap();
        let mut batch = store.begin().await.unwrap();
        assert_eq!(batch.claim_held(at(10), 100).await.unwrap().len(), 2);
    }

    async fn runs_of_one_contact_have_a_lane_each(store: Arc<dyn Store>) {
        let ids = contacts(&store, 1).await;
        let version = publish(&store, "one").await;
        let enter = |lane| {
            let mut enrolment = enrolment(&version, ids[0], None);
            enrolment.lane = lane;
            enrolment
        };
        let mut batch = store.begin().await.unwrap();
        for lane in [0, 0, 1, 2, 2] {
            batch.enroll(&[enter(lane)], at(1)).await.unwrap();
        }
        let latest = batch.latest_runs(version.workflow, &ids).await.unwrap()[&ids[0]].clone();
        assert!(latest.is_active);
        let runs = batch.claim_runs(version.workflow, at(1), 100).await.unwrap();
        assert_eq!(runs.len(), 3, "nobody is twice in one lane");
        assert_eq!(latest.run, runs[2].run);
        // One fails, and its lane is free for another; then it cannot be set going again.
        let mut failed = turn(&runs[1], vec![]);
        failed.advance = Advance::End(RunStatus::Failed);
        let mut over = turn(&runs[2], vec![]);
        over.advance = Advance::End(RunStatus::Completed);
        batch.apply(&[failed, over], at(2)).await.unwrap();
        let latest = batch.latest_runs(version.workflow, &ids).await.unwrap()[&ids[0]].clone();
        assert!(latest.is_active && latest.run == runs[2].run, "an earlier one is on its way");
        batch.enroll(&[enter(1)], at(3)).await.unwrap();
        batch.commit().await.unwrap();
        assert_eq!(store.retry_runs(None, at(4)).await.unwrap(), 0);
    }
}
