//! Rounds of delivery against real sockets.

mod faults;
pub(crate) mod outbox;
mod rounds;
pub(crate) mod server;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use self::outbox::{MemoryOutbox, noon};
use crate::{Deliverer, DeliveryConfig, OnUncertain, RetryPolicy, Sender, SmtpConfig, Transport};

/// The text that most tests send.
const WELCOME: &[(&str, &str)] = &[("welcome.txt", "Hello {{contact.first_name}}.\n.\n..two dots\n")];

pub(crate) fn config(transport: Transport) -> DeliveryConfig {
    DeliveryConfig {
        sender: Sender {
            name: "Dripline Demo".into(),
            email: "hello@dripline.example".into(),
            reply_to: Some("sales@dripline.example".into()),
        },
        unsubscribe_url: None,
        transport,
        on_uncertain: OnUncertain::Hold,
        retry: RetryPolicy { attempts: 3, ..RetryPolicy::default() },
    }
}

fn deliverer(outbox: &Arc<MemoryOutbox>, config: &DeliveryConfig) -> Deliverer {
    Deliverer::over(Arc::clone(outbox) as _, Arc::clone(outbox) as _, config).unwrap()
}

fn over_smtp(outbox: &Arc<MemoryOutbox>, smtp: &SmtpConfig) -> Deliverer {
    deliverer(outbox, &config(Transport::Smtp(smtp.clone())))
}

/// That many minutes after noon.
fn after_minutes(minutes: i64) -> Timestamp {
    noon() + SignedDuration::from_mins(minutes)
}
