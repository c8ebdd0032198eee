//! What the file says of scores, and the contacts whose points have to be worked out anew because it says otherwise now.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dripline_model::{
    Contact,
    clock::from_ms,
    id::ContactId,
    score::{Score, Scores},
    segment::Segment,
};
use jiff::Timestamp;

use super::{CONTACTS_AT_ONCE, distinct, ms, scores};
use crate::{
    HeldBy, HeldPoints, StandingPoints,
    answers::{Answers, HoldLine},
    error::{Raw, damaged, from_json, to_json},
    sets::{ScoreDefinition, Sets},
};

/// The declared scores of these definitions.
pub(crate) fn read(rows: Vec<(String, String)>) -> Raw<Scores> {
    rows.into_iter().map(|(name, json)| Ok((name, from_json("score", &json)?))).collect()
}

/// Gives contacts the grades of the declared scores.
pub(crate) fn grade(contacts: &mut [Contact], declared: &Arc<Scores>) {
    if declared.any_grades() {
        contacts.iter_mut().for_each(|contact| contact.graded = Some(Arc::clone(declared)));
    }
}

/// Makes the definitions those of the file; answers the names of those that changed.
pub(crate) async fn publish(sets: &mut impl Sets, new: &Scores, now: Timestamp) -> Raw<Vec<String>> {
    let names: Vec<&str> = new.names().collect();
    sets.intern(names).await?;
    let mut stored: BTreeMap<i64, ScoreDefinition> = sets
        .score_definitions()
        .await?
        .into_iter()
        .map(|definition| (definition.score, definition))
        .collect();
    let mut changed = BTreeSet::new();
    for (name, score) in new.iter() {
        let word = sets.word(name)?;
        let json = to_json("score", score)?;
        let before = stored.remove(&word);
        if before.as_ref().is_some_and(|before| before.json.as_deref() == Some(json.as_str())) {
            continue;
        }
        let last = before.as_ref().and_then(|before| before.last);
        let before = before.and_then(|before| before.json).map(|json| from_json::<Score>("score", &json));
        let law = before.transpose()?.and_then(|before| before.law());
        let last = if law == score.law() { last } else { Some(0) };
        sets.put_score_definition(word, Some(&json), last, ms(now)).await?;
        changed.insert(name.to_owned());
    }
    for (word, gone) in stored {
        let Some(json) = gone.json else { continue };
        let law = from_json::<Score>("score", &json)?.law();
        match law.map(|_| 0).or(gone.last) {
            Some(last) => sets.put_score_definition(word, None, Some(last), ms(now)).await?,
            None => sets.drop_score_definition(word).await?,
        }
        changed.insert(gone.name);
    }
    if !changed.is_empty() {
        look_again(sets).await?;
    }
    Ok(changed.into_iter().collect())
}

/// Works out the points of some contacts anew, if there are any left; answers whether there were.
pub(crate) async fn rework(sets: &mut impl Sets, now: Timestamp) -> Raw<bool> {
    let definitions = sets.score_definitions().await?;
    let Some((definition, after)) =
        definitions.iter().find_map(|definition| Some((definition, definition.last?)))
    else {
        return Ok(false);
    };
    let word = definition.score;
    let json = definition.json.as_deref();
    let law = json.map(|json| from_json::<Score>("score", json)).transpose()?.and_then(|score| score.law());
    match scores::rework(sets, word, law, after, CONTACTS_AT_ONCE, now).await? {
        Some(last) => sets.put_score_definition(word, json, Some(last), ms(now)).await?,
        None if json.is_some() => {
            sets.put_score_definition(word, json, None, ms(now)).await?;
            look_again(sets).await?;
        }
        None => {
            sets.drop_score_definition(word).await?;
            look_again(sets).await?;
        }
    }
    Ok(true)
}

/// Segments whose rules read scores look at all contacts once more, and engines read what is published.
async fn look_again(sets: &mut impl Sets) -> Raw<()> {
    let mut rules = Vec::new();
    for (id, json) in sets.rules().await? {
        if from_json::<Segment>("segment", &json)?.needs.scores {
            rules.push(id);
        }
    }
    sets.renew_rules(&rules).await?;
    sets.next_revision().await
}

/// For what contacts have points.
pub(crate) async fn standing(answers: &mut impl Answers, contacts: &[ContactId]) -> Raw<Vec<StandingPoints>> {
    let mut all = Vec::new();
    for slice in distinct(contacts).chunks(CONTACTS_AT_ONCE) {
        for (contact, score, points, because, times) in answers.lead_reasons(slice).await? {
            let (contact, times) = (ContactId(contact), times.unsigned_abs());
            all.push(StandingPoints { contact, score, points, because, times });
        }
    }
    Ok(all)
}

/// What bounds kept back of a contact's points.
pub(crate) async fn held(answers: &mut impl Answers, contact: i64) -> Raw<Vec<HeldPoints>> {
    let lines = answers.score_holds(contact).await?;
    lines
        .into_iter()
        .map(|HoldLine { score, workflow, step, because, held_by, times, points, last_at }| {
            let by = HeldBy::from_code(held_by);
            Ok(HeldPoints {
                score,
                workflow,
                step,
                because,
                by: by.ok_or_else(|| damaged("score's bound", format!("kind {held_by}")))?,
                times: times.unsigned_abs(),
                points,
                last_at: from_ms(last_at),
            })
        })
        .collect()
}
