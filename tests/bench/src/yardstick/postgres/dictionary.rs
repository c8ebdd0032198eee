//! The words of the batches, and their ids.

use std::collections::HashMap;

use tokio_postgres::{Client, Statement};

use crate::{
    Result,
    campaign::{MEMBERS, RULES, TEAM, words},
    yardstick::lead::{Lead, reason},
};

const WORD: &str = "
WITH new AS (INSERT INTO words (key, word) VALUES ($1, $1) ON CONFLICT (key) DO NOTHING RETURNING id)
SELECT id FROM new UNION ALL SELECT id FROM words WHERE key = $1";

/// The ids of words, looked up once.
pub(super) struct Dictionary {
    client: Client,
    word: Statement,
    known: HashMap<String, i64>,
    reasons: HashMap<u16, i64>,
}

impl Dictionary {
    /// Over a connection of its own: new words are there for everybody at once, so that no worker waits for another's
    /// batch.
    pub(super) async fn new(client: Client) -> Result<Self> {
        let word = client.prepare(WORD).await?;
        Ok(Self { client, word, known: HashMap::new(), reasons: HashMap::new() })
    }

    /// Makes sure that all words of these leads are known.
    pub(super) async fn learn(&mut self, leads: &[Lead]) -> Result<()> {
        if self.known.is_empty() {
            let fixed =
                [words::FIT, words::TOPIC, TEAM, words::EXIT, words::template(true), words::template(false)];
            let made = [true, false].into_iter().flat_map(|hot| [words::branch(hot), words::queued(hot)]);
            let made = made.chain(MEMBERS.iter().map(|(_, name)| words::assigned(name)));
            let rules = RULES.iter().map(|rule| rule.because);
            for word in fixed.into_iter().chain(rules).map(str::to_owned).chain(made) {
                self.add(word).await?;
            }
        }
        for lead in leads {
            if !self.reasons.contains_key(&lead.rules) {
                let id = self.add(reason(lead.rules)).await?;
                self.reasons.insert(lead.rules, id);
            }
        }
        Ok(())
    }

    async fn add(&mut self, word: String) -> Result<i64> {
        // Twice: another worker's word is seen by the statement after the one that met it.
        for _ in 0..2 {
            if let Some(row) = self.client.query_opt(&self.word, &[&word]).await? {
                let id = row.get(0);
                self.known.insert(word, id);
                return Ok(id);
            }
        }
        Err(format!("`{word}` cannot be stored").into())
    }

    pub(super) fn id(&self, word: &str) -> Result<i64> {
        self.known.get(word).copied().ok_or_else(|| format!("`{word}` is not known").into())
    }

    pub(super) fn reason(&self, rules: u16) -> Result<i64> {
        Ok(self.reasons.get(&rules).copied().ok_or("a reason is not known")?)
    }
}
