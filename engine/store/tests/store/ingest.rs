use std::sync::Arc;

use dripline_model::{contact::Needs, id::ContactId};
use dripline_store::{ContactRow, RowResult, Store};
use serde_json::json;

use crate::{stores, workspace::*};

stores! {
    async fn a_contact_comes_in_whole_and_is_changed_by_what_a_row_mentions(store: Arc<dyn Store>) {
        let mut first = row(1);
        first.attributes = object(json!({"title": "CTO", "city": "Wien", "score": 1.5, "tags": ["a", {"b": null}]}));
        first.consents = [("email".to_owned(), true), ("news".to_owned(), false)].into();
        first.tags = vec!["vip".into()];
        first.created_at = Some(at(-500));
        let id = ContactId(1);
        assert_eq!(import_contacts(&store, &[first.clone()]).await, [RowResult::Inserted(id)]);
        let contact = load(&store, id).await;
        assert_eq!(contact.attributes, first.attributes);
        assert_eq!(contact.consents, first.consents);
        assert!(contact.tags.contains("vip"));
        assert_eq!((contact.created_at, contact.email.as_deref()), (at(-500), Some("1@example.com")));

        assert_eq!(import_contacts(&store, &[first]).await, [RowResult::Unchanged(id)]);
        let mut second = row(1);
        second.email = Some("new@example.com".into());
        second.attributes = object(json!({"title": "CEO", "city": null}));
        second.consents = [("news".to_owned(), true)].into();
        assert_eq!(import_contacts(&store, &[second]).await, [RowResult::Updated(id)]);
        let contact = load(&store, id).await;
        assert_eq!(contact.attributes["title"], json!("CEO"));
        assert!(!contact.attributes.contains_key("city") && contact.attributes.contains_key("score"));
        assert_eq!(contact.email.as_deref(), Some("new@example.com"));
        assert!(contact.consents["news"] && contact.consents["email"]);
        let known = store.known_attributes().await.unwrap();
        let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["city", "score", "tags", "title"]);
    }

    async fn rows_find_their_contact_by_external_id_and_else_by_email(store: Arc<dyn Store>) {
        let by_email = ContactRow { email: Some("anna@example.com".into()), ..ContactRow::default() };
        let by_key = ContactRow { external_id: Some("k".into()), ..ContactRow::default() };
        let results = import_contacts(&store, &[by_email.clone(), by_key.clone(), ContactRow::default()]).await;
        assert_eq!(results[..2], [RowResult::Inserted(ContactId(1)), RowResult::Inserted(ContactId(2))]);
        assert!(matches!(&results[2], RowResult::Rejected(reason) if reason.contains("neither")));
        let results = import_contacts(&store, &[by_email, by_key]).await;
        assert_eq!(results, [RowResult::Unchanged(ContactId(1)), RowResult::Unchanged(ContactId(2))]);

        // Known by the address alone, and now the key is known too.
        let both = ContactRow {
            external_id: Some("anna".into()),
            email: Some("anna@example.com".into()),
            ..ContactRow::default()
        };
        assert_eq!(import_contacts(&store, &[both]).await, [RowResult::Updated(ContactId(1))]);
        for key in ["1", "anna", "Anna@Example.com"] {
            assert_eq!(store.find_contact(key).await.unwrap(), Some(ContactId(1)), "{key}");
        }
        assert_eq!(store.find_contact("nobody").await.unwrap(), None);
    }

    async fn an_address_belongs_to_one_contact(store: Arc<dyn Store>) {
        contacts(&store, 2).await;
        let mut thief = row(0);
        thief.email = Some("1@example.com".into());
        let mut stranger = row(7);
        stranger.email = Some("0@example.com".into());
        let results = import_contacts(&store, &[thief, stranger]).await;
        let expected = "email 1@example.com already belongs to contact c-1";
        assert_eq!(results[0], RowResult::Rejected(expected.into()));
        assert!(matches!(&results[1], RowResult::Rejected(reason) if reason.ends_with("contact c-0")));
    }

    async fn addresses_may_move_on_within_a_slice(store: Arc<dyn Store>) {
        let ids = contacts(&store, 2).await;
        let mut away = row(1);
        away.email = Some("away@example.com".into());
        let mut taken = row(0);
        taken.email = Some("1@example.com".into());
        let mut heir = row(2);
        heir.email = Some("0@example.com".into());
        let results = import_contacts(&store, &[away, taken, heir]).await;
        let expected =
            [RowResult::Updated(ids[1]), RowResult::Updated(ids[0]), RowResult::Inserted(ContactId(3))];
        assert_eq!(results, expected);
        assert_eq!(store.find_contact("1@example.com").await.unwrap(), Some(ids[0]));
        assert_eq!(store.find_contact("0@example.com").await.unwrap(), Some(ContactId(3)));
    }

    async fn a_later_row_of_the_same_contact_updates_the_earlier(store: Arc<dyn Store>) {
        let mut again = row(0);
        again.attributes = object(json!({"title": "CEO"}));
        let results = import_contacts(&store, &[row(0), again, row(0)]).await;
        let id = ContactId(1);
        assert_eq!(results, [RowResult::Inserted(id), RowResult::Updated(id), RowResult::Unchanged(id)]);
        assert_eq!(load(&store, id).await.attributes["title"], json!("CEO"));
    }

    async fn odd_texts_come_back_as_they_were(store: Arc<dyn Store>) {
        let mut odd = row(0);
        odd.external_id = Some("a\u{1}b".into());
        odd.attributes = object(json!({"quote\"d": "line\nbreak \\u0000 'x' \u{1F600}", "$.path": [1, 2]}));
        odd.tags = vec!["ta\tg".into(), "größe".into()];
        let mut other = row(1);
        other.external_id = Some("a".into());
        import_contacts(&store, &[odd.clone(), other]).await;
        assert_eq!(store.find_contact("a\u{1}b").await.unwrap(), Some(ContactId(1)));
        assert_eq!(store.find_contact("a").await.unwrap(), Some(ContactId(2)));
        let contact = load(&store, ContactId(1)).await;
        assert_eq!(contact.attributes, odd.attributes);
        assert!(contact.tags.iter().eq(["größe", "ta\tg"]), "{:?}", contact.tags);
    }

    async fn a_nul_is_refused_wherever_it_stands(store: Arc<dyn Store>) {
        let mut rows = [row(0), row(1), row(2), row(3)];
        rows[0].external_id = Some("a\0b".into());
        rows[1].attributes = object(json!({"notes": [{"deep": "\0"}]}));
        rows[2].tags = vec!["\0".into()];
        let results = import_contacts(&store, &rows).await;
        let refused = |what: &str| {
            RowResult::Rejected(format!("{what} contains the character NUL (U+0000), which cannot be stored"))
        };
        let expected =
            [refused("external id"), refused("`notes`"), refused("tag or topic"), RowResult::Inserted(ContactId(1))];
        assert_eq!(results, expected);
        let mut odd = event(3, "visit", at(0));
        odd.properties = object(json!({"p\0": 1}));
        assert_eq!(import_events(&store, &[odd]).await, [refused("`p\\0`")]);
        assert_eq!(store.find_contact("a\0b").await.unwrap(), None);
    }

    async fn an_import_that_is_dropped_leaves_nothing(store: Arc<dyn Store>) {
        let mut import = store.begin_import().await.unwrap();
        import.upsert_contacts(&[row(0)], at(0)).await.unwrap();
        import.insert_events(&[event(0, "visit", at(0))], at(0)).await.unwrap();
        drop(import);
        assert_eq!(store.counts().await.unwrap().contacts, 0);
        assert_eq!(contacts(&store, 1).await.len(), 1, "and the next one works");
    }

    async fn events_are_taken_once_for_contacts_that_are_known(store: Arc<dyn Store>) {
        let ids = contacts(&store, 2).await;
        let mut history = event(0, "visit", at(-10));
        history.live = false;
        history.key = Some("e-1".into());
        history.properties = object(json!({"page": "/pricing", "seconds": 3}));
        let mut by_email = event(1, "visit", at(-5));
        by_email.contact = "1@Example.com".into();
        let unknown = event(9, "visit", at(0));
        let rows = [history.clone(), history.clone(), by_email, unknown];
        let results = import_events(&store, &rows).await;
        let expected =
            [RowResult::Inserted(ids[0]), RowResult::Unchanged(ids[0]), RowResult::Inserted(ids[1])];
        assert_eq!(results[..3], expected);
        assert_eq!(results[3], RowResult::Rejected("there is no contact c-9".into()));
        assert_eq!(import_events(&store, &[history]).await, [RowResult::Unchanged(ids[0])]);
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.events, counts.pending_events), (1, 1));
    }

    async fn an_import_sees_its_own_contacts(store: Arc<dyn Store>) {
        let mut import = store.begin_import().await.unwrap();
        let missing = import.insert_events(&[event(0, "visit", at(0))], at(0)).await.unwrap();
        assert!(matches!(missing[0], RowResult::Rejected(_)));
        import.upsert_contacts(&[row(0)], at(0)).await.unwrap();
        let found = import.insert_events(&[event(0, "visit", at(0))], at(0)).await.unwrap();
        assert_eq!(found, [RowResult::Inserted(ContactId(1))]);
        import.commit().await.unwrap();
    }

    async fn contacts_load_in_the_order_asked_and_only_what_is_needed(store: Arc<dyn Store>) {
        let mut rows: Vec<ContactRow> = (0..3).map(row).collect();
        rows[0].attributes = object(json!({"title": "CTO", "city": "Wien"}));
        rows[0].tags = vec!["vip".into()];
        import_contacts(&store, &rows).await;
        let mut batch = store.begin().await.unwrap();
        let ids = [ContactId(3), ContactId(1), ContactId(99), ContactId(3)];
        let needs = Needs { attributes: ["title".to_owned(), "none".to_owned()].into(), ..Needs::default() };
        let loaded = batch.load_contacts(&ids, &needs, at(0)).await.unwrap();
        let order: Vec<i64> = loaded.iter().map(|contact| contact.id.0).collect();
        assert_eq!(order, [3, 1, 3]);
        assert_eq!(loaded[1].attributes, object(json!({"title": "CTO"})));
        assert!(loaded[1].tags.is_empty(), "not asked for");
        let bare = batch.load_contacts(&[ContactId(1)], &Needs::default(), at(0)).await.unwrap();
        assert_eq!(bare[0].email.as_deref(), Some("0@example.com"));
        assert!(bare[0].attributes.is_empty());
        assert_eq!(batch.contacts_after(None, ContactId(1), 1).await.unwrap(), [ContactId(2)]);
        assert_eq!(batch.contacts_after(None, ContactId(3), 9).await.unwrap(), []);
    }
}
