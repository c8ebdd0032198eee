//! PostgreSQL is killed, restarted and cuts its connections while three engines work on one database.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../engine/support.rs"]
mod support;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dripline_checker::{ContactExpected, Expected, Facts, check};
use dripline_delivery::{Abandoned, Transport};
use dripline_model::{Clock, SystemClock};
use dripline_store::{
    Store,
    postgres::{PostgresConfig, PostgresStore},
};
use dripline_test_postgres::{Durability, Server};
use serde_json::json;
use tokio::sync::watch;
use tokio_postgres::NoTls;

use support::TestApp;

const CONTACTS: u32 = 300;
const ENGINES: usize = 3;

/// Waits and goes round, so that at every moment some runs are due and others in the middle of a batch.
const ROUNDS: &str = "name: rounds
on: {event: go}
steps:
  - id: hello
    email: {template: hello, subject: Hello}
  - id: again
    score: {name: rounds, add: 1, because: came round}
  - id: nap
    wait: 1s
  - id: enough
    if: contact.scores.rounds < 4
    then:
      - id: back
        goto: again
  - id: hand-over
    assign: {team: sales}
";

/// What should become of every contact.
fn expected() -> Expected {
    let step = |id: &str, how: &str| (id.to_owned(), how.to_owned());
    let mut turns = vec![step("hello", "done")];
    for round in 1..=4 {
        turns.extend([step("again", "done"), step("nap", "waiting"), step("enough", "branched")]);
        if round < 4 {
            turns.push(step("back", "branched"));
        }
    }
    turns.push(step("hand-over", "done"));
    let outcome = ContactExpected {
        scores: BTreeMap::from([("rounds".to_owned(), 4)]),
        assignments: 1,
        mails: vec!["hello".to_owned()],
        ..ContactExpected::default()
    };
    let mut expected = Expected::default();
    for number in 1..=CONTACTS {
        let contact = format!("c{number}");
        expected.runs.insert(("rounds".to_owned(), contact.clone()), turns.clone());
        expected.contacts.insert(contact, outcome.clone());
    }
    expected
}

/// Ends every connection but the one that asks for it.
async fn cut_connections(url: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let served = tokio::spawn(connection);
    client
        .batch_execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        .await
        .unwrap();
    drop(client);
    let _ = served.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_loses_nothing_and_repeats_nothing() {
    let Some(server) = Server::own(Durability::Full) else { return };
    let url = server.database().await;
    let open =
        async || Arc::new(PostgresStore::open(&PostgresConfig::new(&url)).await.unwrap()) as Arc<dyn Store>;
    let app = TestApp::over(open().await, &[("hello.txt", "Hello\n")]).await;
    app.publish(ROUNDS).await;
    app.contacts(CONTACTS, |_| json!({})).await;
    app.events(CONTACTS, "go", "2024-01-01T00:00:00Z").await;

    let (stop, stopped) = watch::channel(false);
    let mut engines = Vec::new();
    for _ in 0..ENGINES {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let engine = Arc::new(app.engine_of(open().await, clock, Transport::Mailbox, app.options()).await);
        let mut stopped = stopped.clone();
        engines.push(tokio::spawn(async move {
            engine.run_forever(async move { drop(stopped.wait_for(|stop| *stop).await) }).await
        }));
    }
    // The pauses decide where it happens, not whether the test passes.
    for round in 0..6 {
        tokio::time::sleep(Duration::from_millis(350)).await;
        match round % 3 {
            0 => cut_connections(&url).await,
            1 => {
                server.kill9().unwrap();
                server.start_again().unwrap();
            }
            _ => server.restart().unwrap(),
        }
    }
    // All have waited for the store, and go on by themselves.
    let is_over = async || {
        let due = app.store.next_due().await;
        due.is_ok_and(|due| due.is_none())
    };
    let waiting = tokio::time::timeout(Duration::from_secs(60), async {
        while !is_over().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    assert!(waiting.await.is_ok(), "the runs have not come to their end");
    stop.send_replace(true);
    for engine in engines {
        engine.await.unwrap().unwrap();
    }
    // What was claimed when the database went away is claimed until its lease ends, unless somebody knows better.
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let last = app.engine_of(open().await, clock, Transport::Mailbox, app.options()).await;
    last.recover(Abandoned::All).await.unwrap();
    last.run_until_idle().await.unwrap();

    let report = check(&Facts::of_postgres(&url).await.unwrap(), None, &expected());
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.turns as u32, CONTACTS * 17);
    eprintln!("{report}");
}
