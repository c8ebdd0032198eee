use std::sync::Arc;

use dripline_model::{
    id::{ContactId, MessageId},
    message::MessageStatus,
};
use dripline_store::{Delivery, DeliveryResult, ErrorKind, Outgoing, Store};

use crate::{stores, workspace::*};

/// Queues `count` messages.
async fn queue(store: &Arc<dyn Store>, count: usize) -> Vec<MessageId> {
    let ids: Vec<ContactId> = contacts(store, count).await;
    let version = publish(store, "nurture").await;
    let runs = runs_of(store, &version, &ids, at(1)).await;
    let turns: Vec<_> = runs.iter().map(|run| turn(run, vec![send_email("Hi")])).collect();
    apply(store, &turns, at(1)).await;
    store.due_messages(at(1), count).await.unwrap().into_iter().map(|message| message.id).collect()
}

fn outgoing(id: MessageId) -> Outgoing {
    Outgoing { id, message_id: format!("{id}@test"), source: format!("Subject: {id}").into_bytes() }
}

async fn status(store: &Arc<dyn Store>, id: MessageId) -> MessageStatus {
    store.message(id).await.unwrap().unwrap().0.status
}

stores! {
    async fn a_message_goes_out_once(store: Arc<dyn Store>) {
        let ids = queue(&store, 2).await;
        assert_eq!(store.next_message_due().await.unwrap(), Some(at(1)));
        store.mark_sending(&[outgoing(ids[0])], at(2)).await.unwrap();
        let due = store.due_messages(at(2), 10).await.unwrap();
        assert_eq!(due.len(), 1, "what is being sent is not due");
        let error = store.mark_sending(&[outgoing(ids[1]), outgoing(ids[0])], at(2)).await.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::NotQueued { of: 2, queued: 1 }), "{error}");
        assert_eq!(status(&store, ids[1]).await, MessageStatus::Queued, "all or none");

        let sent = |id| Delivery { id, result: DeliveryResult::Sent("250 ok".into()) };
        store.settle(&[sent(ids[0])], at(3)).await.unwrap();
        let (row, source) = store.message(ids[0]).await.unwrap().unwrap();
        assert_eq!((row.status, row.sent_at, row.attempts), (MessageStatus::Sent, Some(at(3)), 1));
        assert_eq!((row.message_id.as_deref(), row.detail.as_deref()), (Some("1@test"), Some("250 ok")));
        assert_eq!(source.as_deref(), Some(b"Subject: 1".as_slice()));
        let failed = Delivery { id: ids[0], result: DeliveryResult::Failed("late".into()) };
        store.settle(&[failed], at(4)).await.unwrap();
        assert_eq!(status(&store, ids[0]).await, MessageStatus::Sent, "sent is sent");
    }

    async fn a_message_is_tried_again_fails_or_becomes_uncertain(store: Arc<dyn Store>) {
        let ids = queue(&store, 3).await;
        store.mark_sending(&ids.iter().copied().map(outgoing).collect::<Vec<_>>(), at(2)).await.unwrap();
        let results = [
            Delivery { id: ids[0], result: DeliveryResult::Retry { due: at(60), reason: "451 greylisted".into() } },
            Delivery { id: ids[1], result: DeliveryResult::Failed("550 no such user".into()) },
            Delivery { id: ids[2], result: DeliveryResult::Uncertain("connection reset".into()) },
        ];
        store.settle(&results, at(3)).await.unwrap();
        assert_eq!(status(&store, ids[1]).await, MessageStatus::Failed);
        assert_eq!(status(&store, ids[2]).await, MessageStatus::Uncertain);
        assert_eq!(store.next_message_due().await.unwrap(), Some(at(60)));
        assert!(store.due_messages(at(59), 10).await.unwrap().is_empty());
        let due = store.due_messages(at(60), 10).await.unwrap();
        assert_eq!((due[0].id, due[0].attempts), (ids[0], 1));
        store.mark_sending(&[outgoing(ids[0])], at(60)).await.unwrap();
    }

    async fn what_cannot_be_rendered_fails_without_being_sent(store: Arc<dyn Store>) {
        let ids = queue(&store, 1).await;
        let failed = Delivery { id: ids[0], result: DeliveryResult::Failed("no template".into()) };
        store.settle(&[failed], at(2)).await.unwrap();
        let (row, source) = store.message(ids[0]).await.unwrap().unwrap();
        assert_eq!((row.status, source), (MessageStatus::Failed, None));
        assert_eq!(store.next_message_due().await.unwrap(), None);
    }

    async fn after_a_crash_messages_are_held_or_sent_again(store: Arc<dyn Store>) {
        let ids = queue(&store, 2).await;
        store.mark_sending(&[outgoing(ids[0])], at(2)).await.unwrap();
        assert_eq!(store.recover_sending(true, at(3)).await.unwrap(), 1);
        assert_eq!(store.due_messages(at(3), 10).await.unwrap().len(), 2);
        store.mark_sending(&[outgoing(ids[0]), outgoing(ids[1])], at(4)).await.unwrap();
        assert_eq!(store.recover_sending(false, at(5)).await.unwrap(), 2);
        assert_eq!(status(&store, ids[1]).await, MessageStatus::Uncertain);
        assert_eq!(store.recover_sending(false, at(6)).await.unwrap(), 0);
    }

    async fn the_oldest_due_come_first_and_no_more_than_asked(store: Arc<dyn Store>) {
        let ids = queue(&store, 5).await;
        let later = Delivery { id: ids[0], result: DeliveryResult::Retry { due: at(2), reason: "busy".into() } };
        store.settle(&[later], at(1)).await.unwrap();
        let due: Vec<MessageId> =
            store.due_messages(at(2), 4).await.unwrap().into_iter().map(|message| message.id).collect();
        assert_eq!(due, ids[1..]);
    }
}
