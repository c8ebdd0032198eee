//! The checker finds what is wrong: a store that is right passes, and each kind of damage done to it is found.

use dripline_checker::{Accepted, Expected, Facts, Kind, Report, check};
use rusqlite::Connection;

use super::campaign::{Campaign, Pace};
use crate::smtp::Receiver;

/// What is done to the store, and as what the checker must see it.
const DAMAGE: &[(&str, &str, Kind)] = &[
    ("a decision is gone", "DELETE FROM decisions WHERE id = (SELECT min(id) FROM decisions WHERE turn = 2)", Kind::Loss),
    (
        "a decision is there twice",
        "INSERT INTO decisions (run_id, version_id, contact_id, node, turn, at, kind, reason)
         SELECT run_id, version_id, contact_id, node, turn, at, kind, reason FROM decisions WHERE turn = 3 LIMIT 1",
        Kind::Duplicate,
    ),
    ("a turn went another way", "UPDATE decisions SET node = node + 1 WHERE id = (SELECT max(id) FROM decisions)", Kind::Wrong),
    ("a branch was taken without reason", "UPDATE runs SET node = 0 WHERE id = 1", Kind::Wrong),
    ("the last turn is gone", "DELETE FROM decisions WHERE id = (SELECT max(id) FROM decisions WHERE kind = 9)", Kind::Loss),
    ("a run is gone", "DELETE FROM runs WHERE id = 3", Kind::Loss),
    (
        "a contact entered twice",
        "INSERT INTO runs (workflow_id, version_id, contact_id, node, status, turn, attempts, hops, enrolled_at, ended_at)
         SELECT workflow_id, version_id, contact_id, node, status, turn, attempts, hops, enrolled_at, ended_at
         FROM runs WHERE id = 1",
        Kind::Duplicate,
    ),
    ("a run is stuck", "UPDATE runs SET status = 0, ended_at = NULL, due_at = 1 WHERE id = 1", Kind::Loss),
    (
        "a run that came to its end is said to have reached a goal",
        "INSERT OR IGNORE INTO words (word) VALUES ('goal reached: event nothing');
         UPDATE decisions SET reason = (SELECT id FROM words WHERE word = 'goal reached: event nothing')
         WHERE id = (SELECT max(id) FROM decisions WHERE kind = 9)",
        Kind::Wrong,
    ),
    ("a run is called won that came to its end", "UPDATE runs SET status = 4 WHERE status = 1", Kind::Wrong),
    ("a run that reached its goal is called completed", "UPDATE runs SET status = 1 WHERE status = 4", Kind::Wrong),
    (
        "nobody skipped the step that failed",
        "DELETE FROM decisions WHERE kind = 4 AND run_id IN (SELECT run_id FROM decisions WHERE kind = 8)",
        Kind::Wrong,
    ),
    ("that a mail was put off is not recorded", "DELETE FROM decisions WHERE kind = 6 AND turn = 8", Kind::Loss),
    ("a run failed", "UPDATE runs SET status = 2 WHERE id = 1", Kind::Wrong),
    ("an event was not dealt with", "UPDATE events SET state = 1 WHERE id = 1", Kind::Loss),
    ("a refusal is not recorded", "DELETE FROM decisions WHERE id = (SELECT min(id) FROM decisions WHERE kind = 1)", Kind::Loss),
    ("a score is one too high", "UPDATE contact_scores SET value = value + 1 WHERE contact_id = 4", Kind::Duplicate),
    ("a score is one too low", "UPDATE contact_scores SET value = value - 1 WHERE contact_id = 4", Kind::Loss),
    ("a score is gone", "DELETE FROM contact_scores WHERE contact_id = 4", Kind::Loss),
    (
        "points were given twice",
        "INSERT INTO score_entries (contact_id, score, points, total, because, at, run_id, turn, workflow_id, step)
         SELECT contact_id, score, points, total, because, at, run_id, turn, workflow_id, step
         FROM score_entries WHERE contact_id = 4;
         UPDATE contact_scores SET value = 2 * value WHERE contact_id = 4",
        Kind::Wrong,
    ),
    ("a message is gone", "DELETE FROM messages WHERE id = 5", Kind::Loss),
    (
        "a message was queued twice",
        "DROP INDEX messages_key;
         INSERT INTO messages (run_id, turn, effect, contact_id, version_id, node, template, transactional, status,
            queued_at, recipient, subject)
         SELECT run_id, turn, effect, contact_id, version_id, node, template, transactional, status, queued_at,
            recipient, subject FROM messages WHERE id = 5",
        Kind::Duplicate,
    ),
    ("a message is queued still", "UPDATE messages SET status = 0, due_at = 1 WHERE id = 5", Kind::Duplicate),
    ("a message is on the wire still", "UPDATE messages SET status = 1 WHERE id = 5", Kind::Duplicate),
    ("a message failed", "UPDATE messages SET status = 3 WHERE id = 5", Kind::Wrong),
    (
        "a message that was never sent is called sent",
        "UPDATE messages SET message_id = 'nobody@dripline.example' WHERE id = 5",
        Kind::Loss,
    ),
    ("an owner is gone", "DELETE FROM owners WHERE contact_id = (SELECT min(contact_id) FROM owners)", Kind::Loss),
    (
        "a contact was assigned twice",
        "INSERT INTO assignments (contact_id, rep_id, team, because, at, run_id, turn)
         SELECT contact_id, rep_id, team, because, at, run_id, turn FROM assignments WHERE id = 1;
         UPDATE owners SET assignment_id = (SELECT max(id) FROM assignments)
         WHERE contact_id = (SELECT contact_id FROM assignments WHERE id = 1)",
        Kind::Duplicate,
    ),
    ("a member is gone", "DELETE FROM segment_members WHERE contact_id = (SELECT min(contact_id) FROM segment_members)", Kind::Wrong),
    ("a tag came from nowhere", "INSERT INTO contact_tags (contact_id, tag) VALUES (1, 1)", Kind::Wrong),
];

#[test]
fn the_checker_finds_every_kind_of_damage() {
    let (campaign, receiver) = Campaign::new(60).copy();
    campaign.finish();
    campaign.assert_clean(&receiver, "undisturbed");
    for (what, sql, kind) in DAMAGE {
        let damaged = campaign.twin();
        let store = Connection::open(damaged.workspace.path(".dripline/dripline.db")).unwrap();
        store.execute_batch(&format!("PRAGMA foreign_keys = off; {sql}")).unwrap();
        drop(store);
        let report = damaged.check(&receiver);
        assert!(report.count(*kind) > 0, "{what}: {report}");
    }

    let facts = campaign.facts();
    let accepted = receiver.accepted();
    let (first, _) = accepted.first_key_value().unwrap();
    let with = |change: &dyn Fn(&mut Accepted)| -> Report {
        let mut accepted = accepted.clone();
        change(&mut accepted);
        check(&facts, Some(&accepted), &campaign.expected())
    };
    let lost = with(&|accepted| accepted.retain(|id, _| id != first));
    assert_eq!((lost.count(Kind::Loss), lost.problems.len()), (1, 1), "{lost}");
    let twice = with(&|accepted| accepted.extend([(first.clone(), 2)]));
    assert_eq!((twice.count(Kind::Duplicate), twice.problems.len()), (1, 1), "{twice}");
    let strange = with(&|accepted| accepted.extend([("nobody@dripline.example".to_owned(), 1)]));
    assert_eq!((strange.count(Kind::Duplicate), strange.problems.len()), (1, 1), "{strange}");
}

#[test]
fn runs_that_a_person_moved_to_another_version_are_right() {
    let campaign = Campaign::with_pace(60, Pace::DaysUncapped);
    let receiver = Receiver::start();
    campaign.workspace.send_through(receiver.port, "");
    campaign.import();
    campaign.ok(&["run"]);
    campaign.workspace.replace("workflows/nurture.yaml", "subject: Reminder", "subject: Do not forget");
    campaign.ok(&["run"]);
    let moved = campaign.workspace.ok(&["workflows", "migrate", "nurture"]);
    assert!(moved.contains("moved to version 2 of nurture"), "{moved}");
    campaign.leap_to_the_end();
    campaign.mend(&["run"]);
    let report = check(&campaign.facts(), Some(&receiver.accepted()), &Expected::default());
    assert!(report.is_clean(), "{report}");
}

#[test]
fn what_is_no_store_cannot_be_checked() {
    let campaign = Campaign::without_contacts(1);
    assert!(Facts::of_sqlite(&campaign.workspace.path("contacts.csv")).is_err());
}
