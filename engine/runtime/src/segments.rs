//! Segments that a rule decides, kept up to date contact by contact.
//!
//! Whoever changes a contact notes it in the store (`dripline_store`), and so does whoever knows when time will change a
//! membership. A slice of those contacts is loaded, every rule is evaluated for each, what is different is written with
//! its events, and the next instant is noted at which it may be different again. A new rule goes over all contacts in the
//! same way, slice by slice, and remembers how far it has come. Dates that start workflows (`dates`) are looked at in the
//! same pass.

use std::{collections::BTreeMap, sync::Arc};

use dripline_expression::{Expression, NextChange, Scope, Subject};
use dripline_model::{
    Contact,
    contact::Needs,
    filter::Narrowing,
    id::ContactId,
    score::Scores,
    segment::{self, Segment},
};
use dripline_store::{Changed, Membership, Store, Timer, Transaction};
use jiff::Timestamp;

use crate::{
    dates::{Dates, NextLook},
    drive::Settled,
    engine::Engine,
    error::{Error, ErrorKind, Result, While},
    inquiry::{self, Clause},
};

/// How many contacts a count looks at together.
const SLICE: usize = 1_000;

/// The segments with rules, each after those on which it depends.
#[derive(Debug, Default)]
pub struct Rules {
    all: Vec<Rule>,
    needs: Needs,
    scores: Arc<Scores>,
}

#[derive(Debug)]
struct Rule {
    name: String,
    rule: Expression,
}

/// What a rule says of one contact, part by part.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Whether the contact is a member by the rule.
    pub is_member: bool,
    /// Whether the store has it as a member.
    pub is_stored: bool,
    /// The parts of the rule.
    pub clauses: Vec<Clause>,
    /// When the answer may change because time goes on.
    pub next_change: Option<Timestamp>,
}

impl Rules {
    /// The rules among these definitions, where these scores are declared.
    ///
    /// # Errors
    /// When this program cannot evaluate one of them.
    pub fn new(definitions: impl IntoIterator<Item = Segment>, scores: Arc<Scores>) -> Result<Self> {
        let unusable = |segment: String, reason| Error {
            doing: "prepare a segment",
            kind: ErrorKind::UnusableSegment { segment, reason },
        };
        let dynamic = definitions.into_iter().filter(|segment| segment.rule.is_some()).collect();
        let ordered = segment::in_order(dynamic).map_err(|circle| {
            unusable(circle.first().cloned().unwrap_or_default(), "it depends on itself".into())
        })?;
        let mut rules = Self { all: Vec::with_capacity(ordered.len()), needs: Needs::default(), scores };
        for Segment { name, rule, format, .. } in ordered {
            if format != segment::FORMAT {
                return Err(unusable(name, format!("its format {format} is not {}", segment::FORMAT)));
            }
            let Some(source) = rule else { continue };
            let rule = Expression::compile_rule(&source, &Scope::default()).map_err(|problems| {
                let first = problems.into_iter().next().map(|problem| problem.message);
                unusable(name.clone(), first.unwrap_or_else(|| "its rule does not compile".to_owned()))
            })?;
            rules.needs.merge(rule.needs());
            rules.all.push(Rule { name, rule });
        }
        // What is different can only be told by what is there.
        rules.needs.segments = !rules.all.is_empty();
        Ok(rules)
    }

    /// What of a contact the rules look at.
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// A segment's rule as it is written; none where it has no rule.
    pub fn source(&self, segment: &str) -> Option<&str> {
        self.all.iter().find(|rule| rule.name == segment).map(|rule| rule.rule.source())
    }

    /// What a store can look for by itself, for each rule.
    pub fn narrowings(&self, now: Timestamp) -> Vec<Narrowing> {
        self.all.iter().map(|rule| rule.rule.narrow(now, &self.scores)).collect()
    }

    /// What a store can look for by itself to find the members of a segment; none where it has no rule.
    pub fn narrowing(&self, segment: &str, now: Timestamp) -> Option<Narrowing> {
        self.all.iter().find(|rule| rule.name == segment).map(|rule| rule.rule.narrow(now, &self.scores))
    }

    /// Whether a contact is a member of a segment by its rule, given that of the others it is what it should be.
    pub fn test(&self, segment: &str, contact: &Contact, now: Timestamp) -> bool {
        let rule = self.all.iter().find(|rule| rule.name == segment);
        rule.is_some_and(|rule| rule.rule.test(&Subject::new(contact, None, now)) == Ok(true))
    }

    /// How many contacts a segment's rule admits at `now`; none where it has no rule. The store counts those that it can
    /// tell by itself; else it finds those of whom the rule then says whether they are.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn count(&self, store: &dyn Store, segment: &str, now: Timestamp) -> Result<Option<u64>> {
        const DOING: &str = "count whom a segment admits";
        let Some(narrowing) = self.narrowing(segment, now) else { return Ok(None) };
        if narrowing.is_exact {
            return store.count_narrowed(&narrowing.filter).await.while_doing(DOING).map(Some);
        }
        let mut admitted = 0;
        for slice in store.narrowed(&narrowing.filter).await.while_doing(DOING)?.chunks(SLICE) {
            // A transaction of its own for each, which is dropped: nobody waits for a count.
            let mut tx = store.begin().await.while_doing(DOING)?;
            let contacts = tx.load_contacts(slice, &self.needs, now).await.while_doing(DOING)?;
            admitted += contacts.iter().filter(|contact| self.test(segment, contact, now)).count() as u64;
        }
        Ok(Some(admitted))
    }

    /// What a segment's rule says of a contact; none where the segment has no rule.
    pub fn explain(&self, segment: &str, contact: &Contact, now: Timestamp) -> Option<Explanation> {
        let rule = &self.all.iter().find(|rule| rule.name == segment)?.rule;
        let subject = Subject::new(contact, None, now);
        let next = rule.next_change(&subject);
        Some(Explanation {
            is_member: rule.test(&subject) == Ok(true),
            is_stored: contact.segments.contains(segment),
            clauses: inquiry::clauses(rule, &subject),
            next_change: [next.once, next.repeating].into_iter().flatten().min(),
        })
    }

    /// Evaluates all rules for a contact, and makes it a member of what it should be: what is different, and when to look
    /// again.
    fn evaluate<'r>(&'r self, contact: &mut Contact, now: Timestamp) -> (Vec<Membership<'r>>, NextChange) {
        let mut changes = Vec::new();
        let mut next = NextChange::default();
        for Rule { name, rule } in &self.all {
            let subject = Subject::new(contact, None, now);
            let is_member = rule.test(&subject) == Ok(true);
            next = next.or(rule.next_change(&subject));
            let was_member = contact.segments.contains(name);
            if is_member != was_member {
                changes.push(Membership { contact: contact.id, segment: name, joins: is_member });
            }
            // Those that depend on it see what is so now.
            if is_member {
                contact.segments.insert(name.clone());
            } else {
                contact.segments.remove(name);
            }
        }
        (changes, next)
    }
}

impl Engine {
    /// Looks at up to `limit` contacts that have changed or whose time has come, else goes on with rules that are new.
    /// Answers how many it looked at, unless others are at all of them.
    pub(crate) async fn take_segments(
        &self,
        tx: &mut dyn Transaction,
        now: Timestamp,
        limit: usize,
    ) -> Result<Option<(Settled, usize)>> {
        // Whatever was published before these contacts changed is known from here on.
        self.follow().await?;
        let changed = tx.claim_changed(now, limit).await.while_doing("claim changed contacts")?;
        if !changed.is_empty() {
            self.reconcile(tx, &changed, now).await?;
            return Ok(Some((Settled::default(), changed.len())));
        }
        let Some(from) = tx.unfinished_rules().await.while_doing("look for new segments")? else {
            return Ok(None);
        };
        // What was published a moment ago is among what is unfinished.
        self.follow().await?;
        let slice = tx.contacts_after(None, from, limit).await.while_doing("read contacts")?;
        tx.lock_contacts(&slice).await.while_doing("lock contacts")?;
        let looked_at: Vec<Changed> =
            slice.iter().map(|contact| Changed { contact: *contact, since: now }).collect();
        self.reconcile(tx, &looked_at, now).await?;
        let to = slice.last().copied().unwrap_or(from);
        let done = slice.len() < limit;
        tx.advance_rules(from, to, done).await.while_doing("record how far new segments are")?;
        Ok(Some((Settled::default(), slice.len())))
    }

    /// Makes contacts members of what they should be, and lets their dates come.
    async fn reconcile(&self, tx: &mut dyn Transaction, changed: &[Changed], now: Timestamp) -> Result<()> {
        let published = self.published();
        let rules = &published.rules;
        let since: BTreeMap<ContactId, Timestamp> =
            changed.iter().map(|Changed { contact, since }| (*contact, *since)).collect();
        let ids: Vec<ContactId> = since.keys().copied().collect();
        let workflows = published.programs.iter().map(|program| program.dated());
        let mut dates = Dates::load(tx, workflows, &ids, &self.options.time_zone).await?;
        let contacts = tx.load_contacts(&ids, &published.watched, now).await.while_doing("load contacts")?;
        let mut changes = Vec::new();
        let mut timers = Vec::with_capacity(contacts.len());
        for mut contact in contacts {
            let (different, next) = rules.evaluate(&mut contact, now);
            changes.extend(different);
            let since = since.get(&contact.id).copied().unwrap_or(now);
            let NextLook { once, yearly } = dates.look(&contact, since, now);
            let next = next.or(NextChange { once, repeating: yearly });
            let due = [next.once, next.repeating].into_iter().flatten().min();
            timers.push(Timer { contact: contact.id, due, repeats: next.once.is_none() });
        }
        tx.settle_segments(&changes, &timers, now).await.while_doing("change segments")?;
        dates.settle(tx, now).await
    }
}
