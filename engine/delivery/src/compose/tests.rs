use mail_parser::{HeaderName as Parsed, MessageParser, MimeHeaders as _};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{
    Transport,
    tests::{config, outbox::message},
};

fn composer(unsubscribe_url: Option<&str>) -> Composer {
    let config =
        DeliveryConfig { unsubscribe_url: unsubscribe_url.map(str::to_owned), ..config(Transport::Mailbox) };
    Composer::new(&config).unwrap()
}

fn source(composer: &Composer, message: &DueMessage, html: Option<&str>, text: Option<&str>) -> String {
    let rendered = Rendered { html: html.map(str::to_owned), text: text.map(str::to_owned) };
    let token = token(message);
    let composed = composer.build(message, &token, &composer.unsubscribe(&token), rendered).unwrap();
    String::from_utf8(composed.outgoing.source).unwrap()
}

#[test]
fn a_message_has_these_bytes() {
    let html = "<p>Hello Ada, see <a href=\"https://dripline.example/start\">the start page</a>.</p>";
    insta::assert_snapshot!(source(&composer(None), &message(7), Some(html), None), @r#"
    From: "Dripline Demo" <hello@dripline.example>
    To: "Ada Lovelace" <ada-7@example.com>
    Subject: Welcome, Ada
    Date: Sun, 01 Mar 2026 12:00:00 +0000
    Message-ID: <6627c9c4ea8bf6865adc5d5e08b958b4@dripline.example>
    List-Unsubscribe: <mailto:unsubscribe@dripline.example?subject=unsubscribe%206627c9c4ea8bf6865adc5d5e08b958b4>
    Auto-Submitted: auto-generated
    Reply-To: sales@dripline.example
    MIME-Version: 1.0
    Content-Type: multipart/alternative;
     boundary="=_6627c9c4ea8bf6865adc5d5e08b958b4"

    --=_6627c9c4ea8bf6865adc5d5e08b958b4
    Content-Type: text/plain; charset=utf-8
    Content-Transfer-Encoding: 7bit

    Hello Ada, see [the start page][1].

    [1]: https://dripline.example/start

    --=_6627c9c4ea8bf6865adc5d5e08b958b4
    Content-Type: text/html; charset=utf-8
    Content-Transfer-Encoding: quoted-printable

    <p>Hello Ada, see <a href=3D"https://dripline.example/start">the start page=
    </a>.</p>
    --=_6627c9c4ea8bf6865adc5d5e08b958b4--
    "#);
}

#[test]
fn a_message_without_html_is_plain_and_can_unsubscribe_with_one_click() {
    let composer = composer(Some("https://dripline.example/bye?list=a"));
    insta::assert_snapshot!(source(&composer, &message(7), None, Some("Grüße\n")), @r#"
    From: "Dripline Demo" <hello@dripline.example>
    To: "Ada Lovelace" <ada-7@example.com>
    Subject: Welcome, Ada
    Date: Sun, 01 Mar 2026 12:00:00 +0000
    Message-ID: <6627c9c4ea8bf6865adc5d5e08b958b4@dripline.example>
    List-Unsubscribe: <https://dripline.example/bye?list=a&message=6627c9c4ea8bf6865adc5d5e08b958b4>
    Auto-Submitted: auto-generated
    Reply-To: sales@dripline.example
    List-Unsubscribe-Post: List-Unsubscribe=One-Click
    MIME-Version: 1.0
    Content-Type: text/plain; charset=utf-8
    Content-Transfer-Encoding: base64

    R3LDvMOfZQ0K
    "#);
}

#[test]
fn the_same_message_has_the_same_id_and_others_do_not() {
    let token_of = |change: &dyn Fn(&mut DueMessage)| {
        let mut message = message(7);
        change(&mut message);
        token(&message)
    };
    let same = token_of(&|_| {});
    assert_eq!(same, token_of(&|message| message.attempts = 3), "a second try is the same message");
    assert_ne!(same, token_of(&|message| message.key = "7-1-0".into()));
    assert_ne!(same, token_of(&|message| message.to = "bob@example.com".into()), "another store's message");
    assert_ne!(same, token_of(&|message| message.queued_at = Timestamp::UNIX_EPOCH));
}

#[test]
fn the_text_keeps_links_and_fits_a_narrow_window() {
    let url = format!("https://dripline.example/{}", "x".repeat(100));
    let html = format!(
        "<style>p {{ color: red }}</style><table><tr><td><h1>Hi</h1></td><td><p>{} <a href=\"{url}\">here</a></p></td></tr></table>",
        "word ".repeat(40)
    );
    let text = text_of(&html).unwrap();
    assert!(text.contains(&url) && text.contains("[here][1]"), "{text}");
    assert!(!text.contains("color") && !text.contains('│'), "{text}");
    assert!(text.lines().all(|line| line.len() <= TEXT_WIDTH || line.contains(&url)), "{text}");
}

#[test]
fn both_parts_come_out_of_a_reader_as_they_went_in() {
    let html = "<p>Grüße – 你好 <b>Ada</b></p>\n.\n".repeat(50);
    let source = source(&composer(None), &message(7), Some(&html), Some("Grüße\n.\nAda"));
    assert!(source.is_ascii() && source.lines().all(|line| line.len() <= 998));
    assert_eq!(source.matches('\n').count(), source.matches("\r\n").count(), "no bare line feeds");
    let parsed = MessageParser::default().parse(source.as_bytes()).unwrap();
    assert_eq!(parsed.body_text(0).unwrap().replace("\r\n", "\n").trim_end(), "Grüße\n.\nAda");
    assert_eq!(parsed.body_html(0).unwrap().replace("\r\n", "\n").trim_end(), html.trim_end());
    assert!(parsed.content_type().is_some_and(|kind| kind.subtype() == Some("alternative")));
}

#[test]
fn instants_outside_of_the_header_s_range_are_held_within() {
    for at in [Timestamp::MIN, Timestamp::MAX] {
        let source = source(&composer(None), &DueMessage { queued_at: at, ..message(7) }, None, Some("x"));
        assert!(source.contains("\r\nDate: "), "{source}");
    }
}

proptest! {
    /// Whatever a contact's data or a subject holds, the headers are those that belong there, once each.
    #[test]
    fn nothing_can_be_smuggled_into_the_headers(
        subject in r"(\PC|\r|\n|\x00|: |Bcc|<|>|@){0,60}",
        name in r"(\PC|\r|\n|\x00|: |Bcc|<|>|,|@){0,60}",
        local in r#"(\PC|\r|\n|"|<|>|,| ){1,12}"#,
    ) {
        let mut message = message(7);
        message.subject = subject.clone();
        message.contact.attributes.insert("name".into(), Value::from(name.clone()));
        let composer = composer(None);
        let odd = DueMessage { to: format!("{local}@example.com"), ..message.clone() };
        let rendered = Rendered { html: None, text: Some("body".into()) };
        for message in [message, odd] {
            let Ok(composed) = composer.build(&message, "t", "mailto:x@y", rendered.clone()) else { continue };
            let parsed = MessageParser::default().parse(&composed.outgoing.source).unwrap();
            let names: Vec<_> = parsed.headers().iter().map(|header| header.name().to_owned()).collect();
            prop_assert_eq!(names, [
                "From", "To", "Subject", "Date", "Message-ID", "List-Unsubscribe", "Auto-Submitted", "Reply-To",
                "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
            ]);
            let body = parsed.body_text(0).unwrap().into_owned();
            prop_assert_eq!(body.trim_end(), "body");
            prop_assert_eq!(parsed.subject().unwrap_or_default(), one_line(&subject));
            let to = parsed.header(Parsed::To).unwrap().as_address().unwrap();
            prop_assert_eq!(to.iter().count(), 1);
        }
    }
}
