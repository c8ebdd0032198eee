//! Dates of contacts that start workflows.
//!
//! For each contact and each date trigger the store knows which date comes next, and which came last. A contact is looked
//! at when it changes and when its next date comes, in the same pass as rules of segments (`segments`). A date that comes
//! becomes an event of the contact, which starts runs as any other.

use std::collections::{BTreeMap, HashMap};

use dripline_expression::{Expression, Scope, Subject, Value};
use dripline_model::{
    Contact,
    batch::ColumnType,
    contact::{DATE_REACHED, Needs},
    duration,
    id::{ContactId, DateTriggerId, VersionId, WorkflowId},
    program::{DateTrigger, Program, Shift},
    zone,
};
use dripline_store::{ComingDate, ContactDate, NewEvent, Refusal, StoredDateTrigger, Transaction};
use jiff::{
    SignedDuration, Span, Timestamp,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};
use serde_json::json;

use crate::error::{Result, While};

/// How late a date still starts a run that came while nothing ran.
const LATEST: SignedDuration = SignedDuration::from_hours(24);

/// Years that are looked through for a date that comes each year: more than any shift is long.
const MOST_YEARS: i16 = 200;

/// A date trigger of a published version.
#[derive(Debug)]
pub(crate) struct CompiledDate {
    wording: String,
    date: Expression,
    shift: Option<(Span, Direction)>,
    at: Option<Time>,
    yearly: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Before,
    After,
}

/// A moment at which a trigger fires, and the date for which it does.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Moment {
    due: Timestamp,
    date: String,
}

/// The moments of one contact.
struct Moments<'a> {
    trigger: &'a CompiledDate,
    /// The first of them, on the contact's clock.
    first: DateTime,
    zone: TimeZone,
    /// Whether it is a point in time and no day.
    is_exact: bool,
}

impl CompiledDate {
    /// The date triggers of a program.
    ///
    /// # Errors
    /// A sentence, when one is not what this program understands.
    pub(crate) fn all(program: &Program) -> std::result::Result<Vec<Self>, String> {
        program.dates().map(Self::new).collect()
    }

    fn new(trigger: &DateTrigger) -> std::result::Result<Self, String> {
        let date = Expression::compile(&trigger.date, ColumnType::Timestamp, &Scope::default())
            .map_err(|_| format!("the date of a trigger does not compile: {}", trigger.date))?;
        let shift = match &trigger.shift {
            None => None,
            Some(Shift::Before(span)) => Some((duration::parse(span)?, Direction::Before)),
            Some(Shift::After(span)) => Some((duration::parse(span)?, Direction::After)),
        };
        let time = |text: &String| {
            text.parse::<Time>().map_err(|_| format!("`{text}` of a date trigger is no time of day"))
        };
        let at = trigger.at.as_ref().map(time).transpose()?;
        Ok(Self { wording: trigger.words(), date, shift, at, yearly: trigger.yearly })
    }

    /// What of a contact it looks at.
    pub(crate) fn add_needs(&self, needs: &mut Needs) {
        needs.merge(self.date.needs());
        needs.attributes.extend(zone::ATTRIBUTES.map(str::to_owned));
    }

    /// The moments of a contact; none where there is no date.
    fn moments(&self, contact: &Contact, now: Timestamp, workspace: &TimeZone) -> Option<Moments<'_>> {
        let Ok(Value::Timestamp(date)) = self.date.evaluate(&Subject::new(contact, None, now)) else {
            return None;
        };
        let zone = zone::of_contact(contact).unwrap_or_else(|| workspace.clone());
        // A date alone has no zone and arrives as midnight UTC: it is that day where the contact is.
        let utc = date.to_zoned(TimeZone::UTC).datetime();
        let is_day = utc.time() == Time::midnight();
        let local = if is_day { utc } else { date.to_zoned(zone.clone()).datetime() };
        let first = self.at.map_or(local, |at| local.date().to_datetime(at));
        Some(Moments { trigger: self, first, zone, is_exact: !is_day && self.at.is_none() })
    }

    /// What has come of the dates of a contact since `since`, and what is to come.
    fn look(
        &self,
        contact: &Contact,
        known: Option<&ContactDate>,
        since: Timestamp,
        now: Timestamp,
        workspace: &TimeZone,
    ) -> Look {
        let before = known.and_then(|known| known.came.as_deref());
        let Some(moments) = self.moments(contact, now, workspace) else {
            return Look { came: None, next: None };
        };
        // What was to come and is due by now counts, if it still is what is to come, whenever the contact changed.
        let awaited = known.and_then(|known| known.next.as_ref()).filter(|next| next.due <= now);
        let awaited = awaited.and_then(|next| next.due.checked_sub(SignedDuration::from_millis(1)).ok());
        let awaited = awaited.filter(|from| {
            let date = known.and_then(|known| known.next.as_ref()).map(|next| next.date.as_str());
            moments.next(*from).is_some_and(|moment| Some(moment.date.as_str()) == date)
        });
        let from = awaited.map_or(since, |awaited| awaited.min(since));
        let came = moments.latest(from, now).filter(|moment| Some(moment.date.as_str()) != before);
        let last = came.as_ref().map(|moment| moment.date.as_str()).or(before);
        // Another zone may bring the same date once more, which is none.
        let next = moments.next(now).and_then(|next| {
            if Some(next.date.as_str()) == last { moments.next(next.due) } else { Some(next) }
        });
        Look { came, next }
    }
}

/// What came of looking at a contact's date.
struct Look {
    came: Option<Moment>,
    next: Option<Moment>,
}

impl Moments<'_> {
    /// The moment of the year `year`, or the only one.
    fn of_year(&self, year: i16) -> Option<Moment> {
        let day = self.first.date();
        // A 29 February is the 28th in years that have none.
        let day = if self.trigger.yearly {
            Date::new(year, day.month(), day.day()).or_else(|_| Date::new(year, day.month(), 28)).ok()?
        } else {
            day
        };
        let moment = day.to_datetime(self.first.time()).to_zoned(self.zone.clone()).ok()?;
        let due = match self.trigger.shift {
            None => moment.timestamp(),
            Some((span, Direction::Before)) => duration::before(moment.timestamp(), span, &self.zone),
            Some((span, Direction::After)) => duration::after(moment.timestamp(), span, &self.zone),
        };
        let date = if self.is_exact && !self.trigger.yearly {
            moment.timestamp().to_string()
        } else {
            day.to_string()
        };
        Some(Moment { due, date })
    }

    /// The first after `after`.
    fn next(&self, after: Timestamp) -> Option<Moment> {
        let first = self.first.date().year();
        if !self.trigger.yearly {
            return self.of_year(first).filter(|moment| moment.due > after);
        }
        let mut year = after.to_zoned(self.zone.clone()).year().max(first);
        // A date that comes long before its day belongs to a later year, and one that comes after it to an earlier.
        for _ in 0..MOST_YEARS {
            match self.of_year(year - 1).filter(|_| year > first) {
                Some(earlier) if earlier.due > after => year -= 1,
                _ => break,
            }
        }
        (0..MOST_YEARS)
            .filter_map(|later| self.of_year(year.checked_add(later)?))
            .find(|moment| moment.due > after)
    }

    /// The last after `after` and up to `until`.
    fn latest(&self, after: Timestamp, until: Timestamp) -> Option<Moment> {
        let mut latest = self.next(after).filter(|moment| moment.due <= until)?;
        if self.trigger.yearly {
            for _ in 0..MOST_YEARS {
                match self.next(latest.due).filter(|moment| moment.due <= until) {
                    Some(later) => latest = later,
                    None => break,
                }
            }
        }
        Some(latest)
    }
}

/// A workflow whose dates are looked at.
pub(crate) struct Dated<'p> {
    pub(crate) workflow: WorkflowId,
    pub(crate) version: VersionId,
    pub(crate) name: &'p str,
    pub(crate) dates: &'p [CompiledDate],
}

/// A trigger of the store and what it means.
struct Trigger<'p> {
    stored: StoredDateTrigger,
    version: VersionId,
    workflow: &'p str,
    compiled: &'p CompiledDate,
}

/// The dates of some contacts, while these are looked at.
pub(crate) struct Dates<'p> {
    triggers: Vec<Trigger<'p>>,
    known: HashMap<(DateTriggerId, ContactId), ContactDate>,
    zone: &'p TimeZone,
    changes: Vec<ContactDate>,
    events: Vec<NewEvent>,
    missed: Vec<Refusal>,
}

/// When a contact has to be looked at again for a date.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct NextLook {
    pub(crate) once: Option<Timestamp>,
    /// For a date that comes each year, without end.
    pub(crate) yearly: Option<Timestamp>,
}

impl<'p> Dates<'p> {
    /// Loads what is known of these contacts; nothing is asked for where no workflow has dates.
    pub(crate) async fn load(
        tx: &mut dyn Transaction,
        workflows: impl Iterator<Item = Dated<'p>>,
        contacts: &[ContactId],
        zone: &'p TimeZone,
    ) -> Result<Self> {
        let mut dates = Self {
            triggers: Vec::new(),
            known: HashMap::new(),
            zone,
            changes: Vec::new(),
            events: Vec::new(),
            missed: Vec::new(),
        };
        let published: BTreeMap<WorkflowId, Dated<'p>> =
            workflows.filter(|dated| !dated.dates.is_empty()).map(|dated| (dated.workflow, dated)).collect();
        if published.is_empty() {
            return Ok(dates);
        }
        for stored in tx.date_triggers().await.while_doing("read the date triggers")? {
            let Some(dated) = published.get(&stored.workflow) else { continue };
            let compiled = dated.dates.iter().find(|compiled| compiled.wording == stored.wording);
            if let Some(compiled) = compiled {
                let (version, workflow) = (dated.version, dated.name);
                dates.triggers.push(Trigger { stored, version, workflow, compiled });
            }
        }
        let known = tx.contact_dates(contacts).await.while_doing("read the dates of contacts")?;
        dates.known = known.into_iter().map(|known| ((known.trigger, known.contact), known)).collect();
        Ok(dates)
    }

    /// Looks at a contact that changed, or whose time came, at `since`.
    pub(crate) fn look(&mut self, contact: &Contact, since: Timestamp, now: Timestamp) -> NextLook {
        let mut again = NextLook::default();
        for Trigger { stored, version, workflow, compiled } in &self.triggers {
            let known = self.known.get(&(stored.id, contact.id));
            // For who was not looked at since the trigger was published, all counts that came since then.
            let is_first = known.is_none() && stored.evaluated_to.is_some_and(|last| contact.id > last);
            let since = if is_first { since.min(stored.published_at) } else { since };
            let Look { came, next } = compiled.look(contact, known, since, now, self.zone);
            if let Some(next) = &next {
                let look = if compiled.yearly { &mut again.yearly } else { &mut again.once };
                *look = Some(look.map_or(next.due, |due| due.min(next.due)));
            }
            if let Some(moment) = &came {
                let words = &compiled.wording;
                if now.duration_since(moment.due) > LATEST {
                    self.missed.push(Refusal {
                        workflow: stored.workflow,
                        version: *version,
                        contact: contact.id,
                        event: None,
                        waits: false,
                        reason: format!(
                            "date {} ({words}): missed, for nothing ran from {} until a day later",
                            moment.date, moment.due
                        ),
                    });
                } else {
                    let properties =
                        [("workflow", *workflow), ("trigger", words), ("date", moment.date.as_str())]
                            .map(|(name, value)| (name.to_owned(), json!(value)));
                    self.events.push(NewEvent {
                        contact: contact.id,
                        name: DATE_REACHED.to_owned(),
                        properties: properties.into_iter().collect(),
                    });
                }
            }
            let came = came.map(|moment| moment.date).or_else(|| known.and_then(|known| known.came.clone()));
            let next = next.map(|moment| ComingDate { due: moment.due, date: moment.date });
            let new = ContactDate { trigger: stored.id, contact: contact.id, next, came };
            let is_nothing = new.next.is_none() && new.came.is_none();
            if known.map_or(!is_nothing, |known| *known != new) {
                self.changes.push(new);
            }
        }
        again
    }

    /// Writes what came of it.
    pub(crate) async fn settle(self, tx: &mut dyn Transaction, now: Timestamp) -> Result<()> {
        if !self.changes.is_empty() {
            tx.put_contact_dates(&self.changes).await.while_doing("write the dates of contacts")?;
        }
        if !self.events.is_empty() {
            tx.emit(&self.events, now).await.while_doing("make events of dates")?;
        }
        if !self.missed.is_empty() {
            tx.refuse(&self.missed, now).await.while_doing("record missed dates")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(shift: Option<Shift>, at: Option<&str>, yearly: bool) -> CompiledDate {
        let date = "contact.day".to_owned();
        let at = at.map(str::to_owned);
        CompiledDate::new(&DateTrigger { date, shift, at, yearly, needs: Needs::default() }).unwrap()
    }

    /// The moments after an instant, at most four.
    fn moments(trigger: &CompiledDate, day: &str, zone: &str, after: &str) -> Vec<String> {
        let mut contact = Contact::new(ContactId(1));
        contact.attributes.insert("day".to_owned(), json!(day));
        contact.attributes.insert("time_zone".to_owned(), json!(zone));
        let after: Timestamp = after.parse().unwrap();
        let moments = trigger.moments(&contact, after, &TimeZone::UTC).unwrap();
        std::iter::successors(moments.next(after), |moment| moments.next(moment.due))
            .take(4)
            .map(|Moment { due, date }| format!("{date}: {due}"))
            .collect()
    }

    #[test]
    fn a_date_is_that_day_where_the_contact_is_and_a_point_in_time_is_itself() {
        let plain = trigger(None, None, false);
        let nine = trigger(None, Some("09:00"), false);
        let berlin = |trigger, day| moments(trigger, day, "Europe/Berlin", "2026-01-01T00:00:00Z");
        assert_eq!(berlin(&plain, "2026-12-24"), ["2026-12-24: 2026-12-23T23:00:00Z"]);
        assert_eq!(berlin(&nine, "2026-12-24"), ["2026-12-24: 2026-12-24T08:00:00Z"]);
        assert_eq!(berlin(&plain, "2026-12-24T23:30:00Z"), ["2026-12-24T23:30:00Z: 2026-12-24T23:30:00Z"]);
        assert_eq!(berlin(&nine, "2026-12-24T23:30:00Z"), ["2026-12-25: 2026-12-25T08:00:00Z"]);
        assert!(moments(&nine, "2026-12-24", "Europe/Berlin", "2026-12-24T08:00:00Z").is_empty());
    }

    #[test]
    fn days_before_and_after_keep_the_time_of_day_when_the_clocks_change() {
        // Summer time begins in Berlin on 29 March 2026.
        let before = trigger(Some(Shift::Before("30d".into())), Some("09:00"), false);
        let after = trigger(Some(Shift::After("2d".into())), Some("09:00"), false);
        let berlin = |trigger, day| moments(trigger, day, "Europe/Berlin", "2026-01-01T00:00:00Z");
        assert_eq!(berlin(&before, "2026-04-10"), ["2026-04-10: 2026-03-11T08:00:00Z"]);
        assert_eq!(berlin(&after, "2026-03-28"), ["2026-03-28: 2026-03-30T07:00:00Z"]);
        // 02:30 is skipped on that day.
        let skipped = trigger(None, Some("02:30"), false);
        assert_eq!(berlin(&skipped, "2026-03-29"), ["2026-03-29: 2026-03-29T01:30:00Z"]);
    }

    #[test]
    fn a_birthday_comes_each_year_and_a_29_february_on_the_28th_of_other_years() {
        let birthday = trigger(None, Some("09:00"), true);
        assert_eq!(
            moments(&birthday, "1996-02-29", "UTC", "2026-01-01T00:00:00Z"),
            [
                "2026-02-28: 2026-02-28T09:00:00Z",
                "2027-02-28: 2027-02-28T09:00:00Z",
                "2028-02-29: 2028-02-29T09:00:00Z",
                "2029-02-28: 2029-02-28T09:00:00Z",
            ]
        );
        // Not before the day itself.
        assert_eq!(
            moments(&birthday, "2030-05-01", "UTC", "2026-01-01T00:00:00Z")[..2],
            ["2030-05-01: 2030-05-01T09:00:00Z", "2031-05-01: 2031-05-01T09:00:00Z"]
        );
        // A week before the first of January lies in the year before.
        let week = trigger(Some(Shift::Before("7d".into())), Some("09:00"), true);
        assert_eq!(
            moments(&week, "1990-01-01", "UTC", "2026-12-20T00:00:00Z")[..2],
            ["2027-01-01: 2026-12-25T09:00:00Z", "2028-01-01: 2027-12-25T09:00:00Z"]
        );
        let late = trigger(Some(Shift::After("18 months".into())), Some("09:00"), true);
        assert_eq!(
            moments(&late, "2020-06-15", "UTC", "2026-01-01T00:00:00Z")[..2],
            ["2025-06-15: 2026-12-15T09:00:00Z", "2026-06-15: 2027-12-15T09:00:00Z"]
        );
    }

    #[test]
    fn what_is_no_date_never_comes() {
        let plain = trigger(None, None, false);
        let mut contact = Contact::new(ContactId(1));
        for day in [json!(null), json!("soon"), json!(7)] {
            contact.attributes.insert("day".to_owned(), day);
            assert!(plain.moments(&contact, Timestamp::UNIX_EPOCH, &TimeZone::UTC).is_none());
        }
    }
}
