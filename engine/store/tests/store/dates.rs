//! Dates of contacts that start workflows.

use std::sync::Arc;

use dripline_model::{
    contact::Needs,
    id::ContactId,
    program::{DateTrigger, Occasion, Program, Shift, Trigger, When},
};
use dripline_store::{Coming, ComingDate, ContactDate, Store, StoredDateTrigger};
use serde_json::json;

use crate::{stores, workspace::*};

/// A program with triggers by the attribute `day`, so long before it.
fn dated(name: &str, before: &[&str]) -> Program {
    let trigger = |span: &&str| {
        let date = DateTrigger {
            date: "contact.day".into(),
            shift: Some(Shift::Before((*span).to_owned())),
            at: None,
            yearly: false,
            needs: Needs { attributes: ["day".to_owned()].into(), ..Needs::default() },
        };
        Trigger::When(Box::new(When {
            what: Occasion::Date(date),
            condition: None,
            dedupe: None,
            debounce: None,
        }))
    };
    Program { triggers: before.iter().map(trigger).collect(), ..program(name) }
}

async fn triggers(store: &Arc<dyn Store>) -> Vec<StoredDateTrigger> {
    let mut batch = store.begin().await.unwrap();
    batch.date_triggers().await.unwrap()
}

async fn wordings(store: &Arc<dyn Store>) -> Vec<String> {
    triggers(store).await.into_iter().map(|trigger| trigger.wording).collect()
}

stores! {
    async fn triggers_follow_the_versions_and_go_over_all_contacts_once(store: Arc<dyn Store>) {
        let ids = contacts(&store, 3).await;
        let version = publish_program(&store, &dated("w", &["30d", "7d"]), at(10)).await;
        let stored = triggers(&store).await;
        assert_eq!(wordings(&store).await, ["30d before contact.day", "7d before contact.day"]);
        assert_eq!((stored[0].workflow, stored[0].published_at), (version.workflow, at(10)));
        assert_eq!(stored[0].evaluated_to, Some(ContactId(0)));
        assert_eq!(store.next_due().await.unwrap(), Some(at(10)));

        let mut batch = store.begin().await.unwrap();
        assert!(batch.has_segment_work(at(10)).await.unwrap());
        assert_eq!(batch.unfinished_rules().await.unwrap(), Some(ContactId(0)));
        batch.advance_rules(ContactId(0), ids[1], false).await.unwrap();
        batch.commit().await.unwrap();
        assert_eq!(triggers(&store).await[1].evaluated_to, Some(ids[1]));
        let mut batch = store.begin().await.unwrap();
        batch.advance_rules(ids[1], ids[2], true).await.unwrap();
        assert_eq!(batch.unfinished_rules().await.unwrap(), None);
        batch.commit().await.unwrap();

        // One stays as it was, one goes, one is new.
        let of = |trigger, contact, due, date: &str| ContactDate {
            trigger,
            contact,
            next: Some(ComingDate { due: at(due), date: date.to_owned() }),
            came: None,
        };
        let known = [of(stored[0].id, ids[0], 500, "a"), of(stored[1].id, ids[0], 400, "b")];
        let mut batch = store.begin().await.unwrap();
        batch.put_contact_dates(&known).await.unwrap();
        batch.commit().await.unwrap();
        publish_program(&store, &dated("w", &["30d", "1d"]), at(20)).await;
        let after = triggers(&store).await;
        assert_eq!(wordings(&store).await, ["30d before contact.day", "1d before contact.day"]);
        assert_eq!((after[0].id, after[0].published_at, after[0].evaluated_to), (stored[0].id, at(10), None));
        assert_eq!((after[1].published_at, after[1].evaluated_to), (at(20), Some(ContactId(0))));
        let mut batch = store.begin().await.unwrap();
        assert_eq!(batch.contact_dates(&ids).await.unwrap(), known[..1]);
        drop(batch);
        store.retire_all_but(&[].into(), at(30)).await.unwrap();
        assert_eq!(wordings(&store).await, [""; 0]);
        assert_eq!(store.next_date().await.unwrap(), None);
    }

    async fn what_is_known_of_dates_is_replaced(store: Arc<dyn Store>) {
        let ids = contacts(&store, 2).await;
        publish_program(&store, &dated("w", &["30d"]), at(0)).await;
        let trigger = triggers(&store).await[0].id;
        let mut known =
            ContactDate { trigger, contact: ids[0], next: None, came: Some("2024-01-01".into()) };
        for due in [None, Some(500), Some(300), None] {
            known.next = due.map(|due| ComingDate { due: at(due), date: format!("date {due}") });
            let mut batch = store.begin().await.unwrap();
            batch.put_contact_dates(std::slice::from_ref(&known)).await.unwrap();
            assert_eq!(batch.contact_dates(&ids).await.unwrap(), [known.clone()]);
            batch.commit().await.unwrap();
            assert_eq!(store.next_date().await.unwrap(), due.map(at));
            let coming: Vec<Coming> = store.coming(ids[0]).await.unwrap();
            let expected = due.map(|due| Coming {
                at: Some(at(due)),
                workflow: "w".into(),
                what: format!("date date {due} (30d before contact.day)"),
            });
            assert_eq!(coming, Vec::from_iter(expected));
        }
        assert_eq!(store.coming(ids[1]).await.unwrap(), []);
    }

    async fn a_change_that_a_date_looks_at_is_noted_since_when_it_was(store: Arc<dyn Store>) {
        let ids = contacts(&store, 2).await;
        publish_program(&store, &dated("w", &["30d"]), at(0)).await;
        for (seconds, day) in [(5, "2024-01-01"), (3, "2024-01-02")] {
            let mut changed = row(1);
            changed.attributes = object(json!({"day": day}));
            let mut import = store.begin_import().await.unwrap();
            import.upsert_contacts(&[changed], at(seconds)).await.unwrap();
            import.commit().await.unwrap();
        }
        let mut batch = store.begin().await.unwrap();
        let changed = batch.claim_changed(at(9), 10).await.unwrap();
        let changed: Vec<_> = changed.into_iter().map(|changed| (changed.contact, changed.since)).collect();
        assert_eq!(changed, [(ids[1], at(3))]);
    }
}
