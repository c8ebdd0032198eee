//! `dripline contacts`

use std::{collections::BTreeMap, io::Write};

use dripline_model::{Clock as _, Contact, SystemClock};
use dripline_store::{Coming, ContactFilter, Store, TimelineEntry, TimelineWhat};
use jiff::Timestamp;
use serde_json::Value;

use super::history::History;
use crate::{
    args::{Format, Global, Listing},
    output::{
        FAINT, HEADING, JsonList, Out, cell, clean, coming_json, contact_json, json, message_json,
        score_list, time, timeline_json, write_rows,
    },
    problem::{Exit, Problem},
    workspace::Workspace,
};

/// See who is known, and everything that happened to one contact
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List contacts
    List {
        /// Only members of this segment
        #[arg(long, value_name = "NAME")]
        segment: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show everything that is known of a contact: what it did, what was decided and why, which mails it got
    Show {
        /// Id, external id or address
        contact: String,
        #[command(flatten)]
        format: Format,
    },
}

/// Contacts read at once.
const PAGE: usize = 1_000;

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let store = Workspace::find(global.workspace.as_deref())?.open_store().await?;
    match &args.command {
        Command::List { segment, listing } => list(store.as_ref(), segment.as_ref(), *listing, out).await,
        Command::Show { contact, format } => show(store.as_ref(), contact, *format, out).await,
    }
}

async fn list(
    store: &dyn Store,
    segment: Option<&String>,
    listing: Listing,
    out: &mut Out,
) -> Result<Exit, Problem> {
    let now = SystemClock.now();
    let mut filter = ContactFilter { segment: segment.cloned(), ..ContactFilter::default() };
    if listing.format.json {
        let mut array = JsonList::begin(out)?;
        let mut left = listing.limit();
        while left > 0 {
            let page = store.list_contacts(&filter, left.min(PAGE)).await?;
            let Some(last) = page.last() else { break };
            filter.after = Some(last.id);
            left -= page.len();
            page.iter().try_for_each(|contact| array.push(&contact_json(contact, now)))?;
        }
        array.end()?;
        return Ok(Exit::Success);
    }
    // One more than is shown tells whether there are more.
    let contacts = store.list_contacts(&filter, listing.limit().saturating_add(1)).await?;
    let headers = ["id", "contact", "scores", "owner", "segments", "tags", "created (UTC)"];
    let none = "No contacts. `dripline import FILE.csv` brings some in.";
    write_rows(out, &contacts, listing.limit(), none, headers, |contact| {
        [
            cell(contact.id),
            cell(name(contact)),
            cell(score_list(contact, now)),
            cell(contact.owner.as_deref().unwrap_or_default()),
            cell(join(&contact.segments)),
            cell(join(&contact.tags)),
            cell(time(contact.created_at)),
        ]
    })?;
    Ok(Exit::Success)
}

async fn show(store: &dyn Store, key: &str, format: Format, out: &mut Out) -> Result<Exit, Problem> {
    let now = SystemClock.now();
    let History { contact, timeline, mails } = History::of(store, key, now).await?;
    let coming = store.coming(contact.id).await?;
    if format.json {
        let mut value = contact_json(&contact, now);
        if let Value::Object(fields) = &mut value {
            fields.insert("mails".into(), mails.iter().map(message_json).collect());
            fields.insert("timeline".into(), timeline.iter().map(timeline_json).collect());
            fields.insert("coming".into(), coming.iter().map(coming_json).collect());
        }
        json(out, &value)?;
    } else {
        print(&contact, &timeline, &coming, now, out)?;
    }
    Ok(Exit::Success)
}

fn print(
    contact: &Contact,
    timeline: &[TimelineEntry],
    coming: &[Coming],
    now: Timestamp,
    out: &mut Out,
) -> Result<(), Problem> {
    writeln!(out, "{HEADING}{}{HEADING:#}", clean(name(contact)))?;
    let consents: Vec<_> = contact
        .consents
        .iter()
        .map(|(topic, given)| format!("{topic}: {}", if *given { "yes" } else { "no" }))
        .collect();
    for (label, value) in [
        ("id", contact.id.to_string()),
        ("external id", contact.external_id.clone().unwrap_or_default()),
        ("created", format!("{} UTC", time(contact.created_at))),
        ("owner", contact.owner.clone().unwrap_or_default()),
        ("segments", join(&contact.segments)),
        ("tags", join(&contact.tags)),
        ("consent", consents.join(", ")),
    ] {
        if !value.is_empty() {
            writeln!(out, "  {label:<12} {}", clean(&value))?;
        }
    }
    if !contact.attributes.is_empty() {
        writeln!(out, "\n{HEADING}Attributes{HEADING:#}")?;
        let width = contact.attributes.keys().map(|name| name.chars().count()).max().unwrap_or_default();
        for (name, value) in &contact.attributes {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            writeln!(out, "  {:<width$} {}", clean(name), clean(&text))?;
        }
    }
    if !contact.scores.is_empty() {
        writeln!(out, "\n{HEADING}Scores{HEADING:#}")?;
        for score in contact.scores.keys() {
            let grade = contact.grade(score, now).map(|grade| format!(" ({})", clean(grade)));
            let (points, grade) = (contact.score(score, now), grade.unwrap_or_default());
            writeln!(out, "  {} {points}{grade}{}", clean(score), clean(&reasons(score, timeline)))?;
        }
    }
    writeln!(out, "\n{HEADING}What happened (UTC){HEADING:#}")?;
    if timeline.is_empty() {
        writeln!(out, "  nothing yet")?;
    }
    for entry in timeline {
        let (what, sentence) = entry.line();
        writeln!(out, "  {FAINT}{}{FAINT:#}  {what:<12} {}", time(entry.at), clean(&sentence))?;
    }
    if !coming.is_empty() {
        writeln!(out, "\n{HEADING}What comes (UTC){HEADING:#}")?;
        for Coming { at, workflow, what } in coming {
            let at = at.map(time).unwrap_or_default();
            writeln!(out, "  {FAINT}{at:<16}{FAINT:#}  {} [{}]", clean(what), clean(workflow))?;
        }
    }
    Ok(())
}

/// `: +20 senior title, +10 clicked`: where the points come from, what was taken back or has faded left out.
fn reasons(score: &str, timeline: &[TimelineEntry]) -> String {
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for entry in timeline {
        if let TimelineWhat::Score { score: name, points, because, taken_back: None, left, .. } = &entry.what
            && name == score
        {
            *sums.entry(because).or_default() += left.unwrap_or(*points);
        }
    }
    let mut sums: Vec<_> = sums.into_iter().filter(|(_, points)| *points != 0).collect();
    sums.sort_by_key(|(_, points)| std::cmp::Reverse(*points));
    let each: Vec<_> = sums.into_iter().map(|(because, points)| format!("{points:+} {because}")).collect();
    if each.is_empty() { String::new() } else { format!(": {}", each.join(", ")) }
}

/// What people call the contact.
pub(super) fn name(contact: &Contact) -> &str {
    contact.email.as_deref().or(contact.external_id.as_deref()).unwrap_or("(without address)")
}

fn join(names: &std::collections::BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
