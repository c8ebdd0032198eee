//! `dripline score explain`

use std::{collections::BTreeSet, io::Write};

use dripline_model::{Clock as _, Contact, SystemClock, score::Scores};
use dripline_store::{ContactFilter, HeldBy, HeldPoints, Store, TimelineEntry, TimelineWhat};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::fading;
use crate::{
    args::Format,
    commands::{contacts::name, find_contact},
    output::{FAINT, HEADING, Out, WARNING, clean, json, plural, time},
    problem::Problem,
};

/// Everything that there is to say of a contact's scores.
struct Account {
    contact: Contact,
    scores: std::sync::Arc<Scores>,
    /// Points that were given, oldest first.
    gifts: Vec<TimelineEntry>,
    held: Vec<HeldPoints>,
    now: Timestamp,
}

pub(super) async fn explain(
    store: &dyn Store,
    key: &str,
    only: Option<&str>,
    format: Format,
    out: &mut Out,
) -> Result<(), Problem> {
    let id = find_contact(store, key).await?;
    let now = SystemClock.now();
    let scores = store.declared_scores().await?;
    let filter = ContactFilter { id: Some(id), ..ContactFilter::default() };
    let contact = store.list_contacts(&filter, 1).await?.pop();
    let contact =
        contact.ok_or_else(|| Problem::internal(format!("contact {id} was found, but cannot be read")))?;
    let mut gifts = store.timeline(id).await?;
    gifts.retain(|entry| matches!(entry.what, TimelineWhat::Score { .. }));
    gifts.iter_mut().for_each(|entry| entry.as_of(&scores, now));
    let account = Account { contact, scores, gifts, held: store.held_points(id).await?, now };
    let names = account.names(only)?;
    if format.json {
        let all: Vec<Value> = names.iter().map(|score| account.json(score)).collect();
        return Ok(json(out, &json!({"contact": account.contact.id, "at": now, "scores": all}))?);
    }
    if names.is_empty() {
        writeln!(out, "{} has no points yet.", clean(name(&account.contact)))?;
    }
    names.iter().try_for_each(|score| account.print(score, out))
}

impl Account {
    /// The scores that are asked for.
    fn names(&self, only: Option<&str>) -> Result<BTreeSet<String>, Problem> {
        let has: BTreeSet<String> = self.contact.scores.keys().cloned().collect();
        let Some(only) = only else { return Ok(has) };
        if has.contains(only) || self.scores.get(only).is_some() {
            return Ok(BTreeSet::from([only.to_owned()]));
        }
        let known = has.iter().map(String::as_str).chain(self.scores.names());
        let problem = Problem::input(format!("{} has no points of a score `{only}`", name(&self.contact)));
        Err(match dripline_model::suggest::closest(only, known) {
            Some(near) => problem.with_help(format!("did you mean `{near}`?")),
            None => problem,
        })
    }

    fn gifts(&self, of: &str) -> impl Iterator<Item = &TimelineEntry> {
        self.gifts
            .iter()
            .filter(move |entry| matches!(&entry.what, TimelineWhat::Score { score, .. } if score == of))
    }

    fn held(&self, of: &str) -> impl Iterator<Item = &HeldPoints> {
        self.held.iter().filter(move |held| held.score == of)
    }

    fn print(&self, score: &str, out: &mut Out) -> Result<(), Problem> {
        let value = self.contact.score(score, self.now);
        let grade = self.contact.grade(score, self.now).map(|grade| format!(" ({})", clean(grade)));
        writeln!(out, "{HEADING}{}{HEADING:#} {value}{}", clean(score), grade.unwrap_or_default())?;
        if let Some(fading) = self.scores.get(score).and_then(fading) {
            writeln!(out, "  {FAINT}its points {fading}{FAINT:#}")?;
        }
        for entry in self.gifts(score) {
            let TimelineWhat::Score { points, because, taken_back, workflow, step, left, .. } = &entry.what
            else {
                continue;
            };
            let rest = match (taken_back, left) {
                (Some(at), _) => format!("worked out anew {}", at.strftime("%Y-%m-%d")),
                (None, Some(left)) => format!("{left} left"),
                (None, None) => String::new(),
            };
            writeln!(
                out,
                "  {FAINT}{}{FAINT:#}  {points:>+5}  {rest:<26} {} {FAINT}[{}, {}]{FAINT:#}",
                time(entry.at),
                clean(because),
                clean(workflow),
                clean(step)
            )?;
        }
        for HeldPoints { workflow, step, because, by, times, points, last_at, .. } in self.held(score) {
            let why = match by {
                HeldBy::Lowest => "the score's lowest value",
                HeldBy::Highest => "the score's highest value",
                _ => "the most that may count for this reason",
            };
            writeln!(
                out,
                "  {WARNING}held back{WARNING:#} {points:+} in {}, last {} UTC, by {why}: {} {FAINT}[{}, {}]{FAINT:#}",
                plural(*times, "gift"),
                time(*last_at),
                clean(because),
                clean(workflow),
                clean(step)
            )?;
        }
        Ok(())
    }

    fn json(&self, score: &str) -> Value {
        let gifts = self.gifts(score).filter_map(|entry| {
            let TimelineWhat::Score { points, total, because, taken_back, workflow, step, left, .. } =
                &entry.what
            else {
                return None;
            };
            let left = if taken_back.is_some() { 0 } else { left.unwrap_or(*points) };
            Some(json!({
                "at": entry.at, "points": points, "left": left, "total": total, "because": because,
                "workflow": workflow, "step": step, "taken_back": taken_back,
            }))
        });
        let held = self.held(score).map(|held| {
            json!({
                "by": held.by.name(), "times": held.times, "points": held.points, "last_at": held.last_at,
                "because": held.because, "workflow": held.workflow, "step": held.step,
            })
        });
        json!({
            "score": score,
            "value": self.contact.score(score, self.now),
            "grade": self.contact.grade(score, self.now),
            "points": gifts.collect::<Vec<_>>(),
            "held_back": held.collect::<Vec<_>>(),
        })
    }
}
