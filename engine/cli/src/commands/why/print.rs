//! The answer for people.

use std::io::{self, Write};

use dripline_model::{decision::DecisionKind, message::MessageStatus};
use dripline_runtime::Verdict;

use super::{
    account::{Account, Asked, Chapter, Mail, StepNow, Visit, Way},
    prospect::Prospect,
    stand::{Awaits, Stand},
};
use crate::{
    commands::contacts::name,
    output::{BAD, FAINT, GOOD, HEADING, Out, WARNING, clean, time, write_clauses},
};

pub(super) fn account(account: &Account, asked: &Asked<'_>, out: &mut Out) -> io::Result<()> {
    writeln!(out, "{HEADING}{}{HEADING:#} {FAINT}(times are UTC){FAINT:#}", clean(name(&account.contact)))?;
    // All that is known of one workflow is wanted, and of many those that concern the contact.
    let is_told = |chapter: &&Chapter| asked.workflow.is_some() || asked.step.is_some() || chapter.is_near();
    for told in account.chapters.iter().filter(is_told) {
        chapter(told, account, asked, out)?;
    }
    let others: Vec<&Chapter> = account.chapters.iter().filter(|chapter| !is_told(chapter)).collect();
    if !others.is_empty() {
        writeln!(out, "\n{HEADING}Never came near{HEADING:#}")?;
        let width = others.iter().map(|chapter| chapter.workflow.chars().count()).max().unwrap_or_default();
        for other in &others {
            let why = other.prospect.as_ref().map(in_short).unwrap_or_default();
            writeln!(out, "  {:<width$}  {}", other.workflow, clean(&why))?;
        }
        writeln!(out, "  {FAINT}--workflow NAME says more{FAINT:#}")?;
    }
    if account.chapters.is_empty() {
        writeln!(out, "\nThe contact did not come to this step, and no workflow that it knows has it now.")?;
    }
    if let Some(since) = account.kept_since {
        writeln!(
            out,
            "\n{FAINT}`retention` lets go of decisions that are older than {}.{FAINT:#}",
            time(since)
        )?;
    }
    Ok(())
}

/// `event trial.started: never happened to this contact`
fn in_short(prospect: &Prospect) -> String {
    let starts = prospect.triggers.iter().map(|start| format!("{}: {}", start.what, start.happened));
    starts.collect::<Vec<_>>().join("; ")
}

fn chapter(chapter: &Chapter, account: &Account, asked: &Asked<'_>, out: &mut Out) -> io::Result<()> {
    let description = chapter.description.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
    writeln!(out, "\n{HEADING}{}{HEADING:#}{}", chapter.workflow, clean(&description))?;
    if chapter.is_retired {
        writeln!(out, "  {WARNING}Its file is gone{WARNING:#}: it starts no more runs.")?;
    }
    if let Some(since) = chapter.paused {
        writeln!(
            out,
            "  {WARNING}Paused{WARNING:#} since {}: nobody in it goes on until `dripline workflows resume {}`.",
            time(since),
            chapter.workflow
        )?;
    }
    let mut refusals = chapter.refusals.iter().peekable();
    for way in &chapter.ways {
        while let Some(refusal) = refusals.next_if(|refusal| refusal.at <= way.began) {
            line(out, refusal.at, "not enrolled", &refusal.reason)?;
        }
        self::way(way, chapter, account, out)?;
    }
    for refusal in refusals {
        line(out, refusal.at, "not enrolled", &refusal.reason)?;
    }
    // Who was through it asks what happened, unless the question is about this workflow.
    if let Some(prospect) =
        chapter.prospect.as_ref().filter(|_| asked.workflow.is_some() || chapter.ways.is_empty())
    {
        self::prospect(prospect, chapter, out)?;
    }
    if let Some(step) = &chapter.step {
        step_now(step, chapter, out)?;
    }
    Ok(())
}

fn way(way: &Way, chapter: &Chapter, account: &Account, out: &mut Out) -> io::Result<()> {
    match (&way.path, &way.because) {
        (Some(path), _) => writeln!(out, "  Path `{}`", clean(path))?,
        (None, Some(because)) => line(out, way.began, "enrolled", because)?,
        (None, None) => line(out, way.began, "enrolled", "why is not kept any more")?,
    }
    for visit in &way.visits {
        self::visit(visit, out)?;
    }
    if let Some(stand) = &way.stand {
        self::stand(stand, chapter, account, out)?;
    } else if let Some(ended) = way.ended {
        let is_said = way
            .visits
            .last()
            .is_some_and(|visit| matches!(visit.kind, DecisionKind::Ended | DecisionKind::Cancelled));
        let is_forgotten = way.because.is_none() && way.visits.is_empty();
        let what = if is_forgotten { "what happened on the way is not kept any more" } else { "" };
        if !is_said {
            line(out, ended, way.status.name(), what)?;
        }
    }
    Ok(())
}

fn line(out: &mut Out, at: jiff::Timestamp, what: &str, sentence: &str) -> io::Result<()> {
    let text = format!("{what:<12} {}", clean(&with_times(sentence)));
    writeln!(out, "  {FAINT}{}{FAINT:#}  {}", time(at), text.trim_end())
}

/// A reason with its instants as all other times here are written.
fn with_times(reason: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_end_matches([',', ';', ':', '.', ')']);
        match bare.parse::<jiff::Timestamp>() {
            Ok(at) => format!("{}{}", time(at), word.get(bare.len()..).unwrap_or_default()),
            Err(_) => word.to_owned(),
        }
    };
    reason.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Under a line: as deep as its words.
const INDENT: &str = "                                    ";

fn visit(visit: &Visit, out: &mut Out) -> io::Result<()> {
    let step = match (&visit.step, &visit.name) {
        (Some(_), Some(name)) => format!("{name}: "),
        (Some(step), None) => format!("{step}: "),
        (None, _) => String::new(),
    };
    line(out, visit.at, visit.kind.words(), &format!("{step}{}", visit.reason))?;
    for mail in &visit.mails {
        writeln!(out, "{INDENT}{}", clean(&mail_line(mail)))?;
    }
    if let Some(verdict) = &visit.now {
        now(verdict, INDENT, out)?;
    }
    Ok(())
}

/// A condition as it comes out now.
fn now(verdict: &Verdict, indent: &str, out: &mut Out) -> io::Result<()> {
    if verdict.admits() {
        return writeln!(out, "{indent}{GOOD}now it holds{GOOD:#}");
    }
    writeln!(out, "{indent}now:")?;
    write_clauses(out, &format!("{indent}  "), &verdict.clauses)
}

/// `the mail "Welcome" was sent at 2024-01-01 09:00:00`
fn mail_line(mail: &Mail) -> String {
    let detail = mail.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    let subject = &mail.subject;
    match (mail.status, mail.sent_at) {
        (MessageStatus::Sent, Some(at)) => format!("the mail \"{subject}\" was sent at {}", time(at)),
        (MessageStatus::Sent, None) => format!("the mail \"{subject}\" was sent"),
        (MessageStatus::Queued, _) => format!("the mail \"{subject}\" waits for the mail server{detail}"),
        (MessageStatus::Sending, _) => format!("the mail \"{subject}\" is being sent"),
        (MessageStatus::Failed, _) => format!("the mail \"{subject}\" failed{detail}"),
        (MessageStatus::Dropped, _) => format!("the mail \"{subject}\" was given up by a person"),
        (MessageStatus::Uncertain, _) => {
            format!("the mail \"{subject}\": nobody can know whether it arrived{detail}")
        }
    }
}

fn stand(stand: &Stand, chapter: &Chapter, account: &Account, out: &mut Out) -> io::Result<()> {
    let step = match &stand.name {
        Some(name) => format!("{name} ({})", stand.step),
        None => stand.step.clone(),
    };
    let step = clean(&step).into_owned();
    let until = stand.until.map(|until| format!(", until {}", time(until))).unwrap_or_default();
    let why = clean(&with_times(&stand.why)).into_owned();
    write!(out, "  {HEADING}Now{HEADING:#} ")?;
    match stand.what {
        Awaits::Happening => writeln!(out, "at {step}: waits for {why}{until}")?,
        Awaits::Opening => writeln!(out, "at {step}: {WARNING}held back{WARNING:#}{until}: {why}")?,
        Awaits::Retry => {
            writeln!(out, "at {step}: {WARNING}failed{WARNING:#}, and is tried again{until}: {why}")?
        }
        Awaits::Time => writeln!(out, "before {step}{until}: {why}")?,
        Awaits::Turn if chapter.paused.is_some() => {
            writeln!(out, "at {step}: due, and held back because the workflow is paused")?;
        }
        Awaits::Turn => writeln!(out, "at {step}: due; `dripline run` takes it on")?,
        Awaits::Person => {
            let key = account.contact.external_id.as_deref().or(account.contact.email.as_deref());
            let key = key.map_or_else(|| account.contact.id.to_string(), str::to_owned);
            writeln!(out, "at {step}: {BAD}stopped{BAD:#} until a person decides: {why}")?;
            writeln!(
                out,
                "{INDENT}`dripline runs list --contact {}` shows it, `dripline runs retry` and `skip` set it going",
                clean(&key)
            )?;
        }
    }
    if let Some(verdict) = &stand.verdict {
        write_clauses(out, "    ", &verdict.clauses)?;
    }
    Ok(())
}

fn prospect(prospect: &Prospect, chapter: &Chapter, out: &mut Out) -> io::Result<()> {
    let again = if chapter.ways.is_empty() { "" } else { " again" };
    if !chapter.is_near() {
        writeln!(out, "  The contact never came near it.")?;
    }
    writeln!(out, "  {HEADING}What would start it{again}{HEADING:#}")?;
    for start in &prospect.triggers {
        writeln!(out, "    {}: {}", clean(&start.what), clean(&start.happened))?;
        if let Some(verdict) = &start.verdict {
            write_clauses(out, "      ", &verdict.clauses)?;
        }
    }
    if prospect.is_open() {
        writeln!(out, "  {GOOD}It would be let in{GOOD:#}{again} if that happened now.")?;
    } else {
        writeln!(out, "  {WARNING}It would not be let in{WARNING:#}{again} if that happened now:")?;
    }
    if let Some(again) = &prospect.again {
        writeln!(out, "    {}", clean(&with_times(again)))?;
    }
    if let Some(verdict) = &prospect.enroll_if {
        let holds = if verdict.admits() { "holds" } else { "does not hold" };
        writeln!(out, "    `enroll.if` {holds}")?;
        write_clauses(out, "      ", &verdict.clauses)?;
    }
    for held in &prospect.held_back {
        writeln!(out, "    {WARNING}held back{WARNING:#}: {}", clean(held))?;
    }
    Ok(())
}

fn step_now(step: &StepNow, chapter: &Chapter, out: &mut Out) -> io::Result<()> {
    let came = chapter.ways.iter().any(|way| !way.visits.is_empty());
    let name = step.name.as_deref().unwrap_or(&step.id);
    if !came {
        let stands_here =
            chapter.ways.iter().any(|way| way.stand.as_ref().is_some_and(|stand| stand.step == step.id));
        if !stands_here {
            writeln!(out, "  The contact did not come to {}.", clean(name))?;
        }
    }
    if step.verdicts.is_empty() && step.notes.is_empty() {
        return Ok(());
    }
    writeln!(out, "  {HEADING}What {} says of the contact now{HEADING:#}", clean(name))?;
    for verdict in &step.verdicts {
        write_clauses(out, "    ", &verdict.clauses)?;
    }
    for note in &step.notes {
        writeln!(out, "    {}", clean(note))?;
    }
    Ok(())
}
