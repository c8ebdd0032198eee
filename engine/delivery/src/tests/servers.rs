//! Several servers: which one gets a message, and how many.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use dripline_model::message::MessageStatus;
use dripline_store::DueMessage;
use jiff::SignedDuration;

use super::{
    WELCOME, after_minutes,
    outbox::{MemoryOutbox, message, noon},
    over_servers, over_smtp,
    server::{Act, MailServer},
};
use crate::{Delivered, Rate, RatePeriod, SmtpConfig, Tls};

/// A server that can be taken down and put up again.
async fn switched() -> (MailServer, Arc<AtomicBool>) {
    let down = Arc::new(AtomicBool::new(true));
    let is_down = Arc::clone(&down);
    let server = MailServer::start(Tls::None, "PIPELINING", move |at| {
        let refuses = at.said == "greeting" || at.said == "NOOP";
        (refuses && is_down.load(Ordering::SeqCst)).then_some(Act::SayAndClose("421 down"))
    })
    .await;
    (server, down)
}

/// Queues a message more.
fn queue(outbox: &MemoryOutbox, id: i64) {
    let templates = outbox.row(1).message.templates;
    outbox.queue(DueMessage { templates, ..message(id) });
}

#[tokio::test]
async fn while_a_server_is_down_the_next_takes_over() {
    let (first, down) = switched().await;
    let second = MailServer::good().await;
    let outbox = MemoryOutbox::with(100, WELCOME);
    let deliverer = over_servers(&outbox, &[first.config.clone(), second.config.clone()]);
    assert_eq!(deliverer.deliver_due().await.unwrap(), Delivered { sent: 100, ..Delivered::default() });
    assert_eq!((first.connections(), second.received().len()), (1, 100));

    down.store(false, Ordering::SeqCst);
    queue(&outbox, 101);
    deliverer.deliver_due().await.unwrap();
    assert_eq!((first.connections(), second.received().len()), (1, 101), "it is left alone for a while");

    outbox.clock.advance_to(after_minutes(1));
    queue(&outbox, 102);
    deliverer.deliver_due().await.unwrap();
    assert_eq!((first.received().len(), second.received().len()), (1, 101), "and then preferred again");
}

#[tokio::test]
async fn a_server_that_stays_down_is_called_less_and_less() {
    let (first, _) = switched().await;
    let second = MailServer::good().await;
    let outbox = MemoryOutbox::with(1, WELCOME);
    let deliverer = over_servers(&outbox, &[first.config.clone(), second.config.clone()]);
    for round in 0..120 {
        outbox.clock.advance_to(noon() + SignedDuration::from_secs(30 * round));
        queue(&outbox, 2 + round);
        assert_eq!(deliverer.deliver_due().await.unwrap().retried, 0);
    }
    // Within the hour, after 0, 0.5, 1.5, 3.5, 7.5, 15.5 (then every ten), 25.5, 35.5, 45.5 and 55.5 minutes.
    assert_eq!(first.connections(), 10);
    assert_eq!(second.connections(), 1);
}

#[tokio::test]
async fn a_server_that_breaks_every_connection_hands_what_is_left_to_the_next() {
    let first =
        MailServer::start(Tls::None, "PIPELINING", |at| at.said.starts_with("MAIL").then_some(Act::Close))
            .await;
    let second = MailServer::good().await;
    let outbox = MemoryOutbox::with(300, WELCOME);
    let deliverer = over_servers(&outbox, &[first.config.clone(), second.config.clone()]);
    let delivered = deliverer.deliver_due().await.unwrap();
    assert_eq!(delivered, Delivered { sent: 297, retried: 3, ..Delivered::default() });
    assert_eq!((first.connections(), second.received().len()), (3, 297));
    assert_eq!(outbox.row(300).message.attempts, 1, "the way to the first server was no try");
}

#[tokio::test]
async fn only_a_server_that_is_down_is_passed_over() {
    for (step, act, status) in [
        ("RCPT", (|| Act::Say("450 4.2.1 mailbox busy")) as fn() -> Act, MessageStatus::Queued),
        ("RCPT", || Act::Say("550 5.1.1 no such user"), MessageStatus::Failed),
        (".", || Act::Close, MessageStatus::Uncertain),
    ] {
        let first = MailServer::start(Tls::None, "", move |at| at.said.starts_with(step).then(act)).await;
        let second = MailServer::good().await;
        let outbox = MemoryOutbox::with(1, WELCOME);
        over_servers(&outbox, &[first.config.clone(), second.config.clone()]).deliver_due().await.unwrap();
        assert_eq!((outbox.row(1).status, second.connections()), (status, 0), "{step}");
    }
}

#[tokio::test]
async fn when_all_servers_are_down_messages_are_put_off_until_one_is_called_again() {
    let ((first, _), (second, down)) = (switched().await, switched().await);
    let outbox = MemoryOutbox::with(50, WELCOME);
    let deliverer = over_servers(&outbox, &[first.config.clone(), second.config.clone()]);
    assert_eq!(deliverer.deliver_due().await.unwrap().retried, 50);
    assert_eq!((first.connections(), second.connections()), (1, 1));
    let row = outbox.row(50);
    assert_eq!((row.due, row.outgoing), (after_minutes(1), None));
    assert_eq!(row.detail.matches("421 down").count(), 2, "{}", row.detail);

    down.store(false, Ordering::SeqCst);
    outbox.clock.advance_to(after_minutes(1));
    assert_eq!(deliverer.deliver_due().await.unwrap().sent, 50);
    assert_eq!(second.received().len(), 50);
}

#[tokio::test]
async fn a_server_is_given_no_more_than_its_rate() {
    let server = MailServer::good().await;
    let outbox = MemoryOutbox::with(25, WELCOME);
    outbox.change(3, |message| message.contact.attributes.clear());
    let rate = Some(Rate { messages: 10, per: RatePeriod::Second });
    let deliverer = over_smtp(&outbox, &SmtpConfig { rate, ..server.config.clone() });
    let mut rounds = Vec::new();
    while let Some(due) = deliverer.next_due().await.unwrap() {
        outbox.clock.advance_to(due);
        let delivered = deliverer.deliver_due().await.unwrap();
        rounds.push(((due - noon()).total(jiff::Unit::Millisecond).unwrap() as i64, delivered.sent));
        assert!(rounds.len() < 20, "{rounds:?}");
    }
    assert_eq!(rounds, [(0, 10), (500, 5), (1_000, 5), (1_500, 4)]);
    assert_eq!((server.received().len(), server.connections()), (24, 1), "the connection stays warm");
    assert_eq!(outbox.row(25).message.attempts, 1, "waiting is no try");
}

#[tokio::test]
async fn a_rate_is_waited_for_and_does_not_push_messages_to_the_next_server() {
    let (first, second) = (MailServer::good().await, MailServer::good().await);
    let outbox = MemoryOutbox::with(3, WELCOME);
    let slow =
        SmtpConfig { rate: Some(Rate { messages: 1, per: RatePeriod::Minute }), ..first.config.clone() };
    let deliverer = over_servers(&outbox, &[slow, second.config.clone()]);
    assert_eq!(deliverer.deliver_due().await.unwrap().sent, 1);
    assert_eq!(deliverer.held_until(), Some(after_minutes(1)));
    assert_eq!(deliverer.deliver_due().await.unwrap().sent, 0);
    assert_eq!((first.received().len(), second.connections()), (1, 0));
}
