//! `dripline score backtest`

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use dripline_model::{
    DrivenClock,
    contact::Needs,
    duration,
    field::Fields,
    id::ContactId,
    program::{Action, Program, Trigger},
};
use dripline_simulation::{
    Stage,
    backtest::{Backtest, Case, page},
};
use dripline_store::{Store, Work, sqlite::SqliteStore};
use dripline_workflow::Severity;
use indicatif::ProgressBar;
use jiff::{SignedDuration, Span, Timestamp, tz::TimeZone};
use serde_json::{Value, json};

use super::cases::{self, Columns, Row, import_problem};
use crate::{
    args::Global,
    assembly,
    import::{self, Contacts, Events, MapRule},
    output::{
        FAINT, HEADING, Out, cell, clean, count, json as print_json, moment_progress, plural, table,
        write_table,
    },
    problem::Problem,
    workspace::{Experience, Workspace, summarise},
};

/// Hold a scoring workflow against what became of people: does a high score mean that somebody converts?
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The engine runs the workflow on a clock that goes from one contact's moment to the next. A \
contact's score is that of just before its moment: what happened then or later does not count. A \
workflow that starts by hand is offered to each contact at its moment; one that starts by events \
runs as they come.

Examples:
  dripline score backtest workflows/fit.yaml --contacts contacts.csv --events events.csv \\
    --outcomes leads.csv --outcome converted_within_90_days --at lead_created_at
  dripline score backtest workflows/fit.yaml --contacts leads.csv --outcome won --after 30d \\
    --html fit.html")]
pub(crate) struct Args {
    /// The workflow whose `score` steps give the points
    file: PathBuf,
    /// Contacts, as `dripline import` takes them
    #[arg(long, value_name = "FILE.csv")]
    contacts: PathBuf,
    /// What they did, as `dripline events import` takes it
    #[arg(long, value_name = "FILE.csv")]
    events: Option<PathBuf>,
    /// What became of them, a row for each case: a column `contact`, and those of --outcome and --at; by default the file
    /// of the contacts
    #[arg(long, value_name = "FILE.csv")]
    outcomes: Option<PathBuf>,
    /// The column that says whether somebody converted: yes or no
    #[arg(long, value_name = "COLUMN")]
    outcome: String,
    /// The column with the moment of which the score is taken; by default that at which the contact came to be
    #[arg(long, value_name = "COLUMN", required_unless_present = "after")]
    at: Option<String>,
    /// Take the score so long after that moment
    #[arg(long, value_name = "DURATION")]
    after: Option<String>,
    /// The column that says when somebody converted: who has done so before the score is taken is left out
    #[arg(long, value_name = "COLUMN")]
    outcome_at: Option<String>,
    /// Only this score; by default all to which the workflow gives points
    #[arg(long, value_name = "NAME")]
    score: Option<String>,
    /// Write the result as JSON; - prints it instead of the tables
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the result as a page for the browser
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// What was tested, and under which circumstances.
struct Report {
    title: String,
    notes: Vec<String>,
    scores: Vec<Backtest>,
}

pub(super) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<(), Problem> {
    let beside = crate::commands::check::beside(std::slice::from_ref(&args.file));
    let workspace = Workspace::find(global.workspace.as_deref().or(beside))?;
    let after = args.after.as_deref().map(duration::parse).transpose();
    let after = after.map_err(|error| Problem::input(format!("--after: {error}")))?;
    let columns =
        Columns { outcome: &args.outcome, at: args.at.as_deref(), outcome_at: args.outcome_at.as_deref() };
    let rows = cases::read(args.outcomes.as_ref().unwrap_or(&args.contacts), &columns)?;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::in_memory().await?);
    let mut notes = Vec::new();
    let has_created = import_contacts(args, &workspace, store.as_ref(), &mut notes).await?;
    if args.at.is_none() && !has_created {
        return Err(Problem::input("nothing says when the contacts came to be")
            .with_help("name the column with their moments: --at COLUMN"));
    }
    let cases = resolve(store.as_ref(), &rows, after, &workspace.zone()?, &mut notes).await?;

    let host = workspace.host()?;
    let plugins = workspace.plugins(&host).await?;
    let experience = Experience::of(store.as_ref()).await?;
    let files = std::slice::from_ref(&args.file);
    let checked = workspace.check_knowing(files, &plugins, experience).await?;
    let errors = checked.count(Severity::Error);
    if errors > 0 || args.json.as_deref() != Some(Path::new("-")) {
        for diagnostic in &checked.diagnostics {
            writeln!(out, "{}\n", diagnostic.render().trim_end())?;
        }
    }
    if let (Some(what), 1..) = (summarise(errors, 0), errors) {
        return Err(Problem::input(format!("the workflow has {what}; nothing was tested"))
            .with_help("mend it and run `dripline check`"));
    }
    let Some((_, program)) = checked.programs().next() else {
        return Err(Problem::input(format!("{} is no workflow", args.file.display())));
    };
    let names = scores_of(program, args.score.as_deref())?;
    let is_by_hand = program.triggers.contains(&Trigger::Manual);
    import_events(args, store.as_ref(), program, &mut notes).await?;

    let first = cases.iter().map(|case| case.at).min().unwrap_or_default();
    let start = [Some(first), store.next_due().await?].into_iter().flatten().min().unwrap_or(first);
    let clock = Arc::new(DrivenClock::starting_at(
        start.saturating_sub(SignedDuration::from_millis(1)).unwrap_or(start),
    ));
    store.put_teams(&checked.representatives, &checked.teams).await?;
    store.publish_scores(&checked.scores, dripline_model::Clock::now(clock.as_ref())).await?;
    assembly::publish_segments(store.as_ref(), &checked, clock.as_ref()).await?;
    assembly::publish(store.as_ref(), &checked, &plugins, clock.as_ref(), |_| true).await?;
    let options = assembly::options(&workspace, &plugins, Work::Run)?;
    let stage = Stage::set(Arc::clone(&store), host, clock, workspace.delivery_config()?, options);
    let stage = stage.await.map_err(Problem::unavailable)?;

    let progress = moment_progress();
    let by_hand: Vec<String> = is_by_hand.then(|| program.name.clone()).into_iter().collect();
    let scored = stage
        .score_cases(&cases, &by_hand, |now, done| {
            let done = plural(done as u64, "case");
            progress.set_message(format!("{}  {done}", now.strftime("%Y-%m-%d")));
            progress.tick();
        })
        .await;
    progress.finish_and_clear();
    let scored = scored.map_err(Problem::unavailable)?;
    notes.extend(scored.refused.iter().map(|((workflow, reason), times)| {
        format!("`{workflow}` did not admit {}: {reason}.", plural(*times, "case"))
    }));
    let scores = names.iter().map(|name| Backtest::of(name, &scored)).collect();
    let title = format!("{} against {}", program.name, args.outcome);
    write(&Report { title, notes, scores }, args, out)
}

/// Brings the contacts in; answers whether the file says when they came to be.
async fn import_contacts(
    args: &Args,
    workspace: &Workspace,
    store: &dyn Store,
    notes: &mut Vec<String>,
) -> Result<bool, Problem> {
    let file = &args.contacts;
    let headers = import::read_headers(file).map_err(import_problem)?;
    let has = |name: &str| headers.iter().any(|header| header == name);
    let mut rules: Vec<MapRule> = Vec::new();
    // A file of outcomes may be all that there is of contacts.
    if has("contact") && !["external_id", "email", "id", "contact_id"].into_iter().any(has) {
        rules.push(MapRule::to("contact", "external_id"));
    }
    // What is to be foretold must not be known beforehand.
    let hidden = [Some(&args.outcome), args.outcome_at.as_ref()].into_iter().flatten();
    rules.extend(hidden.filter(|column| has(column)).map(|column| MapRule::ignore(column)));
    let known = workspace.declared_fields()?.ok().flatten().unwrap_or_default();
    let (now, hidden) = (Timestamp::UNIX_EPOCH, ProgressBar::hidden());
    let summary = import::import(store, &Contacts, file, &rules, &known, now, &hidden).await;
    let summary = summary.map_err(import_problem)?;
    notes.push(taken(file, summary.taken(), summary.rejected, "contact"));
    Ok(summary.columns.iter().any(|column| column.meaning.is_created_at()))
}

/// Brings the events in: as history where nothing waits for them, which is quicker, else each at its own time.
async fn import_events(
    args: &Args,
    store: &dyn Store,
    program: &Program,
    notes: &mut Vec<String>,
) -> Result<(), Problem> {
    let Some(file) = &args.events else { return Ok(()) };
    let waits = |program: &Program| {
        program.triggers.iter().any(|trigger| *trigger != Trigger::Manual)
            || !program.policies.goals.is_empty()
            || !program.policies.exits.is_empty()
            || program.nodes.iter().any(|node| matches!(node.action, Action::WaitFor(_)))
    };
    let entity = Events::all(waits(program));
    let known = Fields::default();
    let now = Timestamp::UNIX_EPOCH;
    let summary = import::import(store, &entity, file, &[], &known, now, &ProgressBar::hidden()).await;
    let summary = summary.map_err(import_problem)?;
    notes.push(taken(file, summary.taken(), summary.rejected, "event"));
    Ok(())
}

fn taken(file: &Path, taken: u64, rejected: u64, noun: &str) -> String {
    let left_out = if rejected > 0 {
        format!("; {} could not be taken", plural(rejected, "row"))
    } else {
        String::new()
    };
    format!("{} from {}{left_out}.", plural(taken, noun), file.display())
}

/// The rows as cases, without those of whom nobody knows what became, or whose fate was sealed before.
async fn resolve(
    store: &dyn Store,
    rows: &[Row],
    after: Option<Span>,
    zone: &TimeZone,
    notes: &mut Vec<String>,
) -> Result<Vec<Case>, Problem> {
    let (mut cases, mut ids) = (Vec::with_capacity(rows.len()), BTreeSet::new());
    let (mut unknown, mut strangers, mut timeless, mut sealed) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut found: Vec<(&Row, ContactId, bool)> = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(outcome) = row.outcome else {
            unknown += 1;
            continue;
        };
        let Some(id) = store.find_contact(&row.contact).await?.filter(|_| !row.contact.is_empty()) else {
            strangers += 1;
            continue;
        };
        ids.insert(id);
        found.push((row, id, outcome));
    }
    let ids: Vec<ContactId> = ids.into_iter().collect();
    let mut created = std::collections::BTreeMap::new();
    for slice in ids.chunks(1_000) {
        let mut tx = store.begin().await?;
        let contacts = tx.load_contacts(slice, &Needs::default(), Timestamp::UNIX_EPOCH).await?;
        created.extend(contacts.into_iter().map(|contact| (contact.id, contact.created_at)));
    }
    let says_when = rows.iter().any(|row| row.at.is_some());
    for (row, contact, outcome) in found {
        let moment = if says_when { row.at } else { created.get(&contact).copied() };
        let Some(moment) = moment else {
            timeless += 1;
            continue;
        };
        let at = after.map_or(moment, |after| duration::after(moment, after, zone));
        if row.outcome_at.is_some_and(|converted| converted < at) {
            sealed += 1;
            continue;
        }
        cases.push(Case { contact, at, outcome });
    }
    for (left_out, why) in [
        (unknown, "does not say what became of the contact"),
        (strangers, "names nobody who is among the contacts"),
        (timeless, "does not say when"),
        (sealed, "had converted before the score is taken"),
    ] {
        if left_out > 0 {
            notes.push(format!("{} left out: it {why}.", plural(left_out, "row")));
        }
    }
    if cases.is_empty() {
        let problem = Problem::input("there is no case to test with");
        return Err(problem.with_help(notes.join(" ")));
    }
    Ok(cases)
}

/// The scores to which the program's steps give points.
fn scores_of(program: &Program, only: Option<&str>) -> Result<Vec<String>, Problem> {
    let steps = program.nodes.iter().filter_map(|node| node.plugin_step());
    let names: BTreeSet<String> = steps
        .filter(|step| step.plugin == "score")
        .filter_map(|step| Some(step.config.get("name")?.as_str()?.to_owned()))
        .collect();
    match only {
        Some(only) if names.contains(only) => Ok(vec![only.to_owned()]),
        Some(only) => {
            let problem = Problem::input(format!("`{}` gives no points to a score `{only}`", program.name));
            Err(match dripline_model::suggest::closest(only, names.iter().map(String::as_str)) {
                Some(near) => problem.with_help(format!("did you mean `{near}`?")),
                None => problem,
            })
        }
        None if names.is_empty() => Err(Problem::input(format!(
            "`{}` has no `score` step, so that there is nothing to test",
            program.name
        ))),
        None => Ok(names.into_iter().collect()),
    }
}

fn write(report: &Report, args: &Args, out: &mut Out) -> Result<(), Problem> {
    let value = json!({"title": report.title, "notes": report.notes, "scores": report.scores});
    let is_printed = args.json.as_deref() == Some(Path::new("-"));
    if let Some(file) = &args.json {
        if is_printed {
            print_json(out, &value)?;
        } else {
            let text = serde_json::to_vec_pretty::<Value>(&value).map_err(Problem::internal)?;
            fs::write(file, text).map_err(|error| Problem::io("write", file, &error))?;
        }
    }
    if let Some(file) = &args.html {
        let page = page(&report.title, &report.notes, &report.scores).map_err(Problem::internal)?;
        fs::write(file, page).map_err(|error| Problem::io("write", file, &error))?;
    }
    if is_printed {
        return Ok(());
    }
    writeln!(out, "{HEADING}{}{HEADING:#}", clean(&report.title))?;
    for note in &report.notes {
        writeln!(out, "  {FAINT}{}{FAINT:#}", clean(note))?;
    }
    report.scores.iter().try_for_each(|test| print(test, out))?;
    for file in [&args.json, &args.html].into_iter().flatten() {
        writeln!(out, "Written: {}", file.display())?;
    }
    Ok(())
}

fn print(test: &Backtest, out: &mut Out) -> Result<(), Problem> {
    writeln!(
        out,
        "\n{HEADING}{}{HEADING:#}: {}, {} converted ({})",
        clean(&test.score),
        plural(test.cases as u64, "case"),
        count(test.conversions as u64),
        percent(test.rate)
    )?;
    match &test.auc {
        Some(auc) => writeln!(
            out,
            "AUC {:.3} (95 %: {:.3} to {:.3}): the chance that one who converts has more points than one who does not\n",
            auc.value, auc.from, auc.to
        )?,
        None => writeln!(out, "All converted, or nobody: there is nothing to tell apart.\n")?,
    }
    let mut rows = table(["tenth", "points", "cases", "converted", "share", "lift", "of all so far"]);
    for part in &test.parts {
        let points = if part.lowest == part.highest {
            part.highest.to_string()
        } else {
            format!("{} to {}", part.lowest, part.highest)
        };
        rows.add_row([
            cell(part.part),
            cell(points),
            cell(cases(part.cases)),
            cell(format!("{:.1}", part.conversions)),
            cell(percent(part.rate)),
            cell(format!("{:.2}", part.lift)),
            cell(percent(part.captured)),
        ]);
    }
    write_table(out, &rows)?;
    if let Some(calibration) = &test.calibration {
        writeln!(
            out,
            "\nBrier score {:.4}; giving everybody the same chance has {:.4} ({:+.1} % better)",
            calibration.brier,
            calibration.brier_of_share,
            100.0 * calibration.skill
        )?;
        let mut rows = table(["cases", "expected", "converted"]);
        for bin in &calibration.bins {
            rows.add_row([
                cell(count(bin.cases as u64)),
                cell(percent(bin.expected)),
                cell(percent(bin.observed)),
            ]);
        }
        write_table(out, &rows)?;
    }
    if !test.rules.is_empty() {
        writeln!(out)?;
        let mut rows = table(["reason", "cases", "points", "converted with", "without"]);
        for rule in &test.rules {
            rows.add_row([
                cell(clean(&rule.because)),
                cell(count(rule.cases as u64)),
                cell(format!("{:+.1}", rule.mean_points)),
                cell(percent(rule.rate_with)),
                cell(rule.rate_without.map_or_else(|| "nobody".to_owned(), percent)),
            ]);
        }
        write_table(out, &rows)?;
    }
    Ok(())
}

/// `40`, `0.4`
fn cases(number: f64) -> String {
    if number.fract() < 0.05 { format!("{number:.0}") } else { format!("{number:.1}") }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
