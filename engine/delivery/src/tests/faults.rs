//! What becomes of messages when a server misbehaves, phase by phase.

use std::{collections::HashSet, sync::Mutex};

use dripline_model::message::MessageStatus;

use super::{
    WELCOME, after_minutes, config, deliverer,
    outbox::{MemoryOutbox, noon},
    over_smtp,
    server::{Act, At, MailServer},
};
use crate::{Delivered, DeliveryConfig, OnUncertain, SmtpConfig, Tls, Transport, UncertainRule};

/// Delivers one message to a server with this script. Answers where the message stands, why, and how often the server
/// was called.
async fn one(
    script: impl Fn(&At<'_>) -> Option<Act> + Send + Sync + 'static,
) -> (MessageStatus, String, usize) {
    let server = MailServer::start(Tls::None, "PIPELINING", script).await;
    let outbox = MemoryOutbox::with(1, WELCOME);
    over_smtp(&outbox, &server.config).deliver_due().await.unwrap();
    let row = outbox.row(1);
    if row.status == MessageStatus::Queued {
        assert_eq!(row.due, after_minutes(1));
    }
    assert!(server.received().is_empty());
    (row.status, row.detail, server.connections())
}

#[tokio::test]
async fn a_refusal_for_now_is_tried_again_and_one_for_good_is_not() {
    for (step, words, status) in [
        ("MAIL", "451 4.3.0 later", MessageStatus::Queued),
        ("MAIL", "530 5.7.0 authentication required", MessageStatus::Queued),
        ("RCPT", "450 4.2.1 mailbox busy", MessageStatus::Queued),
        ("RCPT", "550 5.1.1 no such user", MessageStatus::Failed),
        ("DATA", "452 4.3.1 disk full", MessageStatus::Queued),
        ("DATA", "554 5.5.1 no", MessageStatus::Failed),
        (".", "451 4.7.1 greylisted", MessageStatus::Queued),
        (".", "554 5.7.1 spam", MessageStatus::Failed),
    ] {
        let found = one(move |at| at.said.starts_with(step).then_some(Act::Say(words))).await;
        assert_eq!(found, (status, words.to_owned(), 1), "{step}");
    }
}

#[tokio::test]
async fn a_connection_that_ends_before_the_text_is_tried_again() {
    for step in ["MAIL", "RCPT", "DATA"] {
        let (status, detail, _) = one(move |at| at.said.starts_with(step).then_some(Act::Close)).await;
        assert_eq!(
            (status, detail.as_str()),
            (MessageStatus::Queued, "the server closed the connection"),
            "{step}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_ends_after_the_text_leaves_it_uncertain() {
    for step in ["text", "."] {
        let (status, detail, _) = one(move |at| (at.said == step).then_some(Act::Close)).await;
        assert_eq!(status, MessageStatus::Uncertain, "{step}: {detail}");
        assert!(detail.starts_with("the message was handed over, but not acknowledged: "), "{detail}");
    }
}

#[tokio::test]
async fn an_uncertain_message_is_sent_again_where_that_is_the_policy() {
    let server =
        MailServer::start(Tls::None, "", |at| (at.connection == 0 && at.said == ".").then_some(Act::Close))
            .await;
    let outbox = MemoryOutbox::with(1, WELCOME);
    let smtp = Transport::Smtp(vec![server.config.clone()]);
    let on_uncertain = UncertainRule::all(OnUncertain::Resend);
    let deliverer = deliverer(&outbox, &DeliveryConfig { on_uncertain, ..config(smtp) });

    assert_eq!(deliverer.deliver_due().await.unwrap().retried, 1);
    let first = outbox.row(1).outgoing;
    outbox.clock.advance_to(after_minutes(1));
    assert_eq!(deliverer.deliver_due().await.unwrap().sent, 1);
    assert_eq!(outbox.row(1).outgoing, first, "the second try has the same bytes");
}

#[tokio::test]
async fn an_answer_that_never_comes_ends_in_time() {
    for (step, status) in [("MAIL", MessageStatus::Queued), (".", MessageStatus::Uncertain)] {
        let server =
            MailServer::start(Tls::None, "", move |at| at.said.starts_with(step).then_some(Act::Hang)).await;
        let outbox = MemoryOutbox::with(1, WELCOME);
        let smtp = SmtpConfig { timeout_ms: 50, ..server.config.clone() };
        over_smtp(&outbox, &smtp).deliver_due().await.unwrap();
        let row = outbox.row(1);
        assert_eq!(row.status, status);
        assert!(row.detail.ends_with("the server did not answer within 50 ms"), "{}", row.detail);
    }
}

#[tokio::test]
async fn a_server_that_is_down_is_called_once_a_round_and_nothing_is_marked() {
    for (act, words) in [
        (|| Act::Hang, "the server did not answer within 50 ms"),
        (|| Act::Close, "the server closed the connection"),
        (|| Act::SayAndClose("421 too busy"), "421 too busy"),
        (|| Act::Say("554 go away"), "554 go away"),
    ] as [(fn() -> Act, &str); 4]
    {
        let server = MailServer::start(Tls::None, "", move |at| (at.said == "greeting").then(act)).await;
        let outbox = MemoryOutbox::with(2_000, WELCOME);
        let smtp = SmtpConfig { timeout_ms: 50, connections: 4, ..server.config.clone() };
        let delivered = over_smtp(&outbox, &smtp).deliver_due().await.unwrap();
        assert_eq!(delivered, Delivered { retried: 2_000, ..Delivered::default() });
        assert_eq!(server.connections(), 1);
        let row = outbox.row(2_000);
        assert_eq!((row.due, row.outgoing), (after_minutes(1), None));
        assert_eq!(row.detail, format!("no connection to localhost:{}: {words}", smtp.port));
    }
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_with_longer_pauses_and_then_given_up() {
    let server = MailServer::good().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let smtp = SmtpConfig { port: free.local_addr().unwrap().port(), ..server.config.clone() };
    drop(free);
    let outbox = MemoryOutbox::with(1, WELCOME);
    let deliverer = over_smtp(&outbox, &smtp);
    let mut now = noon();
    for minutes in [1, 2] {
        outbox.clock.advance_to(now);
        assert_eq!(deliverer.deliver_due().await.unwrap().retried, 1);
        assert_eq!(outbox.row(1).due, now + jiff::SignedDuration::from_mins(minutes));
        now = outbox.row(1).due;
    }
    outbox.clock.advance_to(now);
    assert_eq!(deliverer.deliver_due().await.unwrap().failed, 1);
    let detail = outbox.row(1).detail;
    assert!(detail.contains("refused") && detail.ends_with("(given up after 3 tries)"), "{detail}");
}

#[tokio::test]
async fn a_server_that_closes_now_and_then_gets_the_rest_on_new_connections() {
    let server = MailServer::start(Tls::None, "PIPELINING", |at| {
        (at.said == "." && at.connection < 2).then_some(Act::SayAndClose("421 4.7.0 closing"))
    })
    .await;
    let outbox = MemoryOutbox::with(10, WELCOME);
    let deliverer = over_smtp(&outbox, &server.config);
    let delivered = deliverer.deliver_due().await.unwrap();
    assert_eq!(delivered, Delivered { sent: 8, retried: 2, ..Delivered::default() });
    outbox.clock.advance_to(after_minutes(1));
    assert_eq!(deliverer.deliver_due().await.unwrap().sent, 2);
    assert_eq!((server.received().len(), server.connections()), (10, 3));
}

#[tokio::test]
async fn a_server_that_ends_a_connection_after_each_message_delays_none() {
    let used = Mutex::new(HashSet::new());
    let server = MailServer::start(Tls::None, "PIPELINING", move |at| {
        let again = at.said.starts_with("MAIL") && !used.lock().unwrap().insert(at.connection);
        again.then_some(Act::SayAndClose("421 4.7.0 one message a connection"))
    })
    .await;
    let outbox = MemoryOutbox::with(5, WELCOME);
    assert_eq!(over_smtp(&outbox, &server.config).deliver_due().await.unwrap().sent, 5);
    assert_eq!((server.received().len(), server.connections()), (5, 5));
}

#[tokio::test]
async fn a_server_that_breaks_every_connection_is_left_alone_for_the_round() {
    let server =
        MailServer::start(Tls::None, "PIPELINING", |at| at.said.starts_with("MAIL").then_some(Act::Close))
            .await;
    let outbox = MemoryOutbox::with(500, WELCOME);
    let delivered = over_smtp(&outbox, &server.config).deliver_due().await.unwrap();
    assert_eq!((delivered.retried, server.connections()), (500, 3));
    assert_eq!(outbox.count(MessageStatus::Sending), 0);
}

#[tokio::test]
async fn a_server_that_takes_fewer_connections_still_gets_everything() {
    let server = MailServer::start(Tls::None, "PIPELINING", |at| {
        (at.said == "greeting" && at.connection > 0).then_some(Act::SayAndClose("421 too many connections"))
    })
    .await;
    let outbox = MemoryOutbox::with(200, WELCOME);
    let smtp = SmtpConfig { connections: 4, ..server.config.clone() };
    assert_eq!(over_smtp(&outbox, &smtp).deliver_due().await.unwrap().sent, 200);
}

#[tokio::test]
async fn a_refused_message_leaves_the_connection_to_the_next() {
    for extensions in ["", "PIPELINING"] {
        let server = MailServer::start(Tls::None, extensions, |at| {
            at.said.contains("<ada-2@").then_some(Act::Say("550 no such user"))
        })
        .await;
        let outbox = MemoryOutbox::with(3, WELCOME);
        let delivered = over_smtp(&outbox, &server.config).deliver_due().await.unwrap();
        assert_eq!((delivered.sent, delivered.failed, server.connections()), (2, 1, 1));
    }
}

#[tokio::test]
async fn a_connection_that_went_stale_is_replaced() {
    let server = MailServer::start(Tls::None, "", |at| {
        (at.said == "NOOP" && at.connection == 0).then_some(Act::Close)
    })
    .await;
    let outbox = MemoryOutbox::with(1, WELCOME);
    let deliverer = over_smtp(&outbox, &server.config);
    deliverer.deliver_due().await.unwrap();
    let templates = outbox.row(1).message.templates;
    outbox.queue(dripline_store::DueMessage { templates, ..super::outbox::message(2) });
    assert_eq!(deliverer.deliver_due().await.unwrap().sent, 1);
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn nothing_goes_out_in_the_clear_where_encryption_was_asked_for() {
    let server = MailServer::start(Tls::None, "AUTH PLAIN", |_| None).await;
    let untrusted = MailServer::start(Tls::StartTls, "AUTH PLAIN", |_| None).await;
    let credentials = Some(("me".to_owned(), "secret".to_owned()));
    for (smtp, words) in [
        (SmtpConfig { tls: Tls::StartTls, ..server.config.clone() }, "the server does not offer STARTTLS"),
        (SmtpConfig { extra_roots_pem: None, ..untrusted.config.clone() }, "invalid peer certificate"),
    ] {
        let outbox = MemoryOutbox::with(1, WELCOME);
        let smtp = SmtpConfig { credentials: credentials.clone(), ..smtp };
        assert_eq!(over_smtp(&outbox, &smtp).deliver_due().await.unwrap().retried, 1);
        assert!(outbox.row(1).detail.contains(words), "{}", outbox.row(1).detail);
    }
    let heard = [server.heard(), untrusted.heard()].concat();
    assert!(!heard.iter().any(|line| line.starts_with("AUTH") || line.starts_with("MAIL")), "{heard:?}");
}

#[tokio::test]
async fn a_login_that_is_refused_puts_everything_off() {
    let server = MailServer::start(Tls::None, "AUTH LOGIN", |at| match at.said {
        "AUTH LOGIN" => Some(Act::Say("334 VXNlcm5hbWU6")),
        "bWU=" => Some(Act::Say("334 UGFzc3dvcmQ6")),
        "c2VjcmV0" => Some(Act::Say("535 5.7.8 wrong password")),
        _ => None,
    })
    .await;
    let outbox = MemoryOutbox::with(1, WELCOME);
    let smtp = SmtpConfig { credentials: Some(("me".into(), "secret".into())), ..server.config.clone() };
    assert_eq!(over_smtp(&outbox, &smtp).deliver_due().await.unwrap().retried, 1);
    let detail = outbox.row(1).detail;
    assert!(detail.ends_with(": the login was refused: 535 5.7.8 wrong password"), "{detail}");
}

#[tokio::test]
async fn letters_beyond_ascii_in_an_address_need_a_server_that_takes_them() {
    for (extensions, status) in [("", MessageStatus::Failed), ("SMTPUTF8\n8BITMIME", MessageStatus::Sent)] {
        let server = MailServer::start(Tls::None, extensions, |_| None).await;
        let outbox = MemoryOutbox::with(1, WELCOME);
        outbox.change(1, |message| message.to = "grüße@example.com".into());
        over_smtp(&outbox, &server.config).deliver_due().await.unwrap();
        assert_eq!(outbox.row(1).status, status, "{}", outbox.row(1).detail);
    }
}
