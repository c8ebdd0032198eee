use std::sync::Arc;

use dripline_model::{
    id::{ContactId, MessageId},
    message::MessageStatus,
};
use dripline_store::{
    Abandoned, Decision, Delivery, DeliveryResult, ErrorKind, INTERRUPTED, MessageRow, OnUncertain, Outgoing,
    Store, UncertainRule, Undecided,
};
use jiff::Timestamp;

use crate::{stores, workspace::*};

const HOLD: UncertainRule = UncertainRule { marketing: OnUncertain::Hold, transactional: OnUncertain::Hold };

/// Queues `count` messages, due at second 1, of which those with these positions are transactional.
async fn queue_some(store: &Arc<dyn Store>, count: usize, transactional: &[usize]) -> Vec<MessageId> {
    let ids: Vec<ContactId> = contacts(store, count).await;
    let version = publish(store, "nurture").await;
    let runs = runs_of(store, &version, &ids, at(1)).await;
    let turns: Vec<_> = runs
        .iter()
        .enumerate()
        .map(|(position, run)| {
            let mut effect = send_email("Hi");
            if let dripline_model::Effect::SendEmail(request) = &mut effect {
                request.transactional = transactional.contains(&position);
            }
            turn(run, vec![effect])
        })
        .collect();
    apply(store, &turns, at(1)).await;
    let mut listed = store.list_messages(&Default::default(), count).await.unwrap();
    listed.reverse();
    listed.into_iter().map(|message| message.id).collect()
}

async fn queue(store: &Arc<dyn Store>, count: usize) -> Vec<MessageId> {
    queue_some(store, count, &[]).await
}

/// Claims for `who` at second `now`, until ten seconds later.
async fn claim(store: &Arc<dyn Store>, who: &str, now: i64, limit: usize) -> Vec<MessageId> {
    let claimed = store.claim_messages(&claimant(who), at(now), at(now + 10), limit).await.unwrap();
    claimed.into_iter().map(|message| message.id).collect()
}

/// Marks for `who` at second `now`, with a lease of ten seconds.
async fn mark(store: &Arc<dyn Store>, who: &str, ids: &[MessageId], now: i64) -> Result<(), ErrorKind> {
    let outgoing: Vec<Outgoing> = ids.iter().copied().map(outgoing).collect();
    let marked = store.mark_sending(&claimant(who), &outgoing, at(now), at(now + 10)).await;
    marked.map_err(|error| error.kind)
}

/// Claims and marks all that is due.
async fn send(store: &Arc<dyn Store>, who: &str, now: i64) -> Vec<MessageId> {
    let ids = claim(store, who, now, 100).await;
    mark(store, who, &ids, now).await.unwrap();
    ids
}

async fn settle(store: &Arc<dyn Store>, who: &str, id: MessageId, result: DeliveryResult, now: i64) {
    store.settle(&claimant(who), &[Delivery { id, result }], at(now)).await.unwrap();
}

async fn decide(store: &Arc<dyn Store>, status: MessageStatus, decision: Decision, now: i64) -> u64 {
    store.decide(&Undecided { status, ids: None }, decision, at(now)).await.unwrap()
}

fn outgoing(id: MessageId) -> Outgoing {
    Outgoing { id, message_id: format!("{id}@test"), source: format!("Subject: {id}").into_bytes() }
}

fn sent() -> DeliveryResult {
    DeliveryResult::Sent("250 ok".into())
}

fn retry(seconds: i64) -> DeliveryResult {
    DeliveryResult::Retry { due: at(seconds), reason: "451 greylisted".into() }
}

async fn row(store: &Arc<dyn Store>, id: MessageId) -> MessageRow {
    store.message(id).await.unwrap().unwrap().0
}

async fn status(store: &Arc<dyn Store>, id: MessageId) -> MessageStatus {
    row(store, id).await.status
}

async fn next(store: &Arc<dyn Store>) -> Option<Timestamp> {
    store.next_message_due().await.unwrap()
}

stores! {
    async fn a_message_goes_out_once(store: Arc<dyn Store>) {
        let ids = queue(&store, 2).await;
        assert_eq!(next(&store).await, Some(at(1)));
        assert_eq!(claim(&store, "a", 2, 10).await, ids);
        mark(&store, "a", &ids[..1], 2).await.unwrap();
        let error = mark(&store, "a", &[ids[1], ids[0]], 2).await.unwrap_err();
        assert!(matches!(error, ErrorKind::NotQueued { of: 2, queued: 1 }), "{error}");
        assert_eq!(status(&store, ids[1]).await, MessageStatus::Queued, "all or none");

        settle(&store, "a", ids[0], sent(), 3).await;
        let (row, source) = store.message(ids[0]).await.unwrap().unwrap();
        assert_eq!((row.status, row.sent_at, row.attempts), (MessageStatus::Sent, Some(at(3)), 1));
        assert_eq!((row.message_id.as_deref(), row.detail.as_deref()), (Some("1@test"), Some("250 ok")));
        assert_eq!(source.as_deref(), Some(b"Subject: 1".as_slice()));
        settle(&store, "a", ids[0], DeliveryResult::Failed("late".into()), 4).await;
        assert_eq!(status(&store, ids[0]).await, MessageStatus::Sent, "sent is sent");
    }

    async fn a_claim_holds_until_it_ends(store: Arc<dyn Store>) {
        let ids = queue(&store, 2).await;
        assert_eq!(claim(&store, "a", 1, 10).await, ids);
        assert!(claim(&store, "b", 10, 10).await.is_empty());
        assert!(claim(&store, "a", 10, 10).await.is_empty(), "nobody is given a message twice");
        assert_eq!(next(&store).await, Some(at(11)), "a claimant who dies lets go");
        assert_eq!(row(&store, ids[0]).await.due_at, Some(at(11)));
        mark(&store, "a", &ids[..1], 12).await.unwrap();

        assert_eq!(claim(&store, "b", 12, 10).await, ids[1..]);
        let error = mark(&store, "a", &ids[1..], 12).await.unwrap_err();
        assert!(matches!(error, ErrorKind::NotQueued { of: 1, queued: 0 }), "{error}");
        settle(&store, "a", ids[1], DeliveryResult::Failed("not mine".into()), 12).await;
        mark(&store, "b", &ids[1..], 12).await.unwrap();
    }

    async fn two_claimants_share_without_overlap(store: Arc<dyn Store>) {
        let ids = queue(&store, 50).await;
        let claimed = tokio::join!(claim(&store, "a", 1, 30), claim(&store, "b", 1, 30), claim(&store, "c", 1, 30));
        let mut all = [claimed.0, claimed.1, claimed.2].concat();
        all.sort_unstable();
        assert_eq!(all, ids);
    }

    async fn a_message_is_tried_again_fails_or_becomes_uncertain(store: Arc<dyn Store>) {
        let ids = queue(&store, 4).await;
        send(&store, "a", 2).await;
        settle(&store, "a", ids[0], retry(60), 3).await;
        settle(&store, "a", ids[1], DeliveryResult::Failed("550 no such user".into()), 3).await;
        settle(&store, "a", ids[2], DeliveryResult::Uncertain("connection reset".into()), 3).await;
        let untried = DeliveryResult::Untried { due: at(60), reason: "the server is down".into() };
        settle(&store, "a", ids[3], untried, 3).await;
        assert_eq!(status(&store, ids[1]).await, MessageStatus::Failed);
        assert_eq!(status(&store, ids[2]).await, MessageStatus::Uncertain);
        assert_eq!(next(&store).await, Some(at(60)));
        assert!(claim(&store, "a", 59, 10).await.is_empty());
        let due = store.claim_messages(&claimant("a"), at(60), at(70), 10).await.unwrap();
        let tries: Vec<_> = due.iter().map(|message| (message.id, message.attempts)).collect();
        assert_eq!(tries, [(ids[0], 1), (ids[3], 0)]);
        mark(&store, "a", &[ids[0]], 60).await.unwrap();
    }

    async fn what_cannot_be_rendered_fails_without_being_sent(store: Arc<dyn Store>) {
        let ids = queue(&store, 1).await;
        claim(&store, "a", 2, 1).await;
        settle(&store, "a", ids[0], DeliveryResult::Failed("no template".into()), 2).await;
        let (row, source) = store.message(ids[0]).await.unwrap().unwrap();
        assert_eq!((row.status, source), (MessageStatus::Failed, None));
        assert_eq!(next(&store).await, None);
    }

    async fn a_lease_that_ended_is_recovered_by_class(store: Arc<dyn Store>) {
        let ids = queue_some(&store, 3, &[1]).await;
        claim(&store, "a", 2, 2).await;
        mark(&store, "a", &ids[..2], 2).await.unwrap();
        let rule = UncertainRule { transactional: OnUncertain::Resend, ..HOLD };
        assert_eq!(store.recover_sending(rule, Abandoned::LeaseEnded, at(11)).await.unwrap(), 0, "not yet");
        settle(&store, "a", ids[2], sent(), 3).await;
        assert_eq!(status(&store, ids[2]).await, MessageStatus::Queued, "nobody claimed that one");
        send(&store, "b", 3).await;
        settle(&store, "b", ids[2], sent(), 4).await;
        assert_eq!(next(&store).await, Some(at(12)), "the end of a lease is something to do");

        assert_eq!(store.recover_sending(rule, Abandoned::LeaseEnded, at(12)).await.unwrap(), 2);
        let (held, again) = (row(&store, ids[0]).await, row(&store, ids[1]).await);
        assert_eq!((held.status, held.attempts), (MessageStatus::Uncertain, 1));
        assert_eq!(held.detail.as_deref(), Some(INTERRUPTED));
        assert_eq!((again.status, again.due_at), (MessageStatus::Queued, Some(at(12))));
        assert_eq!(store.recover_sending(rule, Abandoned::LeaseEnded, at(99)).await.unwrap(), 0);
    }

    async fn a_truth_that_comes_late_is_kept(store: Arc<dyn Store>) {
        let ids = queue(&store, 3).await;
        send(&store, "a", 2).await;
        store.recover_sending(HOLD, Abandoned::LeaseEnded, at(12)).await.unwrap();
        settle(&store, "b", ids[0], sent(), 13).await;
        assert_eq!(status(&store, ids[0]).await, MessageStatus::Uncertain, "only who had it can know");
        settle(&store, "a", ids[0], sent(), 13).await;
        settle(&store, "a", ids[1], retry(60), 13).await;
        let (known, again) = (row(&store, ids[0]).await, row(&store, ids[1]).await);
        assert_eq!((known.status, known.sent_at, known.attempts), (MessageStatus::Sent, Some(at(13)), 1));
        assert_eq!((again.status, again.attempts), (MessageStatus::Queued, 1), "the try was counted");
        assert_eq!(decide(&store, MessageStatus::Uncertain, Decision::Drop, 14).await, 1);
        settle(&store, "a", ids[2], sent(), 15).await;
        assert_eq!(status(&store, ids[2]).await, MessageStatus::Dropped, "a person has the last word");
    }

    async fn what_was_recovered_to_be_sent_again_is_no_longer_the_old_claimants(store: Arc<dyn Store>) {
        let ids = queue(&store, 1).await;
        send(&store, "a", 2).await;
        let rule = UncertainRule::all(OnUncertain::Resend);
        store.recover_sending(rule, Abandoned::LeaseEnded, at(12)).await.unwrap();
        settle(&store, "a", ids[0], DeliveryResult::Failed("late".into()), 13).await;
        assert_eq!(send(&store, "b", 13).await, ids);
        settle(&store, "a", ids[0], DeliveryResult::Failed("late".into()), 14).await;
        assert_eq!(status(&store, ids[0]).await, MessageStatus::Sending);
    }

    async fn a_process_that_is_alone_takes_over_everything_at_once(store: Arc<dyn Store>) {
        let ids = queue(&store, 3).await;
        claim(&store, "dead", 2, 2).await;
        mark(&store, "dead", &ids[..1], 2).await.unwrap();
        assert_eq!(store.recover_sending(HOLD, Abandoned::All, at(3)).await.unwrap(), 1);
        assert_eq!(status(&store, ids[0]).await, MessageStatus::Uncertain);
        assert_eq!(claim(&store, "b", 3, 10).await, [ids[2], ids[1]], "claims end too");
        settle(&store, "b", ids[1], retry(60), 3).await;
        assert_eq!(store.recover_sending(HOLD, Abandoned::All, at(4)).await.unwrap(), 0);
        assert_eq!(row(&store, ids[1]).await.due_at, Some(at(60)), "what nobody claims keeps its time");
    }

    async fn a_person_decides_about_uncertain_and_failed_messages(store: Arc<dyn Store>) {
        let ids = queue(&store, 6).await;
        send(&store, "a", 2).await;
        for id in &ids[..3] {
            settle(&store, "a", *id, DeliveryResult::Uncertain("connection reset".into()), 3).await;
        }
        for id in &ids[3..5] {
            settle(&store, "a", *id, DeliveryResult::Failed("550 no".into()), 3).await;
        }
        let one = |status, id| Undecided { status, ids: Some(vec![id]) };
        let uncertain = |id| one(MessageStatus::Uncertain, id);
        assert_eq!(store.decide(&uncertain(ids[0]), Decision::Resend, at(5)).await.unwrap(), 1);
        assert_eq!(store.decide(&uncertain(ids[1]), Decision::Sent, at(5)).await.unwrap(), 1);
        assert_eq!(store.decide(&uncertain(ids[1]), Decision::Sent, at(6)).await.unwrap(), 0, "once");
        assert_eq!(store.decide(&uncertain(ids[3]), Decision::Resend, at(5)).await.unwrap(), 0, "it failed");
        assert_eq!(decide(&store, MessageStatus::Uncertain, Decision::Drop, 5).await, 1);
        assert_eq!(decide(&store, MessageStatus::Failed, Decision::Sent, 5).await, 0, "it did not arrive");
        assert_eq!(store.decide(&one(MessageStatus::Failed, ids[3]), Decision::Drop, at(5)).await.unwrap(), 1);
        assert_eq!(decide(&store, MessageStatus::Failed, Decision::Resend, 5).await, 1, "what was dropped stays so");
        for status in [MessageStatus::Queued, MessageStatus::Sending, MessageStatus::Sent] {
            assert_eq!(decide(&store, status, Decision::Resend, 5).await, 0);
        }
        let mut found = Vec::new();
        for id in &ids {
            let row = row(&store, *id).await;
            found.push(format!("{} {} {}", row.status.name(), row.attempts, row.detail.unwrap_or_default()));
        }
        insta::allow_duplicates! { insta::assert_snapshot!(found.join("\n"), @"
        queued 0 sent again by hand
        sent 1 found by hand to have arrived
        dropped 1 dropped by hand
        dropped 1 dropped by hand
        queued 0 sent again by hand
        sending 0
        "); }
        assert_eq!(row(&store, ids[1]).await.sent_at, Some(at(5)));
        assert_eq!(claim(&store, "b", 5, 10).await, [ids[0], ids[4]]);
    }

    async fn the_oldest_due_come_first_and_no_more_than_asked(store: Arc<dyn Store>) {
        let ids = queue(&store, 5).await;
        claim(&store, "a", 1, 1).await;
        settle(&store, "a", ids[0], retry(2), 1).await;
        assert_eq!(claim(&store, "a", 2, 4).await, ids[1..]);
    }
}
