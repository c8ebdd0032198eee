//! The result of a simulation on the terminal.

use std::io::Write;

use dripline_simulation::{Funnel, MailSum, Report};

use crate::{
    output::{
        BarChart, FAINT, HEADING, Out, Tone, WARNING, cell, clean, count, plural, table, time, toned,
        write_table,
    },
    problem::Problem,
};

/// How many contacts over the limit are named.
const NAMED: usize = 10;
/// How wide a funnel's bar is.
const BAR: usize = 20;

/// Prints a report; `is_short` leaves single contacts out.
pub(super) fn print(report: &Report, is_short: bool, seconds: f64, out: &mut Out) -> Result<(), Problem> {
    let totals = &report.totals;
    let days = report.days.len().saturating_sub(1).max(1);
    writeln!(
        out,
        "{HEADING}Simulated{HEADING:#} {} to {} ({}) in {seconds:.1} s: {} over {}",
        report.days.first().map(|day| day.day.to_string()).unwrap_or_default(),
        report.days.last().map(|day| day.day.to_string()).unwrap_or_default(),
        report.time_zone,
        plural(totals.contacts, "contact"),
        plural(days as u64, "day"),
    )?;
    writeln!(
        out,
        "{} to {}, {} entered, {}, {} arrived ({} of them reactions)\n",
        plural(totals.mails, "mail"),
        plural(totals.receivers, "contact"),
        count(totals.entered),
        plural(totals.assignments, "lead"),
        plural(totals.events, "event"),
        count(totals.reactions),
    )?;
    writeln!(out, "{HEADING}Mails by day{HEADING:#}")?;
    let by_day: Vec<_> = report.days.iter().map(|day| (day.day, day.mails)).collect();
    writeln!(out, "{}", BarChart::new(&by_day))?;
    mails(&report.mails, out)?;
    for funnel in &report.funnels {
        steps(funnel, out)?;
        ends(funnel, out)?;
    }
    representatives(report, out)?;
    pressure(report, out)?;
    if !report.failures.is_empty() {
        writeln!(out, "{HEADING}What would fail{HEADING:#}")?;
        for failure in &report.failures {
            writeln!(out, "  {WARNING}{:>7}{WARNING:#}  {}", count(failure.times), clean(&failure.reason))?;
        }
        writeln!(out)?;
    }
    if !is_short {
        for story in &report.contacts {
            writeln!(out, "{HEADING}{}{HEADING:#} (UTC)", clean(&story.contact))?;
            for line in &story.lines {
                writeln!(
                    out,
                    "  {FAINT}{}{FAINT:#}  {:<12} {}",
                    time(line.at),
                    line.kind,
                    clean(&line.text)
                )?;
            }
            if story.lines.is_empty() {
                writeln!(out, "  nothing happens")?;
            }
            writeln!(out)?;
        }
    }
    writeln!(out, "{HEADING}What was assumed{HEADING:#}")?;
    for assumption in &report.assumptions {
        writeln!(out, "  - {}", clean(assumption))?;
    }
    writeln!(out)?;
    Ok(())
}

fn day(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

fn mails(mails: &[MailSum], out: &mut Out) -> Result<(), Problem> {
    if mails.is_empty() {
        return Ok(());
    }
    let mut rows =
        table(["mail", "workflow", "step", "sent", "opened", "clicked", "replied", "unsubscribed"]);
    for mail in mails {
        rows.add_row([
            cell(&mail.template),
            cell(&mail.workflow),
            cell(&mail.step),
            cell(count(mail.sent)),
            cell(share(mail.opened, mail.sent)),
            cell(share(mail.clicked, mail.sent)),
            cell(share(mail.replied, mail.sent)),
            cell(share(mail.unsubscribed, mail.sent)),
        ]);
    }
    write_table(out, &rows)?;
    writeln!(out)?;
    Ok(())
}

/// `120 (40 %)`; nothing for none.
fn share(number: u64, of: u64) -> String {
    match number {
        0 => String::new(),
        _ => format!("{} ({:.0} %)", count(number), 100.0 * number as f64 / of.max(1) as f64),
    }
}

fn steps(funnel: &Funnel, out: &mut Out) -> Result<(), Problem> {
    writeln!(
        out,
        "{HEADING}{}{HEADING:#}: {} entered, {} not admitted",
        clean(&funnel.workflow),
        count(funnel.entered),
        count(funnel.refused)
    )?;
    for refusal in &funnel.refusals {
        writeln!(out, "  {FAINT}{:>7}  {}{FAINT:#}", count(refusal.times), clean(&refusal.reason))?;
    }
    let most = funnel.steps.iter().map(|step| step.reached).max().unwrap_or_default().max(1);
    let mut rows = table(["  step", "what", "reached", "", "skipped", "held back", "failed", "stand here"]);
    for step in &funnel.steps {
        let bar = usize::try_from((step.reached * BAR as u64).div_ceil(most)).unwrap_or_default();
        let number = |number: u64| if number == 0 { String::new() } else { count(number) };
        rows.add_row([
            cell(format!("  {}", step.id)),
            cell(&step.name),
            cell(count(step.reached)),
            cell("█".repeat(bar)),
            cell(number(step.skipped)),
            cell(number(step.suppressed)),
            toned(number(step.failed), Tone::Bad),
            cell(number(step.standing)),
        ]);
    }
    write_table(out, &rows)?;
    Ok(())
}

fn ends(funnel: &Funnel, out: &mut Out) -> Result<(), Problem> {
    if !funnel.ends.is_empty() {
        writeln!(out, "  {HEADING}where they end{HEADING:#}")?;
    }
    for end in &funnel.ends {
        let word = if end.status == "active" { "still there" } else { end.status };
        writeln!(
            out,
            "  {:>7}  {word:<11}  {}  {FAINT}{}{FAINT:#}",
            count(end.runs),
            end.step,
            clean(&end.reason)
        )?;
    }
    writeln!(out)?;
    Ok(())
}

fn representatives(report: &Report, out: &mut Out) -> Result<(), Problem> {
    if report.representatives.is_empty() {
        return Ok(());
    }
    writeln!(out, "{HEADING}Load of the representatives{HEADING:#}")?;
    let mut rows = table(["  representative", "leads", "most in a day", "by week"]);
    for rep in &report.representatives {
        let weeks: Vec<String> = rep.weeks.iter().map(u64::to_string).collect();
        rows.add_row([
            cell(format!("  {} ({})", rep.name, rep.key)),
            cell(count(rep.leads)),
            cell(count(rep.most_in_a_day)),
            cell(weeks.join(" ")),
        ]);
    }
    write_table(out, &rows)?;
    writeln!(out)?;
    Ok(())
}

fn pressure(report: &Report, out: &mut Out) -> Result<(), Problem> {
    let pressure = &report.pressure;
    let Some(most) = pressure.fullest_week.keys().max() else { return Ok(()) };
    writeln!(
        out,
        "{HEADING}Mails within seven days{HEADING:#}: at most {most} to one contact; more than {} to {}",
        pressure.limit,
        plural(pressure.over, "contact")
    )?;
    for contact in pressure.contacts.iter().take(NAMED) {
        writeln!(
            out,
            "  {WARNING}{:>7}{WARNING:#}  {}, {} to {}",
            contact.mails,
            clean(&contact.contact),
            day(contact.from),
            day(contact.until)
        )?;
    }
    if pressure.over > NAMED as u64 {
        writeln!(
            out,
            "  {FAINT}… and {} more; --json and --html name them{FAINT:#}",
            count(pressure.over - NAMED as u64)
        )?;
    }
    writeln!(out)?;
    Ok(())
}
