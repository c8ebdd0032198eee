//! What is particular to the SQLite store: files, processes, locks.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use dripline_model::{id::WorkflowId, message::MessageStatus};
use dripline_store::{
    Abandoned, Catalog as _, Claimant, ContactRow, Decision, ErrorKind, Ingest as _, Outbox as _,
    Reports as _, Scheduling as _, UncertainRule, Undecided, sqlite::SqliteStore,
};
use jiff::Timestamp;
use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, SqliteConnection, sqlite::SqliteConnectOptions,
};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

async fn add_contact(store: &SqliteStore, key: &str) {
    let mut import = store.begin_import().await.unwrap();
    let row = ContactRow { external_id: Some(key.into()), ..ContactRow::default() };
    import.upsert_contacts(&[row], NOW).await.unwrap();
    import.commit().await.unwrap();
}

async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

#[tokio::test]
async fn what_was_committed_is_there_when_the_file_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/er/dripline.db");
    let store = SqliteStore::open(&path).await.unwrap();
    add_contact(&store, "anna").await;
    let mut dropped = store.begin_import().await.unwrap();
    let row = ContactRow { external_id: Some("bert".into()), ..ContactRow::default() };
    dropped.upsert_contacts(&[row], NOW).await.unwrap();
    drop((dropped, store));
    let store = SqliteStore::open(&path).await.unwrap();
    assert!(store.find_contact("anna").await.unwrap().is_some());
    assert_eq!(store.counts().await.unwrap().contacts, 1);
}

#[tokio::test]
async fn a_copy_has_everything_and_goes_its_own_way() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dripline.db");
    let store = SqliteStore::open(&path).await.unwrap();
    add_contact(&store, "anna").await;
    let before = std::fs::read(&path).unwrap();
    let copy = SqliteStore::copy_of(&path).await.unwrap();
    assert!(copy.find_contact("anna").await.unwrap().is_some());
    add_contact(&copy, "bert").await;
    assert_eq!((copy.counts().await.unwrap().contacts, store.counts().await.unwrap().contacts), (2, 1));
    assert_eq!(std::fs::read(&path).unwrap(), before, "what is copied is only read");
    assert!(SqliteStore::copy_of(&directory.path().join("none.db")).await.is_err());
    assert!(!directory.path().join("none.db").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_file_may_be_opened_by_many_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dripline.db");
    let opened: Vec<_> = (0..16)
        .map(|_| {
            let path = path.clone();
            tokio::spawn(async move { SqliteStore::open(&path).await.map(drop) })
        })
        .collect();
    for open in opened {
        open.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("letter.txt");
    let text = "Dear SQLite,\n".repeat(500);
    std::fs::write(&path, &text).unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::NotOurs { .. }), "{error}");
    assert!(error.to_string().contains("it is not an SQLite database"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing beside it");

    let error = SqliteStore::open(directory.path()).await.unwrap_err();
    assert!(error.to_string().contains("it is a directory"), "{error}");
}

#[tokio::test]
async fn a_damaged_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dripline.db");
    raw(&path).await.execute("CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(9000))").await.unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.get_mut(100..2000).unwrap().fill(0xab);
    std::fs::write(&path, &bytes).unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Damaged { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[tokio::test]
async fn another_programs_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.db");
    raw(&path).await.execute("CREATE TABLE notes (note TEXT)").await.unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::NotOurs { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn an_empty_file_becomes_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dripline.db");
    std::fs::write(&path, "").unwrap();
    SqliteStore::open(&path).await.unwrap();
}

#[tokio::test]
async fn a_newer_store_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dripline.db");
    drop(SqliteStore::open(&path).await.unwrap());
    let mut conn = raw(&path).await;
    conn.execute("INSERT INTO _sqlx_migrations VALUES (999, 'later', '', TRUE, x'00', 0)").await.unwrap();
    conn.close().await.unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Newer { found: 999, .. }), "{error}");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dripline.db");
    drop(SqliteStore::open(&path).await.unwrap());
    let mut permissions = std::fs::metadata(&path).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&path, permissions).unwrap();
    if std::fs::OpenOptions::new().write(true).open(&path).is_ok() {
        return; // The superuser writes anything.
    }
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(error.to_string().contains("readonly"), "{error}");
}

#[tokio::test]
async fn a_second_process_waits_for_the_first_to_commit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dripline.db");
    let (one, two) = (SqliteStore::open(&path).await.unwrap(), SqliteStore::open(&path).await.unwrap());
    let mut first = one.begin().await.unwrap();
    first.put_state("p", "k", b"1");
    let second = tokio::spawn(async move {
        let mut second = two.begin().await.unwrap();
        second.state("p", "k").await.unwrap()
    });
    assert_eq!(one.counts().await.unwrap().contacts, 0, "reading goes on meanwhile");
    assert!(one.teams().await.unwrap().is_empty());
    tokio::task::yield_now().await;
    assert!(!second.is_finished());
    first.commit().await.unwrap();
    assert_eq!(second.await.unwrap(), Some(b"1".to_vec()));
}

#[tokio::test]
async fn changes_are_heard_by_every_clone_and_across_processes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dripline.db");
    let one = SqliteStore::open(&path).await.unwrap();
    let (clone, other) = (one.clone(), SqliteStore::open(&path).await.unwrap());
    add_contact(&one, "anna").await;
    one.changed().await;
    clone.changed().await;
    other.changed().await;
}

#[tokio::test]
async fn a_batch_that_changes_nothing_is_no_change() {
    let store = SqliteStore::in_memory().await.unwrap();
    let mut batch = store.begin().await.unwrap();
    assert!(batch.claim_runs(WorkflowId(1), NOW, 10).await.unwrap().is_empty());
    batch.enroll(&[], NOW).await.unwrap();
    batch.refuse(&[], NOW).await.unwrap();
    batch.apply(&[], NOW).await.unwrap();
    batch.finish_events(&[]).await.unwrap();
    batch.commit().await.unwrap();
    let nobody = Claimant::named("nobody");
    assert!(store.claim_messages(&nobody, NOW, Timestamp::MAX, 10).await.unwrap().is_empty());
    store.settle(&nobody, &[], NOW).await.unwrap();
    for which in [Abandoned::LeaseEnded, Abandoned::All] {
        assert_eq!(store.recover_sending(UncertainRule::default(), which, NOW).await.unwrap(), 0);
    }
    let undecided = Undecided { status: MessageStatus::Uncertain, ids: None };
    assert_eq!(store.decide(&undecided, Decision::Resend, NOW).await.unwrap(), 0);
    tokio::select! {
        biased;
        () = store.changed() => panic!("nothing changed"),
        () = tokio::task::yield_now() => {}
    }
}
