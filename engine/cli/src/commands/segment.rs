//! `dripline segment`

use std::io::Write;

use dripline_model::{Clock, Contact, SystemClock, contact::Needs};
use dripline_runtime::{Explanation, Rules};
use dripline_store::{Store, StoredSegment};
use serde_json::{Value, json};

use super::find_contact;
use crate::{
    args::{Format, Global},
    output::{
        FAINT, HEADING, Out, WARNING, cell, clause_json, clean, count, json, plural, table, time,
        write_clauses, write_table,
    },
    problem::{Exit, Problem},
    workspace::Workspace,
};

/// See the segments, who is in them and why
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the segments, with how many members each has
    List {
        #[command(flatten)]
        format: Format,
    },
    /// Show a segment: its rule, and how far its first evaluation is
    Show {
        /// The segment's name
        name: String,
        #[command(flatten)]
        format: Format,
    },
    /// Say why a contact is a member, or is not: each part of the rule with the contact's values
    Explain {
        /// The segment's name
        name: String,
        /// The contact: id, external id or address
        contact: String,
        #[command(flatten)]
        format: Format,
    },
    /// Count whom the rule admits right now, whoever is a member
    Count {
        /// The segment's name
        name: String,
        #[command(flatten)]
        format: Format,
    },
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let workspace = Workspace::find(global.workspace.as_deref())?;
    let store = workspace.open_store().await?;
    match &args.command {
        Command::List { format } => list(store.as_ref(), *format, out).await?,
        Command::Show { name, format } => show(store.as_ref(), name, *format, out).await?,
        Command::Explain { name, contact, format } => {
            explain(store.as_ref(), name, contact, *format, out).await?;
        }
        Command::Count { name, format } => {
            let number = admitted(store.as_ref(), name).await?;
            if format.json {
                json(out, &json!({"name": name, "contacts": number}))?;
            } else {
                writeln!(out, "{}", plural(number, "contact"))?;
            }
        }
    }
    Ok(Exit::Success)
}

async fn list(store: &dyn Store, format: Format, out: &mut Out) -> Result<(), Problem> {
    let segments = store.segments().await?;
    if format.json {
        return Ok(json(out, &segments.iter().map(segment_json).collect::<Vec<_>>())?);
    }
    if segments.is_empty() {
        writeln!(out, "No segments. They are the YAML files in segments/, and those that steps make.")?;
        return Ok(());
    }
    let mut rows = table(["segment", "members", "who is in it", "description"]);
    for segment in &segments {
        let definition = segment.definition.as_ref();
        rows.add_row([
            cell(&segment.name),
            cell(count(segment.members)),
            cell(clean(&describe(segment))),
            cell(definition.and_then(|segment| segment.description.as_deref()).unwrap_or_default()),
        ]);
    }
    Ok(write_table(out, &rows)?)
}

async fn show(store: &dyn Store, name: &str, format: Format, out: &mut Out) -> Result<(), Problem> {
    let segment = find(store, name).await?;
    if format.json {
        return Ok(json(out, &segment_json(&segment))?);
    }
    writeln!(out, "{HEADING}{}{HEADING:#}: {}", clean(&segment.name), plural(segment.members, "member"))?;
    let definition = segment.definition.as_ref();
    if let Some(description) = definition.and_then(|segment| segment.description.as_deref()) {
        writeln!(out, "  {}", clean(description))?;
    }
    writeln!(out, "  {}", clean(&describe(&segment)))?;
    if let Some(at) = segment.published_at {
        writeln!(out, "  {FAINT}published {} UTC{FAINT:#}", time(at))?;
    }
    if let Some(last) = segment.evaluated_to {
        writeln!(out, "  {WARNING}being worked out{WARNING:#}: contacts up to {last} were looked at")?;
    }
    Ok(())
}

fn describe(segment: &StoredSegment) -> String {
    match segment.definition.as_ref().and_then(|segment| segment.rule.as_deref()) {
        Some(rule) => format!("if {}", rule.split_whitespace().collect::<Vec<_>>().join(" ")),
        None => "whom steps put in".to_owned(),
    }
}

fn segment_json(segment: &StoredSegment) -> Value {
    let definition = segment.definition.as_ref();
    json!({
        "name": segment.name,
        "description": definition.and_then(|segment| segment.description.as_deref()),
        "if": definition.and_then(|segment| segment.rule.as_deref()),
        "members": segment.members,
        "published_at": segment.published_at,
        "evaluated_to": segment.evaluated_to,
    })
}

async fn find(store: &dyn Store, name: &str) -> Result<StoredSegment, Problem> {
    let mut segments = store.segments().await?;
    match segments.iter().position(|segment| segment.name == name) {
        Some(place) => Ok(segments.swap_remove(place)),
        None => {
            let known = segments.iter().map(|segment| segment.name.as_str());
            let problem = Problem::input(format!("there is no segment `{name}`"));
            Err(match dripline_model::suggest::closest(name, known) {
                Some(near) => problem.with_help(format!("did you mean `{near}`?")),
                None => problem
                    .with_help("`dripline segment list` shows them; `dripline publish` publishes the files"),
            })
        }
    }
}

async fn rules(store: &dyn Store) -> Result<Rules, Problem> {
    let definitions = store.segments().await?.into_iter().filter_map(|segment| segment.definition);
    let scores = store.declared_scores().await?;
    Rules::new(definitions, scores).map_err(Problem::unavailable)
}

/// Whom a segment admits now; of a static one, its members.
async fn admitted(store: &dyn Store, name: &str) -> Result<u64, Problem> {
    let segment = find(store, name).await?;
    let admitted = rules(store).await?.count(store, name, SystemClock.now()).await;
    Ok(admitted.map_err(Problem::unavailable)?.unwrap_or(segment.members))
}

async fn explain(
    store: &dyn Store,
    name: &str,
    key: &str,
    format: Format,
    out: &mut Out,
) -> Result<(), Problem> {
    let segment = find(store, name).await?;
    let rules = rules(store).await?;
    let now = SystemClock.now();
    let id = find_contact(store, key).await?;
    let mut needs = rules.needs().clone();
    needs.merge(&Needs { segments: true, ..Needs::default() });
    let loaded = store.begin().await?.load_contacts(&[id], &needs, now).await?;
    let Some(contact) = loaded.into_iter().next() else {
        return Err(Problem::input(format!("there is no contact `{key}`")));
    };
    let Some(explanation) = rules.explain(name, &contact, now) else {
        return static_membership(&segment, &contact, format, out);
    };
    if format.json {
        return Ok(json(out, &explanation_json(name, &contact, &explanation))?);
    }
    print(name, key, &explanation, out)
}

fn static_membership(
    segment: &StoredSegment,
    contact: &Contact,
    format: Format,
    out: &mut Out,
) -> Result<(), Problem> {
    let is_member = contact.segments.contains(&segment.name);
    if format.json {
        return Ok(json(out, &json!({"segment": segment.name, "contact": contact.id, "member": is_member}))?);
    }
    let not = if is_member { "" } else { "not " };
    let name = clean(&segment.name);
    writeln!(
        out,
        "The contact is {not}a member of {HEADING}{name}{HEADING:#}. It has no rule: steps put members in."
    )?;
    Ok(())
}

fn print(name: &str, key: &str, explanation: &Explanation, out: &mut Out) -> Result<(), Problem> {
    let verdict = if explanation.is_member { "is a member of" } else { "is not a member of" };
    writeln!(out, "{} {verdict} {HEADING}{}{HEADING:#}", clean(key), clean(name))?;
    write_clauses(out, "  ", &explanation.clauses)?;
    if explanation.is_member != explanation.is_stored {
        writeln!(
            out,
            "  {WARNING}The store says otherwise{WARNING:#}: `dripline run` brings it up to date."
        )?;
    }
    if let Some(next) = explanation.next_change {
        writeln!(out, "  If nothing happens, this may change at {} UTC.", time(next))?;
    }
    Ok(())
}

fn explanation_json(name: &str, contact: &Contact, explanation: &Explanation) -> Value {
    json!({
        "segment": name,
        "contact": contact.id,
        "member": explanation.is_member,
        "stored": explanation.is_stored,
        "clauses": explanation.clauses.iter().map(clause_json).collect::<Vec<_>>(),
        "next_change": explanation.next_change,
    })
}
