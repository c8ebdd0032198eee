//! From rendered parts to the exact bytes of a message (RFC 5322).
//!
//! The same message always becomes the same bytes: its date, its Message-ID and its boundaries come from the outbox,
//! not from the machine. So a second try is the same message, and a receiver that has the first drops it.

use std::time::SystemTime;

use dripline_model::{Contact, Digest};
use dripline_store::{DueMessage, Outgoing};
use dripline_template::{Email, Rendered, View};
use jiff::Timestamp;
use lettre::{
    Message,
    address::Address,
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};

use crate::{
    config::{DeliveryConfig, Sender},
    error::{DeliveryError, DeliveryErrorKind},
};

/// How wide the text part is that is derived from HTML (RFC 5322 §2.1.1 recommends 78).
const TEXT_WIDTH: usize = 78;

/// Makes messages of one sender.
pub(crate) struct Composer {
    sender: Sender,
    from: Mailbox,
    reply_to: Option<Mailbox>,
    unsubscribe_url: Option<String>,
}

/// A message that is ready to go.
#[derive(Debug)]
pub(crate) struct Composed {
    /// What the store keeps.
    pub(crate) outgoing: Outgoing,
    /// Where it goes.
    pub(crate) to: Address,
}

impl Composer {
    /// The composer of this configuration.
    pub(crate) fn new(config: &DeliveryConfig) -> Result<Self, DeliveryError> {
        let wrong = |kind| DeliveryError { doing: "prepare the sender", kind };
        let sender = config.sender.clone();
        let email = address(&sender.email).map_err(wrong)?;
        if !email.domain().is_ascii() {
            return Err(wrong(DeliveryErrorKind::Domain(email.domain().to_owned())));
        }
        let reply_to = sender.reply_to.as_deref().map(address).transpose().map_err(wrong)?;
        if let Some(url) = config.unsubscribe_url.as_deref().filter(|url| !is_web_address(url)) {
            return Err(wrong(DeliveryErrorKind::UnsubscribeUrl(url.to_owned())));
        }
        Ok(Self {
            from: Mailbox::new(named(&sender.name), email),
            reply_to: reply_to.map(|address| Mailbox::new(None, address)),
            unsubscribe_url: config.unsubscribe_url.clone(),
            sender,
        })
    }

    /// The envelope's sender, where bounces go.
    pub(crate) fn from(&self) -> &Address {
        &self.from.email
    }

    /// Renders and builds a message. The error says, for people, why that cannot be done.
    pub(crate) fn compose(&self, message: &DueMessage, email: &Email) -> Result<Composed, String> {
        let token = token(message);
        let unsubscribe = self.unsubscribe(&token);
        let rendered = self.render(message, email, &unsubscribe)?;
        self.build(message, &token, &unsubscribe, rendered)
    }

    /// Does what can fail of [`Composer::compose`], without the bytes.
    pub(crate) fn rehearse(&self, message: &DueMessage, email: &Email) -> Result<(), String> {
        address(&message.to).map_err(|error| error.to_string())?;
        self.render(message, email, &self.unsubscribe(&token(message))).map(drop)
    }

    fn render(&self, message: &DueMessage, email: &Email, unsubscribe: &str) -> Result<Rendered, String> {
        email
            .render(&View {
                contact: &message.contact,
                subject: &message.subject,
                topic: message.topic.as_deref(),
                sender_name: &self.sender.name,
                sender_email: &self.sender.email,
                unsubscribe_url: unsubscribe,
            })
            .map_err(|error| error.to_string())
    }

    fn build(
        &self,
        message: &DueMessage,
        token: &str,
        unsubscribe: &str,
        rendered: Rendered,
    ) -> Result<Composed, String> {
        let to = address(&message.to).map_err(|error| error.to_string())?;
        let message_id = format!("{token}@{}", self.from.email.domain());
        let mut builder = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(display_name(&message.contact), to.clone()))
            .subject(one_line(&message.subject))
            .date(date(message.queued_at))
            .message_id(Some(format!("<{message_id}>")))
            .raw_header(raw("List-Unsubscribe", format!("<{unsubscribe}>")))
            // RFC 3834 §5: so that nobody's holiday answers a campaign.
            .raw_header(raw("Auto-Submitted", "auto-generated".to_owned()));
        if let Some(reply_to) = &self.reply_to {
            builder = builder.reply_to(reply_to.clone());
        }
        if unsubscribe.starts_with("https://") {
            // RFC 8058 §3.1
            builder =
                builder.raw_header(raw("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()));
        }
        let text = match (rendered.text, &rendered.html) {
            (Some(text), _) => text,
            (None, Some(html)) => text_of(html)?,
            (None, None) => return Err(format!("template `{}` has neither HTML nor text", message.template)),
        };
        let built = match rendered.html {
            Some(html) => builder.multipart(
                // The last part is the one to prefer (RFC 2046 §5.1.4).
                MultiPart::alternative()
                    .boundary(format!("=_{token}"))
                    .singlepart(SinglePart::plain(text))
                    .singlepart(SinglePart::html(html)),
            ),
            None => builder.singlepart(SinglePart::plain(text)),
        };
        let source = built.map_err(|error| error.to_string())?.formatted();
        Ok(Composed { outgoing: Outgoing { id: message.id, message_id, source }, to })
    }

    /// Where the receiver of the message with this token unsubscribes.
    fn unsubscribe(&self, token: &str) -> String {
        match &self.unsubscribe_url {
            Some(url) => format!("{url}{}message={token}", if url.contains('?') { '&' } else { '?' }),
            None => format!("mailto:unsubscribe@{}?subject=unsubscribe%20{token}", self.from.email.domain()),
        }
    }
}

/// What names a message to the world: the same for every try, another in every store, and not to be guessed by who
/// knows only its run.
fn token(message: &DueMessage) -> String {
    let identity = format!(
        "{}\n{}\n{}\n{}\n{}",
        message.key,
        message.run,
        message.contact.id,
        message.to,
        message.queued_at.as_millisecond()
    );
    let digest = Digest::of(identity.as_bytes());
    digest.as_str().chars().take(32).collect()
}

fn address(text: &str) -> Result<Address, DeliveryErrorKind> {
    text.parse().map_err(|source| DeliveryErrorKind::Address { address: text.to_owned(), source })
}

/// The contact's `name`, or `first_name` and `last_name`, if it has such attributes.
fn display_name(contact: &Contact) -> Option<String> {
    let text = |name: &str| contact.attributes.get(name).and_then(|value| value.as_str());
    match text("name") {
        Some(name) => named(name),
        None => named(
            &[text("first_name"), text("last_name")].into_iter().flatten().collect::<Vec<_>>().join(" "),
        ),
    }
}

fn named(name: &str) -> Option<String> {
    Some(one_line(name)).filter(|name| !name.is_empty())
}

/// The text without line ends and other control characters, so that it cannot begin a header of its own, and without
/// runs of spaces, which encoding and folding do not keep.
fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c == ' ' || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// The instant as lettre's `Date` takes it: between 1970 and 9999.
fn date(at: Timestamp) -> SystemTime {
    SystemTime::from(at.max(Timestamp::UNIX_EPOCH))
}

/// A header of printable ASCII that must stand as it is: encoded words are not read in it.
fn raw(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), value.clone(), value)
}

fn is_web_address(url: &str) -> bool {
    ["https://", "http://"].iter().any(|scheme| url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
        && url.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"#".contains(&byte))
}

/// The text part for readers who see no HTML. Links become footnotes, which are never broken; the cells of a table,
/// which lay out a mail more often than they hold data, stand one below the other.
fn text_of(html: &str) -> Result<String, String> {
    html2text::config::plain()
        .raw_mode(true)
        .no_link_wrapping()
        .allow_width_overflow()
        .string_from_read(html.as_bytes(), TEXT_WIDTH)
        .map_err(|error| format!("the HTML cannot be read as text: {error}"))
}

#[cfg(test)]
mod tests;
