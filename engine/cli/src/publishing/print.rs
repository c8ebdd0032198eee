//! Plans and differences, for people.

use std::io::{self, Write};

use dripline_model::{
    difference::{Change, Difference, StepChange, ValueChange},
    policy::OnPublish,
};
use dripline_store::Released;

use super::{
    changes::{ItemChange, Kind},
    lines::Line,
    plan::{Plan, SegmentPlan, TemplateText, WorkflowPlan},
};
use crate::output::{
    BAD, FAINT, GOOD, HEADING, Out, Tone, WARNING, cell, clean, count, plural, table, toned, write_table,
};

/// Longer values are cut.
const LONGEST: usize = 120;

/// Prints a plan.
pub(crate) fn print_plan(plan: &Plan, out: &mut Out) -> io::Result<()> {
    if !plan.changes {
        let workflows = plural(plan.unchanged as u64, "workflow");
        return writeln!(out, "{GOOD}No changes{GOOD:#}: {workflows} as published.");
    }
    for workflow in &plan.workflows {
        print_workflow(workflow, out)?;
        writeln!(out)?;
    }
    for segment in &plan.segments {
        print_segment(segment, out)?;
    }
    for item in plan.teams.iter().chain(&plan.fields).chain(&plan.scores) {
        print_item(item, out)?;
    }
    if plan.segments.len() + plan.teams.len() + plan.fields.len() + plan.scores.len() > 0 {
        writeln!(out)?;
    }
    for conflict in &plan.caps {
        let about = if conflict.looked_at == conflict.of { "" } else { "about " };
        writeln!(
            out,
            "{WARNING}caps{WARNING:#}: {about}{} would get more than {}",
            plural(conflict.contacts, "contact"),
            clean(conflict.cap.trim_start_matches("at most "))
        )?;
        for together in &conflict.campaigns {
            writeln!(
                out,
                "  {} by {}: up to {}",
                count(together.contacts),
                together.workflows.join(" and "),
                plural(together.mails, "mail")
            )?;
        }
        writeln!(out, "  {FAINT}An estimate: {}.{FAINT:#}\n", conflict.how)?;
    }
    writeln!(
        out,
        "{HEADING}Plan{HEADING:#}: {}; {} unchanged.",
        plan.summary,
        plural(plan.unchanged as u64, "workflow")
    )
}

fn print_workflow(plan: &WorkflowPlan, out: &mut Out) -> io::Result<()> {
    let name = &plan.name;
    let what = match (plan.change, plan.version, plan.new_version) {
        (Kind::New, _, Some(1)) => format!("{GOOD}new{GOOD:#}"),
        (Kind::New, _, number) => {
            format!("{GOOD}back again{GOOD:#}, as version {}", number.unwrap_or_default())
        }
        (Kind::Changed, old, new) => {
            format!(
                "{WARNING}changed{WARNING:#}, version {} becomes {}",
                old.unwrap_or_default(),
                new.unwrap_or_default()
            )
        }
        (Kind::Gone, ..) => format!("{BAD}gone{BAD:#}: nobody enters it any more"),
    };
    let file = plan.file.as_ref().map(|file| format!(" {FAINT}({file}){FAINT:#}")).unwrap_or_default();
    writeln!(out, "{HEADING}{name}{HEADING:#} {what}{file}")?;
    print_difference(&plan.difference, out)?;
    print_texts(&plan.templates, out)?;
    if plan.change == Kind::Changed && plan.difference.is_empty() {
        writeln!(out, "  only where its steps stand in the file")?;
    }
    print_standing(plan, out)?;
    let condition = "enroll.if";
    if let Some(admits) = plan.admits {
        writeln!(out, "  {condition} admits {} now", admits.describe().trim_end_matches(','))?;
    }
    for segment in &plan.segments {
        writeln!(out, "  segment {} has {}", clean(&segment.name), plural(segment.contacts, "contact"))?;
    }
    Ok(())
}

fn print_standing(plan: &WorkflowPlan, out: &mut Out) -> io::Result<()> {
    let total: u64 = plan.standing.iter().map(|place| place.contacts).sum();
    if total == 0 {
        return Ok(());
    }
    let contacts = plural(total, "contact");
    let fate = match (plan.change, plan.runs) {
        (Kind::Gone, OnPublish::Drain) => "their runs end",
        (Kind::Gone, _) => "their runs go on to their end",
        (_, OnPublish::Pin) => "pin: they stay on their versions",
        (_, OnPublish::Migrate) => "migrate: they move to the new version, as far as it has their steps",
        (_, OnPublish::Drain) => "drain: their runs end",
    };
    writeln!(out, "  {contacts} on their way; {fate}")?;
    let mut rows = table(["  version", "step", "here now", "pin", "migrate", "drain"]);
    for place in &plan.standing {
        let migrate = match (&place.moves_to, place.stays_because) {
            (Some(step), _) => cell(format!("to {step}")),
            (None, Some(why)) => toned(format!("stay: {why}"), Tone::Warning),
            (None, None) => cell("stay"),
        };
        rows.add_row([
            cell(format!("  {}", place.version)),
            cell(&place.step),
            cell(count(place.contacts)),
            cell("stay"),
            migrate,
            cell("end"),
        ]);
    }
    write_table(out, &rows)
}

/// Prints what is different in a workflow.
pub(crate) fn print_difference(difference: &Difference, out: &mut Out) -> io::Result<()> {
    for value in &difference.values {
        print_value(value, "  ", out)?;
    }
    for step in &difference.steps {
        print_step(step, out)?;
    }
    for template in &difference.templates {
        let name = clean(&template.name);
        match (&template.old, &template.new) {
            (None, _) => writeln!(out, "  {GOOD}+{GOOD:#} template {name}")?,
            (_, None) => writeln!(out, "  {BAD}-{BAD:#} template {name}, which no step sends any more")?,
            // Its lines are shown.
            (Some(_), Some(_)) => {}
        }
    }
    Ok(())
}

fn print_step(step: &StepChange, out: &mut Out) -> io::Result<()> {
    let StepChange { id, old_id, change, moved, values } = step;
    let was = old_id.as_ref().map(|old| format!(", which was {old}")).unwrap_or_default();
    let moved = if *moved { ", and stands elsewhere" } else { "" };
    let does = |what: fn(&ValueChange) -> &Option<String>| {
        let does = values.iter().find(|value| value.what == "does").and_then(|value| what(value).clone());
        does.map(|verb| format!(": {verb}")).unwrap_or_default()
    };
    match change {
        Change::Added => writeln!(out, "  {GOOD}+{GOOD:#} step {id}{}", does(|value| &value.new))?,
        Change::Removed => writeln!(out, "  {BAD}-{BAD:#} step {id}{}", does(|value| &value.old))?,
        Change::Moved => writeln!(out, "  {WARNING}>{WARNING:#} step {id}{was} stands elsewhere")?,
        Change::Changed => writeln!(out, "  {WARNING}~{WARNING:#} step {id}{was}{moved}")?,
    }
    // Of a step that is gone its id says enough.
    if matches!(change, Change::Removed | Change::Moved) {
        return Ok(());
    }
    let is_shown = |value: &&ValueChange| {
        *change == Change::Changed || !["does", "plugin"].contains(&value.what.as_str())
    };
    for value in values.iter().filter(is_shown) {
        print_value(value, "      ", out)?;
    }
    Ok(())
}

fn print_value(value: &ValueChange, indent: &str, out: &mut Out) -> io::Result<()> {
    let ValueChange { what, old, new } = value;
    let (old, new) = (old.as_deref().map(short), new.as_deref().map(short));
    match (old, new) {
        (Some(old), Some(new)) => {
            writeln!(out, "{indent}{what}: {BAD}{old}{BAD:#} {FAINT}becomes{FAINT:#} {GOOD}{new}{GOOD:#}")
        }
        (None, Some(new)) => writeln!(out, "{indent}{what}: {GOOD}{new}{GOOD:#}"),
        (Some(old), None) => writeln!(out, "{indent}{what}: {BAD}{old}{BAD:#} {FAINT}is gone{FAINT:#}"),
        (None, None) => Ok(()),
    }
}

/// On one line, and not too long.
fn short(text: &str) -> String {
    let text = clean(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= LONGEST {
        return text;
    }
    format!("{}…", text.chars().take(LONGEST).collect::<String>())
}

/// Prints what is different in templates.
pub(crate) fn print_texts(texts: &[TemplateText], out: &mut Out) -> io::Result<()> {
    for TemplateText { name, lines } in texts {
        writeln!(out, "  {WARNING}~{WARNING:#} template {}", clean(name))?;
        print_lines(lines, out)?;
    }
    Ok(())
}

/// Prints lines that are different.
pub(crate) fn print_lines(lines: &[Line], out: &mut Out) -> io::Result<()> {
    for line in lines {
        match line {
            Line::Same(text) => writeln!(out, "      {FAINT}  {}{FAINT:#}", clean(text))?,
            Line::Old(text) => writeln!(out, "      {BAD}- {}{BAD:#}", clean(text))?,
            Line::New(text) => writeln!(out, "      {GOOD}+ {}{GOOD:#}", clean(text))?,
            Line::Gap => writeln!(out, "      {FAINT}…{FAINT:#}")?,
        }
    }
    Ok(())
}

fn print_segment(segment: &SegmentPlan, out: &mut Out) -> io::Result<()> {
    let members = match segment.will_have {
        Some(will) => format!("{} now, {} by the rule", plural(segment.members, "member"), count(will)),
        None => plural(segment.members, "member"),
    };
    let what = match segment.change {
        Kind::Gone => "its file is gone: the members stay, and the rule does not".to_owned(),
        kind => kind.word().to_owned(),
    };
    writeln!(out, "segment {HEADING}{}{HEADING:#} {what} ({members})", clean(&segment.name))?;
    if segment.old_rule.is_some() || segment.new_rule.is_some() {
        let (old, new) = (segment.old_rule.clone(), segment.new_rule.clone());
        print_value(&ValueChange { what: "if".to_owned(), old, new }, "  ", out)?;
    }
    Ok(())
}

fn print_item(item: &ItemChange, out: &mut Out) -> io::Result<()> {
    let ItemChange { what, name, change, old, new } = item;
    write!(out, "{what} {HEADING}{}{HEADING:#} {}", clean(name), change.word())?;
    match (old, new) {
        (Some(old), Some(new)) => writeln!(out, ": {} {FAINT}becomes{FAINT:#} {}", short(old), short(new)),
        (_, Some(new)) => writeln!(out, ": {}", short(new)),
        _ => writeln!(out),
    }
}

/// Prints what was published.
pub(crate) fn print_released(released: &Released, out: &mut Out) -> io::Result<()> {
    for name in &released.scores {
        writeln!(out, "Published score {HEADING}{name}{HEADING:#}")?;
    }
    for version in &released.versions {
        let name = &version.name;
        write!(out, "Published {HEADING}{name}{HEADING:#} version {}", version.published.number)?;
        if version.moved > 0 {
            write!(out, "; {} moved to it", plural(version.moved, "contact"))?;
        }
        if version.ended > 0 {
            write!(out, "; {} left older versions", plural(version.ended, "contact"))?;
        }
        writeln!(out)?;
    }
    for name in &released.segments.published {
        writeln!(out, "Published segment {HEADING}{name}{HEADING:#}")?;
    }
    for name in &released.segments.withdrawn {
        writeln!(
            out,
            "Segment {HEADING}{name}{HEADING:#}: its file is gone; its members stay, and its rule does not"
        )?;
    }
    for (name, ended) in &released.retired {
        let runs = match ended {
            0 => "its runs go on to their end".to_owned(),
            ended => format!("{} left it", plural(*ended, "contact")),
        };
        writeln!(out, "Retired {HEADING}{name}{HEADING:#}: its file is gone; {runs}")?;
    }
    Ok(())
}
