//! When a contact may be mailed: quiet hours, caps over all campaigns, and which campaign goes first.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use dripline_model::{
    Contact, duration,
    id::{ContactId, RunId},
    policy::{Cap, QuietHours},
    zone,
};
use dripline_store::{ActiveRun, ClaimedRun, Mailed, Transaction};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use crate::{
    compiled::CompiledProgram,
    engine::{Engine, Versions},
    error::{Result, While},
};

/// How long who goes second lets the other have its turn.
const YIELD: SignedDuration = SignedDuration::from_mins(1);

/// By how much a month or a day of the calendar may be shorter than another.
const UNEVEN: SignedDuration = SignedDuration::from_hours(4 * 24);

/// What decides whether the turns of one step may mail their contacts now.
pub(crate) struct Openings<'a> {
    caps: &'a [Cap],
    quiet: Option<QuietHours>,
    zone: &'a TimeZone,
    now: Timestamp,
    /// What the contacts were mailed lately, by these turns too.
    mailed: HashMap<ContactId, Vec<Mailed>>,
    /// The runs that want a mail of theirs out at this moment, in the order in which they go.
    wanting: HashMap<ContactId, Vec<Wanting>>,
}

/// A run that may be about to mail its contact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Wanting {
    priority: Reverse<u32>,
    enrolled_at: Timestamp,
    run: RunId,
    workflow: String,
    /// Whether it is one of those that are looked at. These follow one another, and each counts what those before it took.
    is_here: bool,
}

/// Why a turn has to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    /// When to look again.
    pub(crate) until: Timestamp,
    /// Why, for people.
    pub(crate) why: String,
}

impl<'a> Openings<'a> {
    /// Loads what there is to know about these runs, which all stand at one step of `program` and want to mail.
    pub(crate) async fn load(
        tx: &mut dyn Transaction,
        engine: &'a Engine,
        program: &CompiledProgram,
        runs: &[&ClaimedRun],
        now: Timestamp,
    ) -> Result<Self> {
        let options = &engine.options;
        let mut openings = Self {
            caps: &options.caps,
            quiet: program.policies.quiet_hours,
            zone: &options.time_zone,
            now,
            mailed: HashMap::new(),
            wanting: HashMap::new(),
        };
        let since = openings.caps.iter().map(|cap| cap.since(now, openings.zone)).min();
        if let (Some(since), false) = (since, runs.is_empty()) {
            let contacts: Vec<ContactId> = runs.iter().map(|run| run.contact).collect();
            let since = since.saturating_sub(UNEVEN).unwrap_or(Timestamp::MIN);
            for mailed in tx.mailed(&contacts, since).await.while_doing("load what contacts were mailed")? {
                openings.mailed.entry(mailed.contact).or_default().push(mailed);
            }
            let active = tx.active_runs(&contacts).await.while_doing("load the runs of contacts")?;
            openings.wanting = wanting(engine, active, runs, now).await?;
        }
        Ok(openings)
    }

    /// Whether `run` may send the contact these emails now, each transactional or not; else why not, and when to look again.
    pub(crate) fn look(&self, contact: &Contact, run: &ClaimedRun, emails: &[bool]) -> Option<Closed> {
        let mut until: Option<Timestamp> = None;
        let mut reasons = Vec::new();
        for cap in self.caps {
            let wanted = emails.iter().filter(|transactional| cap.class.covers(**transactional)).count();
            if wanted == 0 {
                continue;
            }
            if let Some((at, why)) = self.hit(cap, contact.id, run, wanted) {
                until = until.max(Some(at));
                reasons.push(why);
            }
        }
        if let Some(quiet) = self.quiet.filter(|_| emails.contains(&false)) {
            let zone = zone::of_contact(contact).unwrap_or_else(|| self.zone.clone());
            // Also where a cap opens in the middle of the night.
            if let Some(end) = quiet.end(until.unwrap_or(self.now), &zone) {
                until = Some(end);
                reasons.push(format!("quiet hours {quiet} ({})", zone.iana_name().unwrap_or("UTC")));
            }
        }
        until.map(|until| Closed { until, why: reasons.join("; ") })
    }

    /// Where days are counted.
    pub(crate) fn zone(&self) -> &TimeZone {
        self.zone
    }

    /// Counts emails that have just been let through.
    pub(crate) fn take(&mut self, contact: ContactId, emails: &[bool]) {
        if self.caps.is_empty() {
            return;
        }
        let at = self.now;
        let taken = emails.iter().map(|transactional| Mailed { contact, at, transactional: *transactional });
        self.mailed.entry(contact).or_default().extend(taken);
    }

    /// When the cap opens for this many emails, if it is hit.
    fn hit(
        &self,
        cap: &Cap,
        contact: ContactId,
        run: &ClaimedRun,
        wanted: usize,
    ) -> Option<(Timestamp, String)> {
        let most = usize::try_from(cap.at_most).unwrap_or(usize::MAX);
        // Who wants more at once than is ever allowed waits until nothing counts any more.
        let room = most.saturating_sub(wanted);
        let leaves = |mailed: &Mailed| duration::after(mailed.at, cap.within, self.zone);
        let known = self.mailed.get(&contact).map_or(&[][..], Vec::as_slice);
        let covered = known.iter().filter(|mailed| cap.class.covers(mailed.transactional));
        let mut counting: Vec<Timestamp> = covered.map(leaves).filter(|leaves| *leaves > self.now).collect();
        counting.sort_unstable_by_key(|leaves| Reverse(*leaves));
        if let Some(opens) = counting.get(room) {
            return Some((*opens, cap.to_string()));
        }
        let wanting = self.wanting.get(&contact)?;
        let before = wanting.iter().take_while(|other| other.run != run.run).filter(|other| !other.is_here);
        let first = before.clone().next()?;
        if counting.len() + before.count() <= room {
            return None;
        }
        let until = self.now.saturating_add(YIELD).unwrap_or(Timestamp::MAX);
        Some((until, format!("`{}` goes first: {cap}", first.workflow)))
    }
}

/// For each contact the runs that may be about to mail it, and those of `runs`: the higher priority first, then the older.
async fn wanting(
    engine: &Engine,
    active: Vec<ActiveRun>,
    runs: &[&ClaimedRun],
    now: Timestamp,
) -> Result<HashMap<ContactId, Vec<Wanting>>> {
    let own: BTreeMap<RunId, &ClaimedRun> = runs.iter().map(|run| (run.run, *run)).collect();
    let mut versions = Versions::default();
    let published = engine.published();
    let mut wanting = HashMap::<ContactId, Vec<Wanting>>::new();
    for ActiveRun { run, due_at, enrolled_at } in active {
        let is_own = own.contains_key(&run.run);
        if !is_own && (due_at > now || published.is_paused(run.workflow)) {
            continue;
        }
        // What cannot be run sends nothing.
        let Some(program) = versions.program(engine, run.version).await? else { continue };
        if is_own || program.may_mail_from(run.node) {
            wanting.entry(run.contact).or_default().push(Wanting {
                priority: Reverse(program.priority()),
                enrolled_at,
                run: run.run,
                workflow: program.name.clone(),
                is_here: is_own,
            });
        }
    }
    wanting.values_mut().for_each(|all| all.sort_unstable());
    Ok(wanting)
}
