use std::sync::Arc;

use dripline_model::Digest;
use dripline_store::{Answered, REMEMBERED, Store};
use jiff::SignedDuration;

use crate::{stores, workspace::*};

fn answered(what: &str) -> Answered {
    Answered { digest: Digest::of(what.as_bytes()), answer: format!("[\"{what}\"]") }
}

stores! {
    async fn a_request_is_answered_as_it_was_before(store: Arc<dyn Store>) {
        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.answered("one", at(0)).await.unwrap(), None);
        tx.answer("one", &answered("first"), at(0)).await.unwrap();
        tx.commit().await.unwrap();

        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.answered("one", at(60)).await.unwrap(), Some(answered("first")));
        assert_eq!(tx.answered("One", at(60)).await.unwrap(), None, "keys differ by case");
    }

    async fn a_request_whose_transaction_was_dropped_never_was(store: Arc<dyn Store>) {
        let mut tx = store.begin().await.unwrap();
        tx.answer("one", &answered("first"), at(0)).await.unwrap();
        drop(tx);
        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.answered("one", at(0)).await.unwrap(), None);
    }

    async fn a_request_is_remembered_for_a_day(store: Arc<dyn Store>) {
        let mut tx = store.begin().await.unwrap();
        for key in ["one", "two"] {
            tx.answer(key, &answered("first"), at(0)).await.unwrap();
        }
        tx.commit().await.unwrap();
        let last = at(0) + REMEMBERED - SignedDuration::from_millis(1);
        let mut tx = store.begin().await.unwrap();
        assert!(tx.answered("one", last).await.unwrap().is_some());
        let later = at(0) + REMEMBERED;
        assert_eq!(tx.answered("one", later).await.unwrap(), None);
        tx.answer("one", &answered("second"), later).await.unwrap();
        tx.commit().await.unwrap();

        // The other was let go of beside it, so that not even an earlier clock finds it.
        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.answered("one", later).await.unwrap(), Some(answered("second")));
        assert_eq!(tx.answered("two", last).await.unwrap(), None);
    }

    async fn twins_that_arrive_together_are_answered_alike(store: Arc<dyn Store>) {
        let ask = |number: usize| {
            let store = Arc::clone(&store);
            async move {
                let mut tx = store.begin().await.unwrap();
                if let Some(before) = tx.answered("one", at(0)).await.unwrap() {
                    return before;
                }
                let own = answered(&format!("answer {number}"));
                tx.answer("one", &own, at(0)).await.unwrap();
                tx.commit().await.unwrap();
                own
            }
        };
        let answers: Vec<_> = (0..8).map(|number| tokio::spawn(ask(number))).collect();
        let mut all = Vec::new();
        for answer in answers {
            all.push(answer.await.unwrap());
        }
        assert!(all.iter().all(|answer| *answer == all[0]), "{all:?}");
    }
}
