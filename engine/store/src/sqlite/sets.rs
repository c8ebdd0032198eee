//! Sets of rows, as SQLite takes and gives them fastest.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use dripline_model::{
    Contact, clock::from_ms, contact::Needs, field::ValueTypes, id::VersionId, score::Scores,
};
use serde_json::value::RawValue;
use sqlx::{query, query_as, query_scalar};
use ulid::Ulid;

use super::{
    contacts,
    held::NEXT_IN_LINE,
    rows::{RowsSql, json_ids, json_rows},
    statements::{
        ADD_ATTRIBUTE_TYPES, ADD_DATE_TRIGGERS, ADD_REPRESENTATIVES, ADD_TAGS, ANY_WAITS, BY_EMAIL,
        BY_EXTERNAL_ID, CLEAR_ENTRIES, CLEAR_TIMERS, CREATE_SEGMENTS, DATE_TRIGGERS_OF, DEACTIVATE,
        DEFINITIONS, DELETE_TEAMS, DROP_CONTACT_DATES, DROP_DATE_TRIGGERS, DROP_DEFINITION,
        DROP_SCORE_DEFINITION, END_RUNS, FIND_REPRESENTATIVES, FIND_SEGMENTS, GIFTS_IN_ORDER,
        INSERT_ASSIGNMENTS, INSERT_CONTACTS, INSERT_DECISIONS, INSERT_ENTRIES, INSERT_EVENTS, INSERT_MEMBERS,
        INSERT_RUNS, INSERT_TEAM, JOIN, KNOWN_EVENT_KEYS, LAST_ASSIGNMENT, LAST_CONTACT, LEAVE, MEMBERSHIPS,
        MOVE_RUNS, MOVE_WAITING_RUNS, NOTE_CHANGED, PAST_EVENTS, PLUGIN_STATE, PUT_ATTRIBUTES, PUT_CONSENTS,
        PUT_CURVES, PUT_DEFINITION, PUT_HOLDS, PUT_OWNERS, PUT_PLUGIN_STATES, PUT_REPRESENTATIVES,
        PUT_SCORE_DEFINITION, PUT_SCORES, PUT_TIMERS, QUEUE_MESSAGES, RELEASE_EMAILS, RELEASE_HELD,
        REMOVE_TAGS, RENEW_RULES, RULES, SCORE_DEFINITIONS, SCORED_AFTER, SCORES, STANDING_ENTRIES,
        STANDING_GIFTS, UNWATCH_ATTRIBUTES, UPDATE_CONTACTS, WAKE_RUNS, WATCH_ATTRIBUTES, WATCHED,
        WATCHED_ATTRIBUTES,
    },
    writer::Writer,
};
use crate::{
    error::Raw,
    logic::{limit, watch},
    sets::{
        Assignment, ContactFields, CurveRow, Decision, Definition, EndedRun, EventFields, Gift, Hold,
        MovedRun, NewMessage, NewRun, Onlookers, PastEvents, ScoreDefinition, ScoreEntry, Sets, StepScore,
    },
    versions::Version,
};

impl Writer {
    /// Writes rows of two numbers.
    async fn put_pairs(&mut self, sql: RowsSql, rows: &[(i64, i64)]) -> Raw<()> {
        let rows = sql.over(rows, |binds, (first, second)| {
            binds.add(*first).add(*second);
        });
        self.put_behind(rows).await
    }

    /// Writes rows of three numbers; a row of NULLs means nothing to the statement.
    async fn put_triples(&mut self, sql: RowsSql, rows: &[(i64, i64, i64)]) -> Raw<()> {
        let rows = sql.padded(rows, |binds, (first, second, third)| {
            binds.add(*first).add(*second).add(*third);
        });
        self.put_behind(rows).await
    }

    /// Finds the ids of what is named.
    async fn find(&mut self, sql: RowsSql, names: impl IntoIterator<Item = &str>) -> Raw<Vec<(String, i64)>> {
        let find = sql.over(names, |binds, name| {
            binds.add(name);
        });
        find.fetch(self.conn().await?).await
    }
}

#[async_trait]
impl Sets for Writer {
    async fn intern(&mut self, words: Vec<&str>) -> Raw<()> {
        self.find_words(words).await
    }

    fn word(&self, word: &str) -> Raw<i64> {
        self.words.id(word)
    }

    async fn version(&mut self, id: VersionId) -> Raw<Arc<Version>> {
        if let Some(version) = self.shared.versions.known(id) {
            return Ok(version);
        }
        let shared = Arc::clone(&self.shared);
        shared.version(self.conn().await?, id).await
    }

    async fn contact_ids(&mut self, count: usize) -> Raw<Vec<i64>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        // Nobody else writes meanwhile.
        let last: i64 = query_scalar(LAST_CONTACT).fetch_one(self.conn().await?).await?;
        Ok((last + 1..).take(count).collect())
    }

    async fn contacts_by_external_id(&mut self, keys: &[&str]) -> Raw<Vec<(String, i64)>> {
        self.find(BY_EXTERNAL_ID, keys.iter().copied()).await
    }

    async fn contacts_by_email(&mut self, emails: &[&str]) -> Raw<Vec<(String, i64)>> {
        self.find(BY_EMAIL, emails.iter().copied()).await
    }

    async fn contacts(&mut self, ids: &[i64], needs: &Needs) -> Raw<Vec<Contact>> {
        match self.people_ahead(ids, needs) {
            Some(contacts) => Ok(contacts),
            None => contacts::load(self.conn().await?, ids, needs).await,
        }
    }

    async fn contact_parts(&mut self, ids: &[i64], needs: &Needs) -> Raw<Vec<Contact>> {
        contacts::load_parts(self.conn().await?, ids, needs).await
    }

    async fn release_emails(&mut self, contacts: &[i64]) -> Raw<()> {
        if contacts.is_empty() {
            return Ok(());
        }
        self.run(query(RELEASE_EMAILS).bind(json_ids(contacts))).await.map(drop)
    }

    async fn insert_contacts(&mut self, rows: &[ContactFields<'_>], now_ms: i64) -> Raw<()> {
        let insert = INSERT_CONTACTS.over(rows, |binds, row| {
            binds.add(row.id).add(Ulid::from_datetime(from_ms(now_ms).into()).to_bytes().to_vec());
            binds.add(row.external_id).add(row.email).add(row.attributes.as_str());
            binds.add(row.created_ms).add(now_ms);
        });
        self.put_behind(insert).await
    }

    async fn update_contacts(&mut self, rows: &[ContactFields<'_>], now_ms: i64) -> Raw<()> {
        let update = UPDATE_CONTACTS.over(rows, |binds, row| {
            binds.add(row.id).add(row.external_id).add(row.email).add(row.attributes.as_str());
            binds.add(row.created_ms).add(now_ms);
        });
        self.put(update).await.map(drop)
    }

    async fn put_attributes(&mut self, rows: &[(i64, String)], now_ms: i64) -> Raw<()> {
        let put = PUT_ATTRIBUTES.over(rows, |binds, (id, attributes)| {
            binds.add(*id).add(attributes.as_str()).add(now_ms);
        });
        self.put_behind(put).await
    }

    async fn add_attribute_types(&mut self, types: BTreeMap<&str, ValueTypes>) -> Raw<()> {
        let types = ADD_ATTRIBUTE_TYPES.over(types, |binds, (name, types)| {
            binds.add(name).add(i64::from(types.bits()));
        });
        self.put(types).await.map(drop)
    }

    async fn watched_attributes(&mut self) -> Raw<BTreeSet<String>> {
        let names: Vec<String> = query_scalar(WATCHED_ATTRIBUTES).fetch_all(self.conn().await?).await?;
        Ok(names.into_iter().collect())
    }

    async fn watch_attributes(&mut self, workflow: i64, names: &BTreeSet<&str>) -> Raw<()> {
        self.run(query(UNWATCH_ATTRIBUTES).bind(workflow)).await?;
        let watch = WATCH_ATTRIBUTES.over(names, |binds, name| {
            binds.add(workflow).add(*name);
        });
        self.put(watch).await.map(drop)
    }

    async fn put_consents(&mut self, rows: &[(i64, i64, bool)], now_ms: i64) -> Raw<()> {
        let consents = PUT_CONSENTS.over(rows, |binds, (contact, topic, given)| {
            binds.add(*contact).add(*topic).add(*given).add(now_ms);
        });
        self.put(consents).await.map(drop)
    }

    async fn add_tags(&mut self, rows: &[(i64, i64)]) -> Raw<()> {
        self.put_pairs(ADD_TAGS, rows).await
    }

    async fn remove_tags(&mut self, rows: &[(i64, i64)]) -> Raw<()> {
        self.put_pairs(REMOVE_TAGS, rows).await
    }

    fn declared_scores(&self) -> Arc<Scores> {
        self.shared.declared.get()
    }

    async fn plugin_state(&mut self, plugin: &str, key: &str) -> Raw<Option<Vec<u8>>> {
        let state = query_scalar(PLUGIN_STATE).bind(plugin).bind(key);
        Ok(state.fetch_optional(self.conn().await?).await?)
    }

    async fn put_plugin_states(&mut self, rows: &[(&str, &str, &[u8])]) -> Raw<()> {
        self.put_behind(PUT_PLUGIN_STATES.over(rows, |binds, (plugin, key, value)| {
            binds.add((*plugin).to_owned()).add((*key).to_owned()).add(value.to_vec());
        }))
        .await
    }

    async fn scores(&mut self, contacts: &[i64]) -> Raw<Vec<(i64, i64, i64, Option<String>)>> {
        json_rows(self.conn().await?, query_scalar(SCORES).bind(json_ids(contacts))).await
    }

    async fn standing_entries(&mut self, contacts: &[i64], of: StepScore) -> Raw<Vec<(i64, i64, i64)>> {
        let entries = query_scalar(STANDING_ENTRIES).bind(json_ids(contacts));
        json_rows(self.conn().await?, entries.bind(of.score).bind(of.workflow).bind(of.step)).await
    }

    async fn standing_gifts(&mut self, contacts: &[i64], of: StepScore) -> Raw<Vec<Gift>> {
        let gifts = query_scalar(STANDING_GIFTS).bind(json_ids(contacts));
        let gifts = gifts.bind(of.score).bind(of.workflow).bind(of.step);
        let rows: Vec<(i64, i64, i64, i64, i64)> = json_rows(self.conn().await?, gifts).await?;
        let gift = |(id, contact, points, at_ms, because)| Gift { id, contact, points, at_ms, because };
        Ok(rows.into_iter().map(gift).collect())
    }

    async fn gifts_in_order(&mut self, contacts: &[i64], score: i64) -> Raw<Vec<(i64, i64, i64)>> {
        let gifts = query_scalar(GIFTS_IN_ORDER).bind(json_ids(contacts)).bind(score);
        json_rows(self.conn().await?, gifts).await
    }

    async fn clear_entries(&mut self, entries: &[(i64, i64)], now_ms: i64) -> Raw<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let ids = json_ids(entries.iter().map(|(_, id)| id));
        self.run(query(CLEAR_ENTRIES).bind(ids).bind(now_ms)).await.map(drop)
    }

    async fn put_scores(&mut self, rows: &[(i64, i64, i64)]) -> Raw<()> {
        self.put_triples(PUT_SCORES, rows).await
    }

    async fn put_curves(&mut self, rows: &[CurveRow]) -> Raw<()> {
        let put = PUT_CURVES.padded(rows, |binds, row| {
            binds.add(row.contact).add(row.score).add(row.value);
            binds.add(row.curve.as_deref()).add(row.least).add(row.most);
        });
        self.put_behind(put).await
    }

    async fn put_holds(&mut self, rows: &[Hold], now_ms: i64) -> Raw<()> {
        let put = PUT_HOLDS.over(rows, |binds, hold| {
            binds.add(hold.contact).add(hold.of.score).add(hold.of.workflow).add(hold.of.step);
            binds.add(hold.because).add(hold.by.code()).add(hold.points).add(now_ms);
        });
        self.put_behind(put).await
    }

    async fn score_definitions(&mut self) -> Raw<Vec<ScoreDefinition>> {
        type Row = (i64, String, Option<String>, Option<i64>);
        let rows: Vec<Row> = query_as(SCORE_DEFINITIONS).fetch_all(self.conn().await?).await?;
        let definition = |(score, name, json, last)| ScoreDefinition { score, name, json, last };
        Ok(rows.into_iter().map(definition).collect())
    }

    async fn put_score_definition(
        &mut self,
        score: i64,
        json: Option<&str>,
        last: Option<i64>,
        now_ms: i64,
    ) -> Raw<()> {
        let put = query(PUT_SCORE_DEFINITION).bind(score).bind(json).bind(last);
        self.run(put.bind(now_ms)).await.map(drop)
    }

    async fn drop_score_definition(&mut self, score: i64) -> Raw<()> {
        self.run(query(DROP_SCORE_DEFINITION).bind(score)).await.map(drop)
    }

    async fn scored_after(&mut self, score: i64, after: i64, count: usize) -> Raw<Vec<i64>> {
        let scored = query_scalar(SCORED_AFTER).bind(score).bind(after).bind(limit(count));
        Ok(scored.fetch_all(self.conn().await?).await?)
    }

    async fn renew_rules(&mut self, segments: &[i64]) -> Raw<()> {
        self.run(query(RENEW_RULES).bind(json_ids(segments))).await.map(drop)
    }

    async fn insert_entries(&mut self, rows: &[ScoreEntry], now_ms: i64) -> Raw<()> {
        let rows = INSERT_ENTRIES.padded(rows, |binds, entry| {
            binds.add(entry.contact).add(entry.of.score).add(entry.points).add(entry.total);
            binds.add(entry.because).add(now_ms).add(entry.run).add(entry.turn);
            binds.add(entry.of.workflow).add(entry.of.step).add(entry.is_cleared.then_some(now_ms));
        });
        self.put_behind(rows).await
    }

    async fn segments(
        &mut self,
        names: &BTreeSet<&str>,
        create: bool,
        now_ms: i64,
    ) -> Raw<HashMap<String, i64>> {
        if create {
            let create = CREATE_SEGMENTS.over(names, |binds, name| {
                binds.add(*name).add(now_ms);
            });
            self.put(create).await?;
        }
        Ok(self.find(FIND_SEGMENTS, names.iter().copied()).await?.into_iter().collect())
    }

    async fn memberships(&mut self, contacts: &[i64]) -> Raw<Vec<(i64, i64)>> {
        json_rows(self.conn().await?, query_scalar(MEMBERSHIPS).bind(json_ids(contacts))).await
    }

    async fn join(&mut self, rows: &[(i64, i64)], now_ms: i64) -> Raw<()> {
        let join = JOIN.over(rows, |binds, (contact, segment)| {
            binds.add(*contact).add(*segment).add(now_ms);
        });
        self.put_behind(join).await
    }

    async fn leave(&mut self, rows: &[(i64, i64)]) -> Raw<()> {
        self.put_pairs(LEAVE, rows).await
    }

    async fn known_event_keys(&mut self, keys: &[&str]) -> Raw<Vec<String>> {
        let keys = KNOWN_EVENT_KEYS.over(keys, |binds, key| {
            binds.add(*key);
        });
        let known: Vec<(String,)> = keys.fetch(self.conn().await?).await?;
        Ok(known.into_iter().map(|(key,)| key).collect())
    }

    async fn insert_events(&mut self, rows: &[EventFields<'_>]) -> Raw<()> {
        let insert = INSERT_EVENTS.over(rows, |binds, event| {
            binds.add(event.key).add(event.contact).add(event.name).add(event.at_ms);
            binds.add(event.state as i64).add(event.properties.as_deref());
        });
        self.put_behind(insert).await
    }

    async fn past_events(
        &mut self,
        contacts: &[i64],
        asked: &PastEvents<'_>,
    ) -> Raw<Vec<(i64, i64, Option<String>)>> {
        let events = query_scalar(PAST_EVENTS).bind(json_ids(contacts)).bind(asked.name.to_owned());
        let events = events.bind(asked.after_ms).bind(asked.until_ms).bind(asked.with_properties);
        let rows: Vec<(i64, i64, Option<Box<RawValue>>)> = json_rows(self.conn().await?, events).await?;
        Ok(rows
            .into_iter()
            .map(|(contact, at, properties)| (contact, at, properties.map(|json| json.get().to_owned())))
            .collect())
    }

    async fn watched(&mut self) -> Raw<Vec<(bool, String)>> {
        Ok(query_as(WATCHED).fetch_all(self.conn().await?).await?)
    }

    async fn date_triggers_of(&mut self, workflow: i64) -> Raw<Vec<(i64, String)>> {
        Ok(query_as(DATE_TRIGGERS_OF).bind(workflow).fetch_all(self.conn().await?).await?)
    }

    async fn add_date_triggers(&mut self, workflow: i64, rows: &[(String, String)], now_ms: i64) -> Raw<()> {
        let add = ADD_DATE_TRIGGERS.over(rows, |binds, (wording, needs)| {
            binds.add(workflow).add(wording.as_str()).add(needs.as_str()).add(now_ms);
        });
        self.put(add).await.map(drop)
    }

    async fn drop_date_triggers(&mut self, triggers: &[i64]) -> Raw<()> {
        if triggers.is_empty() {
            return Ok(());
        }
        self.run(query(DROP_CONTACT_DATES).bind(json_ids(triggers))).await?;
        self.run(query(DROP_DATE_TRIGGERS).bind(json_ids(triggers))).await.map(drop)
    }

    async fn release_held(&mut self, workflow: i64, now_ms: i64) -> Raw<()> {
        self.run(query(RELEASE_HELD).bind(workflow).bind(now_ms)).await.map(drop)
    }

    async fn next_in_line(&mut self, workflow: i64, contacts: &[i64], now_ms: i64) -> Raw<()> {
        if contacts.is_empty() {
            return Ok(());
        }
        let next = query(NEXT_IN_LINE).bind(json_ids(contacts)).bind(workflow).bind(now_ms);
        self.run(next).await.map(drop)
    }

    async fn rules(&mut self) -> Raw<Vec<(i64, String)>> {
        Ok(query_as(RULES).fetch_all(self.conn().await?).await?)
    }

    async fn onlookers(&mut self) -> Raw<Onlookers> {
        let (rules, dates) = watch::parted(self.watched().await?);
        Ok(Onlookers { rules, dates, waits: query_scalar(ANY_WAITS).fetch_one(self.conn().await?).await? })
    }

    async fn definitions(&mut self) -> Raw<Vec<(i64, String, String)>> {
        Ok(query_as(DEFINITIONS).fetch_all(self.conn().await?).await?)
    }

    async fn put_definition(&mut self, new: &Definition<'_>, now_ms: i64) -> Raw<()> {
        let put =
            query(PUT_DEFINITION).bind(new.segment).bind(new.json.to_owned()).bind(new.source.to_owned());
        self.run(put.bind(new.is_dynamic).bind(new.is_new_rule).bind(now_ms)).await.map(drop)
    }

    async fn drop_definition(&mut self, segment: i64) -> Raw<()> {
        self.run(query(DROP_DEFINITION).bind(segment)).await.map(drop)
    }

    async fn next_revision(&mut self) -> Raw<()> {
        self.run(query(super::catalog::NEXT_REVISION)).await.map(drop)
    }

    async fn note_changed(&mut self, rows: &[(i64, i64)]) -> Raw<()> {
        self.put_pairs(NOTE_CHANGED, rows).await
    }

    async fn put_timers(&mut self, rows: &[(i64, i64, bool)]) -> Raw<()> {
        let timers = PUT_TIMERS.over(rows, |binds, (contact, due, repeats)| {
            binds.add(*contact).add(*due).add(*repeats);
        });
        self.put(timers).await.map(drop)
    }

    async fn clear_timers(&mut self, contacts: &[i64]) -> Raw<()> {
        if contacts.is_empty() {
            return Ok(());
        }
        self.run(query(CLEAR_TIMERS).bind(json_ids(contacts))).await.map(drop)
    }

    async fn clear_teams(&mut self) -> Raw<()> {
        self.run(query(DEACTIVATE)).await?;
        self.run(query(DELETE_TEAMS)).await.map(drop)
    }

    async fn put_representatives(&mut self, rows: &[(&str, &str, Option<&str>)]) -> Raw<()> {
        let put = PUT_REPRESENTATIVES.over((0_i64..).zip(rows), |binds, (position, (key, name, email))| {
            binds.add(*key).add(*name).add(*email).add(position);
        });
        self.put_behind(put).await
    }

    async fn insert_team(&mut self, key: &str, name: &str, position: i64, members: &[(i64, i64)]) -> Raw<()> {
        let team: i64 = query_scalar(INSERT_TEAM)
            .bind(key.to_owned())
            .bind(name.to_owned())
            .bind(position)
            .fetch_one(self.conn().await?)
            .await?;
        let members = INSERT_MEMBERS.over((0_i64..).zip(members), |binds, (position, (rep, weight))| {
            binds.add(team).add(position).add(*rep).add(*weight);
        });
        self.put(members).await.map(drop)
    }

    async fn representatives(&mut self, keys: BTreeSet<&str>) -> Raw<HashMap<String, i64>> {
        let unknown = self.representatives.missing(&self.shared.representatives, keys.iter().copied());
        if !unknown.is_empty() {
            let add = ADD_REPRESENTATIVES.over(&unknown, |binds, key| {
                binds.add(*key).add(*key);
            });
            self.put(add).await?;
            for (key, id) in self.find(FIND_REPRESENTATIVES, unknown).await? {
                self.representatives.insert(&key, id);
            }
        }
        Ok(self.representatives.ids(keys))
    }

    async fn assign(&mut self, rows: &[Assignment], now_ms: i64) -> Raw<()> {
        // Asked once: who asks waits for everything that is written behind.
        let last = match self.last_assignment {
            Some(last) => last,
            None => query_scalar(LAST_ASSIGNMENT).fetch_one(self.conn().await?).await?,
        };
        let ids: Vec<i64> = (last + 1..).take(rows.len()).collect();
        self.last_assignment = ids.last().copied().or(Some(last));
        let assignments = INSERT_ASSIGNMENTS.padded(ids.iter().zip(rows), |binds, (id, row)| {
            binds.add(*id).add(row.contact).add(row.rep).add(row.team).add(row.because);
            binds.add(now_ms).add(row.run).add(row.turn);
        });
        self.put_behind(assignments).await?;
        let owners: Vec<_> = ids.into_iter().zip(rows).map(|(id, row)| (row.contact, id, row.rep)).collect();
        self.put_triples(PUT_OWNERS, &owners).await
    }

    async fn queue_messages(&mut self, rows: &[NewMessage<'_>], now_ms: i64) -> Raw<()> {
        let queue = QUEUE_MESSAGES.padded(rows, |binds, row| {
            binds.add(row.run).add(row.turn).add(row.effect).add(row.contact).add(row.version);
            binds.add(row.node).add(row.template).add(row.topic).add(i64::from(row.is_transactional));
            binds.add(now_ms).add(row.subject).add(row.recipient);
        });
        self.put_behind(queue).await
    }

    async fn insert_runs(&mut self, rows: &[NewRun], now_ms: i64) -> Raw<Vec<(i64, NewRun)>> {
        // Some of them are due at once.
        self.batch = None;
        let insert = INSERT_RUNS.over(rows, |binds, run| {
            binds.add(run.workflow).add(run.version).add(run.contact).add(run.event).add(run.lane);
            binds.add(now_ms).add(now_ms);
        });
        let started: Vec<(i64, i64, i64, i64, Option<i64>, i64)> = self.put_returning(insert).await?;
        Ok(started
            .into_iter()
            .map(|(id, workflow, version, contact, event, lane)| {
                (id, NewRun { workflow, version, contact, event, lane })
            })
            .collect())
    }

    async fn move_runs(&mut self, rows: &[MovedRun]) -> Raw<()> {
        let rows = MOVE_RUNS.padded(rows, |binds, run| {
            binds.add(run.run).add(run.node).add(run.due_ms).add(run.turn).add(run.attempts).add(run.hops);
            binds.add(run.first_due_ms);
        });
        self.put_behind(rows).await
    }

    async fn move_waiting_runs(&mut self, rows: &[MovedRun]) -> Raw<()> {
        let rows = MOVE_WAITING_RUNS.padded(rows, |binds, run| {
            binds.add(run.run).add(run.node).add(run.due_ms).add(run.turn).add(run.attempts).add(run.hops);
            binds.add(run.first_due_ms);
            let waiting = run.waiting;
            binds.add(waiting.map(|waiting| waiting.what)).add(waiting.map(|waiting| waiting.since_ms));
            binds.add(waiting.map(|waiting| waiting.until_ms));
        });
        self.put_behind(rows).await
    }

    /// The one writer decides alone.
    async fn lock(&mut self, _contacts: &[i64]) -> Raw<()> {
        Ok(())
    }

    async fn wake_runs(&mut self, contacts: &[i64], now_ms: i64) -> Raw<()> {
        if contacts.is_empty() {
            return Ok(());
        }
        self.run(query(WAKE_RUNS).bind(json_ids(contacts)).bind(now_ms)).await.map(drop)
    }

    async fn end_runs(&mut self, rows: &[EndedRun]) -> Raw<()> {
        let rows = END_RUNS.padded(rows, |binds, run| {
            binds.add(run.run).add(run.node).add(run.status).add(run.turn).add(run.ended_ms);
        });
        self.put_behind(rows).await
    }

    async fn insert_decisions(&mut self, rows: &[Decision]) -> Raw<()> {
        let rows = INSERT_DECISIONS.padded(rows, |binds, decision| {
            binds.add(decision.run).add(decision.version).add(decision.contact).add(decision.node);
            binds.add(decision.turn).add(decision.at_ms).add(decision.kind).add(decision.reason);
            binds.add(decision.event);
        });
        self.put_behind(rows).await
    }
}
