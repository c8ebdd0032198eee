//! The statements of the hot path go by their indexes, however many rows there are.

use dripline_model::{clock::from_ms, id::WorkflowId};
use sqlx::{AssertSqlSafe, Executor as _, Row as _, query};

use super::{
    SqliteStore, contacts, dates, experiments, firings, held, kin, outbox, prune, requests, rows::RowsSql,
    segments, statements, transaction,
};
use crate::Scheduling as _;

const ROWS: &[RowsSql] = &[
    statements::MOVE_RUNS,
    statements::MOVE_WAITING_RUNS,
    statements::END_RUNS,
    statements::PUT_ATTRIBUTES,
    statements::REMOVE_TAGS,
    statements::QUEUE_MESSAGES,
    statements::BY_EXTERNAL_ID,
    statements::BY_EMAIL,
    statements::UPDATE_CONTACTS,
    statements::KNOWN_EVENT_KEYS,
    outbox::MARK_SENDING,
    outbox::SETTLE,
    statements::FIND_SEGMENTS,
    statements::LEAVE,
    experiments::MARK_REACHED,
    kin::INSERT_PATHS,
    statements::FIND_REPRESENTATIVES,
];

const STATEMENTS: &[&str] = &[
    contacts::CONTACTS,
    contacts::SCORES,
    contacts::TAGS,
    contacts::CONSENTS,
    contacts::SEGMENTS,
    contacts::OWNERS,
    experiments::ARMS,
    experiments::ARM_HAS,
    experiments::OPEN_ARMS,
    experiments::TRIAL,
    firings::MEMBERS_AFTER,
    firings::OPEN,
    kin::ACTIVE,
    kin::CALLS,
    kin::CHILDREN,
    kin::ORPHANS,
    kin::WAKE_BEREFT,
    kin::WAKE_PARENTS,
    outbox::ANY_ABANDONED,
    outbox::CLAIM,
    outbox::DUE,
    outbox::NEXT_DUE,
    outbox::RECOVER,
    prune::DELETE_DECISIONS,
    prune::DELETE_EVENTS,
    prune::DELETE_MAIL_BODIES,
    prune::DELETE_REFUSALS,
    prune::DELETE_SCORE_ENTRIES,
    requests::FORGET,
    prune::EVENTS,
    prune::MAIL_BODIES,
    prune::REFUSALS,
    prune::RUNS,
    prune::SCORE_ENTRIES,
    dates::OF,
    held::CLAIM,
    held::LET_GO,
    held::NEXT_AFTER_RUN,
    held::NEXT_IN_LINE,
    held::OF,
    held::WAIT_AGAIN,
    segments::ADVANCE,
    segments::ADVANCE_DATES,
    segments::CHANGED,
    segments::FORGET_CHANGED,
    segments::HAS_WORK,
    segments::TIMED,
    segments::UNFINISHED,
    statements::CLEAR_TIMERS,
    statements::PAST_EVENTS,
    statements::STANDING_ENTRIES,
    statements::SCORES,
    statements::MEMBERSHIPS,
    statements::WAKE_RUNS,
    transaction::ACTIVE_RUNS,
    transaction::CLAIM_EVENTS,
    transaction::CLAIM_RUNS,
    transaction::DUE_WORKFLOWS,
    transaction::FINISH_EVENTS,
    transaction::ARRIVED,
    transaction::LATEST_RUNS,
    transaction::MAILED,
    transaction::NEXT_DUE,
    transaction::PAST_EVENTS,
    transaction::PENDING_EVENTS,
    transaction::WAITING_RUNS,
];

/// What SQLite says that it will do, one line for each table.
async fn plan(store: &SqliteStore, sql: String) -> Vec<String> {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let rows = query(explain).fetch_all(&store.shared.readers).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>("detail")).collect()
}

/// Contacts of whom nearly all sleep in a workflow, and what SQLite knows of that.
const MANY: &str = "
INSERT INTO workflows (id, name, created_at) VALUES (1, 'w', 0);
INSERT INTO workflow_versions VALUES (1, 1, 1, '', '', '', 0, NULL, NULL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO contacts (id, uid, external_id, attributes, created_at, updated_at)
SELECT i, x'00', i, jsonb('{}'), 0, 0 FROM n;
INSERT INTO runs (workflow_id, version_id, contact_id, node, status, due_at, turn, attempts, hops, enrolled_at)
SELECT 1, 1, id, 0, 0, CASE WHEN id % 1000 = 0 THEN 5 ELSE 1000000 + id END, 0, 0, 0, 0 FROM contacts;
INSERT INTO events (contact_id, name, at, state) SELECT id, 1, id, id % 100 = 0 FROM contacts;
INSERT INTO contact_scores (contact_id, score, value) SELECT id, 1, 5 FROM contacts;
INSERT INTO contact_tags SELECT id, 1 FROM contacts;
ANALYZE";

#[tokio::test]
async fn no_statement_of_the_hot_path_scans_a_table() {
    for many in [false, true] {
        let store = SqliteStore::in_memory().await.unwrap();
        if many {
            store.shared.writer.execute(MANY).await.unwrap();
        }
        let rows = ROWS.iter().flat_map(|rows| [1, 256].map(|count| rows.sql(count)));
        for sql in STATEMENTS.iter().map(|sql| (*sql).to_owned()).chain(rows) {
            let plan = plan(&store, sql.clone()).await;
            for line in &plan {
                assert!(!is_slow(line), "{line}\nin {plan:#?}\nof {}", sql.get(..300).unwrap_or(&sql));
            }
        }
    }
}

/// Whether a line of a plan walks through something else than the values that were given or a subquery found.
fn is_slow(line: &str) -> bool {
    let given = [
        "VALUES",
        "CONSTANT",
        "VIRTUAL",
        "(subquery",
        "wanted",
        "moved",
        "ended",
        "new",
        "outgoing",
        "settled",
        // Holds only the firings that are under way.
        "firings_open",
        // A row for each file of the workspace.
        "workflows",
    ];
    // An index of only what is on the wires, or not done: all of it is few.
    let is_given = line.split(' ').any(|word| given.iter().any(|given| word.starts_with(given)))
        || line.ends_with(" messages_sending")
        || line.ends_with(" firings_open")
        || line.ends_with(" segment_rules_new")
        || line.ends_with(" date_triggers_new")
        // A row for each date that starts a workflow.
        || line.starts_with("SCAN t USING COVERING INDEX");
    line.contains("AUTOMATIC") || line.starts_with("SCAN") && !is_given && !line.contains("-ROW VALUES")
}

#[tokio::test]
async fn due_runs_are_found_by_their_index_among_many_that_sleep() {
    let store = SqliteStore::in_memory().await.unwrap();
    store.shared.writer.execute(MANY).await.unwrap();
    let plan = plan(&store, transaction::CLAIM_RUNS.to_owned()).await;
    let seek = "SEARCH runs USING INDEX runs_due (workflow_id=? AND due_at<?)";
    assert!(plan.iter().any(|line| line == seek), "{plan:#?}");
    assert!(!plan.iter().any(|line| line.contains("TEMP B-TREE")), "{plan:#?}");
    let mut batch = store.begin().await.unwrap();
    assert_eq!(batch.claim_runs(WorkflowId(1), from_ms(10), 1000).await.unwrap().len(), 20);
}

#[tokio::test]
async fn what_is_due_is_known_by_one_seek_for_each_workflow() {
    let store = SqliteStore::in_memory().await.unwrap();
    store.shared.writer.execute(MANY).await.unwrap();
    for sql in [transaction::DUE_WORKFLOWS, transaction::NEXT_DUE] {
        let plan = plan(&store, sql.to_owned()).await;
        // SQLite takes `min` of an index's next column from the first entry, and looks at no other.
        let seek = "SEARCH runs USING COVERING INDEX runs_due (workflow_id=? AND due_at>?)";
        let runs: Vec<_> = plan.iter().filter(|line| line.contains(" runs")).collect();
        assert_eq!(runs, [seek], "{plan:#?}");
    }
    let mut batch = store.begin().await.unwrap();
    assert_eq!(batch.due_workflows(from_ms(4)).await.unwrap(), []);
    assert_eq!(batch.due_workflows(from_ms(5)).await.unwrap(), [WorkflowId(1)]);
}

#[tokio::test]
async fn what_is_old_is_found_in_its_order_without_sorting() {
    for many in [false, true] {
        let store = SqliteStore::in_memory().await.unwrap();
        if many {
            store.shared.writer.execute(MANY).await.unwrap();
        }
        for (sql, seek) in [
            (prune::EVENTS, "SEARCH events USING INDEX events_old (at>? AND at<?)"),
            (prune::RUNS, "SEARCH runs USING INDEX runs_ended (ended_at>? AND ended_at<?)"),
            (prune::REFUSALS, "SEARCH decisions USING INDEX decisions_refused (at>? AND at<?)"),
            (
                prune::SCORE_ENTRIES,
                "SEARCH score_entries USING INDEX score_entries_cleared (cleared_at>? AND cleared_at<?)",
            ),
            (prune::MAIL_BODIES, "SEARCH s USING INTEGER PRIMARY KEY (rowid>?)"),
        ] {
            let plan = plan(&store, sql.to_owned()).await;
            assert!(plan.iter().any(|line| line == seek), "{plan:#?}");
            assert!(!plan.iter().any(|line| line.contains("TEMP B-TREE")), "{plan:#?}");
        }
    }
}
