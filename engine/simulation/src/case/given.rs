//! What there is when a test begins.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dripline_model::{
    Effect,
    decision::{DecisionKind, RunStatus},
    id::ContactId,
    program::{FORMAT, Program},
};
use dripline_store::{
    Advance, AppliedTurn, ClaimedRun, ContactRow, Enrolment, EventRow, NewVersion, Published, RowResult,
    Store,
};
use dripline_workflow::campaign_test::{GivenContact, Test};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::error::{Error, ErrorKind, Result, While};

const DOING: &str = "prepare a test";

/// The workflow in whose name contacts have their first scores, segments and owners: no file can have this name.
const GIVEN: &str = "(given)";

/// Puts the contacts and events of a test into a store, as they are when it begins; answers the contacts' ids by their
/// names. What a contact is and has at the start is no news: no workflow is started by it.
///
/// # Errors
/// When the store fails, or a contact or event cannot be taken.
pub async fn prepare(store: &dyn Store, test: &Test) -> Result<BTreeMap<String, ContactId>> {
    let mut import = store.begin_import().await.while_doing(DOING)?;
    let rows: Vec<ContactRow> = test.contacts.values().map(contact_row).collect();
    let results = import.upsert_contacts(&rows, test.from).await.while_doing(DOING)?;
    let mut ids = BTreeMap::new();
    for (name, result) in test.contacts.keys().zip(results) {
        match result {
            RowResult::Inserted(id) | RowResult::Updated(id) | RowResult::Unchanged(id) => {
                ids.insert(name.clone(), id);
            }
            RowResult::Rejected(reason) => {
                let kind = ErrorKind::Given(format!("the contact `{name}` cannot be taken: {reason}"));
                return Err(Error { doing: DOING, kind });
            }
        }
    }
    let events: Vec<EventRow> = test
        .events
        .iter()
        .filter_map(|given| {
            Some(EventRow {
                key: None,
                contact: test.contacts.get(&given.contact)?.external_id.clone(),
                name: given.event.clone(),
                at: given.at,
                properties: given.properties.clone(),
                // What was before the test is history.
                live: given.at >= test.from,
            })
        })
        .collect();
    import.insert_events(&events, test.from).await.while_doing(DOING)?;
    import.commit().await.while_doing(DOING)?;
    let effects = test.contacts.iter().filter_map(|(name, contact)| {
        let effects = effects(contact);
        (!effects.is_empty()).then(|| Some((*ids.get(name)?, effects))).flatten()
    });
    give(store, effects.collect(), test.from).await?;
    Ok(ids)
}

fn contact_row(contact: &GivenContact) -> ContactRow {
    ContactRow {
        external_id: Some(contact.external_id.clone()),
        email: contact.email.clone(),
        attributes: contact.attributes.clone(),
        consents: contact.consents.clone(),
        tags: contact.tags.clone(),
        created_at: contact.created_at,
    }
}

/// What has to be done to a contact so that it has what it is given, beside what an import can say.
fn effects(contact: &GivenContact) -> Vec<Arc<Effect>> {
    let because = "given by the test";
    let scores = contact.scores.iter().map(|(score, points)| Effect::AddScore {
        score: score.clone(),
        points: *points,
        because: because.to_owned(),
        min: None,
        max: None,
        at_most: None,
    });
    let segments = contact.segments.iter().cloned().map(Effect::JoinSegment);
    let owner = contact.owner.iter().map(|rep| Effect::AssignOwner {
        rep: rep.clone(),
        team: None,
        because: because.to_owned(),
    });
    scores.chain(segments).chain(owner).map(Arc::new).collect()
}

/// Gives contacts what only steps can give, by a run of a workflow that nobody sees, just before the test begins.
async fn give(store: &dyn Store, effects: Vec<(ContactId, Vec<Arc<Effect>>)>, from: Timestamp) -> Result<()> {
    if effects.is_empty() {
        return Ok(());
    }
    let before = from.saturating_sub(SignedDuration::from_secs(1)).unwrap_or(from);
    let Published { workflow, version, .. } = publish(store, before).await?;
    let enrolments: Vec<Enrolment> = effects
        .iter()
        .map(|(contact, _)| Enrolment {
            workflow,
            version,
            contact: *contact,
            event: None,
            lane: 0,
            reason: "given by the test".to_owned(),
        })
        .collect();
    let ids: Vec<ContactId> = effects.iter().map(|(contact, _)| *contact).collect();
    let mut tx = store.begin().await.while_doing(DOING)?;
    tx.enroll(&enrolments, before).await.while_doing(DOING)?;
    let runs = tx.latest_runs(workflow, &ids).await.while_doing(DOING)?;
    let turns: Vec<AppliedTurn> = effects
        .into_iter()
        .filter_map(|(contact, effects)| {
            let run = ClaimedRun {
                run: runs.get(&contact)?.run,
                contact,
                workflow,
                version,
                node: 0,
                turn: 0,
                attempts: 0,
                hops: 0,
                due: before,
                waiting: None,
                parent: None,
            };
            Some(AppliedTurn {
                run,
                effects,
                decision: DecisionKind::Ended,
                reason: "given by the test".to_owned(),
                advance: Advance::End(RunStatus::Completed),
            })
        })
        .collect();
    tx.apply(&turns, before).await.while_doing(DOING)?;
    tx.commit().await.while_doing(DOING)?;
    // That somebody joined a segment is nothing that happens in the test.
    let mut tx = store.begin().await.while_doing(DOING)?;
    let events: Vec<_> = tx.claim_events(before, usize::MAX >> 1).await.while_doing(DOING)?;
    let events: Vec<_> = events.into_iter().map(|event| event.id).collect();
    tx.finish_events(&events).await.while_doing(DOING)?;
    tx.commit().await.while_doing(DOING)?;
    store.retire_all_but(&BTreeSet::new(), before).await.while_doing(DOING).map(drop)
}

async fn publish(store: &dyn Store, at: Timestamp) -> Result<Published> {
    let program = json!({
        "format": FORMAT, "name": GIVEN, "description": null, "triggers": [], "enroll_if": null, "again": "always",
        "nodes": [{
            "id": "given", "name": null, "line": 1, "condition": null, "action": {"exit": {"reason": ""}}, "next": null,
        }],
        "templates": {},
    });
    let broken = |error: serde_json::Error| Error { doing: DOING, kind: ErrorKind::Given(error.to_string()) };
    let program: Program = serde_json::from_value(program).map_err(broken)?;
    let version = NewVersion { program: &program, source: "", plugins: Vec::new(), templates: Vec::new() };
    store.publish(&version, at).await.while_doing(DOING)
}
