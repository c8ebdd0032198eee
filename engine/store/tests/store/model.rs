//! Whatever effects are applied, the store holds what a simple model of their meaning holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dripline_model::{Contact, Effect, contact::Needs};
use dripline_store::{AppliedTurn, ClaimedRun, Store, sqlite::SqliteStore};
use proptest::{collection::vec, prelude::*};
use serde_json::{Map, Value, json};

use crate::workspace::*;

const CONTACTS: usize = 3;
const WORKFLOWS: [&str; 2] = ["a", "b"];

/// A turn: contact, workflow, node, effects.
type Turn = (usize, usize, u32, Vec<Effect>);

fn effect() -> impl Strategy<Value = Effect> {
    let name = || prop::sample::select(vec!["x", "y"]).prop_map(str::to_owned);
    let bound = || prop::option::of(-20_i64..40);
    let value =
        prop::sample::select(vec![json!(1), json!("text"), json!(null), json!({"deep": [null, 1.5]})]);
    prop_oneof![
        (name(), value).prop_map(|(field, value)| Effect::SetField { field, value }),
        name().prop_map(Effect::AddTag),
        name().prop_map(Effect::RemoveTag),
        (name(), -30_i64..60, name(), bound(), bound()).prop_map(|(score, points, because, min, max)| {
            Effect::AddScore { score, points, because, min, max, at_most: None }
        }),
        name().prop_map(Effect::ClearScore),
        name().prop_map(Effect::JoinSegment),
        name().prop_map(Effect::LeaveSegment),
        name().prop_map(|subject| send_email(&subject)),
        name().prop_map(|rep| assign(&rep)),
    ]
}

fn batches() -> impl Strategy<Value = Vec<Vec<Turn>>> {
    let turn = (0..CONTACTS, 0..WORKFLOWS.len(), 0..3_u32, vec(effect(), 0..6));
    vec(vec(turn, 1..7), 1..4)
}

/// What is known of one contact.
#[derive(Debug, Default)]
struct Known {
    attributes: Map<String, Value>,
    tags: BTreeSet<String>,
    segments: BTreeSet<String>,
    owner: Option<String>,
    /// Score, workflow and node of each entry that stands, with its points.
    entries: Vec<(String, usize, u32, i64)>,
    scores: BTreeMap<String, i64>,
    events: Vec<(&'static str, String)>,
    subjects: Vec<String>,
}

impl Known {
    fn apply(&mut self, workflow: usize, node: u32, effect: &Effect) {
        match effect {
            Effect::SetField { field, value } if value.is_null() => drop(self.attributes.shift_remove(field)),
            Effect::SetField { field, value } => drop(self.attributes.insert(field.clone(), value.clone())),
            Effect::AddTag(tag) => drop(self.tags.insert(tag.clone())),
            Effect::RemoveTag(tag) => drop(self.tags.remove(tag)),
            Effect::AddScore { score, points, min, max, .. } => {
                let value = self.scores.get(score).copied().unwrap_or(0);
                let bounded = (value + points).min(max.unwrap_or(i64::MAX)).max(min.unwrap_or(i64::MIN));
                self.scores.insert(score.clone(), bounded);
                self.entries.push((score.clone(), workflow, node, bounded - value));
            }
            Effect::ClearScore(score) => {
                self.entries.retain(|(of, by, at, points)| {
                    let is_cleared = of == score && *by == workflow && *at == node;
                    if is_cleared {
                        *self.scores.entry(score.clone()).or_default() -= points;
                    }
                    !is_cleared
                });
            }
            Effect::JoinSegment(segment) => {
                if self.segments.insert(segment.clone()) {
                    self.events.push(("segment.joined", segment.clone()));
                }
            }
            Effect::LeaveSegment(segment) => {
                if self.segments.remove(segment) {
                    self.events.push(("segment.left", segment.clone()));
                }
            }
            Effect::SendEmail(email) => self.subjects.push(email.subject.clone()),
            Effect::AssignOwner { rep, .. } => self.owner = Some(rep.clone()),
        }
    }

    fn check(&self, contact: &Contact) {
        assert_eq!(contact.attributes, self.attributes);
        assert_eq!((&contact.tags, &contact.segments), (&self.tags, &self.segments));
        assert_eq!(contact.owner, self.owner);
        for score in ["x", "y"] {
            let value = |scores: &BTreeMap<String, i64>| scores.get(score).copied().unwrap_or(0);
            assert_eq!(value(&contact.scores), value(&self.scores), "score {score}");
        }
    }
}

async fn check(store: Arc<dyn Store>, batches: Vec<Vec<Turn>>) {
    let ids = contacts(&store, CONTACTS).await;
    let mut runs: Vec<Vec<ClaimedRun>> = Vec::new();
    for workflow in WORKFLOWS {
        let version = publish(&store, workflow).await;
        runs.push(runs_of(&store, &version, &ids, at(0)).await);
    }
    let mut known: Vec<Known> = (0..CONTACTS).map(|_| Known::default()).collect();
    let mut batch = store.begin().await.unwrap();
    for (position, turns) in batches.iter().enumerate() {
        let mut applied: Vec<AppliedTurn> = Vec::new();
        for (contact, workflow, node, effects) in turns {
            let run = &mut runs[*workflow][*contact];
            run.node = *node;
            applied.push(turn(run, effects.clone()));
            run.turn += 1;
            effects.iter().for_each(|effect| known[*contact].apply(*workflow, *node, effect));
        }
        batch.apply(&applied, at(0)).await.unwrap();
        if position % 2 == 0 {
            batch.commit().await.unwrap();
            batch = store.begin().await.unwrap();
        }
    }
    let needs = Needs { all_attributes: true, ..all_needs() };
    for (contact, known) in batch.load_contacts(&ids, &needs, at(0)).await.unwrap().iter().zip(&known) {
        known.check(contact);
    }
    let events = batch.claim_events(at(0), 1000).await.unwrap();
    let mut claimed = Vec::new();
    for workflow in batch.due_workflows(at(2_000_000)).await.unwrap() {
        claimed.extend(batch.claim_runs(workflow, at(2_000_000), 1000).await.unwrap());
    }
    let expected: BTreeSet<(i64, u32, i64)> =
        runs.iter().flatten().map(|run| (run.run.0, run.node, run.turn)).collect();
    assert_eq!(claimed.iter().map(|run| (run.run.0, run.node, run.turn)).collect::<BTreeSet<_>>(), expected);
    batch.commit().await.unwrap();
    let messages = due_messages(&store, at(0)).await;
    let leads = store.leads(100).await.unwrap();
    for (id, known) in ids.iter().zip(&known) {
        let events: Vec<(&str, String)> = events
            .iter()
            .filter(|claimed| claimed.contact == *id)
            .map(|claimed| {
                let segment = claimed.event.properties["segment"].as_str().unwrap();
                (claimed.event.name.as_str(), segment.to_owned())
            })
            .collect();
        assert_eq!(events, known.events);
        let subjects: Vec<&String> = messages
            .iter()
            .filter(|message| message.contact.id == *id)
            .map(|message| &message.subject)
            .collect();
        assert_eq!(subjects, known.subjects.iter().collect::<Vec<_>>());
        if let Some(lead) = leads.iter().find(|lead| lead.contact.id == *id) {
            let points: i64 = lead.reasons.iter().map(|reason| reason.points).sum();
            assert_eq!(points, known.scores.values().sum::<i64>(), "reasons explain the scores");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_holds_what_the_model_holds(batches in batches()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store: Arc<dyn Store> = Arc::new(SqliteStore::in_memory().await.unwrap());
            check(store, batches).await;
        });
    }
}
