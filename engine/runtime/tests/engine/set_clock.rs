//! The machine's clock is set back and forward while campaigns run.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use dripline_model::{Clock, decision::RunStatus};
use dripline_runtime::Settled;
use jiff::Timestamp;
use serde_json::json;

use crate::support::{TestApp, at};

/// A clock that an operator, or a time server, sets.
#[derive(Debug)]
struct SetClock(Mutex<Timestamp>);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

const CONTACTS: u32 = 5;

#[tokio::test]
async fn a_clock_that_is_set_repeats_nothing_and_skips_nothing() {
    let app = TestApp::new(&[("hello.txt", "Hello\n"), ("later.txt", "Later\n")]).await;
    let ids = app.contacts(CONTACTS, |_| json!({})).await;
    app.publish(
        "name: nurture
on: {event: go}
steps:
  - score: {name: visits, add: 1, because: came in}
  - email: {template: hello, subject: Hello}
  - wait: 1d
  - email: {template: later, subject: Later}
",
    )
    .await;
    app.publish(
        "name: daily
on: {schedule: '0 9 * * *'}
enroll: {again: always}
steps:
  - score: {name: days, add: 1, because: a day}
",
    )
    .await;
    app.events(CONTACTS, "go", "2024-01-01T10:00:00Z").await;

    let clock = Arc::new(SetClock(Mutex::new(at("2024-01-01T00:00:00Z"))));
    let engine = app.engine_by(clock.clone(), app.options()).await;
    let mut done = Vec::new();
    for now in [
        "2024-01-01T10:00:00Z", // the events have arrived, and the schedule has fired
        "2023-12-25T00:00:00Z", // back: none of that is to come again
        "2024-01-01T10:00:00Z",
        "2024-01-05T08:00:00Z", // forward: the wait is over, and of the firings that were missed the latest counts
        "2024-01-02T12:00:00Z", // back, to before that firing
        "2024-01-05T09:30:00Z",
    ] {
        *clock.0.lock().unwrap() = at(now);
        let moment = engine.run_until_idle().await.unwrap();
        done.push((moment.settled.turns, moment.settled.enrolled, moment.delivered.sent));
        assert_eq!(engine.settle(at(now)).await.unwrap(), Settled::default(), "all was done at {now}");
    }
    let all = u64::from(CONTACTS);
    assert_eq!(
        done,
        [(4 * all, 2 * all, all), (0, 0, 0), (0, 0, 0), (2 * all, all, all), (0, 0, 0), (all, all, 0),],
        "turns, runs that began, and mails at each moment"
    );

    let mut mails: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (template, to) in app.mails().await {
        mails.entry(to).or_default().push(template);
    }
    assert_eq!(mails.len(), ids.len());
    assert!(mails.values().all(|mails| *mails == ["hello", "later"]), "{mails:?}");
    for id in ids {
        let scores = app.contact(id).await.scores;
        assert_eq!((scores["visits"], scores["days"]), (1, 3), "contact {id}");
    }
    assert!(app.runs().await.iter().all(|run| run.status == RunStatus::Completed));
}
