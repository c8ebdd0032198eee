//! The statements of the writing side. [`super::plans`] proves that none scans a table.

/// To find the sequence costs more than to take a number of it: it is found once.
pub(super) const CONTACT_IDS: &str = "
SELECT nextval((SELECT pg_get_serial_sequence('contacts', 'id')::regclass)) FROM generate_series(1, $1)";

pub(super) const BY_EXTERNAL_ID: &str = "
SELECT c.external_id, c.id FROM unnest($1::text[]) AS wanted(key) JOIN contacts c ON c.external_id = wanted.key";

pub(super) const BY_EMAIL: &str = "
SELECT c.email, c.id FROM unnest($1::text[]) AS wanted(key) JOIN contacts c ON c.email = wanted.key";

/// A row is never without both, not even between two statements; the update that follows writes the real ones.
pub(super) const RELEASE_EMAILS: &str = "
UPDATE contacts SET email = NULL, external_id = coalesce(external_id, chr(1) || id) WHERE id = ANY($1::int8[])";

pub(super) const INSERT_CONTACTS: &str = "
INSERT INTO contacts (id, uid, external_id, email, attributes, created_at, updated_at)
SELECT t.id, t.uid, t.external_id, t.email, t.attributes::jsonb, t.created_at, $7::int8
FROM unnest($1::int8[], $2::bytea[], $3::text[], $4::text[], $5::text[], $6::int8[])
    AS t(id, uid, external_id, email, attributes, created_at)";

pub(super) const UPDATE_CONTACTS: &str = "
UPDATE contacts SET external_id = t.external_id, email = t.email, attributes = t.attributes::jsonb,
    created_at = t.created_at, updated_at = $6
FROM unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::int8[])
    AS t(id, external_id, email, attributes, created_at)
WHERE contacts.id = t.id";

pub(super) const PUT_ATTRIBUTES: &str = "
UPDATE contacts SET attributes = t.attributes::jsonb, updated_at = $3
FROM unnest($1::int8[], $2::text[]) AS t(id, attributes)
WHERE contacts.id = t.id";

pub(super) const KNOWN_ATTRIBUTE_TYPES: &str = "
SELECT count(*) FROM attribute_names AS known JOIN unnest($1::text[], $2::int8[]) AS t(name, types)
    ON known.name = t.name AND known.types | t.types = known.types";

pub(super) const ADD_ATTRIBUTE_TYPES: &str = "
INSERT INTO attribute_names AS known (name, types)
SELECT * FROM unnest($1::text[], $2::int8[]) AS t(name, types) ORDER BY name
ON CONFLICT (name) DO UPDATE SET types = known.types | excluded.types
    WHERE known.types | excluded.types <> known.types";

pub(super) const PUT_CONSENTS: &str = "
INSERT INTO consents (contact_id, topic, given, at)
SELECT t.*, $4::int8 FROM unnest($1::int8[], $2::int8[], $3::bool[]) AS t(contact_id, topic, given)
ON CONFLICT (contact_id, topic) DO UPDATE SET given = excluded.given, at = excluded.at";

pub(super) const ADD_TAGS: &str = "
INSERT INTO contact_tags (contact_id, tag) SELECT * FROM unnest($1::int8[], $2::int8[]) ON CONFLICT DO NOTHING";

pub(super) const REMOVE_TAGS: &str = "
DELETE FROM contact_tags USING unnest($1::int8[], $2::int8[]) AS t(contact_id, tag)
WHERE contact_tags.contact_id = t.contact_id AND contact_tags.tag = t.tag";

/// A state has one owner at a time.
pub(super) const PLUGIN_STATE: &str =
    "SELECT value FROM plugin_state WHERE plugin = $1 AND key = $2 FOR UPDATE";

/// Also before it is there.
pub(super) const LOCK_PLUGIN_STATE: &str =
    "SELECT pg_advisory_xact_lock(hashtextextended($1 || chr(1) || $2, 1))";

pub(super) const PUT_PLUGIN_STATES: &str = "
INSERT INTO plugin_state (plugin, key, value) SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[])
ON CONFLICT (plugin, key) DO UPDATE SET value = excluded.value";

pub(super) const SCORES: &str = "
SELECT s.contact_id, s.score, s.value, s.curve
FROM unnest($1::int8[]) AS wanted(id) JOIN contact_scores s ON s.contact_id = wanted.id";

/// `OFFSET 0`, here and below: what belongs to each of these contacts is sought by itself. Left to join, the planner walks over
/// the rows of all contacts where their order would spare it a sort, or where it takes them for few.
pub(super) const STANDING_ENTRIES: &str = "
SELECT e.id, wanted.id, e.points FROM unnest($1::int8[]) AS wanted(id) CROSS JOIN LATERAL (
    SELECT e.id, e.points FROM score_entries e
    WHERE e.contact_id = wanted.id AND e.score = $2 AND e.workflow_id = $3 AND e.step = $4 AND e.cleared_at IS NULL
    OFFSET 0) AS e";

pub(super) const STANDING_GIFTS: &str = "
SELECT e.id, wanted.id, e.points, e.at, e.because FROM unnest($1::int8[]) AS wanted(id) CROSS JOIN LATERAL (
    SELECT e.id, e.points, e.at, e.because FROM score_entries e
    WHERE e.contact_id = wanted.id AND e.score = $2 AND e.workflow_id = $3 AND e.step = $4 AND e.cleared_at IS NULL
    OFFSET 0) AS e
ORDER BY wanted.id, e.at, e.id";

pub(super) const GIFTS_IN_ORDER: &str = "
SELECT wanted.id, e.points, e.at FROM unnest($1::int8[]) AS wanted(id) CROSS JOIN LATERAL (
    SELECT e.id, e.points, e.at FROM score_entries e
    WHERE e.contact_id = wanted.id AND e.score = $2 AND e.cleared_at IS NULL OFFSET 0) AS e
ORDER BY wanted.id, e.at, e.id";

pub(super) const PUT_CURVES: &str = "
INSERT INTO contact_scores (contact_id, score, value, curve, least, most)
SELECT * FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::text[], $5::int8[], $6::int8[])
ON CONFLICT (contact_id, score) DO UPDATE SET value = excluded.value, curve = excluded.curve,
    least = excluded.least, most = excluded.most";

/// What one batch keeps back of the same points is one row.
pub(super) const PUT_HOLDS: &str = "
INSERT INTO score_holds (contact_id, score, workflow_id, step, because, held_by, times, points, last_at)
SELECT t.contact_id, t.score, t.workflow_id, t.step, t.because, t.held_by, count(*), sum(t.points)::int8, $8::int8
FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::int8[])
    AS t(contact_id, score, workflow_id, step, because, held_by, points)
GROUP BY t.contact_id, t.score, t.workflow_id, t.step, t.because, t.held_by
ON CONFLICT (contact_id, score, workflow_id, step, because, held_by) DO UPDATE SET
    times = score_holds.times + excluded.times, points = score_holds.points + excluded.points,
    last_at = excluded.last_at";

pub(super) const SCORE_DEFINITIONS: &str = "
SELECT d.score, w.word, d.definition, d.last FROM score_definitions d JOIN words w ON w.id = d.score ORDER BY d.score";

pub(super) const PUT_SCORE_DEFINITION: &str = "
INSERT INTO score_definitions (score, definition, last, published_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (score) DO UPDATE SET definition = excluded.definition, last = excluded.last,
    published_at = excluded.published_at";

pub(super) const DROP_SCORE_DEFINITION: &str = "DELETE FROM score_definitions WHERE score = $1";

pub(super) const SCORED_AFTER: &str = "
SELECT contact_id FROM contact_scores WHERE score = $1 AND contact_id > $2 ORDER BY contact_id LIMIT $3";

pub(super) const RENEW_RULES: &str =
    "UPDATE segment_rules SET last = 0, done = FALSE WHERE segment_id = ANY($1::int8[])";

pub(super) const CLEAR_ENTRIES: &str = "
UPDATE score_entries SET cleared_at = $3
FROM unnest($1::int8[], $2::int8[]) AS t(contact_id, id)
WHERE score_entries.contact_id = t.contact_id AND score_entries.id = t.id";

pub(super) const PUT_SCORES: &str = "
INSERT INTO contact_scores (contact_id, score, value)
SELECT * FROM unnest($1::int8[], $2::int8[], $3::int8[])
ON CONFLICT (contact_id, score) DO UPDATE SET value = excluded.value";

pub(super) const INSERT_ENTRIES: &str = "
INSERT INTO score_entries (contact_id, score, points, total, because, run_id, turn, workflow_id, step, cleared_at, at)
SELECT t.*, $11::int8
FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::int4[], $8::int8[], $9::int8[],
    $10::int8[]) AS t";

pub(super) const COPY_ENTRIES: &str = "
COPY score_entries (contact_id, score, points, total, because, run_id, turn, workflow_id, step, cleared_at, at)
FROM STDIN (FORMAT binary)";

pub(super) const CREATE_SEGMENTS: &str = "
INSERT INTO segments (name, created_at) SELECT name, $2 FROM unnest($1::text[]) AS t(name) ORDER BY name
ON CONFLICT (name) DO NOTHING";

pub(super) const FIND_SEGMENTS: &str = "SELECT name, id FROM segments WHERE name = ANY($1::text[])";

pub(super) const MEMBERSHIPS: &str = "
SELECT m.contact_id, m.segment_id
FROM unnest($1::int8[]) AS wanted(id) JOIN segment_members m ON m.contact_id = wanted.id";

pub(super) const JOIN: &str = "
INSERT INTO segment_members (contact_id, segment_id, joined_at)
SELECT t.*, $3::int8 FROM unnest($1::int8[], $2::int8[]) AS t ON CONFLICT DO NOTHING";

pub(super) const LEAVE: &str = "
DELETE FROM segment_members USING unnest($1::int8[], $2::int8[]) AS t(contact_id, segment_id)
WHERE segment_members.contact_id = t.contact_id AND segment_members.segment_id = t.segment_id";

pub(super) const KNOWN_EVENT_KEYS: &str = "
SELECT e.key FROM unnest($1::text[]) AS wanted(key) JOIN events e ON e.key = wanted.key";

pub(super) const INSERT_EVENTS: &str = "
INSERT INTO events (key, contact_id, name, at, state, properties)
SELECT t.key, t.contact_id, t.name, t.at, t.state, t.properties::jsonb
FROM unnest($1::text[], $2::int8[], $3::int8[], $4::int8[], $5::int2[], $6::text[])
    AS t(key, contact_id, name, at, state, properties)";

pub(super) const PAST_EVENTS: &str = "
SELECT wanted.id, e.at, e.properties FROM unnest($1::int8[]) AS wanted(id) CROSS JOIN LATERAL (
    SELECT e.id, e.at, CASE WHEN $5 THEN e.properties::text END AS properties FROM events e
    WHERE e.contact_id = wanted.id AND e.name = (SELECT w.id FROM words w WHERE w.key = $2) AND e.at > $3 AND e.at <= $4
    OFFSET 0) AS e
ORDER BY wanted.id, e.at, e.id";

pub(super) const WATCHED: &str = "
SELECT TRUE, definition FROM segment_rules WHERE dynamic UNION ALL SELECT FALSE, needs FROM date_triggers";

pub(super) const DATE_TRIGGERS_OF: &str =
    "SELECT id, wording FROM date_triggers WHERE workflow_id = $1 ORDER BY id";

pub(super) const ADD_DATE_TRIGGERS: &str = "
INSERT INTO date_triggers (workflow_id, wording, needs, published_at, last, done)
SELECT $1, t.wording, t.needs, $2, 0, FALSE FROM unnest($3::text[], $4::text[]) AS t(wording, needs)";

pub(super) const DROP_DATE_TRIGGERS: &str = "DELETE FROM date_triggers WHERE id = ANY($1::int8[])";

pub(super) const DROP_CONTACT_DATES: &str = "DELETE FROM contact_dates WHERE trigger_id = ANY($1::int8[])";

/// When somebody publishes; what is held is little beside what is stored.
pub(super) const RELEASE_HELD: &str =
    "UPDATE held_events SET due_at = $2 WHERE workflow_id = $1 AND due_at IS NULL";

pub(super) const RULES: &str = "SELECT segment_id, definition FROM segment_rules WHERE dynamic";

pub(super) const ONLOOKERS: &str = "
SELECT ARRAY(SELECT definition FROM segment_rules WHERE dynamic), ARRAY(SELECT needs FROM date_triggers),
    EXISTS (SELECT 1 FROM runs WHERE waits_for = 1)";

pub(super) const DEFINITIONS: &str = "
SELECT r.segment_id, s.name, r.definition FROM segment_rules r JOIN segments s ON s.id = r.segment_id";

/// A rule that stays as it was goes on with its members.
pub(super) const PUT_DEFINITION: &str = "
INSERT INTO segment_rules (segment_id, definition, source, dynamic, published_at, last, done)
VALUES ($1, $2, $3, $4, $6, 0, NOT $4)
ON CONFLICT (segment_id) DO UPDATE SET definition = excluded.definition, source = excluded.source,
    dynamic = excluded.dynamic, published_at = excluded.published_at,
    last = CASE WHEN $5 THEN 0 ELSE segment_rules.last END,
    done = CASE WHEN $5 THEN excluded.done ELSE segment_rules.done END";

pub(super) const DROP_DEFINITION: &str = "DELETE FROM segment_rules WHERE segment_id = $1";

pub(super) const NOTE_CHANGED: &str = "
INSERT INTO segment_changes (contact_id, due_at) SELECT * FROM unnest($1::int8[], $2::int8[])";

pub(super) const PUT_TIMERS: &str = "
INSERT INTO segment_timers (contact_id, due_at, repeats) SELECT * FROM unnest($1::int8[], $2::int8[], $3::bool[])
ON CONFLICT (contact_id) DO UPDATE SET due_at = excluded.due_at, repeats = excluded.repeats";

pub(super) const CLEAR_TIMERS: &str = "DELETE FROM segment_timers WHERE contact_id = ANY($1::int8[])";

pub(super) const DEACTIVATE: &str = "UPDATE representatives SET active = FALSE WHERE active";

pub(super) const DELETE_TEAMS: &str = "DELETE FROM teams";

pub(super) const PUT_REPRESENTATIVES: &str = "
INSERT INTO representatives (key, name, email, position, active)
SELECT t.key, t.name, t.email, t.position, TRUE
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS t(key, name, email, position)
ON CONFLICT (key) DO UPDATE SET name = excluded.name, email = excluded.email, position = excluded.position, active = TRUE";

pub(super) const ADD_REPRESENTATIVES: &str = "
INSERT INTO representatives (key, name, position, active)
SELECT key, key, 0, FALSE FROM unnest($1::text[]) AS t(key) ORDER BY key ON CONFLICT (key) DO NOTHING";

pub(super) const FIND_REPRESENTATIVES: &str =
    "SELECT key, id FROM representatives WHERE key = ANY($1::text[])";

pub(super) const INSERT_TEAM: &str =
    "INSERT INTO teams (key, name, position) VALUES ($1, $2, $3) RETURNING id";

pub(super) const INSERT_MEMBERS: &str = "
INSERT INTO team_members (team_id, position, rep_id, weight)
SELECT $1, t.position, t.rep_id, t.weight
FROM unnest($2::int8[], $3::int8[]) WITH ORDINALITY AS t(rep_id, weight, position)";

pub(super) const ASSIGN: &str = "
WITH assigned AS (
    INSERT INTO assignments (contact_id, rep_id, team, because, run_id, turn, at)
    SELECT t.*, $7::int8
    FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::int8[]) AS t
    RETURNING id, contact_id, rep_id)
INSERT INTO owners (contact_id, assignment_id, rep_id) SELECT contact_id, id, rep_id FROM assigned
ON CONFLICT (contact_id) DO UPDATE SET assignment_id = excluded.assignment_id, rep_id = excluded.rep_id";

pub(super) const QUEUE_MESSAGES: &str = "
INSERT INTO messages (run_id, turn, effect, contact_id, version_id, node, template, topic, transactional, subject,
    status, due_at, queued_at, recipient)
SELECT run_id, turn, effect, contact_id, version_id, node, template, topic, transactional, subject, 0, $12::int8,
    $12::int8, coalesce(recipient, (SELECT c.email FROM contacts c WHERE c.id = contact_id))
FROM unnest($1::int8[], $2::int4[], $3::int4[], $4::int8[], $5::int8[], $6::int4[], $7::int8[], $8::int8[],
    $9::bool[], $10::text[], $11::text[]) AS t(run_id, turn, effect, contact_id, version_id, node, template, topic,
    transactional, subject, recipient)";

pub(super) const INSERT_RUNS: &str = "
INSERT INTO runs (workflow_id, version_id, contact_id, event_id, lane, due_at, enrolled_at, node, status, turn, attempts,
    hops)
SELECT t.*, $6::int8, $6::int8, 0, 0, 0, 0, 0
FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[], $5::int8[]) AS t
ON CONFLICT DO NOTHING RETURNING id, workflow_id, version_id, contact_id, event_id, lane";

pub(super) const MOVE_RUNS: &str = "
UPDATE runs SET node = t.node, due_at = t.due_at, turn = t.turn, attempts = t.attempts, hops = t.hops,
    first_due_at = t.first_due_at
FROM unnest($1::int8[], $2::int4[], $3::int8[], $4::int4[], $5::int4[], $6::int4[], $7::int8[])
    AS t(id, node, due_at, turn, attempts, hops, first_due_at)
WHERE runs.id = t.id";

pub(super) const MOVE_WAITING_RUNS: &str = "
UPDATE runs SET node = t.node, due_at = t.due_at, turn = t.turn, attempts = t.attempts, hops = t.hops,
    first_due_at = t.first_due_at, waits_for = t.waits_for, waits_since = t.waits_since, waits_until = t.waits_until
FROM unnest($1::int8[], $2::int4[], $3::int8[], $4::int4[], $5::int4[], $6::int4[], $7::int8[], $8::int4[], $9::int8[],
    $10::int8[]) AS t(id, node, due_at, turn, attempts, hops, first_due_at, waits_for, waits_since, waits_until)
WHERE runs.id = t.id";

pub(super) const WAKE_RUNS: &str = "
UPDATE runs SET due_at = $2 FROM unnest($1::int8[]) AS t(contact_id)
WHERE runs.contact_id = t.contact_id AND runs.waits_for = 1 AND runs.due_at > $2";

pub(super) const END_RUNS: &str = "
UPDATE runs SET node = t.node, status = t.status, turn = t.turn, ended_at = t.ended_at, due_at = NULL,
    waits_for = NULL, waits_since = NULL, waits_until = NULL
FROM unnest($1::int8[], $2::int4[], $3::int4[], $4::int4[], $5::int8[]) AS t(id, node, status, turn, ended_at)
WHERE runs.id = t.id";

pub(super) const INSERT_DECISIONS: &str = "
INSERT INTO decisions (run_id, version_id, contact_id, node, turn, at, kind, reason, event_id)
SELECT * FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int4[], $5::int4[], $6::int8[], $7::int4[], $8::int8[],
    $9::int8[])";

pub(super) const COPY_DECISIONS: &str = "
COPY decisions (run_id, version_id, contact_id, node, turn, at, kind, reason, event_id) FROM STDIN (FORMAT binary)";

pub(super) const WATCHED_ATTRIBUTES: &str = "SELECT DISTINCT name FROM watched_attributes";

pub(super) const UNWATCH_ATTRIBUTES: &str = "DELETE FROM watched_attributes WHERE workflow_id = $1";

pub(super) const WATCH_ATTRIBUTES: &str =
    "INSERT INTO watched_attributes (workflow_id, name) SELECT $1, name FROM unnest($2::text[]) AS t(name)";
