//! The statements of the writing side. [`super::plans`] proves that none scans a table.

use super::rows::RowsSql;

pub(super) const BY_EXTERNAL_ID: RowsSql = RowsSql {
    head: "WITH wanted(key) AS (VALUES",
    row: "(?)",
    tail: ") SELECT wanted.key, c.id FROM wanted CROSS JOIN contacts c ON c.external_id = wanted.key",
};

pub(super) const BY_EMAIL: RowsSql = RowsSql {
    head: "WITH wanted(key) AS (VALUES",
    row: "(?)",
    tail: ") SELECT wanted.key, c.id FROM wanted CROSS JOIN contacts c ON c.email = wanted.key",
};

pub(super) const LAST_CONTACT: &str = "SELECT coalesce(max(id), 0) FROM contacts";

/// A row is never without both, not even between two statements; the update that follows writes the real ones.
pub(super) const RELEASE_EMAILS: &str = "
UPDATE contacts SET email = NULL, external_id = coalesce(external_id, char(0) || id)
WHERE id IN (SELECT value FROM json_each(?1))";

pub(super) const UPDATE_CONTACTS: RowsSql = RowsSql {
    head: "WITH new(id, external_id, email, attributes, created_at, updated_at) AS (VALUES",
    row: "(?, ?, ?, ?, ?, ?)",
    tail: ") UPDATE contacts SET external_id = new.external_id, email = new.email,
        attributes = jsonb(new.attributes), created_at = new.created_at, updated_at = new.updated_at
        FROM new WHERE contacts.id = new.id",
};

pub(super) const INSERT_CONTACTS: RowsSql = RowsSql {
    head: "INSERT INTO contacts (id, uid, external_id, email, attributes, created_at, updated_at) VALUES",
    row: "(?, ?, ?, ?, jsonb(?), ?, ?)",
    tail: "",
};

pub(super) const PLUGIN_STATE: &str = "SELECT value FROM plugin_state WHERE plugin = ?1 AND key = ?2";

pub(super) const PUT_PLUGIN_STATES: RowsSql = RowsSql {
    head: "INSERT INTO plugin_state (plugin, key, value) VALUES",
    row: "(?, ?, ?)",
    tail: "ON CONFLICT (plugin, key) DO UPDATE SET value = excluded.value",
};

pub(super) const PUT_ATTRIBUTES: RowsSql = RowsSql {
    head: "WITH new(id, attributes, updated_at) AS (VALUES",
    row: "(?, ?, ?)",
    tail: ") UPDATE contacts SET attributes = jsonb(new.attributes), updated_at = new.updated_at
        FROM new WHERE contacts.id = new.id",
};

pub(super) const ADD_ATTRIBUTE_TYPES: RowsSql = RowsSql {
    head: "INSERT INTO attribute_names (name, types) VALUES",
    row: "(?, ?)",
    tail: "ON CONFLICT (name) DO UPDATE SET types = types | excluded.types
        WHERE types | excluded.types <> types",
};

pub(super) const WATCHED_ATTRIBUTES: &str = "SELECT DISTINCT name FROM watched_attributes";

pub(super) const UNWATCH_ATTRIBUTES: &str = "DELETE FROM watched_attributes WHERE workflow_id = ?1";

pub(super) const WATCH_ATTRIBUTES: RowsSql =
    RowsSql { head: "INSERT INTO watched_attributes (workflow_id, name) VALUES", row: "(?, ?)", tail: "" };

pub(super) const PUT_CONSENTS: RowsSql = RowsSql {
    head: "INSERT INTO consents (contact_id, topic, given, at) VALUES",
    row: "(?, ?, ?, ?)",
    tail: "ON CONFLICT (contact_id, topic) DO UPDATE SET given = excluded.given, at = excluded.at",
};

pub(super) const ADD_TAGS: RowsSql =
    RowsSql { head: "INSERT OR IGNORE INTO contact_tags (contact_id, tag) VALUES", row: "(?, ?)", tail: "" };

pub(super) const REMOVE_TAGS: RowsSql =
    RowsSql { head: "DELETE FROM contact_tags WHERE (contact_id, tag) IN (VALUES", row: "(?, ?)", tail: ")" };

pub(super) const SCORES: &str = "
SELECT json_group_array(json_array(s.contact_id, s.score, s.value, s.curve))
FROM json_each(?1) wanted CROSS JOIN contact_scores s ON s.contact_id = wanted.value";

pub(super) const STANDING_ENTRIES: &str = "
SELECT json_group_array(json_array(e.id, e.contact_id, e.points))
FROM json_each(?1) wanted CROSS JOIN score_entries e ON e.contact_id = wanted.value AND e.score = ?2
WHERE e.workflow_id = ?3 AND e.step = ?4 AND e.cleared_at IS NULL";

pub(super) const STANDING_GIFTS: &str = "
SELECT json_group_array(json_array(e.id, e.contact_id, e.points, e.at, e.because) ORDER BY e.contact_id, e.at, e.id)
FROM json_each(?1) wanted CROSS JOIN score_entries e ON e.contact_id = wanted.value AND e.score = ?2
WHERE e.workflow_id = ?3 AND e.step = ?4 AND e.cleared_at IS NULL";

pub(super) const GIFTS_IN_ORDER: &str = "
SELECT json_group_array(json_array(e.contact_id, e.points, e.at) ORDER BY e.contact_id, e.at, e.id)
FROM json_each(?1) wanted CROSS JOIN score_entries e ON e.contact_id = wanted.value AND e.score = ?2
WHERE e.cleared_at IS NULL";

pub(super) const PUT_CURVES: RowsSql = RowsSql {
    head: "INSERT INTO contact_scores (contact_id, score, value, curve, least, most)
        SELECT * FROM (VALUES",
    row: "(?, ?, ?, ?, ?, ?)",
    tail: ") WHERE column1 IS NOT NULL
        ON CONFLICT (contact_id, score) DO UPDATE SET value = excluded.value, curve = excluded.curve,
        least = excluded.least, most = excluded.most",
};

/// What one batch keeps back of the same points is one row for each time.
pub(super) const PUT_HOLDS: RowsSql = RowsSql {
    head: "INSERT INTO score_holds (contact_id, score, workflow_id, step, because, held_by, times, points, last_at) VALUES",
    row: "(?, ?, ?, ?, ?, ?, 1, ?, ?)",
    tail:
        "ON CONFLICT (contact_id, score, workflow_id, step, because, held_by) DO UPDATE SET times = times + 1,
        points = points + excluded.points, last_at = excluded.last_at",
};

pub(super) const SCORE_DEFINITIONS: &str = "
SELECT d.score, w.word, d.definition, d.last FROM score_definitions d JOIN words w ON w.id = d.score ORDER BY d.score";

pub(super) const PUT_SCORE_DEFINITION: &str = "
INSERT INTO score_definitions (score, definition, last, published_at) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (score) DO UPDATE SET definition = excluded.definition, last = excluded.last,
    published_at = excluded.published_at";

pub(super) const DROP_SCORE_DEFINITION: &str = "DELETE FROM score_definitions WHERE score = ?1";

pub(super) const SCORED_AFTER: &str = "
SELECT contact_id FROM contact_scores WHERE score = ?1 AND contact_id > ?2 ORDER BY contact_id LIMIT ?3";

pub(super) const RENEW_RULES: &str =
    "UPDATE segment_rules SET last = 0, done = 0 WHERE segment_id IN (SELECT value FROM json_each(?1))";

pub(super) const CLEAR_ENTRIES: &str =
    "UPDATE score_entries SET cleared_at = ?2 WHERE id IN (SELECT value FROM json_each(?1))";

pub(super) const PUT_SCORES: RowsSql = RowsSql {
    head: "INSERT INTO contact_scores (contact_id, score, value)
        SELECT * FROM (VALUES",
    row: "(?, ?, ?)",
    tail: ") WHERE column1 IS NOT NULL ON CONFLICT (contact_id, score) DO UPDATE SET value = excluded.value",
};

pub(super) const INSERT_ENTRIES: RowsSql = RowsSql {
    head: "INSERT INTO score_entries (contact_id, score, points, total, because, at, run_id, turn, workflow_id, step,
        cleared_at)
        SELECT * FROM (VALUES",
    row: "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    tail: ") WHERE column1 IS NOT NULL",
};

pub(super) const CREATE_SEGMENTS: RowsSql =
    RowsSql { head: "INSERT OR IGNORE INTO segments (name, created_at) VALUES", row: "(?, ?)", tail: "" };

pub(super) const FIND_SEGMENTS: RowsSql = RowsSql {
    head: "WITH wanted(name) AS (VALUES",
    row: "(?)",
    tail: ") SELECT s.name, s.id FROM wanted CROSS JOIN segments s ON s.name = wanted.name",
};

pub(super) const MEMBERSHIPS: &str = "
SELECT json_group_array(json_array(m.contact_id, m.segment_id))
FROM json_each(?1) wanted CROSS JOIN segment_members m ON m.contact_id = wanted.value";

pub(super) const JOIN: RowsSql = RowsSql {
    head: "INSERT OR IGNORE INTO segment_members (contact_id, segment_id, joined_at) VALUES",
    row: "(?, ?, ?)",
    tail: "",
};

pub(super) const LEAVE: RowsSql = RowsSql {
    head: "DELETE FROM segment_members WHERE (contact_id, segment_id) IN (VALUES",
    row: "(?, ?)",
    tail: ")",
};

pub(super) const KNOWN_EVENT_KEYS: RowsSql = RowsSql {
    head: "WITH wanted(key) AS (VALUES",
    row: "(?)",
    tail: ") SELECT e.key FROM wanted CROSS JOIN events e ON e.key = wanted.key",
};

pub(super) const INSERT_EVENTS: RowsSql = RowsSql {
    head: "INSERT INTO events (key, contact_id, name, at, state, properties) VALUES",
    row: "(?, ?, ?, ?, ?, jsonb(?))",
    tail: "",
};

pub(super) const PAST_EVENTS: &str = "
SELECT json_group_array(json_array(e.contact_id, e.at, CASE WHEN ?5 THEN json(e.properties) END)
    ORDER BY e.contact_id, e.at, e.id)
FROM json_each(?1) wanted CROSS JOIN events e ON e.contact_id = wanted.value
    AND e.name = (SELECT w.id FROM words w WHERE w.word = ?2) AND e.at > ?3 AND e.at <= ?4";

pub(super) const WATCHED: &str = "
SELECT 1, definition FROM segment_rules WHERE dynamic = 1 UNION ALL SELECT 0, needs FROM date_triggers";

pub(super) const DATE_TRIGGERS_OF: &str =
    "SELECT id, wording FROM date_triggers WHERE workflow_id = ?1 ORDER BY id";

pub(super) const ADD_DATE_TRIGGERS: RowsSql = RowsSql {
    head: "INSERT INTO date_triggers (workflow_id, wording, needs, published_at, last, done) VALUES",
    row: "(?, ?, ?, ?, 0, 0)",
    tail: "",
};

pub(super) const DROP_DATE_TRIGGERS: &str =
    "DELETE FROM date_triggers WHERE id IN (SELECT value FROM json_each(?1))";

pub(super) const DROP_CONTACT_DATES: &str =
    "DELETE FROM contact_dates WHERE trigger_id IN (SELECT value FROM json_each(?1))";

/// When somebody publishes; what is held is little beside what is stored.
pub(super) const RELEASE_HELD: &str =
    "UPDATE held_events SET due_at = ?2 WHERE workflow_id = ?1 AND due_at IS NULL";

pub(super) const RULES: &str = "SELECT segment_id, definition FROM segment_rules WHERE dynamic = 1";

pub(super) const DEFINITIONS: &str = "
SELECT r.segment_id, s.name, r.definition FROM segment_rules r JOIN segments s ON s.id = r.segment_id";

/// A rule that stays as it was goes on with its members.
pub(super) const PUT_DEFINITION: &str = "
INSERT INTO segment_rules (segment_id, definition, source, dynamic, published_at, last, done)
VALUES (?1, ?2, ?3, ?4, ?6, 0, NOT ?4)
ON CONFLICT (segment_id) DO UPDATE SET definition = excluded.definition, source = excluded.source,
    dynamic = excluded.dynamic, published_at = excluded.published_at,
    last = CASE WHEN ?5 THEN 0 ELSE last END, done = CASE WHEN ?5 THEN excluded.done ELSE done END";

pub(super) const DROP_DEFINITION: &str = "DELETE FROM segment_rules WHERE segment_id = ?1";

pub(super) const NOTE_CHANGED: RowsSql =
    RowsSql { head: "INSERT INTO segment_changes (contact_id, due_at) VALUES", row: "(?, ?)", tail: "" };

pub(super) const PUT_TIMERS: RowsSql = RowsSql {
    head: "INSERT INTO segment_timers (contact_id, due_at, repeats) VALUES",
    row: "(?, ?, ?)",
    tail: "ON CONFLICT (contact_id) DO UPDATE SET due_at = excluded.due_at, repeats = excluded.repeats",
};

pub(super) const CLEAR_TIMERS: &str =
    "DELETE FROM segment_timers WHERE contact_id IN (SELECT value FROM json_each(?1))";

pub(super) const DEACTIVATE: &str = "UPDATE representatives SET active = 0";

pub(super) const DELETE_TEAMS: &str = "DELETE FROM teams";

pub(super) const PUT_REPRESENTATIVES: RowsSql = RowsSql {
    head: "INSERT INTO representatives (key, name, email, position, active) VALUES",
    row: "(?, ?, ?, ?, 1)",
    tail: "ON CONFLICT (key) DO UPDATE SET name = excluded.name, email = excluded.email,
        position = excluded.position, active = 1",
};

/// Whom no file knows, but somebody names.
pub(super) const ADD_REPRESENTATIVES: RowsSql = RowsSql {
    head: "INSERT OR IGNORE INTO representatives (key, name, position, active) VALUES",
    row: "(?, ?, 0, 0)",
    tail: "",
};

pub(super) const FIND_REPRESENTATIVES: RowsSql = RowsSql {
    head: "WITH wanted(key) AS (VALUES",
    row: "(?)",
    tail: ") SELECT r.key, r.id FROM wanted CROSS JOIN representatives r ON r.key = wanted.key",
};

pub(super) const INSERT_TEAM: &str =
    "INSERT INTO teams (key, name, position) VALUES (?1, ?2, ?3) RETURNING id";

pub(super) const INSERT_MEMBERS: RowsSql = RowsSql {
    head: "INSERT INTO team_members (team_id, position, rep_id, weight) VALUES",
    row: "(?, ?, ?, ?)",
    tail: "",
};

pub(super) const LAST_ASSIGNMENT: &str = "SELECT coalesce(max(id), 0) FROM assignments";

pub(super) const INSERT_ASSIGNMENTS: RowsSql = RowsSql {
    head: "INSERT INTO assignments (id, contact_id, rep_id, team, because, at, run_id, turn)
        SELECT * FROM (VALUES",
    row: "(?, ?, ?, ?, ?, ?, ?, ?)",
    tail: ") WHERE column1 IS NOT NULL",
};

pub(super) const PUT_OWNERS: RowsSql = RowsSql {
    head: "INSERT INTO owners (contact_id, assignment_id, rep_id)
        SELECT * FROM (VALUES",
    row: "(?, ?, ?)",
    tail: ") WHERE column1 IS NOT NULL
        ON CONFLICT (contact_id) DO UPDATE SET assignment_id = excluded.assignment_id, rep_id = excluded.rep_id",
};

pub(super) const QUEUE_MESSAGES: RowsSql = RowsSql {
    head: "WITH new(run_id, turn, effect, contact_id, version_id, node, template, topic, transactional,
        queued_at, subject, recipient) AS (VALUES",
    row: "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    tail: ") INSERT INTO messages (run_id, turn, effect, contact_id, version_id, node, template, topic,
            transactional, status, due_at, queued_at, recipient, subject)
        SELECT new.run_id, new.turn, new.effect, new.contact_id, new.version_id, new.node, new.template, new.topic,
            new.transactional, 0, new.queued_at, new.queued_at,
            coalesce(new.recipient, (SELECT c.email FROM contacts c WHERE c.id = new.contact_id)), new.subject
        FROM new WHERE new.run_id IS NOT NULL",
};

pub(super) const INSERT_RUNS: RowsSql = RowsSql {
    head: "INSERT INTO runs (workflow_id, version_id, contact_id, event_id, lane, due_at, enrolled_at,
        node, status, turn, attempts, hops) VALUES",
    row: "(?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0)",
    tail: "ON CONFLICT DO NOTHING RETURNING id, workflow_id, version_id, contact_id, event_id, lane",
};

/// No `status` among what is set, nor what a run waits for: that would write four more indexes.
pub(super) const MOVE_RUNS: RowsSql = RowsSql {
    head: "WITH moved(id, node, due_at, turn, attempts, hops, first_due_at) AS (VALUES",
    row: "(?, ?, ?, ?, ?, ?, ?)",
    tail: ") UPDATE runs SET node = moved.node, due_at = moved.due_at, turn = moved.turn,
        attempts = moved.attempts, hops = moved.hops, first_due_at = moved.first_due_at
        FROM moved WHERE runs.id = moved.id",
};

pub(super) const MOVE_WAITING_RUNS: RowsSql = RowsSql {
    head: "WITH moved(id, node, due_at, turn, attempts, hops, first_due_at, waits_for, waits_since,
        waits_until) AS (VALUES",
    row: "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    tail: ") UPDATE runs SET node = moved.node, due_at = moved.due_at, turn = moved.turn,
        attempts = moved.attempts, hops = moved.hops, first_due_at = moved.first_due_at, waits_for = moved.waits_for,
        waits_since = moved.waits_since, waits_until = moved.waits_until
        FROM moved WHERE runs.id = moved.id",
};

pub(super) const ANY_WAITS: &str =
    "SELECT EXISTS (SELECT 1 FROM runs INDEXED BY runs_watching WHERE waits_for = 1)";

pub(super) const WAKE_RUNS: &str = "
UPDATE runs SET due_at = ?2 WHERE id IN (
    SELECT r.id FROM json_each(?1) wanted CROSS JOIN runs r INDEXED BY runs_watching
    ON r.contact_id = wanted.value AND r.waits_for = 1 AND r.due_at > ?2)";

pub(super) const END_RUNS: RowsSql = RowsSql {
    head: "WITH ended(id, node, status, turn, ended_at) AS (VALUES",
    row: "(?, ?, ?, ?, ?)",
    tail: ") UPDATE runs SET node = ended.node, status = ended.status, turn = ended.turn,
        ended_at = ended.ended_at, due_at = NULL, waits_for = NULL, waits_since = NULL, waits_until = NULL
        FROM ended WHERE runs.id = ended.id",
};

pub(super) const INSERT_DECISIONS: RowsSql = RowsSql {
    head: "INSERT INTO decisions (run_id, version_id, contact_id, node, turn, at, kind, reason, event_id)
        SELECT * FROM (VALUES",
    row: "(?, ?, ?, ?, ?, ?, ?, ?, ?)",
    tail: ") WHERE column2 IS NOT NULL",
};
