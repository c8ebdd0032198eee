//! Sets of rows, as PostgreSQL takes and gives them fastest.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use dripline_model::{
    Contact, clock::from_ms, contact::Needs, field::ValueTypes, id::VersionId, score::Scores,
};
use sqlx::{query, query_as, query_scalar};
use ulid::Ulid;

use super::{
    append, contacts,
    held::NEXT_IN_LINE,
    rows::{bind_columns, json, small, smallest, text},
    statements::{
        ADD_ATTRIBUTE_TYPES, ADD_DATE_TRIGGERS, ADD_REPRESENTATIVES, ADD_TAGS, ASSIGN, BY_EMAIL,
        BY_EXTERNAL_ID, CLEAR_ENTRIES, CLEAR_TIMERS, CONTACT_IDS, COPY_DECISIONS, COPY_ENTRIES,
        CREATE_SEGMENTS, DATE_TRIGGERS_OF, DEACTIVATE, DEFINITIONS, DELETE_TEAMS, DROP_CONTACT_DATES,
        DROP_DATE_TRIGGERS, DROP_DEFINITION, DROP_SCORE_DEFINITION, END_RUNS, FIND_REPRESENTATIVES,
        FIND_SEGMENTS, GIFTS_IN_ORDER, INSERT_CONTACTS, INSERT_DECISIONS, INSERT_ENTRIES, INSERT_EVENTS,
        INSERT_MEMBERS, INSERT_RUNS, INSERT_TEAM, JOIN, KNOWN_ATTRIBUTE_TYPES, KNOWN_EVENT_KEYS, LEAVE,
        LOCK_PLUGIN_STATE, MEMBERSHIPS, MOVE_RUNS, MOVE_WAITING_RUNS, NOTE_CHANGED, ONLOOKERS, PAST_EVENTS,
        PLUGIN_STATE, PUT_ATTRIBUTES, PUT_CONSENTS, PUT_CURVES, PUT_DEFINITION, PUT_HOLDS, PUT_PLUGIN_STATES,
        PUT_REPRESENTATIVES, PUT_SCORE_DEFINITION, PUT_SCORES, PUT_TIMERS, QUEUE_MESSAGES, RELEASE_EMAILS,
        RELEASE_HELD, REMOVE_TAGS, RENEW_RULES, RULES, SCORE_DEFINITIONS, SCORED_AFTER, SCORES,
        STANDING_ENTRIES, STANDING_GIFTS, UNWATCH_ATTRIBUTES, UPDATE_CONTACTS, WAKE_RUNS, WATCH_ATTRIBUTES,
        WATCHED, WATCHED_ATTRIBUTES,
    },
    transaction::LOCK_CONTACTS,
    writer::Writer,
};
use crate::{
    error::Raw,
    logic::limit,
    sets::{
        Assignment, ContactFields, CurveRow, Decision, Definition, EndedRun, EventFields, EventState, Gift,
        Hold, MovedRun, NewMessage, NewRun, Onlookers, PastEvents, ScoreDefinition, ScoreEntry, Sets,
        StepScore,
    },
    versions::Version,
};

impl Writer {
    /// Finds the ids of what is named and does not do without a name.
    async fn find(&mut self, sql: &'static str, names: &[&str]) -> Raw<Vec<(String, i64)>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<_> = names.iter().map(|name| text(name)).collect();
        Ok(query_as(sql).bind(names).fetch_all(self.conn().await?).await?)
    }

    /// Finds the ids of what is named, and makes what is missing beside this transaction: it does no harm to be there
    /// although nobody uses it, and no batch waits for another's.
    async fn find_or_make(
        &mut self,
        find: &'static str,
        names: &BTreeSet<&str>,
        make: impl AsyncFnOnce(&mut sqlx::PgConnection, &[&str]) -> sqlx::Result<()>,
    ) -> Raw<HashMap<String, i64>> {
        let names: Vec<&str> = names.iter().copied().collect();
        let mut found: HashMap<String, i64> = self.find(find, &names).await?.into_iter().collect();
        let missing: Vec<&str> = names.iter().filter(|name| !found.contains_key(**name)).copied().collect();
        if !missing.is_empty() {
            let mut conn = self.shared.readers.acquire().await?;
            make(&mut conn, &missing).await?;
            found.extend(self.find(find, &missing).await?);
        }
        Ok(found)
    }

    async fn put_pairs(&mut self, sql: &'static str, rows: &[(i64, i64)]) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.run_behind(bind_columns!(query(sql), rows, |row| row.0, row.1)).await;
        Ok(())
    }

    async fn put_triples(&mut self, sql: &'static str, rows: &[(i64, i64, i64)]) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.run_behind(bind_columns!(query(sql), rows, |row| row.0, row.1, row.2)).await;
        Ok(())
    }

    async fn new_ids(&mut self, sql: &'static str, count: usize) -> Raw<Vec<i64>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        Ok(query_scalar(sql).bind(count).fetch_all(self.conn().await?).await?)
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
        self.new_ids(CONTACT_IDS, count).await
    }

    async fn contacts_by_external_id(&mut self, keys: &[&str]) -> Raw<Vec<(String, i64)>> {
        self.find(BY_EXTERNAL_ID, keys).await
    }

    async fn contacts_by_email(&mut self, emails: &[&str]) -> Raw<Vec<(String, i64)>> {
        self.find(BY_EMAIL, emails).await
    }

    async fn contacts(&mut self, ids: &[i64], needs: &Needs) -> Raw<Vec<Contact>> {
        contacts::load(self.conn().await?, ids, needs).await
    }

    async fn contact_parts(&mut self, ids: &[i64], needs: &Needs) -> Raw<Vec<Contact>> {
        contacts::load_parts(self.conn().await?, ids, needs).await
    }

    async fn release_emails(&mut self, contacts: &[i64]) -> Raw<()> {
        if contacts.is_empty() {
            return Ok(());
        }
        self.run(query(RELEASE_EMAILS).bind(contacts)).await.map(drop)
    }

    async fn insert_contacts(&mut self, rows: &[ContactFields<'_>], now_ms: i64) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let uid = |_: &ContactFields<'_>| Ulid::from_datetime(from_ms(now_ms).into()).to_bytes().to_vec();
        let insert = bind_columns!(
            query(INSERT_CONTACTS),
            rows,
            |row| row.id,
            uid(row),
            row.external_id.map(text),
            row.email.map(text),
            json(&row.attributes),
            row.created_ms,
        );
        self.run(insert.bind(now_ms)).await.map(drop)
    }

    async fn update_contacts(&mut self, rows: &[ContactFields<'_>], now_ms: i64) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let update = bind_columns!(
            query(UPDATE_CONTACTS),
            rows,
            |row| row.id,
            row.external_id.map(text),
            row.email.map(text),
            json(&row.attributes),
            row.created_ms,
        );
        self.run(update.bind(now_ms)).await.map(drop)
    }

    async fn put_attributes(&mut self, rows: &[(i64, String)], now_ms: i64) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let put = bind_columns!(query(PUT_ATTRIBUTES), rows, |row| row.0, json(&row.1));
        self.run_behind(put.bind(now_ms)).await;
        Ok(())
    }

    async fn add_attribute_types(&mut self, types: BTreeMap<&str, ValueTypes>) -> Raw<()> {
        let (names, types): (Vec<_>, Vec<_>) =
            types.into_iter().map(|(name, types)| (text(name), i64::from(types.bits()))).unzip();
        if names.is_empty() {
            return Ok(());
        }
        // Nearly always they are known, and beside this transaction for the same reason as words.
        let mut conn = self.shared.readers.acquire().await?;
        let known = query_scalar(KNOWN_ATTRIBUTE_TYPES).bind(&names).bind(&types);
        let known: i64 = known.fetch_one(&mut *conn).await?;
        if usize::try_from(known).is_ok_and(|known| known < names.len()) {
            query(ADD_ATTRIBUTE_TYPES).bind(&names).bind(&types).execute(&mut *conn).await?;
        }
        Ok(())
    }

    async fn watched_attributes(&mut self) -> Raw<BTreeSet<String>> {
        let names: Vec<String> = query_scalar(WATCHED_ATTRIBUTES).fetch_all(self.conn().await?).await?;
        Ok(names.into_iter().collect())
    }

    async fn watch_attributes(&mut self, workflow: i64, names: &BTreeSet<&str>) -> Raw<()> {
        self.run(query(UNWATCH_ATTRIBUTES).bind(workflow)).await?;
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.run(query(WATCH_ATTRIBUTES).bind(workflow).bind(names)).await.map(drop)
    }

    async fn put_consents(&mut self, rows: &[(i64, i64, bool)], now_ms: i64) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let put = bind_columns!(query(PUT_CONSENTS), rows, |row| row.0, row.1, row.2);
        self.run_behind(put.bind(now_ms)).await;
        Ok(())
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
        let conn = self.conn().await?;
        let state = query_scalar(PLUGIN_STATE).bind(plugin).bind(key).fetch_optional(&mut *conn).await?;
        if state.is_some() {
            return Ok(state);
        }
        query(LOCK_PLUGIN_STATE).bind(plugin).bind(key).execute(&mut *conn).await?;
        // Somebody may have made it meanwhile.
        Ok(query_scalar(PLUGIN_STATE).bind(plugin).bind(key).fetch_optional(conn).await?)
    }

    async fn put_plugin_states(&mut self, rows: &[(&str, &str, &[u8])]) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.run_behind(bind_columns!(
            query(PUT_PLUGIN_STATES),
            rows,
            |row| row.0.to_owned(),
            row.1.to_owned(),
            row.2.to_owned()
        ))
        .await;
        Ok(())
    }

    async fn scores(&mut self, contacts: &[i64]) -> Raw<Vec<(i64, i64, i64, Option<String>)>> {
        Ok(query_as(SCORES).bind(contacts).fetch_all(self.conn().await?).await?)
    }

    async fn standing_entries(&mut self, contacts: &[i64], of: StepScore) -> Raw<Vec<(i64, i64, i64)>> {
        let entries = query_as(STANDING_ENTRIES).bind(contacts);
        Ok(entries.bind(of.score).bind(of.workflow).bind(of.step).fetch_all(self.conn().await?).await?)
    }

    async fn standing_gifts(&mut self, contacts: &[i64], of: StepScore) -> Raw<Vec<Gift>> {
        let gifts = query_as(STANDING_GIFTS).bind(contacts);
        let gifts = gifts.bind(of.score).bind(of.workflow).bind(of.step);
        let rows: Vec<(i64, i64, i64, i64, i64)> = gifts.fetch_all(self.conn().await?).await?;
        let gift = |(id, contact, points, at_ms, because)| Gift { id, contact, points, at_ms, because };
        Ok(rows.into_iter().map(gift).collect())
    }

    async fn gifts_in_order(&mut self, contacts: &[i64], score: i64) -> Raw<Vec<(i64, i64, i64)>> {
        Ok(query_as(GIFTS_IN_ORDER).bind(contacts).bind(score).fetch_all(self.conn().await?).await?)
    }

    async fn clear_entries(&mut self, entries: &[(i64, i64)], now_ms: i64) -> Raw<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let clear = bind_columns!(query(CLEAR_ENTRIES), entries, |entry| entry.0, entry.1);
        self.run_behind(clear.bind(now_ms)).await;
        Ok(())
    }

    async fn put_scores(&mut self, rows: &[(i64, i64, i64)]) -> Raw<()> {
        self.put_triples(PUT_SCORES, rows).await
    }

    async fn put_curves(&mut self, rows: &[CurveRow]) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let put = bind_columns!(
            query(PUT_CURVES),
            rows,
            |row| row.contact,
            row.score,
            row.value,
            row.curve.clone(),
            row.least,
            row.most,
        );
        self.run_behind(put).await;
        Ok(())
    }

    async fn put_holds(&mut self, rows: &[Hold], now_ms: i64) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let put = bind_columns!(
            query(PUT_HOLDS),
            rows,
            |hold| hold.contact,
            hold.of.score,
            hold.of.workflow,
            hold.of.step,
            hold.because,
            hold.by.code(),
            hold.points,
        );
        self.run_behind(put.bind(now_ms)).await;
        Ok(())
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
        self.wakes_others = true;
        let put = query(PUT_SCORE_DEFINITION).bind(score).bind(json.map(text)).bind(last);
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
        self.run(query(RENEW_RULES).bind(segments)).await.map(drop)
    }

    async fn insert_entries(&mut self, rows: &[ScoreEntry], now_ms: i64) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        if rows.len() >= append::FEW {
            let mut entries = append::Rows::new(11, rows.len());
            for row in rows {
                entries
                    .row()
                    .big(row.contact)
                    .big(row.of.score)
                    .big(row.points)
                    .big(row.total)
                    .big(row.because);
                entries.big(row.run).int(small(row.turn)).big(row.of.workflow).big(row.of.step);
                entries.big(row.is_cleared.then_some(now_ms)).big(now_ms);
            }
            self.append_behind(COPY_ENTRIES, entries).await;
            return Ok(());
        }
        let insert = bind_columns!(
            query(INSERT_ENTRIES),
            rows,
            |entry| entry.contact,
            entry.of.score,
            entry.points,
            entry.total,
            entry.because,
            entry.run,
            small(entry.turn),
            entry.of.workflow,
            entry.of.step,
            entry.is_cleared.then_some(now_ms),
        );
        self.run_behind(insert.bind(now_ms)).await;
        Ok(())
    }

    async fn segments(
        &mut self,
        names: &BTreeSet<&str>,
        create: bool,
        now_ms: i64,
    ) -> Raw<HashMap<String, i64>> {
        if !create {
            let names: Vec<&str> = names.iter().copied().collect();
            return Ok(self.find(FIND_SEGMENTS, &names).await?.into_iter().collect());
        }
        self.find_or_make(FIND_SEGMENTS, names, async |conn, missing| {
            let names: Vec<_> = missing.iter().map(|name| text(name)).collect();
            query(CREATE_SEGMENTS).bind(names).bind(now_ms).execute(conn).await.map(drop)
        })
        .await
    }

    async fn memberships(&mut self, contacts: &[i64]) -> Raw<Vec<(i64, i64)>> {
        Ok(query_as(MEMBERSHIPS).bind(contacts).fetch_all(self.conn().await?).await?)
    }

    async fn join(&mut self, rows: &[(i64, i64)], now_ms: i64) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let join = bind_columns!(query(JOIN), rows, |row| row.0, row.1);
        self.run_behind(join.bind(now_ms)).await;
        Ok(())
    }

    async fn leave(&mut self, rows: &[(i64, i64)]) -> Raw<()> {
        self.put_pairs(LEAVE, rows).await
    }

    async fn known_event_keys(&mut self, keys: &[&str]) -> Raw<Vec<String>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<_> = keys.iter().map(|key| text(key)).collect();
        Ok(query_scalar(KNOWN_EVENT_KEYS).bind(keys).fetch_all(self.conn().await?).await?)
    }

    async fn insert_events(&mut self, rows: &[EventFields<'_>]) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let brings_events = rows.iter().any(|event| event.state == EventState::Pending);
        self.wakes_others |= brings_events;
        self.brings_events |= brings_events;
        let insert = bind_columns!(
            query(INSERT_EVENTS),
            rows,
            |event| event.key.map(text),
            event.contact,
            event.name,
            event.at_ms,
            event.state as i16,
            event.properties.as_deref().map(json),
        );
        self.run(insert).await.map(drop)
    }

    async fn past_events(
        &mut self,
        contacts: &[i64],
        asked: &PastEvents<'_>,
    ) -> Raw<Vec<(i64, i64, Option<String>)>> {
        let events = query_as(PAST_EVENTS).bind(contacts).bind(super::writer::key(asked.name));
        let events = events.bind(asked.after_ms).bind(asked.until_ms).bind(asked.with_properties);
        Ok(events.fetch_all(self.conn().await?).await?)
    }

    async fn watched(&mut self) -> Raw<Vec<(bool, String)>> {
        Ok(query_as(WATCHED).fetch_all(self.conn().await?).await?)
    }

    async fn date_triggers_of(&mut self, workflow: i64) -> Raw<Vec<(i64, String)>> {
        Ok(query_as(DATE_TRIGGERS_OF).bind(workflow).fetch_all(self.conn().await?).await?)
    }

    async fn add_date_triggers(&mut self, workflow: i64, rows: &[(String, String)], now_ms: i64) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let add = query(ADD_DATE_TRIGGERS).bind(workflow).bind(now_ms);
        self.run(bind_columns!(add, rows, |row| text(&row.0), text(&row.1))).await.map(drop)
    }

    async fn drop_date_triggers(&mut self, triggers: &[i64]) -> Raw<()> {
        if triggers.is_empty() {
            return Ok(());
        }
        self.run(query(DROP_CONTACT_DATES).bind(triggers)).await?;
        self.run(query(DROP_DATE_TRIGGERS).bind(triggers)).await.map(drop)
    }

    async fn release_held(&mut self, workflow: i64, now_ms: i64) -> Raw<()> {
        let released = self.run(query(RELEASE_HELD).bind(workflow).bind(now_ms)).await?;
        self.wakes_others |= released > 0;
        Ok(())
    }

    async fn next_in_line(&mut self, workflow: i64, contacts: &[i64], now_ms: i64) -> Raw<()> {
        if contacts.is_empty() {
            return Ok(());
        }
        let next = query(NEXT_IN_LINE).bind(contacts.to_vec()).bind(workflow).bind(now_ms);
        let next = self.run(next).await?;
        self.wakes_others |= next > 0;
        Ok(())
    }

    async fn rules(&mut self) -> Raw<Vec<(i64, String)>> {
        Ok(query_as(RULES).fetch_all(self.conn().await?).await?)
    }

    async fn onlookers(&mut self) -> Raw<Onlookers> {
        let (rules, dates, waits) = query_as(ONLOOKERS).fetch_one(self.conn().await?).await?;
        Ok(Onlookers { rules, dates, waits })
    }

    async fn definitions(&mut self) -> Raw<Vec<(i64, String, String)>> {
        Ok(query_as(DEFINITIONS).fetch_all(self.conn().await?).await?)
    }

    async fn put_definition(&mut self, new: &Definition<'_>, now_ms: i64) -> Raw<()> {
        self.wakes_others = true;
        let put = query(PUT_DEFINITION).bind(new.segment).bind(text(new.json)).bind(text(new.source));
        self.run(put.bind(new.is_dynamic).bind(new.is_new_rule).bind(now_ms)).await.map(drop)
    }

    async fn drop_definition(&mut self, segment: i64) -> Raw<()> {
        self.run(query(DROP_DEFINITION).bind(segment)).await.map(drop)
    }

    async fn next_revision(&mut self) -> Raw<()> {
        self.run(query(super::catalog::NEXT_REVISION)).await.map(drop)
    }

    async fn note_changed(&mut self, rows: &[(i64, i64)]) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.wakes_others = true;
        self.put_pairs(NOTE_CHANGED, rows).await
    }

    async fn put_timers(&mut self, rows: &[(i64, i64, bool)]) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.run(bind_columns!(query(PUT_TIMERS), rows, |row| row.0, row.1, row.2)).await.map(drop)
    }

    async fn clear_timers(&mut self, contacts: &[i64]) -> Raw<()> {
        if contacts.is_empty() {
            return Ok(());
        }
        self.run(query(CLEAR_TIMERS).bind(contacts)).await.map(drop)
    }

    async fn clear_teams(&mut self) -> Raw<()> {
        self.run(query(DEACTIVATE)).await?;
        self.run(query(DELETE_TEAMS)).await.map(drop)
    }

    async fn put_representatives(&mut self, rows: &[(&str, &str, Option<&str>)]) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let put =
            bind_columns!(query(PUT_REPRESENTATIVES), rows, |row| text(row.0), text(row.1), row.2.map(text),);
        self.run(put).await.map(drop)
    }

    async fn insert_team(&mut self, key: &str, name: &str, position: i64, members: &[(i64, i64)]) -> Raw<()> {
        let insert = query_scalar(INSERT_TEAM).bind(text(key).into_owned()).bind(text(name).into_owned());
        let team: i64 = insert.bind(position).fetch_one(self.conn().await?).await?;
        if members.is_empty() {
            return Ok(());
        }
        let members = bind_columns!(query(INSERT_MEMBERS).bind(team), members, |row| row.0, row.1);
        self.run(members).await.map(drop)
    }

    async fn representatives(&mut self, keys: BTreeSet<&str>) -> Raw<HashMap<String, i64>> {
        let unknown = self.representatives.missing(&self.shared.representatives, keys.iter().copied());
        let found = self.find_or_make(FIND_REPRESENTATIVES, &unknown, async |conn, missing| {
            let keys: Vec<_> = missing.iter().map(|key| text(key)).collect();
            query(ADD_REPRESENTATIVES).bind(keys).execute(conn).await.map(drop)
        });
        for (key, id) in found.await? {
            self.representatives.insert(&key, id);
        }
        Ok(self.representatives.ids(keys))
    }

    async fn assign(&mut self, rows: &[Assignment], now_ms: i64) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let insert = bind_columns!(
            query(ASSIGN),
            rows,
            |row| row.contact,
            row.rep,
            row.team,
            row.because,
            row.run,
            row.turn,
        );
        self.run_behind(insert.bind(now_ms)).await;
        Ok(())
    }

    async fn queue_messages(&mut self, rows: &[NewMessage<'_>], now_ms: i64) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.wakes_others = true;
        let queue = bind_columns!(
            query(QUEUE_MESSAGES),
            rows,
            |row| row.run,
            small(row.turn),
            small(row.effect),
            row.contact,
            row.version,
            small(row.node),
            row.template,
            row.topic,
            row.is_transactional,
            text(row.subject),
            row.recipient.map(text),
        );
        self.run_behind(queue.bind(now_ms)).await;
        Ok(())
    }

    async fn insert_runs(&mut self, rows: &[NewRun], now_ms: i64) -> Raw<Vec<(i64, NewRun)>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        self.wakes_others = true;
        let insert = bind_columns!(
            query_as(INSERT_RUNS),
            rows,
            |run| run.workflow,
            run.version,
            run.contact,
            run.event,
            run.lane,
        );
        let started: Vec<(i64, i64, i64, i64, Option<i64>, i64)> =
            self.run_returning(insert.bind(now_ms)).await?;
        Ok(started
            .into_iter()
            .map(|(id, workflow, version, contact, event, lane)| {
                (id, NewRun { workflow, version, contact, event, lane })
            })
            .collect())
    }

    async fn move_runs(&mut self, rows: &[MovedRun]) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let moved = bind_columns!(
            query(MOVE_RUNS),
            rows,
            |run| run.run,
            small(run.node),
            run.due_ms,
            small(run.turn),
            small(run.attempts),
            small(run.hops),
            run.first_due_ms,
        );
        self.run_behind(moved).await;
        Ok(())
    }

    async fn move_waiting_runs(&mut self, rows: &[MovedRun]) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let moved = bind_columns!(
            query(MOVE_WAITING_RUNS),
            rows,
            |run| run.run,
            small(run.node),
            run.due_ms,
            small(run.turn),
            small(run.attempts),
            small(run.hops),
            run.first_due_ms,
            run.waiting.map(|waiting| small(waiting.what)),
            run.waiting.map(|waiting| waiting.since_ms),
            run.waiting.map(|waiting| waiting.until_ms),
        );
        self.run_behind(moved).await;
        Ok(())
    }

    async fn lock(&mut self, contacts: &[i64]) -> Raw<()> {
        if contacts.is_empty() {
            return Ok(());
        }
        query(LOCK_CONTACTS).bind(contacts.to_vec()).execute(self.conn().await?).await?;
        Ok(())
    }

    async fn wake_runs(&mut self, contacts: &[i64], now_ms: i64) -> Raw<()> {
        if contacts.is_empty() {
            return Ok(());
        }
        let woken = self.run(query(WAKE_RUNS).bind(contacts.to_vec()).bind(now_ms)).await?;
        self.wakes_others |= woken > 0;
        Ok(())
    }

    async fn end_runs(&mut self, rows: &[EndedRun]) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let ended = bind_columns!(
            query(END_RUNS),
            rows,
            |run| run.run,
            small(run.node),
            small(run.status),
            small(run.turn),
            run.ended_ms,
        );
        self.run_behind(ended).await;
        Ok(())
    }

    async fn insert_decisions(&mut self, rows: &[Decision]) -> Raw<()> {
        if rows.is_empty() {
            return Ok(());
        }
        if rows.len() >= append::FEW {
            let mut decisions = append::Rows::new(9, rows.len());
            for row in rows {
                decisions.row().big(row.run).big(row.version).big(row.contact).int(row.node.map(small));
                decisions.int(small(row.turn)).big(row.at_ms).small(smallest(row.kind)).big(row.reason);
                decisions.big(row.event);
            }
            self.append_behind(COPY_DECISIONS, decisions).await;
            return Ok(());
        }
        let insert = bind_columns!(
            query(INSERT_DECISIONS),
            rows,
            |decision| decision.run,
            decision.version,
            decision.contact,
            decision.node.map(small),
            small(decision.turn),
            decision.at_ms,
            small(decision.kind),
            decision.reason,
            decision.event,
        );
        self.run_behind(insert).await;
        Ok(())
    }
}
