//! Statements go by their indexes, however many rows there are.

use std::collections::BTreeMap;

use dripline_test_postgres::Server;
use jiff::Timestamp;
use sqlx::{AssertSqlSafe, Executor as _, query_scalar, raw_sql};

use super::{
    PostgresConfig, PostgresStore, contacts, dates, experiments, firings, held, kin, outbox, prune, segments,
    statements, transaction,
};
use crate::{ContactRow, Ingest as _};

/// Years of rows of which few are old. What stays empty is not analysed: nothing has to be done for rows that are not there.
const MANY: &str = "
INSERT INTO contacts (id, uid, external_id, attributes, created_at, updated_at)
SELECT i, '', i, '{}', 0, 0 FROM generate_series(1, 20000) AS i;
INSERT INTO runs (contact_id, workflow_id, version_id, due_at, enrolled_at, ended_at, node, turn, attempts, hops, status)
SELECT i, 1, 1, CASE WHEN i % 2 = 0 THEN 1000000 END, 0, CASE WHEN i % 2 = 1 THEN i END, 0, 0, 0, 0, i % 2
FROM generate_series(1, 20000) AS i;
INSERT INTO events (contact_id, name, at, state) SELECT i, 1, i, i % 3 FROM generate_series(1, 20000) AS i;
INSERT INTO decisions (run_id, version_id, contact_id, at, reason, turn, kind)
SELECT CASE WHEN i % 10 > 0 THEN i END, 1, i, i, 1, 0, 0 FROM generate_series(1, 20000) AS i;
INSERT INTO score_entries (contact_id, score, points, total, because, at, run_id, workflow_id, step, cleared_at, turn)
SELECT i, 1, 1, 1, 1, i, i, 1, 1, CASE WHEN i % 10 = 0 THEN i END, 0 FROM generate_series(1, 20000) AS i;
INSERT INTO messages (run_id, contact_id, version_id, template, queued_at, sent_at, turn, effect, node, status,
    transactional, recipient, subject)
SELECT i, i, 1, 1, i, i, 0, 0, 0, 2, FALSE, 'a@b.example', 'Hi' FROM generate_series(1, 20000) AS i;
INSERT INTO message_sources (message_id, source) SELECT id, 'Hi' FROM messages;
ANALYZE contacts, runs, events, decisions, score_entries, messages, message_sources";

/// The statements that look, and the index by which each has to go (the first partition's, where there are any).
const LOOKS: &[(&str, &str)] = &[
    (prune::EVENTS, "events_0_at_idx"),
    (prune::RUNS, "runs_ended"),
    (prune::REFUSALS, "decisions_0_at_idx"),
    (prune::SCORE_ENTRIES, "score_entries_0_cleared_at_idx"),
    (prune::MAIL_BODIES, "message_sources_0_pkey"),
];

const DELETIONS: &[&str] = &[
    prune::DELETE_DECISIONS,
    prune::DELETE_EVENTS,
    prune::DELETE_MAIL_BODIES,
    prune::DELETE_REFUSALS,
    prune::DELETE_SCORE_ENTRIES,
];

/// The statements of batches and deliveries.
const HOT: &[&str] = &[
    contacts::CONTACTS,
    contacts::SCORES,
    contacts::TAGS,
    contacts::CONSENTS,
    contacts::SEGMENTS,
    contacts::OWNERS,
    experiments::ARMS,
    experiments::ARM_HAS,
    experiments::MARK_REACHED,
    experiments::OPEN_ARMS,
    experiments::TRIAL,
    firings::CONTACTS_AFTER,
    firings::MEMBERS_AFTER,
    firings::OPEN,
    kin::ACTIVE,
    kin::CALLS,
    kin::CHILDREN,
    kin::INSERT_PATHS,
    kin::WAKE_PARENTS,
    outbox::ANY_ABANDONED,
    outbox::CLAIM,
    outbox::MARK_SENDING,
    outbox::NEXT_DUE,
    outbox::RECOVER,
    outbox::SETTLE,
    statements::BY_EMAIL,
    statements::BY_EXTERNAL_ID,
    statements::CLEAR_ENTRIES,
    statements::END_RUNS,
    statements::FIND_REPRESENTATIVES,
    statements::FIND_SEGMENTS,
    statements::KNOWN_EVENT_KEYS,
    statements::LEAVE,
    statements::MEMBERSHIPS,
    statements::MOVE_RUNS,
    statements::MOVE_WAITING_RUNS,
    statements::GIFTS_IN_ORDER,
    statements::PUT_ATTRIBUTES,
    statements::QUEUE_MESSAGES,
    statements::REMOVE_TAGS,
    statements::SCORES,
    statements::STANDING_ENTRIES,
    statements::STANDING_GIFTS,
    statements::UPDATE_CONTACTS,
    dates::OF,
    held::CLAIM,
    held::LET_GO,
    held::NEXT_AFTER_RUN,
    held::NEXT_IN_LINE,
    held::OF,
    held::WAIT_AGAIN,
    segments::ADVANCE,
    segments::ADVANCE_DATES,
    segments::UNFINISHED_DATES,
    segments::CHANGED,
    segments::FORGET_CHANGED,
    segments::TIMED,
    segments::UNFINISHED,
    statements::PAST_EVENTS,
    statements::ONLOOKERS,
    statements::WAKE_RUNS,
    transaction::ACTIVE_RUNS,
    transaction::CLAIM_EVENTS,
    transaction::CLAIM_RUNS,
    transaction::FINISH_EVENTS,
    transaction::ARRIVED,
    transaction::LATEST_RUNS,
    transaction::LOCK_CONTACTS,
    transaction::LOOK,
    transaction::MAILED,
    transaction::NEXT_DUE,
    transaction::PAST_EVENTS,
    transaction::PENDING_EVENTS,
    transaction::WAITING_RUNS,
];

/// How many values a statement takes: the largest of `$1`, `$2`, …
fn places(sql: &str) -> usize {
    let number = |rest: &str| rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok());
    sql.split('$').skip(1).filter_map(number).max().unwrap_or(0)
}

#[tokio::test]
async fn no_statement_of_the_hot_path_scans_a_table() {
    let Some(server) = Server::shared() else { return };
    let config = PostgresConfig { connections: 2, ..PostgresConfig::new(server.database().await) };
    let store = PostgresStore::open(&config).await.unwrap();
    for many in [false, true] {
        if many {
            store.shared.readers.execute(MANY).await.unwrap();
        }
        for sql in HOT {
            // A plan for all values is made once, so that it is the same for none at all.
            let values = vec!["NULL"; places(sql)].join(", ");
            let plan = plan(&store, FOR_ANY, sql, "", &values).await;
            let scans = |line: &str| line.contains("Seq Scan on") && !is_small(line);
            assert!(!plan.lines().any(scans) && !plan.contains("Hash Join"), "{plan}\nof {sql}");
            assert_eq!(walks(&plan), None, "{plan}\nof {sql}");
        }
        let plan = plan(&store, FOR_ANY, transaction::CLAIM_RUNS, "", "NULL, NULL, NULL").await;
        assert!(plan.contains("Index Scan using runs_due on runs") && !plan.contains("Sort"), "{plan}");
    }
}

/// What the next slice of an import asks, with the types of its values.
const OF_A_SLICE: &[(&str, &str)] =
    &[(statements::BY_EMAIL, "text[]"), (statements::BY_EXTERNAL_ID, "text[]")];

/// What joins a batch with that which an import has brought.
const OF_A_BATCH: &[(&str, &str)] = &[
    (contacts::CONTACTS, "int8[], bool"),
    (contacts::CONSENTS, "int8[]"),
    (statements::PUT_ATTRIBUTES, "int8[], text[], int8"),
    (transaction::LOCK_CONTACTS, "int8[]"),
];

#[tokio::test]
async fn an_import_beside_which_statistics_were_taken_is_not_walked_over() {
    let Some(server) = Server::shared() else { return };
    let config = PostgresConfig { connections: 3, ..PostgresConfig::new(server.database().await) };
    let store = PostgresStore::open(&config).await.unwrap();
    let words = "INSERT INTO words (key, word) SELECT i, i FROM generate_series(1, 1000) AS i";
    store.shared.readers.execute(words).await.unwrap();
    let mut import = store.begin_import().await.unwrap();
    for slice in 0..20 {
        let row = |number: i32| ContactRow {
            external_id: Some(format!("c{number}")),
            email: Some(format!("c{number}@a.example")),
            consents: BTreeMap::from([("email".to_owned(), true)]),
            ..ContactRow::default()
        };
        let rows: Vec<ContactRow> = (slice * 1_000..(slice + 1) * 1_000).map(row).collect();
        import.upsert_contacts(&rows, Timestamp::UNIX_EPOCH).await.unwrap();
    }
    // As the server does it by itself: it leaves out what somebody has locked, or else nobody is there yet.
    store.shared.readers.execute("ANALYZE (SKIP_LOCKED)").await.unwrap();
    walk_over_nothing(&store, OF_A_SLICE).await;
    import.commit().await.unwrap();
    walk_over_nothing(&store, OF_A_BATCH).await;
}

async fn walk_over_nothing(store: &PostgresStore, statements: &[(&str, &str)]) {
    let ids = (1..=1_000).map(|id: i32| id.to_string()).collect::<Vec<_>>().join(",");
    let value = |kind: &str| match kind {
        "bool" => "TRUE".to_owned(),
        "int8" => "0".to_owned(),
        _ => format!("'{{{ids}}}'"),
    };
    for (sql, types) in statements {
        let values: Vec<String> = types.split(", ").map(value).collect();
        let plan = plan(store, FOR_THESE, sql, types, &values.join(", ")).await;
        assert_eq!(walks(&plan), None, "{plan}\nof {sql}");
    }
}

/// Of workflows, their dates and segments there are as many as files say.
fn is_small(line: &str) -> bool {
    ["workflows", "date_triggers", "segment_rules"].iter().any(|table| line.contains(&format!(" on {table}")))
}

/// An index of all rows of a table that is walked over from one end to the other.
fn walks(plan: &str) -> Option<&str> {
    let mut lines = plan.lines().peekable();
    while let Some(line) = lines.next() {
        let index = line.split_once(" using ").map(|(_, rest)| rest.split(' ').next().unwrap_or_default());
        let is_of_all = |index: &str| ["_pkey", "_key", "_of"].iter().any(|end| index.ends_with(end));
        let is_scan = index.is_some_and(|index| is_of_all(index) || begins_with_contacts(index));
        let mut is_narrowed = false;
        while let Some(part) = lines.next_if(|next| !next.trim_start().starts_with("->")) {
            // An index by contacts is walked over as well where another of its columns is what narrows it.
            let narrows = !index.is_some_and(begins_with_contacts) || part.contains("contact_id");
            is_narrowed |= part.trim_start().starts_with("Index Cond") && narrows;
        }
        if is_scan && !is_narrowed && !is_small(line) {
            return Some(line);
        }
    }
    None
}

/// Whether contacts are the first column of an index of a table that grows for ever.
fn begins_with_contacts(index: &str) -> bool {
    let is_of_partition = (0..8).any(|number| index.contains(&format!("_{number}_contact_id_")));
    is_of_partition || index == "messages_of"
}

/// For any values whatever: what an index offers does not depend on them.
const FOR_ANY: &str = "force_generic_plan";

/// For these values, as writers plan.
const FOR_THESE: &str = "force_custom_plan";

/// The plan under the writers' settings.
async fn plan(store: &PostgresStore, mode: &str, sql: &str, types: &str, values: &str) -> String {
    let mut conn = store.shared.writers.acquire().await.unwrap();
    let types = if types.is_empty() { String::new() } else { format!("({types})") };
    let prepare = AssertSqlSafe(format!(
        "SET plan_cache_mode = {mode}; DEALLOCATE ALL; PREPARE looked_at {types} AS {sql}"
    ));
    raw_sql(prepare).execute(&mut *conn).await.unwrap();
    let values = if values.is_empty() { String::new() } else { format!("({values})") };
    let explain = AssertSqlSafe(format!("EXPLAIN (COSTS OFF) EXECUTE looked_at {values}"));
    let lines: Vec<String> = query_scalar(explain).persistent(false).fetch_all(&mut *conn).await.unwrap();
    conn.close().await.unwrap();
    lines.join("\n")
}

#[tokio::test]
async fn no_slice_scans_or_sorts_a_table() {
    let Some(server) = Server::shared() else { return };
    let config = PostgresConfig { connections: 2, ..PostgresConfig::new(server.database().await) };
    let store = PostgresStore::open(&config).await.unwrap();
    for many in [false, true] {
        if many {
            store.shared.readers.execute(MANY).await.unwrap();
        }
        for (sql, index) in LOOKS {
            let plan = plan(&store, FOR_ANY, sql, "int8, int8, int8, int8", "0, 0, 10, 5").await;
            assert!(!plan.contains("Seq Scan") && !plan.contains("Bitmap") && plan.contains(index), "{plan}");
            // Below the limit all is in its order.
            let limited = plan.split_once("Limit").unwrap().1;
            let sorts = |line: &str| line.trim_start_matches([' ', '-', '>']) == "Sort";
            assert!(!limited.lines().any(sorts) && !plan.contains("Incremental"), "{plan}");
        }
        for sql in DELETIONS {
            let plan = plan(&store, FOR_ANY, sql, "int8[], int8[]", "'{1}', '{1}'").await;
            assert!(!plan.contains("Seq Scan"), "{plan}");
        }
    }
}
