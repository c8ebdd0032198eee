//! `dripline leads`

use std::{cmp::Reverse, io::Write};

use dripline_model::{Clock as _, SystemClock};
use dripline_store::Lead;
use jiff::Timestamp;
use serde_json::json;

use super::contacts::name;
use crate::{
    args::{Global, Listing},
    output::{
        HEADING, JsonList, Out, cell, clean, contact_json, plural, score_list, table, time, write_table,
    },
    problem::{Exit, Problem},
    workspace::Workspace,
};

/// Show the leads of each representative, the hottest first, and why they are hot
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only of this representative (a key of teams.yaml)
    #[arg(long, value_name = "KEY")]
    rep: Option<String>,
    #[command(flatten)]
    listing: Listing,
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let store = Workspace::find(global.workspace.as_deref())?.open_store().await?;
    let mut leads = store.leads(u32::MAX as usize).await?;
    leads.retain(|lead| args.rep.as_ref().is_none_or(|rep| lead.rep == *rep));
    let now = SystemClock.now();
    leads.iter_mut().for_each(|lead| lead.contact.as_of(now));
    leads.sort_by_key(|lead| (lead.rep.clone(), Reverse(lead.contact.scores.values().sum::<i64>())));
    let (shown, hidden) = leads.split_at(leads.len().min(args.listing.limit()));
    if args.listing.format.json {
        let mut array = JsonList::begin(out)?;
        shown.iter().try_for_each(|lead| array.push(&lead_json(lead, now)))?;
        array.end()?;
        return Ok(Exit::Success);
    }
    if shown.is_empty() {
        writeln!(out, "No leads. An `assign` step gives contacts to representatives.")?;
    }
    for of_rep in shown.chunk_by(|one, other| one.rep == other.rep) {
        print_rep(of_rep, now, out)?;
    }
    if !hidden.is_empty() {
        writeln!(out, "… and {} more; --limit N shows more", plural(hidden.len() as u64, "lead"))?;
    }
    Ok(Exit::Success)
}

fn print_rep(leads: &[Lead], now: Timestamp, out: &mut Out) -> Result<(), Problem> {
    let Some(first) = leads.first() else { return Ok(()) };
    let (rep, number) = (clean(&first.rep_name), plural(leads.len() as u64, "lead"));
    writeln!(out, "{HEADING}{rep}{HEADING:#} ({}): {number}", clean(&first.rep))?;
    let mut rows = table(["  lead", "scores", "why", "assigned (UTC)", "how"]);
    for lead in leads {
        let reasons: Vec<_> = lead
            .reasons
            .iter()
            .map(|reason| {
                let times =
                    if reason.times > 1 { format!(" ({} times)", reason.times) } else { String::new() };
                format!("{:+} {}{times}", reason.points, reason.because)
            })
            .collect();
        rows.add_row([
            cell(format!("  {}", name(&lead.contact))),
            cell(score_list(&lead.contact, now)),
            cell(reasons.join(", ")),
            cell(time(lead.assigned_at)),
            cell(&lead.because),
        ]);
    }
    write_table(out, &rows)?;
    writeln!(out)?;
    Ok(())
}

fn lead_json(lead: &Lead, now: Timestamp) -> serde_json::Value {
    let reasons = lead.reasons.iter().map(|reason| {
        json!({
            "score": reason.score, "points": reason.points, "because": reason.because, "times": reason.times,
        })
    });
    json!({
        "contact": contact_json(&lead.contact, now),
        "rep": lead.rep,
        "rep_name": lead.rep_name,
        "team": lead.team,
        "assigned_at": lead.assigned_at,
        "because": lead.because,
        "score": lead.contact.scores.values().sum::<i64>(),
        "reasons": reasons.collect::<Vec<_>>(),
    })
}
