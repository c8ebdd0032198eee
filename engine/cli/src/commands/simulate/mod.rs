//! `dripline simulate`

mod print;

use std::{
    cell::RefCell,
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use dripline_model::{Clock as _, DrivenClock, SystemClock, duration, field::Fields, program::Trigger};
use dripline_simulation::{Circumstances, GivenEvent, Plan, Report, Stage, Story, page, story};
use dripline_store::{Standing, Store, Work, sqlite::SqliteStore};
use dripline_workflow::{Severity, behaviour::Behaviour};
use indicatif::ProgressBar;
use jiff::{SignedDuration, SpanRelativeTo, Timestamp, civil, tz::TimeZone};

use crate::{
    args::Global,
    assembly,
    import::{self, Contacts, Events},
    output::{Out, WARNING, json, moment_progress, plural},
    problem::{Exit, Problem},
    workspace::{CheckedWorkspace, Experience, Workspace, summarise},
};

/// How many contacts' stories are told where nobody asks for single ones.
const STORIES: usize = 50;

/// See what workflows would do over the next weeks, without doing it: nothing is sent, and nothing is written
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The engine runs the workflow files as they are, on a clock of its own and in a store that is thrown away. \
Events before --from are history; those from then on arrive at their own times. --behaviour says what \
contacts do with the mails; without it nobody reacts. The same files and the same --seed give the same result.

Examples:
  dripline simulate --contacts contacts.csv --events events.csv --from 2024-01-01 --behaviour behaviour.yaml
  dripline simulate workflows/welcome.yaml --store --html welcome.html")]
pub(crate) struct Args {
    /// Workflow files; by default all of the workspace
    files: Vec<PathBuf>,
    /// Contacts, as `dripline import` takes them
    #[arg(long, value_name = "FILE.csv")]
    contacts: Option<PathBuf>,
    /// What they do, as `dripline events import` takes it
    #[arg(long, value_name = "FILE.csv")]
    events: Option<PathBuf>,
    /// Begin with a copy of the workspace's store: contacts, scores, consents, owners, runs and history
    #[arg(long)]
    store: bool,
    /// When it begins: a date, or a date and time, in the workspace's time zone; by default now
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// For how long
    #[arg(long = "for", value_name = "DURATION", default_value = "60d")]
    length: String,
    /// What contacts do with mails
    #[arg(long, value_name = "FILE.yaml")]
    behaviour: Option<PathBuf>,
    /// The seed of what is left to chance
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Offer this workflow to everybody at the start, as `dripline enroll --all` does; may be repeated
    #[arg(long, value_name = "WORKFLOW")]
    enroll: Vec<String>,
    /// Name the contacts who would get more mails than this within seven days
    #[arg(long, value_name = "N", default_value_t = 3)]
    max_per_week: u32,
    /// Look this often whether something is due; more often takes longer
    #[arg(long, value_name = "DURATION", default_value = "15m")]
    tick: String,
    /// Tell what happens to this contact: id, external id or address; may be repeated
    #[arg(long, value_name = "CONTACT")]
    contact: Vec<String>,
    /// Write the result as JSON; - prints it instead of the tables
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the result as a page for the browser
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// What is simulated, and with whom.
struct Cast {
    store: Arc<dyn Store>,
    events: Vec<GivenEvent>,
    assumptions: Vec<String>,
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let started = Instant::now();
    let beside = args.files.first().and_then(|file| super::check::beside(std::slice::from_ref(file)));
    let workspace = Workspace::find(global.workspace.as_deref().or(beside))?;
    let zone = workspace.zone()?;
    let from = from(args, &zone)?;
    let until = until(&args.length, from, &zone)?;
    let tick = tick(&args.tick)?;
    // Plugins that are compiled for the first time take all cores.
    let host = workspace.host()?;
    let plugins = workspace.plugins(&host).await?;
    crate::one_core::hold();
    let mut cast = cast(args, &workspace, from).await?;
    let clock = Arc::new(DrivenClock::starting_at(from));

    let experience = Experience::of(cast.store.as_ref()).await?.beginning(from);
    let files = if args.files.is_empty() { workspace.workflow_files()? } else { args.files.clone() };
    let checked = workspace.check_knowing(&files, &plugins, experience).await?;
    refuse_errors(&checked, args, out)?;
    let behaviour = match &args.behaviour {
        Some(path) => workspace.read_behaviour(path, &checked)?.map_err(|complaints| {
            Problem::input(format!("{complaints}the behaviour has mistakes; nothing was simulated"))
        })?,
        None => Behaviour::default(),
    };
    let store = Arc::clone(&cast.store);
    store.put_teams(&checked.representatives, &checked.teams).await?;
    store.publish_scores(&checked.scores, clock.now()).await?;
    assembly::publish_segments(store.as_ref(), &checked, clock.as_ref()).await?;
    assembly::publish(store.as_ref(), &checked, &plugins, clock.as_ref(), |_| true).await?;
    if args.store && args.files.is_empty() {
        let names = checked.programs().map(|(_, program)| program.name.as_str()).collect();
        store.retire_all_but(&names, from).await?;
    }
    let enroll_all = enrolments(args, &checked, &mut cast.assumptions)?;

    let before = store.standing().await?;
    let options = assembly::options(&workspace, &plugins, Work::Run)?;
    let stage = Stage::set(Arc::clone(&store), host, clock, workspace.delivery_config()?, options);
    let stage = stage.await.map_err(Problem::unavailable)?;
    let plan = Plan {
        from,
        until,
        tick,
        seed: args.seed,
        behaviour,
        names: Default::default(),
        events: cast.events,
        enroll_all,
        enrolments: Vec::new(),
    };
    let report = play(&stage, &plan, before, args, cast.assumptions).await?;
    write(&report, args, out)?;
    if args.json.as_deref() != Some(Path::new("-")) {
        print::print(&report, args.contact.is_empty(), started.elapsed().as_secs_f64(), out)?;
        for file in [&args.json, &args.html].into_iter().flatten() {
            writeln!(out, "Written: {}", file.display())?;
        }
    }
    Ok(Exit::Success)
}

async fn play(
    stage: &Stage,
    plan: &Plan,
    before: Vec<Standing>,
    args: &Args,
    assumptions: Vec<String>,
) -> Result<Report, Problem> {
    let progress = moment_progress();
    let played = stage
        .play(plan, |moment| {
            progress.set_message(format!(
                "{}  {}  {}",
                moment.now.strftime("%Y-%m-%d"),
                plural(moment.turns, "turn"),
                plural(moment.mails, "mail")
            ));
            progress.tick();
        })
        .await;
    progress.finish_and_clear();
    let played = played.map_err(Problem::unavailable)?;
    let contacts = if args.contact.is_empty() {
        stage.stories(&played, STORIES, plan.from).await.map_err(Problem::unavailable)?
    } else {
        stories(stage.store(), &args.contact, plan.from).await?
    };
    let around = Circumstances { before, max_per_week: args.max_per_week, assumptions, contacts };
    Report::of(stage, plan, &played, around).await.map_err(Problem::unavailable)
}

async fn stories(store: &dyn Store, keys: &[String], since: Timestamp) -> Result<Vec<Story>, Problem> {
    let mut stories = Vec::with_capacity(keys.len());
    for key in keys {
        let id = super::find_contact(store, key).await?;
        stories.push(story(store, id, key, since).await.map_err(Problem::unavailable)?);
    }
    Ok(stories)
}

fn from(args: &Args, zone: &TimeZone) -> Result<Timestamp, Problem> {
    let Some(text) = &args.from else {
        if args.events.is_some() && !args.store {
            return Err(Problem::input("--events needs --from: which of the events are still to come?")
                .with_help("write for example --from 2024-01-01; events before that day are history"));
        }
        return Ok(SystemClock.now());
    };
    let read = text.parse::<Timestamp>().ok().or_else(|| {
        let local: civil::DateTime = text.parse().ok()?;
        local.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp())
    });
    let at = read.ok_or_else(|| {
        Problem::input(format!("--from: `{text}` is no date"))
            .with_help("write for example 2024-01-31 or 2024-01-31T09:30")
    })?;
    Ok(dripline_model::clock::from_ms(at.as_millisecond()))
}

fn until(length: &str, from: Timestamp, zone: &TimeZone) -> Result<Timestamp, Problem> {
    let span = duration::parse(length).map_err(|error| Problem::input(format!("--for: {error}")))?;
    let until = duration::after(from, span, zone);
    if until <= from {
        return Err(Problem::input("--for is no time at all").with_help("write for example --for 60d"));
    }
    // Ten years of days are what a chart can show, and what nobody can foresee.
    if until.duration_since(from) > SignedDuration::from_hours(24 * 3_660) {
        return Err(Problem::input(format!("--for {length} is more than ten years"))
            .with_help("write for example --for 60d"));
    }
    Ok(until)
}

fn tick(text: &str) -> Result<SignedDuration, Problem> {
    let span = duration::parse(text).map_err(|error| Problem::input(format!("--tick: {error}")))?;
    let tick = span.to_duration(SpanRelativeTo::days_are_24_hours());
    tick.ok().filter(|tick| *tick <= SignedDuration::from_hours(24)).ok_or_else(|| {
        Problem::input(format!("--tick: `{text}` is longer than a day"))
            .with_help("write for example --tick 15m")
    })
}

/// The store and everybody in it.
async fn cast(args: &Args, workspace: &Workspace, from: Timestamp) -> Result<Cast, Problem> {
    if args.contacts.is_none() && !args.store {
        return Err(Problem::input("there is nobody to simulate with").with_help(
            "name a file of contacts (--contacts contacts.csv), or take those of the store (--store)",
        ));
    }
    let mut assumptions = Vec::new();
    let store: Arc<dyn Store> = if args.store {
        let store = workspace.copy_of_store().await?;
        let counts = store.counts().await?;
        assumptions.push(format!(
            "It begins with a copy of the store: {} and what is known of them, {} that wait to arrive.",
            plural(counts.contacts, "contact"),
            plural(counts.pending_events, "event")
        ));
        store
    } else {
        Arc::new(SqliteStore::in_memory().await?)
    };
    let hidden = ProgressBar::hidden();
    let failed = |error: import::ImportError| Problem {
        exit: if error.is_input() { Exit::Problems } else { Exit::Unavailable },
        message: error.to_string(),
        help: error.help(),
    };
    if let Some(file) = &args.contacts {
        let known = super::import::known(workspace, store.as_ref()).await?;
        let summary = import::import(store.as_ref(), &Contacts, file, &[], &known, from, &hidden).await;
        let summary = summary.map_err(failed)?;
        assumptions.push(taken(file, summary.taken(), summary.rejected, "contact"));
    }
    let mut events = Vec::new();
    if let Some(file) = &args.events {
        let entity = Events { live_from: Some(from), arriving: Some(RefCell::default()) };
        let known = Fields::default();
        let summary = import::import(store.as_ref(), &entity, file, &[], &known, from, &hidden).await;
        let summary = summary.map_err(failed)?;
        let arriving = entity.arriving.unwrap_or_default().into_inner();
        assumptions.push(format!(
            "{} Those before the start are history.",
            taken(file, summary.taken(), summary.rejected, "event")
        ));
        events = arriving.into_iter().map(|(contact, event, at)| GivenEvent { contact, event, at }).collect();
    } else if !args.store {
        assumptions.push("Nothing comes from outside: no events were given.".to_owned());
    }
    Ok(Cast { store, events, assumptions })
}

fn taken(file: &Path, taken: u64, rejected: u64, noun: &str) -> String {
    let left_out = if rejected > 0 {
        format!("; {} could not be taken", plural(rejected, "row"))
    } else {
        String::new()
    };
    format!("{} from {}{left_out}.", plural(taken, noun), file.display())
}

fn refuse_errors(checked: &CheckedWorkspace, args: &Args, out: &mut Out) -> Result<(), Problem> {
    let errors = checked.count(Severity::Error);
    if errors > 0 || args.json.as_deref() != Some(Path::new("-")) {
        for diagnostic in &checked.diagnostics {
            writeln!(out, "{}\n", diagnostic.render().trim_end())?;
        }
    }
    match summarise(errors, 0) {
        Some(what) => Err(Problem::input(format!("the workflows have {what}; nothing was simulated"))
            .with_help("mend them and run `dripline check`")),
        None => Ok(()),
    }
}

/// Which workflows are offered to everybody. One that is only ever begun by hand would do nothing otherwise.
fn enrolments(
    args: &Args,
    checked: &CheckedWorkspace,
    assumptions: &mut Vec<String>,
) -> Result<Vec<String>, Problem> {
    for name in &args.enroll {
        let names = || checked.programs().map(|(_, program)| program.name.as_str());
        if !names().any(|known| known == name) {
            let near = dripline_model::suggest::closest(name, names());
            let problem =
                Problem::input(format!("--enroll: there is no workflow `{name}` among those simulated"));
            return Err(match near {
                Some(near) => problem.with_help(format!("did you mean `{near}`?")),
                None => problem,
            });
        }
    }
    let mut all = args.enroll.clone();
    for (_, program) in checked.programs() {
        let by_hand = program.triggers.iter().all(|trigger| *trigger == Trigger::Manual);
        if by_hand && !args.store && !all.contains(&program.name) {
            all.push(program.name.clone());
        }
    }
    assumptions.extend(
        all.iter().map(|name| {
            format!("`{name}` is offered to everybody at the start, as `dripline enroll` would.")
        }),
    );
    Ok(all)
}

fn write(report: &Report, args: &Args, out: &mut Out) -> Result<(), Problem> {
    if let Some(file) = &args.json {
        if file.as_path() == Path::new("-") {
            json(out, report)?;
        } else {
            let text = serde_json::to_vec_pretty(report).map_err(Problem::internal)?;
            fs::write(file, text).map_err(|error| Problem::io("write", file, &error))?;
        }
    }
    if let Some(file) = &args.html {
        let page = page(report).map_err(Problem::internal)?;
        fs::write(file, page).map_err(|error| Problem::io("write", file, &error))?;
    }
    if report.totals.failed_runs > 0 && args.json.as_deref() != Some(Path::new("-")) {
        let runs = plural(report.totals.failed_runs, "run");
        writeln!(out, "{WARNING}{runs} would fail{WARNING:#}: see below\n")?;
    }
    Ok(())
}
