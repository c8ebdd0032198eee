//! Rounds of delivery against real sockets.

mod faults;
mod leases;
pub(crate) mod outbox;
mod rounds;
pub(crate) mod server;
mod servers;

use std::sync::Arc;

use dripline_model::Clock;
use jiff::{SignedDuration, Timestamp};

use self::outbox::{MemoryOutbox, noon};
use crate::{Deliverer, DeliveryConfig, RetryPolicy, Sender, SmtpConfig, Transport, UncertainRule};

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
        on_uncertain: UncertainRule::default(),
        retry: RetryPolicy { attempts: 3, ..RetryPolicy::default() },
    }
}

fn deliverer(outbox: &Arc<MemoryOutbox>, config: &DeliveryConfig) -> Deliverer {
    let clock: Arc<dyn Clock> = outbox.clock.clone();
    Deliverer::over(Arc::clone(outbox) as _, Arc::clone(outbox) as _, clock, config).unwrap()
}

fn over_smtp(outbox: &Arc<MemoryOutbox>, smtp: &SmtpConfig) -> Deliverer {
    over_servers(outbox, std::slice::from_ref(smtp))
}

/// A deliverer to these servers, in this order.
fn over_servers(outbox: &Arc<MemoryOutbox>, servers: &[SmtpConfig]) -> Deliverer {
    deliverer(outbox, &config(Transport::Smtp(servers.to_vec())))
}

/// That many minutes after noon.
fn after_minutes(minutes: i64) -> Timestamp {
    noon() + SignedDuration::from_mins(minutes)
}
