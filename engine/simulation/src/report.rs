//! What a simulation came to, in sums.

use std::collections::BTreeMap;

use dripline_model::decision::DecisionKind;
use dripline_store::{ContactFilter, Standing};
use jiff::{SignedDuration, Timestamp, civil::Date};
use serde::Serialize;

use crate::{
    error::{Result, While},
    funnel::{self, Funnel, Reason},
    play::{Mail, Plan, Played},
    pressure::Pressure,
    stage::Stage,
    story::Story,
};

/// How many reasons of failures are named.
const MOST_FAILURES: usize = 20;

/// What a simulation came to. As JSON it is part of Dripline's interface.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// When it began.
    pub from: Timestamp,
    /// When it ended.
    pub until: Timestamp,
    /// The zone of the days.
    pub time_zone: String,
    /// The seed of what was left to chance.
    pub seed: u64,
    /// What was assumed, in sentences.
    pub assumptions: Vec<String>,
    /// Sums over all.
    pub totals: Totals,
    /// Mails by day, each day from the first to the last.
    pub days: Vec<Day>,
    /// Mails by step and template, the most first.
    pub mails: Vec<MailSum>,
    /// How many got how far, workflow by workflow.
    pub funnels: Vec<Funnel>,
    /// What representatives received.
    pub representatives: Vec<Representative>,
    /// Mails within a week.
    pub pressure: Pressure,
    /// Why runs and mails failed, the most frequent reasons.
    pub failures: Vec<Reason>,
    /// What happens to single contacts.
    pub contacts: Vec<Story>,
}

/// Sums over all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Contacts that there are.
    pub contacts: u64,
    /// Events that arrived.
    pub events: u64,
    /// Of those, how many followed from the assumed behaviour.
    pub reactions: u64,
    /// Runs that began.
    pub entered: u64,
    /// Visits that were not admitted.
    pub refused: u64,
    /// Turns that were taken.
    pub turns: u64,
    /// Mails that would be sent.
    pub mails: u64,
    /// Contacts who would get one.
    pub receivers: u64,
    /// Mails that were held back for want of consent or an address.
    pub suppressed: u64,
    /// Mails that could not be sent.
    pub failed_mails: u64,
    /// Runs that failed.
    pub failed_runs: u64,
    /// Contacts that were handed to representatives.
    pub assignments: u64,
}

/// The mails of one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Day {
    /// The day.
    pub day: Date,
    /// How many.
    pub mails: u64,
    /// By workflow.
    pub by_workflow: BTreeMap<String, u64>,
}

/// What became of the mails of one step and template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MailSum {
    /// The workflow.
    pub workflow: String,
    /// The step's id.
    pub step: String,
    /// The template.
    pub template: String,
    /// How many were sent.
    pub sent: u64,
    /// How many of them were opened.
    pub opened: u64,
    /// Clicked.
    pub clicked: u64,
    /// Answered.
    pub replied: u64,
    /// Led to unsubscribing.
    pub unsubscribed: u64,
    /// How many could not be sent.
    pub failed: u64,
}

/// What a representative received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Representative {
    /// The key.
    pub key: String,
    /// The name.
    pub name: String,
    /// Contacts in all.
    pub leads: u64,
    /// On the fullest day (UTC).
    pub most_in_a_day: u64,
    /// By week; each begins on the day of the week on which the simulation began.
    pub weeks: Vec<u64>,
}

/// What a report says beside what happened.
#[derive(Debug, Clone, Default)]
pub struct Circumstances {
    /// Where runs stood before it began.
    pub before: Vec<Standing>,
    /// More mails than that within seven days are too many.
    pub max_per_week: u32,
    /// What was assumed beyond the plan, in sentences.
    pub assumptions: Vec<String>,
    /// What happens to single contacts.
    pub contacts: Vec<Story>,
}

impl Report {
    /// What was played on `stage`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn of(stage: &Stage, plan: &Plan, played: &Played, around: Circumstances) -> Result<Self> {
        const DOING: &str = "sum up what happened";
        let store = stage.store();
        let activity = store.activity(plan.from).await.while_doing(DOING)?;
        let after = store.standing().await.while_doing(DOING)?;
        let counts = store.counts().await.while_doing(DOING)?;
        let funnels = funnel::funnels(store, &activity, &around.before, &after).await?;
        let pressure = Pressure::of(&played.mails, around.max_per_week);
        let sent = || played.mails.iter().filter(|mail| mail.failure.is_none());
        let decided = |kind: DecisionKind| {
            activity.decisions.iter().filter(|count| count.kind == kind).map(|count| count.decisions).sum()
        };
        let totals = Totals {
            contacts: counts.contacts,
            events: played.settled.events,
            reactions: played.reactions,
            entered: decided(DecisionKind::Enrolled),
            refused: decided(DecisionKind::NotEnrolled),
            turns: played.settled.turns,
            mails: sent().count() as u64,
            receivers: pressure.fullest_week.values().sum(),
            suppressed: decided(DecisionKind::Suppressed),
            failed_mails: played.mails.len() as u64 - sent().count() as u64,
            failed_runs: decided(DecisionKind::Failed),
            assignments: activity.assignments.iter().map(|count| count.assignments).sum(),
        };
        let mut assumptions = assumptions(plan, stage);
        assumptions.extend(around.assumptions);
        Ok(Self {
            from: plan.from,
            until: plan.until,
            time_zone: stage.zone().iana_name().unwrap_or("UTC").to_owned(),
            seed: plan.seed,
            assumptions,
            totals,
            days: days(stage, plan, &played.mails),
            mails: mail_sums(&played.mails),
            failures: failures(&activity.reasons, &played.mails),
            representatives: representatives(plan, &activity.assignments),
            funnels,
            pressure,
            contacts: around.contacts,
        })
    }
}

impl Stage {
    /// The stories of contacts that got mails, those with the most first: at most `most`. What happens to them from `since`
    /// on.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn stories(&self, played: &Played, most: usize, since: Timestamp) -> Result<Vec<Story>> {
        let mut mails = BTreeMap::new();
        for mail in &played.mails {
            mails.entry(mail.contact).or_insert((0_u64, mail.to.as_str())).0 += 1;
        }
        let mut order: Vec<_> =
            mails.into_iter().map(|(id, (number, to))| (number, to.to_owned(), id)).collect();
        order.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        if order.len() < most {
            // Those whom nobody writes to are of interest as well: why not?
            let all = self.store.list_contacts(&ContactFilter::default(), 2 * most).await;
            for contact in all.while_doing("list contacts")? {
                if order.iter().all(|(_, _, id)| *id != contact.id) {
                    let name = contact.email.or(contact.external_id).unwrap_or_default();
                    order.push((0, name, contact.id));
                }
            }
        }
        let mut stories = Vec::with_capacity(order.len().min(most));
        for (_, name, id) in order.into_iter().take(most) {
            stories.push(crate::story::story(self.store.as_ref(), id, &name, since).await?);
        }
        Ok(stories)
    }
}

fn assumptions(plan: &Plan, stage: &Stage) -> Vec<String> {
    let mut said = Vec::new();
    let minutes = plan.tick.as_mins();
    if plan.tick > SignedDuration::ZERO {
        let tick =
            if minutes > 0 { format!("{minutes} minutes") } else { format!("{} s", plan.tick.as_secs()) };
        said.push(format!(
            "The engine looks every {tick}; what falls due in between is done at the end of it. A schedule that fires \
             more often fires once in that time."
        ));
    }
    if plan.behaviour == Default::default() {
        said.push("Nobody opens, clicks, answers or unsubscribes: no behaviour was given.".to_owned());
    } else {
        let mails = plan.behaviour.mails.len();
        let events = plan.behaviour.events.len();
        said.push(format!(
            "Contacts react by {mails} rules about mails and {events} about events, with the seed {}; a mail that fits \
             no rule is ignored by its receiver.",
            plan.seed
        ));
        said.push(
            "How long people take is spread between the bounds of each rule, early more often than late: as often in \
             the first hour as in the ten hours after it."
                .to_owned(),
        );
        if plan.behaviour.mails.iter().any(|rule| rule.unsubscribe.is_some()) {
            said.push(
                "Who unsubscribes withdraws consent to the mail's topic, or to email as such where it has none."
                    .to_owned(),
            );
        }
    }
    said.push("Every mail that is sent arrives at once: no server refuses or delays any.".to_owned());
    said.push(format!(
        "Days are those of {}; a week is any seven days in a row.",
        stage.zone().iana_name().unwrap_or("UTC")
    ));
    said
}

fn days(stage: &Stage, plan: &Plan, mails: &[Mail]) -> Vec<Day> {
    let day_of = |at: Timestamp| at.to_zoned(stage.zone().clone()).date();
    let mut days: BTreeMap<Date, BTreeMap<String, u64>> = BTreeMap::new();
    for mail in mails.iter().filter(|mail| mail.failure.is_none()) {
        *days.entry(day_of(mail.at)).or_default().entry(mail.workflow.clone()).or_default() += 1;
    }
    let (first, last) = (day_of(plan.from), day_of(plan.until));
    std::iter::successors(Some(first), |day| day.tomorrow().ok())
        .take_while(|day| *day <= last)
        .map(|day| {
            let by_workflow = days.remove(&day).unwrap_or_default();
            Day { day, mails: by_workflow.values().sum(), by_workflow }
        })
        .collect()
}

fn mail_sums(mails: &[Mail]) -> Vec<MailSum> {
    let mut sums: BTreeMap<(&str, &str, &str), MailSum> = BTreeMap::new();
    for mail in mails {
        let sum = sums.entry((&mail.workflow, &mail.step, &mail.template)).or_insert_with(|| MailSum {
            workflow: mail.workflow.clone(),
            step: mail.step.clone(),
            template: mail.template.clone(),
            ..MailSum::default()
        });
        if mail.failure.is_some() {
            sum.failed += 1;
            continue;
        }
        sum.sent += 1;
        sum.opened += u64::from(mail.opened.is_some());
        sum.clicked += u64::from(mail.clicked.is_some());
        sum.replied += u64::from(mail.replied.is_some());
        sum.unsubscribed += u64::from(mail.unsubscribed.is_some());
    }
    let mut sums: Vec<_> = sums.into_values().collect();
    sums.sort_by_key(|sum| std::cmp::Reverse(sum.sent));
    sums
}

fn failures(reasons: &[dripline_store::ReasonCount], mails: &[Mail]) -> Vec<Reason> {
    let mut counted: BTreeMap<String, u64> = BTreeMap::new();
    for reason in reasons.iter().filter(|reason| reason.kind == DecisionKind::Failed) {
        *counted.entry(reason.reason.clone()).or_default() += reason.decisions;
    }
    for mail in mails {
        if let Some(why) = &mail.failure {
            *counted.entry(format!("mail `{}`: {why}", mail.template)).or_default() += 1;
        }
    }
    let mut reasons: Vec<_> = counted.into_iter().map(|(reason, times)| Reason { reason, times }).collect();
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.times));
    reasons.truncate(MOST_FAILURES);
    reasons
}

fn representatives(plan: &Plan, counts: &[dripline_store::AssignmentCount]) -> Vec<Representative> {
    let utc = |at: Timestamp| at.to_zoned(jiff::tz::TimeZone::UTC).date();
    let since = |day: Date| (day - utc(plan.from)).get_days();
    let week = |day: Date| usize::try_from(since(day) / 7).unwrap_or(0);
    let weeks = week(utc(plan.until)) + 1;
    let mut all: BTreeMap<&str, Representative> = BTreeMap::new();
    for count in counts {
        let rep = all.entry(&count.rep).or_insert_with(|| Representative {
            key: count.rep.clone(),
            name: count.rep_name.clone(),
            leads: 0,
            most_in_a_day: 0,
            weeks: vec![0; weeks],
        });
        rep.leads += count.assignments;
        rep.most_in_a_day = rep.most_in_a_day.max(count.assignments);
        if let Some(week) = rep.weeks.get_mut(week(count.day)) {
            *week += count.assignments;
        }
    }
    all.into_values().collect()
}
