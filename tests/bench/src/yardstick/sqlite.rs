//! SQLite through rusqlite: a prepared statement for each row, which is the fastest way in.

use std::{collections::HashMap, path::Path};

use dripline_model::decision::{DecisionKind, RunStatus};
use rusqlite::{Connection, Statement, params};

use super::lead::{Lead, held, reason};
use crate::{
    Result,
    campaign::{Facts, MEMBERS, Plan, RULES, TEAM, words},
};

/// The claim and everything that is needed of the contacts, in contact order.
const CLAIM: &str = "
SELECT r.id, r.contact_id, c.email, c.attributes ->> '$.first_name', c.attributes ->> '$.country',
    c.attributes ->> '$.industry', c.attributes ->> '$.seniority', c.attributes ->> '$.title',
    c.attributes ->> '$.plan', c.attributes ->> '$.employees', c.attributes ->> '$.visits'
FROM (
    SELECT id, contact_id FROM runs WHERE workflow_id = ?3 AND due_at <= ?1 ORDER BY due_at, contact_id LIMIT ?2) r
CROSS JOIN contacts c ON c.id = r.contact_id";

const PUT_SCORE: &str = "INSERT INTO contact_scores (contact_id, score, value) VALUES (?1, ?2, ?3)
    ON CONFLICT (contact_id, score) DO UPDATE SET value = excluded.value";

const ADD_ENTRY: &str = "INSERT INTO score_entries
    (contact_id, score, points, total, because, at, run_id, turn, workflow_id, step)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?2)";

const QUEUE: &str =
    "INSERT INTO messages (run_id, turn, effect, contact_id, version_id, node, template, topic,
    transactional, status, due_at, queued_at, recipient, subject)
    VALUES (?1, 2, 0, ?2, ?3, ?4, ?5, ?6, 0, 0, ?7, ?7, ?8, ?9)";

const ASSIGN: &str = "INSERT INTO assignments (contact_id, rep_id, team, because, at, run_id, turn)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, 3)";

const PUT_OWNER: &str = "INSERT INTO owners (contact_id, assignment_id, rep_id) VALUES (?1, ?2, ?3)
    ON CONFLICT (contact_id) DO UPDATE SET assignment_id = excluded.assignment_id, rep_id = excluded.rep_id";

const DECIDE: &str = "INSERT INTO decisions (run_id, version_id, contact_id, node, turn, at, kind, reason)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

const END: &str =
    "UPDATE runs SET node = ?2, status = ?3, turn = 5, ended_at = ?4, due_at = NULL WHERE id = ?1";

const STATE: &str = "SELECT value FROM plugin_state WHERE plugin = 'assign' AND key = ?1";

const PUT_STATE: &str = "INSERT INTO plugin_state (plugin, key, value) VALUES ('assign', ?1, ?2)
    ON CONFLICT (plugin, key) DO UPDATE SET value = excluded.value";

const WORD: &str = "SELECT id FROM words WHERE word = ?1";
const ADD_WORD: &str = "INSERT INTO words (word) VALUES (?1) RETURNING id";

/// Takes every run that is due through its five steps; answers how many turns that were.
pub(crate) fn run(path: &Path, plan: &Plan, batch: usize, now_ms: i64) -> Result<u64> {
    let connection = Connection::open(path)?;
    // As the engine sets its own connection up.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "cache_size", -65_536)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    let mut statements = Statements::prepare(&connection)?;
    let mut dictionary = Dictionary::prepare(&connection)?;
    let reps = representatives(&connection)?;
    let mut turns = 0;
    loop {
        statements.begin.execute([])?;
        let leads = claim(&mut statements.claim, plan, batch, now_ms)?;
        if leads.is_empty() {
            statements.commit.execute([])?;
            return Ok(turns);
        }
        Batch { plan, now_ms, leads: &leads }.write(&mut statements, &mut dictionary, &reps)?;
        statements.commit.execute([])?;
        turns += 5 * leads.len() as u64;
    }
}

fn representatives(connection: &Connection) -> Result<Vec<i64>> {
    let mut find = connection.prepare("SELECT id FROM representatives WHERE key = ?1")?;
    let ids = MEMBERS.iter().map(|(key, _)| find.query_row([key], |row| row.get(0)));
    Ok(ids.collect::<std::result::Result<_, _>>()?)
}

fn claim(claim: &mut Statement<'_>, plan: &Plan, batch: usize, now_ms: i64) -> Result<Vec<Lead>> {
    let mut rows = claim.query(params![now_ms, i64::try_from(batch)?, plan.workflow])?;
    let mut leads = Vec::with_capacity(batch);
    while let Some(row) = rows.next()? {
        let text = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str()?);
        let facts = Facts {
            country: text(4)?,
            industry: text(5)?,
            seniority: text(6)?,
            title: text(7)?,
            plan: text(8)?,
            employees: row.get(9)?,
            visits: row.get(10)?,
        };
        leads.push(Lead::new(row.get(0)?, row.get(1)?, text(2)?, text(3)?, &facts));
    }
    Ok(leads)
}

/// Prepared once, used for every row.
struct Statements<'c> {
    begin: Statement<'c>,
    claim: Statement<'c>,
    put_score: Statement<'c>,
    add_entry: Statement<'c>,
    queue: Statement<'c>,
    assign: Statement<'c>,
    put_owner: Statement<'c>,
    state: Statement<'c>,
    put_state: Statement<'c>,
    decide: Statement<'c>,
    end: Statement<'c>,
    commit: Statement<'c>,
    connection: &'c Connection,
}

impl<'c> Statements<'c> {
    fn prepare(connection: &'c Connection) -> Result<Self> {
        let prepare = |sql| connection.prepare(sql);
        Ok(Self {
            begin: prepare("BEGIN IMMEDIATE")?,
            claim: prepare(CLAIM)?,
            put_score: prepare(PUT_SCORE)?,
            add_entry: prepare(ADD_ENTRY)?,
            queue: prepare(QUEUE)?,
            assign: prepare(ASSIGN)?,
            put_owner: prepare(PUT_OWNER)?,
            state: prepare(STATE)?,
            put_state: prepare(PUT_STATE)?,
            decide: prepare(DECIDE)?,
            end: prepare(END)?,
            commit: prepare("COMMIT")?,
            connection,
        })
    }
}

/// The ids of words, looked up once.
struct Dictionary<'c> {
    find: Statement<'c>,
    add: Statement<'c>,
    known: HashMap<String, i64>,
    reasons: HashMap<u16, i64>,
}

impl<'c> Dictionary<'c> {
    fn prepare(connection: &'c Connection) -> Result<Self> {
        let (find, add) = (connection.prepare(WORD)?, connection.prepare(ADD_WORD)?);
        Ok(Self { find, add, known: HashMap::new(), reasons: HashMap::new() })
    }

    fn word(&mut self, word: &str) -> Result<i64> {
        if let Some(id) = self.known.get(word) {
            return Ok(*id);
        }
        let id = match self.find.query_row([word], |row| row.get(0)) {
            Err(rusqlite::Error::QueryReturnedNoRows) => self.add.query_row([word], |row| row.get(0))?,
            found => found?,
        };
        self.known.insert(word.to_owned(), id);
        Ok(id)
    }

    fn reason(&mut self, rules: u16) -> Result<i64> {
        if let Some(id) = self.reasons.get(&rules) {
            return Ok(*id);
        }
        let id = self.word(&reason(rules))?;
        self.reasons.insert(rules, id);
        Ok(id)
    }
}

/// What one transaction writes.
struct Batch<'a> {
    plan: &'a Plan,
    now_ms: i64,
    leads: &'a [Lead],
}

impl Batch<'_> {
    /// Table by table, each in contact order, so that every page is touched once.
    fn write(&self, to: &mut Statements<'_>, ids: &mut Dictionary<'_>, reps: &[i64]) -> Result<()> {
        self.scores(to, ids)?;
        self.messages(to, ids)?;
        let because = self.owners(to, ids, reps)?;
        self.decisions(to, ids, &because)?;
        for lead in self.leads {
            to.end.execute(params![lead.run, self.plan.done, RunStatus::Completed.code(), self.now_ms])?;
        }
        Ok(())
    }

    fn scores(&self, to: &mut Statements<'_>, ids: &mut Dictionary<'_>) -> Result<()> {
        let score = ids.word(words::FIT)?;
        let because: Vec<i64> = RULES.iter().map(|rule| ids.word(rule.because)).collect::<Result<_>>()?;
        for lead in self.leads.iter().filter(|lead| lead.has_points()) {
            to.put_score.execute(params![lead.contact, score, lead.total])?;
        }
        for lead in self.leads {
            let mut total = 0;
            for (position, rule) in held(lead.rules) {
                total += rule.points;
                let because = because.get(position);
                let (Lead { contact, run, .. }, workflow) = (lead, self.plan.workflow);
                to.add_entry.execute(params![
                    contact,
                    score,
                    rule.points,
                    total,
                    because,
                    self.now_ms,
                    run,
                    workflow
                ])?;
            }
        }
        Ok(())
    }

    fn messages(&self, to: &mut Statements<'_>, ids: &mut Dictionary<'_>) -> Result<()> {
        let topic = ids.word(words::TOPIC)?;
        let offer = (self.plan.offer, ids.word(words::template(true))?);
        let hello = (self.plan.hello, ids.word(words::template(false))?);
        for lead in self.leads {
            let (node, template) = if lead.hot { offer } else { hello };
            let (Lead { run, contact, recipient, subject, .. }, version) = (lead, self.plan.version);
            to.queue.execute(params![
                run,
                contact,
                version,
                node,
                template,
                topic,
                self.now_ms,
                recipient,
                subject
            ])?;
        }
        Ok(())
    }

    /// Answers the reason for each assignment.
    fn owners(&self, to: &mut Statements<'_>, ids: &mut Dictionary<'_>, reps: &[i64]) -> Result<Vec<i64>> {
        let team = ids.word(TEAM)?;
        let names = MEMBERS.iter().map(|(_, name)| ids.word(&words::assigned(name)));
        let names: Vec<i64> = names.collect::<Result<_>>()?;
        let turn = match to.state.query_row([&self.plan.state_key], |row| row.get::<_, Vec<u8>>(0)) {
            Err(rusqlite::Error::QueryReturnedNoRows) => 0,
            cell => std::str::from_utf8(&cell?)?.trim().parse()?,
        };
        let members = reps.iter().copied().zip(names).cycle().skip(turn);
        let mut because = Vec::with_capacity(self.leads.len());
        for (lead, (rep, reason)) in self.leads.iter().zip(members) {
            to.assign.execute(params![lead.contact, rep, team, reason, self.now_ms, lead.run])?;
            to.put_owner.execute(params![lead.contact, to.connection.last_insert_rowid(), rep])?;
            because.push(reason);
        }
        // As wide as the cell that the plugin keeps.
        let cell = format!("{:>64}", (turn + self.leads.len()) % reps.len().max(1));
        to.put_state.execute(params![self.plan.state_key, cell.into_bytes()])?;
        Ok(because)
    }

    fn decisions(&self, to: &mut Statements<'_>, ids: &mut Dictionary<'_>, because: &[i64]) -> Result<()> {
        let plan = self.plan;
        let [done, branched, ended] =
            [DecisionKind::Done, DecisionKind::Branched, DecisionKind::Ended].map(DecisionKind::code);
        let exit = ids.word(words::EXIT)?;
        let cold = (ids.word(&words::branch(false))?, plan.hello, ids.word(&words::queued(false))?);
        let hot = (ids.word(&words::branch(true))?, plan.offer, ids.word(&words::queued(true))?);
        for (lead, assigned) in self.leads.iter().zip(because) {
            let (branch, mail, queued) = if lead.hot { hot } else { cold };
            let steps = [
                (plan.fit, done, ids.reason(lead.rules)?),
                (plan.gate, branched, branch),
                (mail, done, queued),
                (plan.owner, done, *assigned),
                (plan.done, ended, exit),
            ];
            for (turn, (node, kind, reason)) in (0_i64..).zip(steps) {
                let Lead { run, contact, .. } = lead;
                to.decide.execute(params![
                    run,
                    plan.version,
                    contact,
                    node,
                    turn,
                    self.now_ms,
                    kind,
                    reason
                ])?;
            }
        }
        Ok(())
    }
}
