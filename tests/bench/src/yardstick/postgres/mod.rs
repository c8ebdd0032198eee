//! PostgreSQL through tokio-postgres: one array for each column, or `COPY` where rows are only appended, and everything that
//! need not wait for an answer sent at once (the driver pipelines requests that are made together).

mod columns;
mod dictionary;

use dripline_model::decision::RunStatus;
use tokio_postgres::{Client, NoTls, Row, Statement, types::ToSql};

use self::{
    columns::{Decisions, Entries, Mails},
    dictionary::Dictionary,
};
use super::lead::Lead;
use crate::{
    Result,
    campaign::{Facts, MEMBERS, Plan, TEAM, words},
};

/// The values of one statement.
type Values<'v> = &'v [&'v (dyn ToSql + Sync)];

/// As the engine sets its connections up: rows are always found by an index, and a plan once made is kept.
const SETTINGS: &str = "
SET synchronous_commit = on; SET plan_cache_mode = force_generic_plan; SET jit = off;
SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off";

/// The claim and everything that is needed of the contacts, in contact order.
const CLAIM: &str = "
SELECT r.id, r.contact_id, c.email, c.attributes ->> 'first_name', c.attributes ->> 'country',
    c.attributes ->> 'industry', c.attributes ->> 'seniority', c.attributes ->> 'title',
    c.attributes ->> 'plan', (c.attributes ->> 'employees')::bigint, (c.attributes ->> 'visits')::bigint
FROM (
    SELECT id, contact_id FROM runs WHERE workflow_id = $1 AND due_at <= $2
    ORDER BY due_at, contact_id LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED) r
JOIN contacts c ON c.id = r.contact_id";

const PUT_SCORES: &str = "
INSERT INTO contact_scores (contact_id, score, value)
SELECT contact, $1, value FROM unnest($2::bigint[], $3::bigint[]) AS t(contact, value)
ON CONFLICT (contact_id, score) DO UPDATE SET value = excluded.value";

const ADD_ENTRIES: &str = "
COPY score_entries (contact_id, score, points, total, because, at, run_id, turn, workflow_id, step)
FROM STDIN (FORMAT binary)";

const QUEUE: &str = "
INSERT INTO messages (run_id, turn, effect, contact_id, version_id, node, template, topic, transactional, status,
    due_at, queued_at, recipient, subject)
SELECT run, 2, 0, contact, $1, node, template, $2, FALSE, 0, $3, $3, recipient, subject
FROM unnest($4::bigint[], $5::bigint[], $6::integer[], $7::bigint[], $8::text[], $9::text[])
    AS t(run, contact, node, template, recipient, subject)";

const END: &str = "
UPDATE runs SET node = $1, status = $2, turn = 5, ended_at = $3, due_at = NULL WHERE id = ANY ($4)";

/// Locked to the commit; so it is asked for as late as can be.
const STATE: &str = "SELECT value FROM plugin_state WHERE plugin = 'assign' AND key = $1 FOR UPDATE";

const PUT_STATE: &str = "
INSERT INTO plugin_state (plugin, key, value) VALUES ('assign', $1, $2)
ON CONFLICT (plugin, key) DO UPDATE SET value = excluded.value";

const BEGIN_STATE: &str = "INSERT INTO plugin_state (plugin, key, value) VALUES ('assign', $1, $2) ON CONFLICT (plugin, key) DO NOTHING";

const ASSIGN: &str = "
WITH assigned AS (
    INSERT INTO assignments (contact_id, rep_id, team, because, at, run_id, turn)
    SELECT contact, rep, $1, because, $2, run, 3
    FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) AS t(contact, rep, because, run)
    RETURNING id, contact_id, rep_id)
INSERT INTO owners (contact_id, assignment_id, rep_id) SELECT contact_id, id, rep_id FROM assigned
ON CONFLICT (contact_id) DO UPDATE SET assignment_id = excluded.assignment_id, rep_id = excluded.rep_id";

const DECIDE: &str = "
COPY decisions (run_id, version_id, contact_id, node, turn, at, kind, reason) FROM STDIN (FORMAT binary)";

/// Connects, and reports what goes wrong with the connection where it is used.
pub(crate) async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// A worker, ready to go.
pub(crate) struct Worker {
    client: Client,
    dictionary: Dictionary,
    statements: Statements,
    reps: Vec<i64>,
    plan: Plan,
}

struct Statements {
    claim: Statement,
    put_scores: Statement,
    add_entries: Statement,
    queue: Statement,
    end: Statement,
    state: Statement,
    put_state: Statement,
    assign: Statement,
    decide: Statement,
}

impl Worker {
    /// Connects and prepares everything.
    pub(crate) async fn new(url: &str, plan: Plan) -> Result<Self> {
        let client = connect(url).await?;
        client.batch_execute(SETTINGS).await?;
        let mut reps = Vec::with_capacity(MEMBERS.len());
        for (key, _) in MEMBERS {
            reps.push(
                client.query_one("SELECT id FROM representatives WHERE key = $1", &[key]).await?.get(0),
            );
        }
        let statements = Statements {
            claim: client.prepare(CLAIM).await?,
            put_scores: client.prepare(PUT_SCORES).await?,
            add_entries: client.prepare(ADD_ENTRIES).await?,
            queue: client.prepare(QUEUE).await?,
            end: client.prepare(END).await?,
            state: client.prepare(STATE).await?,
            put_state: client.prepare(PUT_STATE).await?,
            assign: client.prepare(ASSIGN).await?,
            decide: client.prepare(DECIDE).await?,
        };
        // There before it is locked for the first time.
        client.execute(BEGIN_STATE, &[&plan.state_key, &cell(0)]).await?;
        let dictionary = Dictionary::new(connect(url).await?).await?;
        Ok(Self { client, dictionary, statements, reps, plan })
    }

    /// Takes every run that is due through its five steps; answers how many turns that were.
    pub(crate) async fn run(mut self, batch: usize, now_ms: i64) -> Result<u64> {
        let limit = i64::try_from(batch)?;
        let mut turns = 0;
        loop {
            let claim: Values<'_> = &[&self.plan.workflow, &now_ms, &limit];
            let (_, rows) = tokio::try_join!(
                biased;
                self.client.batch_execute("BEGIN"),
                self.client.query(&self.statements.claim, claim),
            )?;
            if rows.is_empty() {
                self.client.batch_execute("COMMIT").await?;
                return Ok(turns);
            }
            let mut leads = rows.iter().map(lead).collect::<Result<Vec<_>>>()?;
            leads.sort_unstable_by_key(|lead| lead.contact);
            self.dictionary.learn(&leads).await?;
            self.write(&leads, now_ms).await?;
            turns += 5 * leads.len() as u64;
        }
    }

    async fn write(&self, leads: &[Lead], now_ms: i64) -> Result<()> {
        let (statements, plan, words) = (&self.statements, &self.plan, &self.dictionary);
        let fit = words.id(words::FIT)?;
        let topic = words.id(words::TOPIC)?;
        let team = words.id(TEAM)?;
        let runs: Vec<i64> = leads.iter().map(|lead| lead.run).collect();
        let contacts: Vec<i64> = leads.iter().map(|lead| lead.contact).collect();
        let (scored, totals): (Vec<i64>, Vec<i64>) =
            leads.iter().filter(|lead| lead.has_points()).map(|lead| (lead.contact, lead.total)).unzip();
        let entries = Entries::of(leads, words)?;
        let mails = Mails::of(leads, plan, words)?;
        let (last, completed) = (i32::try_from(plan.done)?, i16::try_from(RunStatus::Completed.code())?);

        let scores: Values<'_> = &[&fit, &scored, &totals];
        let Mails { nodes, templates, recipients, subjects } = &mails;
        let mails: Values<'_> =
            &[&plan.version, &topic, &now_ms, &runs, &contacts, nodes, templates, recipients, subjects];
        let ends: Values<'_> = &[&last, &completed, &now_ms, &runs];
        let state: Values<'_> = &[&plan.state_key];
        let (_, _, _, state, ()) = tokio::try_join!(
            biased;
            self.client.execute(&statements.put_scores, scores),
            self.client.execute(&statements.queue, mails),
            self.client.execute(&statements.end, ends),
            self.client.query_one(&statements.state, state),
            entries.copy(&self.client, &statements.add_entries, fit, plan.workflow, now_ms),
        )?;

        let turn: usize = std::str::from_utf8(state.get::<_, &[u8]>(0))?.trim().parse()?;
        let names = MEMBERS.iter().map(|(_, name)| words.id(&words::assigned(name)));
        let names: Vec<i64> = names.collect::<Result<_>>()?;
        let members = self.reps.iter().copied().zip(names).cycle().skip(turn).take(leads.len());
        let (reps, because): (Vec<i64>, Vec<i64>) = members.unzip();
        let decisions = Decisions::of(leads, plan, words, &because)?;
        let next = cell((turn + leads.len()) % self.reps.len().max(1));
        let state: Values<'_> = &[&plan.state_key, &next];
        let assignments: Values<'_> = &[&team, &now_ms, &contacts, &reps, &because, &runs];
        tokio::try_join!(
            biased;
            self.client.execute(&statements.put_state, state),
            self.client.execute(&statements.assign, assignments),
            decisions.copy(&self.client, &statements.decide, plan.version, now_ms),
        )?;
        Ok(self.client.batch_execute("COMMIT").await?)
    }
}

/// Whose turn it is in the team, as wide as the cell that the plugin keeps.
fn cell(turn: usize) -> Vec<u8> {
    format!("{turn:>64}").into_bytes()
}

fn lead(row: &Row) -> Result<Lead> {
    let facts = Facts {
        country: row.try_get(4)?,
        industry: row.try_get(5)?,
        seniority: row.try_get(6)?,
        title: row.try_get(7)?,
        plan: row.try_get(8)?,
        employees: row.try_get(9)?,
        visits: row.try_get(10)?,
    };
    Ok(Lead::new(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, &facts))
}
