//! A report as one page for the browser, with nothing that has to be fetched from anywhere.

mod chart;

use handlebars::Handlebars;
use serde_json::{Value, json};

use crate::{
    error::{Error, ErrorKind, Result},
    funnel::Funnel,
    report::{MailSum, Report},
};

const TEMPLATE: &str = include_str!("page.hbs");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The report as an HTML page that stands for itself.
///
/// # Errors
/// Only where the page's own template is broken.
pub fn page(report: &Report) -> Result<String> {
    let broken = |error: String| Error { doing: "make the page", kind: ErrorKind::Page(error) };
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.register_template_string("page", TEMPLATE).map_err(|error| broken(error.to_string()))?;
    registry.render("page", &view(report)).map_err(|error| broken(error.to_string()))
}

/// What the template sees: numbers as texts, bars as percentages.
fn view(report: &Report) -> Value {
    let mut workflows: Vec<String> = report.funnels.iter().map(|funnel| funnel.workflow.clone()).collect();
    for day in &report.days {
        workflows.extend(
            day.by_workflow.keys().filter(|name| !workflows.contains(name)).cloned().collect::<Vec<_>>(),
        );
    }
    let totals = &report.totals;
    let most_leads = report.representatives.iter().map(|rep| rep.leads).max().unwrap_or_default();
    let most_in_week =
        report.representatives.iter().flat_map(|rep| &rep.weeks).copied().max().unwrap_or_default();
    let fullest = report.pressure.fullest_week.values().copied().max().unwrap_or_default();
    json!({
        "style": STYLE,
        "script": SCRIPT,
        "from": report.days.first().map(|day| date(day.day)),
        "until": report.days.last().map(|day| date(day.day)),
        "time_zone": report.time_zone,
        "tiles": [
            tile("mails", totals.mails, &format!("to {} of {} contacts", count(totals.receivers), count(totals.contacts))),
            tile("entered", totals.entered, &format!("{} not admitted", count(totals.refused))),
            tile("leads", totals.assignments, "handed to representatives"),
            tile("over the limit", report.pressure.over, &format!("contacts with more than {} mails in 7 days", report.pressure.limit)),
            tile("held back", totals.suppressed, "mails without consent or address"),
            tile("failures", totals.failed_runs + totals.failed_mails, "runs and mails"),
        ],
        "days": chart::days(&report.days, &workflows),
        "legend": workflows.iter().enumerate().map(|(place, name)| json!({"name": name, "colour": place % chart::COLOURS})).collect::<Vec<_>>(),
        "mails": report.mails.iter().map(mail).collect::<Vec<_>>(),
        "funnels": report.funnels.iter().map(funnel).collect::<Vec<_>>(),
        "representatives": report.representatives.iter().map(|rep| json!({
            "name": rep.name,
            "key": rep.key,
            "leads": count(rep.leads),
            "width": percent(rep.leads, most_leads),
            "most_in_a_day": count(rep.most_in_a_day),
            "weeks": chart::sparks(&rep.weeks, most_in_week),
        })).collect::<Vec<_>>(),
        "weeks": report.pressure.fullest_week.iter().map(|(mails, contacts)| json!({
            "mails": mails,
            "contacts": count(*contacts),
            "width": percent(*contacts, fullest),
            "over": *mails > report.pressure.limit,
        })).collect::<Vec<_>>(),
        "limit": report.pressure.limit,
        "over": report.pressure.contacts.iter().take(100).map(|over| json!({
            "contact": over.contact, "mails": over.mails, "from": day(over.from), "until": day(over.until),
        })).collect::<Vec<_>>(),
        "over_more": report.pressure.over.saturating_sub(100),
        "failures": report.failures.iter().map(|failure| json!({"reason": failure.reason, "times": count(failure.times)})).collect::<Vec<_>>(),
        "has_stories": !report.contacts.is_empty(),
        "stories": stories(report),
        "assumptions": report.assumptions,
    })
}

fn tile(name: &str, number: u64, note: &str) -> Value {
    json!({"name": name, "number": count(number), "note": note})
}

fn mail(sum: &MailSum) -> Value {
    let share = |number: u64| {
        json!({"number": count(number), "share": format!("{:.0} %", 100.0 * number as f64 / sum.sent.max(1) as f64),
            "any": number > 0})
    };
    json!({
        "template": sum.template, "workflow": sum.workflow, "step": sum.step, "sent": count(sum.sent),
        "opened": share(sum.opened), "clicked": share(sum.clicked), "replied": share(sum.replied),
        "unsubscribed": share(sum.unsubscribed),
    })
}

fn funnel(funnel: &Funnel) -> Value {
    let most = funnel.steps.iter().map(|step| step.reached).max().unwrap_or_default();
    let most_ended = funnel.ends.iter().map(|end| end.runs).max().unwrap_or_default();
    json!({
        "workflow": funnel.workflow,
        "entered": count(funnel.entered),
        "refused": count(funnel.refused),
        "refusals": funnel.refusals.iter().map(|reason| json!({"reason": reason.reason, "times": count(reason.times)})).collect::<Vec<_>>(),
        "steps": funnel.steps.iter().map(|step| {
            let marks: Vec<Value> = [
                (step.skipped, "skipped"), (step.suppressed, "held back"), (step.failed, "failed"), (step.standing, "stand here"),
            ]
            .into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, word)| json!({"number": count(number), "word": word}))
            .collect();
            json!({
                "id": step.id, "name": step.name, "verb": step.verb, "reached": count(step.reached),
                "width": percent(step.reached, most), "marks": marks,
                "reasons": step.reasons.iter().map(|reason| json!({"reason": reason.reason, "times": count(reason.times)})).collect::<Vec<_>>(),
            })
        }).collect::<Vec<_>>(),
        "ends": funnel.ends.iter().map(|end| json!({
            "status": if end.status == "active" { "still there" } else { end.status },
            "class": end.status, "step": end.step, "reason": end.reason, "runs": count(end.runs),
            "width": percent(end.runs, most_ended),
        })).collect::<Vec<_>>(),
    })
}

/// The stories as JSON that may stand inside a page: nothing in it ends the script.
fn stories(report: &Report) -> String {
    let stories: Vec<Value> = report
        .contacts
        .iter()
        .map(|story| {
            let lines: Vec<Value> = story
                .lines
                .iter()
                .map(|line| json!([line.at.strftime("%Y-%m-%d %H:%M").to_string(), line.kind, line.text]))
                .collect();
            json!({"contact": story.contact, "lines": lines})
        })
        .collect();
    Value::Array(stories).to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028")
}

fn date(day: jiff::civil::Date) -> String {
    day.strftime("%-d %B %Y").to_string()
}

fn day(at: jiff::Timestamp) -> String {
    at.strftime("%-d %B %Y").to_string()
}

fn percent(number: u64, of: u64) -> String {
    format!("{:.1}", 100.0 * number as f64 / of.max(1) as f64)
}

/// `1,234,567`
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use crate::story::{Story, StoryLine};

    use super::*;

    #[test]
    fn nothing_that_comes_from_outside_becomes_part_of_the_page() {
        let evil = "</script><script>alert(1)</script>";
        let line = StoryLine { at: jiff::Timestamp::UNIX_EPOCH, kind: "event", text: evil.to_owned() };
        let report = Report {
            from: jiff::Timestamp::UNIX_EPOCH,
            until: jiff::Timestamp::UNIX_EPOCH,
            time_zone: "UTC".to_owned(),
            seed: 0,
            assumptions: vec![evil.to_owned()],
            totals: Default::default(),
            days: Vec::new(),
            mails: vec![MailSum { template: evil.to_owned(), ..MailSum::default() }],
            funnels: vec![Funnel { workflow: evil.to_owned(), ..Funnel::default() }],
            representatives: Vec::new(),
            pressure: Default::default(),
            failures: Vec::new(),
            contacts: vec![Story { contact: evil.to_owned(), lines: vec![line] }],
        };
        let page = page(&report).unwrap();
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(!page.contains("http://") && !page.contains("https://"), "nothing is fetched from anywhere");
    }
}
