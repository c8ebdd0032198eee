//! What claims, leases and deadlines are for: several deliverers over one outbox, and processes that stop in the middle.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use dripline_model::message::MessageStatus;

use super::{
    WELCOME, after_minutes, config, deliverer,
    outbox::{MemoryOutbox, noon},
    over_smtp,
    server::{Act, MailServer},
};
use crate::{
    Abandoned, Delivered, DeliveryConfig, OnUncertain, SmtpConfig, Tls, Transport, UncertainRule,
    config::Limits,
};

/// Runs `then` when the server first hears something that begins so.
fn once(said: &'static str, then: impl FnOnce() + Send + 'static) -> impl Fn(&str) + Send + Sync {
    let then = Mutex::new(Some(then));
    move |heard| {
        if heard.starts_with(said)
            && let Some(then) = then.lock().unwrap().take()
        {
            then();
        }
    }
}

/// Every message was accepted, and none twice.
fn assert_once_each(server: &MailServer, outbox: &MemoryOutbox, count: usize) {
    let received = server.received();
    let to: BTreeSet<_> = received.iter().map(|received| &received.to).collect();
    assert_eq!((received.len(), to.len(), outbox.count(MessageStatus::Sent)), (count, count, count));
}

#[tokio::test]
async fn two_deliverers_share_an_outbox_and_no_message() {
    let server = MailServer::good().await;
    let outbox = MemoryOutbox::with(500, WELCOME);
    let smtp = SmtpConfig { connections: 2, ..server.config.clone() };
    let (one, two) = (over_smtp(&outbox, &smtp), over_smtp(&outbox, &smtp));
    let (first, second) = tokio::join!(one.deliver_due(), two.deliver_due());
    let (first, second) = (first.unwrap().sent, second.unwrap().sent);
    assert_eq!(first + second, 500);
    assert!(first > 0 && second > 0, "{first} and {second}");
    assert_once_each(&server, &outbox, 500);
}

#[tokio::test]
async fn what_waited_too_long_for_its_turn_is_not_sent_under_the_old_lease() {
    let outbox = MemoryOutbox::with(20, WELCOME);
    let clock = Arc::clone(&outbox.clock);
    let suspended = once("RCPT", move || clock.advance_to(after_minutes(6)));
    let server = MailServer::start(Tls::None, "", move |at| {
        suspended(at.said);
        None
    })
    .await;
    let deliverer = over_smtp(&outbox, &server.config);
    assert_eq!(deliverer.deliver_due().await.unwrap(), Delivered { sent: 20, ..Delivered::default() });
    assert_once_each(&server, &outbox, 20);
    assert_eq!(outbox.row(20).message.attempts, 1, "waiting is no try");
    assert_eq!(outbox.row(20).lease_until, after_minutes(16), "it went under a new lease");
    assert_eq!(outbox.row(1).sent_at, Some(after_minutes(6)), "the moment itself, not the round's beginning");
}

#[tokio::test]
async fn a_process_that_was_suspended_hands_over_nothing_that_it_no_longer_holds() {
    for (rule, statuses) in [
        (OnUncertain::Hold, [MessageStatus::Uncertain, MessageStatus::Sent]),
        (OnUncertain::Resend, [MessageStatus::Queued, MessageStatus::Sent]),
    ] {
        let outbox = MemoryOutbox::with(1, WELCOME);
        let seen = Arc::new(Mutex::new(None));
        // Between DATA and the text the process sleeps past its lease, and another one recovers the message.
        let suspended = once("DATA", {
            let (outbox, seen) = (Arc::clone(&outbox), Arc::clone(&seen));
            move || {
                outbox.clock.advance_to(after_minutes(11));
                let now = after_minutes(11);
                assert_eq!(outbox.recover(UncertainRule::all(rule), Abandoned::LeaseEnded, now), 1);
                *seen.lock().unwrap() = Some(outbox.row(1).status);
            }
        });
        let server = MailServer::start(Tls::None, "", move |at| {
            suspended(at.said);
            None
        })
        .await;
        // It knows that it handed over nothing, so the message goes out in its next try, once.
        let delivered = over_smtp(&outbox, &server.config).deliver_due().await.unwrap();
        assert_eq!(delivered.sent, 1);
        assert_eq!([seen.lock().unwrap().unwrap(), outbox.row(1).status], statuses);
        assert_once_each(&server, &outbox, 1);
        assert_eq!(server.connections(), 2, "the half-sent text was cut off");
    }
}

#[tokio::test]
async fn an_answer_that_comes_after_the_lease_is_still_the_truth() {
    let outbox = MemoryOutbox::with(1, WELCOME);
    let recovered = once(".", {
        let outbox = Arc::clone(&outbox);
        move || {
            outbox.clock.advance_to(after_minutes(60));
            outbox.recover(UncertainRule::default(), Abandoned::LeaseEnded, after_minutes(60));
            assert_eq!(outbox.row(1).status, MessageStatus::Uncertain);
        }
    });
    let server = MailServer::start(Tls::None, "", move |at| {
        recovered(at.said);
        None
    })
    .await;
    assert_eq!(over_smtp(&outbox, &server.config).deliver_due().await.unwrap().sent, 1);
    let row = outbox.row(1);
    assert_eq!((row.status, row.message.attempts), (MessageStatus::Sent, 1));
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn another_process_recovers_what_a_dead_one_left_when_its_lease_ends() {
    let hanging = MailServer::start(Tls::None, "", |at| (at.said == ".").then_some(Act::Hang)).await;
    let outbox = MemoryOutbox::with(2, WELCOME);
    outbox.change(2, |message| message.transactional = true);
    let on_uncertain = UncertainRule { transactional: OnUncertain::Resend, ..UncertainRule::default() };
    let over = |smtp: &SmtpConfig| {
        let transport = Transport::Smtp(vec![smtp.clone()]);
        deliverer(&outbox, &DeliveryConfig { on_uncertain, ..config(transport) })
    };
    let dead = over(&SmtpConfig { connections: 2, ..hanging.config.clone() });
    assert!(tokio::time::timeout(Duration::from_millis(300), dead.deliver_due()).await.is_err());
    assert_eq!(outbox.count(MessageStatus::Sending), 2);

    let server = MailServer::good().await;
    let alive = over(&server.config);
    assert_eq!(alive.deliver_due().await.unwrap(), Delivered::default(), "not yet");
    assert_eq!(alive.next_due().await.unwrap(), Some(after_minutes(10)));
    outbox.clock.advance_to(after_minutes(10));
    assert_eq!(alive.deliver_due().await.unwrap().sent, 1);
    assert_eq!(outbox.row(1).status, MessageStatus::Uncertain, "marketing is held");
    assert_eq!(outbox.row(2).status, MessageStatus::Sent, "the receipt is sent again");
}

#[tokio::test]
async fn a_conversation_that_goes_on_and_on_is_cut_off() {
    for (step, status) in [("MAIL", MessageStatus::Queued), (".", MessageStatus::Uncertain)] {
        let server =
            MailServer::start(Tls::None, "", move |at| at.said.starts_with(step).then_some(Act::Hang)).await;
        let outbox = MemoryOutbox::with(1, WELCOME);
        let mut deliverer = over_smtp(&outbox, &server.config);
        deliverer.limits = Limits { deadline: Duration::from_millis(80), ..Limits::default() };
        deliverer.deliver_due().await.unwrap();
        let row = outbox.row(1);
        assert_eq!(row.status, status);
        assert!(row.detail.ends_with("the conversation took longer than 80 ms"), "{}", row.detail);
    }
}

#[tokio::test]
async fn what_somebody_else_took_meanwhile_is_left_to_them() {
    let outbox = MemoryOutbox::with(3, &[("welcome.txt", "Hello")]);
    let server = MailServer::good().await;
    let deliverer = over_smtp(&outbox, &server.config);
    let mine = deliverer.claim(10).await.unwrap();
    let (composed, _) = deliverer.compose(mine).await.unwrap();
    let outgoing: Vec<_> = composed.into_iter().map(|(ready, _)| ready.outgoing).collect();
    outbox.clock.advance_to(after_minutes(10));
    assert_eq!(over_smtp(&outbox, &server.config).deliver_due().await.unwrap().sent, 3);
    assert_eq!(deliverer.mark(&outgoing).await.unwrap(), None);
    assert_once_each(&server, &outbox, 3);
    assert!(noon() < outbox.row(1).sent_at.unwrap());
}
