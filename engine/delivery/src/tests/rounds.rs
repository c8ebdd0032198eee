//! What a round promises when nothing goes wrong.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use dripline_model::{Digest, message::MessageStatus};
use dripline_store::{Claimant, DueMessage, Outbox as _, Outgoing};
use tokio::sync::Notify;

use super::{
    WELCOME, after_minutes, config, deliverer,
    outbox::{MemoryOutbox, message, noon},
    over_smtp,
    server::MailServer,
};
use crate::{
    Abandoned, Delivered, DeliveryConfig, OnUncertain, Rehearsal, SmtpConfig, Tls, Transport, UncertainRule,
};

#[tokio::test]
async fn every_message_is_accepted_once_over_few_connections() {
    let server = MailServer::good().await;
    let outbox = MemoryOutbox::with(300, WELCOME);
    let deliverer = over_smtp(&outbox, &SmtpConfig { connections: 3, ..server.config.clone() });

    let delivered = deliverer.deliver_due().await.unwrap();

    assert_eq!(delivered, Delivered { sent: 300, ..Delivered::default() });
    let received = server.received();
    let to: BTreeSet<_> = received.iter().map(|received| received.to.clone()).collect();
    assert_eq!((received.len(), to.len(), outbox.count(MessageStatus::Sent)), (300, 300, 300));
    assert!(server.connections() <= 3, "{} connections", server.connections());
    assert!(outbox.row(1).detail.starts_with("250 2.0.0 queued on "), "{}", outbox.row(1).detail);
    for received in &received {
        assert_eq!(received.from, "hello@dripline.example");
        let id = received.to.trim_start_matches("ada-").trim_end_matches("@example.com").parse().unwrap();
        assert_eq!(
            received.source.as_bytes(),
            outbox.row(id).outgoing.unwrap().source,
            "the record is what was sent"
        );
    }
}

#[tokio::test]
async fn connections_stay_warm_between_rounds_and_end_politely() {
    let server = MailServer::good().await;
    let outbox = MemoryOutbox::with(1, WELCOME);
    let deliverer = over_smtp(&outbox, &server.config);
    let templates = outbox.row(1).message.templates;
    for id in 1..4 {
        outbox.queue(DueMessage { templates: Arc::clone(&templates), ..message(id) });
        deliverer.deliver_due().await.unwrap();
    }
    assert_eq!((server.received().len(), server.connections()), (3, 1));

    deliverer.close().await;
    assert_eq!(server.heard().last().map(String::as_str), Some("QUIT"));
    outbox.queue(message(9));
    assert_eq!(deliverer.deliver_due().await.unwrap(), Delivered::default(), "it has closed");
}

#[tokio::test]
async fn closing_in_the_middle_of_a_round_leaves_nothing_half_sent() {
    let begun = Arc::new(Notify::new());
    let server = MailServer::start(Tls::None, "PIPELINING", {
        let begun = Arc::clone(&begun);
        move |at| {
            if at.said == "." {
                begun.notify_one();
            }
            None
        }
    })
    .await;
    let outbox = MemoryOutbox::with(2_000, WELCOME);
    let deliverer = over_smtp(&outbox, &server.config);

    let (delivered, ()) = tokio::join!(deliverer.deliver_due(), async {
        begun.notified().await;
        deliverer.close().await;
    });

    let received = server.received().len();
    assert_eq!(delivered.unwrap().sent, received as u64);
    assert_eq!((outbox.count(MessageStatus::Sent), outbox.count(MessageStatus::Sending)), (received, 0));
    assert!(received < 1_000, "{received} were sent after the end");
}

#[tokio::test]
async fn a_server_without_pipelining_hears_one_command_at_a_time() {
    let server = MailServer::start(Tls::None, "8BITMIME", |_| None).await;
    let outbox = MemoryOutbox::with(5, WELCOME);
    let delivered = over_smtp(&outbox, &server.config).deliver_due().await.unwrap();
    assert_eq!((delivered.sent, server.received().len()), (5, 5));
}

#[tokio::test]
async fn tls_is_used_from_the_start_or_by_starttls() {
    for security in [Tls::StartTls, Tls::Tls] {
        let server = MailServer::start(security, "AUTH PLAIN LOGIN", |_| None).await;
        let credentials = Some(("me".to_owned(), "secret".to_owned()));
        let outbox = MemoryOutbox::with(2, WELCOME);
        let smtp = SmtpConfig { credentials, ..server.config.clone() };
        assert_eq!(over_smtp(&outbox, &smtp).deliver_due().await.unwrap().sent, 2, "{security:?}");
        let login = server.heard().into_iter().find(|line| line.starts_with("AUTH"));
        assert_eq!(login.as_deref(), Some("AUTH PLAIN AG1lAHNlY3JldA=="));
    }
}

#[tokio::test]
async fn the_mailbox_keeps_everything_in_few_commits() {
    let outbox = MemoryOutbox::with(600, WELCOME);
    let deliverer = deliverer(&outbox, &config(Transport::Mailbox));
    assert_eq!(deliverer.deliver_due().await.unwrap().sent, 600);
    assert_eq!((outbox.count(MessageStatus::Sent), outbox.commits()), (600, 6));
    let source = outbox.row(600).outgoing.unwrap().source;
    let parsed = mail_parser::MessageParser::default().parse(&source).unwrap();
    assert_eq!(parsed.body_text(0).unwrap().trim_end(), "Hello Ada.\r\n.\r\n..two dots");
}

#[tokio::test]
async fn a_rehearsal_renders_sends_nothing_and_keeps_nothing() {
    let outbox = MemoryOutbox::with(3, WELCOME);
    outbox.rehearses.store(true, Ordering::Relaxed);
    outbox.change(2, |message| message.contact.attributes.clear());
    outbox.change(3, |message| message.contact.consents.clear());
    let rehearsal = Rehearsal::default();
    let deliverer = deliverer(&outbox, &config(Transport::Rehearsal(rehearsal.clone())));
    let delivered = deliverer.deliver_due().await.unwrap();
    assert_eq!(delivered, Delivered { sent: 1, failed: 2, ..Delivered::default() });
    let told = rehearsal.take();
    let failures: Vec<Option<&str>> = told.iter().map(|mail| mail.failure.as_deref()).collect();
    assert_eq!(failures[0], None);
    assert!(failures[1].unwrap().contains("first_name"), "{failures:?}");
    assert_eq!(failures[2], Some("not sent: consent was withdrawn after it was queued"));
    assert!(rehearsal.take().is_empty(), "each is told once");
    assert!(outbox.row(1).outgoing.is_none(), "the bytes of a mail that nobody gets are not kept");
}

#[tokio::test]
async fn a_message_is_not_sent_before_it_is_due() {
    let outbox = MemoryOutbox::with(0, WELCOME);
    outbox.queue(DueMessage { queued_at: after_minutes(1), ..message(1) });
    let deliverer = deliverer(&outbox, &config(Transport::Mailbox));
    assert_eq!(deliverer.deliver_due().await.unwrap(), Delivered::default());
    assert_eq!(deliverer.next_due().await.unwrap(), Some(after_minutes(1)));
}

#[tokio::test]
async fn one_contact_for_whom_a_template_fails_does_not_stop_the_others() {
    let outbox = MemoryOutbox::with(5, WELCOME);
    outbox.change(3, |message| message.contact.attributes.clear());
    outbox.change(4, |message| message.to = "nobody".into());
    let delivered = deliverer(&outbox, &config(Transport::Mailbox)).deliver_due().await.unwrap();
    assert_eq!(delivered, Delivered { sent: 3, failed: 2, ..Delivered::default() });
    let detail = outbox.row(3).detail;
    assert!(detail.contains("welcome.txt") && detail.contains("first_name"), "{detail}");
    insta::assert_snapshot!(outbox.row(4).detail, @"`nobody` is not an email address: Missing domain or user");
}

#[tokio::test]
async fn a_consent_that_was_withdrawn_meanwhile_holds() {
    let outbox = MemoryOutbox::with(3, WELCOME);
    let withdraw = |message: &mut DueMessage| {
        message.contact.consents.insert("email".into(), false);
    };
    outbox.change(2, withdraw);
    outbox.change(3, withdraw);
    outbox.change(3, |message| message.transactional = true);
    let delivered = deliverer(&outbox, &config(Transport::Mailbox)).deliver_due().await.unwrap();
    assert_eq!(delivered, Delivered { sent: 2, failed: 1, ..Delivered::default() });
    insta::assert_snapshot!(outbox.row(2).detail, @"not sent: consent was withdrawn after it was queued");
}

#[tokio::test]
async fn a_template_that_does_not_compile_or_is_gone_fails_its_messages() {
    let outbox = MemoryOutbox::with(1, &[("welcome.txt", "{{#if contact.name}}never closed")]);
    let gone = [("welcome.txt".to_owned(), Digest::of(b"gone"))];
    outbox.queue(DueMessage { templates: Arc::new(gone.into()), ..message(2) });
    let delivered = deliverer(&outbox, &config(Transport::Mailbox)).deliver_due().await.unwrap();
    assert_eq!(delivered.failed, 2);
    let detail = outbox.row(1).detail;
    assert!(detail.starts_with("template `welcome` cannot be rendered: welcome.txt:1:"), "{detail}");
    insta::assert_snapshot!(outbox.row(2).detail, @"template `welcome.txt` (283bb9deef02) is not in the store");
}

#[tokio::test]
async fn what_a_dead_process_left_follows_the_policy() {
    let server = Transport::Smtp(vec![SmtpConfig {
        name: "nowhere".into(),
        host: "127.0.0.1".into(),
        port: 9,
        tls: Tls::None,
        credentials: None,
        connections: 1,
        rate: None,
        timeout_ms: 1_000,
        extra_roots_pem: None,
    }]);
    for (transport, on_uncertain, status) in [
        (server.clone(), OnUncertain::Hold, MessageStatus::Uncertain),
        (server, OnUncertain::Resend, MessageStatus::Queued),
        (Transport::Mailbox, OnUncertain::Hold, MessageStatus::Queued),
    ] {
        let outbox = MemoryOutbox::with(1, WELCOME);
        let dead = Claimant::unique();
        outbox.claim_messages(&dead, noon(), after_minutes(10), 1).await.unwrap();
        let left = Outgoing { id: outbox.row(1).message.id, message_id: "x".into(), source: vec![] };
        outbox.mark_sending(&dead, &[left], noon(), after_minutes(10)).await.unwrap();
        let config = DeliveryConfig { on_uncertain: UncertainRule::all(on_uncertain), ..config(transport) };
        let deliverer = deliverer(&outbox, &config);
        assert_eq!(deliverer.recover(Abandoned::LeaseEnded).await.unwrap(), 0, "the lease still holds");
        assert_eq!(deliverer.recover(Abandoned::All).await.unwrap(), 1);
        assert_eq!(outbox.row(1).status, status);
    }
}

#[test]
fn a_configuration_that_cannot_work_is_refused_at_once() {
    let refusal = |change: &dyn Fn(&mut DeliveryConfig)| {
        let mut config = config(Transport::Mailbox);
        change(&mut config);
        let outbox = MemoryOutbox::with(0, &[]);
        super::Deliverer::over(outbox.clone(), outbox.clone(), outbox.clock.clone(), &config)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    insta::assert_snapshot!(refusal(&|config| config.sender.email = "hello".into()), @"failed to prepare the sender: `hello` is not an email address: Missing domain or user");
    insta::assert_snapshot!(refusal(&|config| config.sender.email = "hello@größe.example".into()), @"failed to prepare the sender: the sender's domain `größe.example` must be written in its ASCII form (xn--…)");
    insta::assert_snapshot!(refusal(&|config| config.unsubscribe_url = Some("https://a.example/>\r\nBcc: x@y".into())), @r"
    failed to prepare the sender: `https://a.example/>
    Bcc: x@y` is not a plain web address: https:// or http://, printable ASCII, no fragment
    ");
}
