use std::sync::Arc;

use dripline_model::{DrivenClock, SystemClock};
use dripline_store::{Claimant, Database, ProcessSeen, Store, Work};
use jiff::Timestamp;

use crate::stores;

fn process(name: &str, work: Work) -> ProcessSeen {
    let started_at = "2026-01-01T00:00:00Z".parse().unwrap();
    ProcessSeen { claimant: Claimant::named(name), version: "1.2.3".into(), work, started_at }
}

/// The machine's time, `seconds` off.
fn clock(seconds: i64) -> DrivenClock {
    let now = Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    DrivenClock::starting_at(Timestamp::from_millisecond(now.as_millisecond()).unwrap())
}

stores! {
    async fn processes_are_there_from_when_they_say_so_until_they_end(store: Arc<dyn Store>) {
        let (one, two) = (process("a/1/x", Work::Run), process("b/2/y", Work::Worker));
        store.seen(&one, &clock(-30)).await.unwrap();
        store.seen(&two, &clock(0)).await.unwrap();
        let later = clock(-20);
        store.seen(&one, &later).await.unwrap();
        let processes = store.processes().await.unwrap();
        assert_eq!(processes.iter().map(|process| &process.said).collect::<Vec<_>>(), [&one, &two]);
        assert_eq!(processes[0].seen_at, dripline_model::Clock::now(&later), "by its own clock");
        if let Some(skew) = processes[0].skew_ms {
            assert!((-25_000..=-19_000).contains(&skew), "{skew}");
        }
        store.gone(&one.claimant).await.unwrap();
        store.gone(&one.claimant).await.unwrap();
        assert_eq!(store.processes().await.unwrap().len(), 1);
    }

    async fn who_was_not_seen_for_a_day_is_forgotten(store: Arc<dyn Store>) {
        let (old, new) = (process("a/1/x", Work::Run), process("b/2/y", Work::Run));
        let is_server = store.presence_period().is_some();
        store.seen(&old, &clock(-25 * 3600)).await.unwrap();
        store.seen(&new, &clock(0)).await.unwrap();
        let processes = store.processes().await.unwrap();
        // With a server, a clock that is a day wrong is just that: the process was seen now, by the server's clock.
        assert_eq!(processes.len(), if is_server { 2 } else { 1 });
        assert_eq!(processes.last().unwrap().said, new);
    }

    async fn an_empty_store_is_well(store: Arc<dyn Store>) {
        let condition = store.health(&SystemClock).await.unwrap();
        assert_eq!(condition.version, condition.known);
        assert_eq!((condition.index_faults.len(), condition.sending.len()), (0, 0));
        match condition.database {
            Database::File { damage } => assert!(damage.is_empty(), "{damage:?}"),
            Database::Server(server) => {
                assert!(server.skew_ms.abs() < 1_000, "{server:?}");
                assert!(server.autovacuum && server.without_autovacuum.is_empty());
                assert!(server.connection_limit > 10, "{server:?}");
            }
        }
    }
}
