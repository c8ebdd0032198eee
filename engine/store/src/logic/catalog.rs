//! Publishing: what is new about a version, and what happens together with it.

use std::collections::BTreeSet;

use dripline_model::{
    Digest,
    clock::from_ms,
    id::{VersionId, WorkflowId},
    segment::Segment,
    team::{Representative, Team},
};
use jiff::Timestamp;

use super::{
    declared_scores, kin, maybe_at, ms, segments,
    teams::{self, TeamRow},
    triggers, word,
};
use crate::{
    ErrorKind, History, NewRelease, NewVersion, OlderRuns, Pause, Published, Release, Released,
    ReleasedVersion, Shared,
    error::{Raw, from_json, to_json},
    publishing::{CatalogAnswers, Publishing, VersionFields},
    release::{self, VersionRow},
};

/// Of which publication a version is, and which older one it restores.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Origin {
    pub(crate) publication: Option<i64>,
    pub(crate) restores: Option<i64>,
}

/// Publishes a version with what it uses, unless it is the workflow's current one.
pub(crate) async fn put_version(
    sets: &mut impl Publishing,
    new: &NewVersion<'_>,
    origin: Origin,
    now: Timestamp,
) -> Raw<Published> {
    let digest = new.program.digest();
    // Brought back, it counts as published anew, so that no schedule makes up for the time in between.
    let (workflow, appears) = sets.put_workflow(&new.program.name, ms(now)).await?;
    let current = sets.newest_version(workflow).await?;
    if let Some((id, number, current)) = &current
        && current == digest.as_str()
        && !appears
    {
        let workflow = WorkflowId(workflow);
        return Ok(Published { workflow, version: VersionId(*id), number: *number, is_new: false });
    }
    for plugin in &new.plugins {
        sets.put_plugin(plugin).await?;
    }
    for (digest, source) in &new.templates {
        sets.put_template(digest, source).await?;
    }
    sets.watch_attributes(workflow, &new.program.watched_attributes()).await?;
    triggers::publish(sets, workflow, Some(new.program), now).await?;
    let number = current.map_or(1, |(_, number, _)| number + 1);
    let id = sets
        .insert_version(&VersionFields {
            workflow,
            number,
            digest: &digest,
            program: &to_json("program", new.program)?,
            source: new.source,
            published_ms: ms(now),
            publication: origin.publication,
            restores: origin.restores,
        })
        .await?;
    sets.next_revision().await?;
    Ok(Published { workflow: WorkflowId(workflow), version: VersionId(id), number, is_new: true })
}

/// Retires the workflows that `goes` names; answers their ids and names.
pub(crate) async fn retire(
    sets: &mut impl Publishing,
    goes: impl Fn(&str) -> bool + Send,
    now: Timestamp,
) -> Raw<Vec<(i64, String)>> {
    let mut workflows = sets.workflows_in_use().await?;
    workflows.retain(|(_, name)| goes(name));
    for (id, _) in &workflows {
        sets.retire_workflow(*id, ms(now)).await?;
        sets.watch_attributes(*id, &BTreeSet::new()).await?;
        triggers::publish(sets, *id, None, now).await?;
    }
    if !workflows.is_empty() {
        sets.next_revision().await?;
    }
    Ok(workflows)
}

/// Pauses a workflow; answers whether it was not paused before.
pub(crate) async fn pause(sets: &mut impl Publishing, workflow: WorkflowId, now: Timestamp) -> Raw<bool> {
    let is_new = sets.pause(workflow.0, ms(now)).await?;
    if is_new {
        sets.next_revision().await?;
    }
    Ok(is_new)
}

/// Ends the pause of a workflow; answers whether it was paused.
pub(crate) async fn resume(
    sets: &mut impl Publishing,
    workflow: WorkflowId,
    spread: bool,
    now: Timestamp,
) -> Raw<bool> {
    let Some(since) = sets.paused_since(workflow.0).await? else { return Ok(false) };
    if spread {
        sets.spread_due(workflow.0, since, ms(now)).await?;
    }
    sets.resume(workflow.0, ms(now)).await?;
    sets.next_revision().await?;
    Ok(true)
}

/// Whether an import that goes on meanwhile would miss something that is new for it: a rule, or a date.
pub(crate) fn concerns_imports(release: &Release<'_>) -> bool {
    release.shared.as_ref().is_some_and(|shared| shared.segments.is_some())
        || release.versions.iter().any(|new| has_dates(&new.version))
}

/// Whether dates of contacts start the workflow.
pub(crate) fn has_dates(new: &NewVersion<'_>) -> bool {
    new.program.dates().next().is_some()
}

/// All versions of the workflow with this name.
pub(crate) async fn history(answers: &mut impl CatalogAnswers, workflow: &str) -> Raw<Option<History>> {
    let Some((workflow, retired_at)) = answers.named(workflow).await? else { return Ok(None) };
    let versions = answers.versions_of(workflow).await?;
    Ok(Some(History {
        workflow: WorkflowId(workflow),
        retired_at: maybe_at(retired_at),
        versions: versions.into_iter().map(VersionRow::into_summary).collect(),
    }))
}

/// The last pause of every workflow that was ever paused.
pub(crate) async fn pauses(answers: &mut impl CatalogAnswers) -> Raw<Vec<Pause>> {
    let pause = |(workflow, from, until)| Pause {
        workflow: WorkflowId(workflow),
        from: from_ms(from),
        until: maybe_at(until),
    };
    Ok(answers.pauses().await?.into_iter().map(pause).collect())
}

/// Makes the stored teams those of the file; answers whether they were others.
pub(crate) async fn put_teams(
    sets: &mut impl Publishing,
    reps: &[Representative],
    teams: &[Team],
) -> Raw<bool> {
    let stored_reps = teams::representatives(sets.stored_representatives().await?);
    let stored_teams: Vec<TeamRow> = sets.stored_teams().await?;
    if stored_reps == reps && teams::from_rows(stored_teams)? == teams {
        return Ok(false);
    }
    sets.next_revision().await?;
    teams::replace(sets, reps, teams).await?;
    Ok(true)
}

/// Publishes everything together. Where nothing changes, nothing is written that is worth keeping.
pub(crate) async fn release(
    sets: &mut impl Publishing,
    release: &Release<'_>,
    now: Timestamp,
) -> Raw<Released> {
    let fields = sets.stored_fields().await?;
    if state(sets, fields.clone().flatten().as_deref()).await? != release.made_for {
        return Err(ErrorKind::Superseded);
    }
    let publication = sets.insert_publication(release.author, release.note, ms(now)).await?;
    let mut done = Released::default();
    if let Some(shared) = &release.shared {
        put_shared(sets, shared, fields.as_ref(), &mut done, now).await?;
    }
    for new in &release.versions {
        done.versions.extend(put_release(sets, new, publication, now).await?);
    }
    dripline_model::crash::point("publish.versions");
    let ends: BTreeSet<&str> =
        release.retired.iter().filter(|one| one.end_runs).map(|one| one.workflow).collect();
    let goes = |name: &str| release.retired.iter().any(|one| one.workflow == name);
    for (workflow, name) in retire(sets, goes, now).await? {
        let ended = if ends.contains(name.as_str()) {
            let reason = word(sets, "ended, for the workflow was retired").await?;
            end_runs(sets, workflow, None, reason, now).await?
        } else {
            0
        };
        done.retired.push((name, ended));
    }
    let fields = match &release.shared {
        Some(shared) => shared.fields,
        None => fields.as_ref().and_then(|stored| stored.as_deref()),
    };
    sets.finish_publication(publication, &to_json("changes", &done.changes())?, fields).await?;
    dripline_model::crash::point("publish.written");
    Ok(done)
}

async fn put_shared(
    sets: &mut impl Publishing,
    shared: &Shared<'_>,
    stored_fields: Option<&Option<String>>,
    done: &mut Released,
    now: Timestamp,
) -> Raw<()> {
    done.teams = put_teams(sets, shared.representatives, shared.teams).await?;
    if let Some(segments) = shared.segments {
        done.segments = segments::publish(sets, segments, now).await?;
    }
    // Of fields that were declared before the first publication nothing is known.
    done.fields = stored_fields.is_some_and(|stored| stored.as_deref() != shared.fields);
    done.scores = declared_scores::publish(sets, shared.scores, now).await?;
    Ok(())
}

async fn put_release(
    sets: &mut impl Publishing,
    new: &NewRelease<'_>,
    publication: i64,
    now: Timestamp,
) -> Raw<Option<ReleasedVersion>> {
    let origin = Origin { publication: Some(publication), restores: new.restores };
    let published = put_version(sets, &new.version, origin, now).await?;
    if !published.is_new {
        return Ok(None);
    }
    let (mut moved, mut ended) = (0, 0);
    match &new.older_runs {
        OlderRuns::Stay => {}
        OlderRuns::Move(moves) => {
            let reason = word(sets, &format!("moved to version {}", published.number)).await?;
            moved = sets.move_runs_over(published.version.0, moves, reason, ms(now)).await?;
        }
        OlderRuns::End => {
            let why = format!("ended, for version {} was published", published.number);
            let reason = word(sets, &why).await?;
            ended = end_runs(sets, published.workflow.0, Some(published.version.0), reason, now).await?;
        }
    }
    Ok(Some(ReleasedVersion { name: new.version.program.name.clone(), published, moved, ended }))
}

/// Ends the active runs of a workflow that stand on other versions than `except`, and those that belong to them. Answers
/// how many of the workflow.
pub(crate) async fn end_runs(
    sets: &mut impl Publishing,
    workflow: i64,
    except: Option<i64>,
    reason: i64,
    now: Timestamp,
) -> Raw<u64> {
    let ended = sets.end_runs_of(workflow, except, reason, ms(now)).await?;
    kin::settle_ended(sets, now).await?;
    Ok(ended)
}

/// The catalog's state, as [`crate::catalog_state`] names it.
async fn state(sets: &mut impl Publishing, fields: Option<&str>) -> Raw<Digest> {
    let versions = sets.current_versions().await?;
    let definitions = sets.definitions().await?;
    let segments: Vec<Segment> = definitions
        .into_iter()
        .map(|(_, _, definition)| from_json("segment", &definition))
        .collect::<Raw<_>>()?;
    let representatives = teams::representatives(sets.stored_representatives().await?);
    let teams = teams::from_rows(sets.stored_teams().await?)?;
    let versions = versions.iter().map(|(name, number, digest)| (&**name, *number, &**digest));
    let scores = declared_scores::read(
        sets.score_definitions()
            .await?
            .into_iter()
            .filter_map(|definition| Some((definition.name, definition.json?)))
            .collect(),
    )?;
    Ok(release::state(
        versions.collect(),
        segments.iter().collect(),
        &representatives,
        &teams,
        fields,
        &scores,
    ))
}
