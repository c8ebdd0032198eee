//! `dripline run`

use std::{io::Write, pin::pin, sync::Arc, time::Instant};

use dripline_delivery::Delivered;
use dripline_model::{Clock, DrivenClock, SystemClock};
use dripline_runtime::{Engine, ErrorKind, Moment, Settled};
use dripline_store::Store;
use jiff::Timestamp;

use crate::{
    args::Global,
    assembly::Assembly,
    output::{FAINT, GOOD, Out, WARNING, count, moment_progress, plural, time},
    problem::{Exit, Problem},
    publishing::print_released,
    workspace::Workspace,
};

/// Run the workflows: publish what changed in the files, unless `publish: by_hand` is set, then do everything that is due
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without an option, does what is due by now and ends. \
A process that is killed loses nothing: run it again, and it goes on where it was.")]
pub(crate) struct Args {
    /// Keep running: sleep until something is due or arrives; end with Ctrl-C
    #[arg(long)]
    forever: bool,
    /// Do not wait for time to pass: leap from one due moment to the next, from the first live event on, until nothing
    /// is left to do
    #[arg(long, conflicts_with = "forever")]
    fast_forward: bool,
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    let workspace = Workspace::find(global.workspace.as_deref())?;
    let store = workspace.open_store().await?;
    if args.fast_forward {
        let driven = fast_forward(&workspace, &store, out).await?;
        write!(out, "{}", driven.describe())?;
    } else {
        let assembly =
            Assembly::publishing(&workspace, Arc::clone(&store), Arc::new(SystemClock), out).await?;
        begin(&assembly, out).await?;
        if args.forever {
            writeln!(out, "Running. Ctrl-C ends it.")?;
            out.flush()?;
            let ran = assembly.engine.run_forever(interrupted()).await;
            ran.map_err(|error| match error.kind {
                // It panicked.
                ErrorKind::Worker(_) => Problem::internal(error),
                _ => Problem::unavailable(error),
            })?;
        } else {
            let engine = &assembly.engine;
            let moment =
                until_interrupted(engine, engine.run_until_idle()).await.map_err(Problem::unavailable)?;
            writeln!(out, "{GOOD}Done{GOOD:#}: {}", work(moment.settled, moment.delivered))?;
        }
    }
    hint_at_failures(store.as_ref(), out).await?;
    Ok(Exit::Success)
}

/// What a run on a driven clock did.
#[derive(Debug, Clone, Default)]
pub(super) struct Driven {
    /// The first and the last moment.
    pub(super) span: Option<(Timestamp, Timestamp)>,
    /// What the engine did.
    pub(super) settled: Settled,
    /// What became of messages.
    pub(super) delivered: Delivered,
    /// How long it took, in seconds of the machine's clock.
    pub(super) seconds: f64,
}

impl Driven {
    fn add(&mut self, moment: &Moment) {
        let first = self.span.map_or(moment.now, |(first, _)| first);
        self.span = Some((first, moment.now));
        self.settled.events += moment.settled.events;
        self.settled.enrolled += moment.settled.enrolled;
        self.settled.turns += moment.settled.turns;
        self.delivered += moment.delivered;
    }

    fn describe(&self) -> String {
        let Some((first, last)) = self.span else {
            return "Nothing to do: no live event has yet to arrive, and nothing is due.\n".to_owned();
        };
        format!(
            "{GOOD}Done{GOOD:#}, {} to {} (UTC) in {:.1} s: {}\n",
            time(first),
            time(last),
            self.seconds,
            work(self.settled, self.delivered)
        )
    }
}

/// Drives the workspace to the end of what there is to do.
pub(super) async fn fast_forward(
    workspace: &Workspace,
    store: &Arc<dyn Store>,
    out: &mut Out,
) -> Result<Driven, Problem> {
    let due = [store.next_due().await?, store.next_message_due().await?].into_iter().flatten().min();
    let clock = Arc::new(DrivenClock::starting_at(due.unwrap_or_else(|| SystemClock.now())));
    let engine_clock: Arc<dyn Clock> = clock.clone();
    let assembly = Assembly::publishing(workspace, Arc::clone(store), engine_clock, out).await?;
    begin(&assembly, out).await?;

    let started = Instant::now();
    let progress = moment_progress();
    let mut driven = Driven::default();
    let work = assembly.engine.fast_forward(&clock, |moment| {
        driven.add(moment);
        progress.set_message(format!(
            "{}  {}  {}",
            moment.now.strftime("%Y-%m-%d"),
            plural(driven.settled.turns, "turn"),
            plural(driven.delivered.sent, "mail")
        ));
        progress.tick();
    });
    let result = until_interrupted(&assembly.engine, work).await;
    progress.finish_and_clear();
    result.map_err(Problem::unavailable)?;
    driven.seconds = started.elapsed().as_secs_f64();
    Ok(driven)
}

/// Settles what a dead process left, and says what was published.
pub(super) async fn begin(assembly: &Assembly, out: &mut Out) -> Result<(), Problem> {
    print_released(&assembly.released, out)?;
    for name in &assembly.held {
        writeln!(
            out,
            "{WARNING}{name} was rolled back{WARNING:#}, and its file says what was rolled back: dripline publish {name} publishes it"
        )?;
    }
    if let Some(note) = assembly.drift.note() {
        writeln!(out, "{WARNING}note{WARNING:#}: {note}")?;
    }
    let recovered = assembly.engine.recover(assembly.abandoned()).await.map_err(Problem::unavailable)?;
    if recovered > 0 {
        let mails = plural(recovered, "mail");
        writeln!(
            out,
            "{WARNING}{mails} stood on the wire when a process ended{WARNING:#}: dripline mail uncertain"
        )?;
    }
    out.flush()?;
    Ok(())
}

async fn hint_at_failures(store: &dyn Store, out: &mut Out) -> Result<(), Problem> {
    use dripline_model::{decision::RunStatus, message::MessageStatus};
    let counts = store.counts().await?;
    let runs =
        counts.runs.iter().find(|(status, _)| *status == RunStatus::Failed).map_or(0, |(_, number)| *number);
    if runs > 0 {
        let runs = plural(runs, "run");
        writeln!(out, "{WARNING}{runs} failed{WARNING:#}: dripline runs list --status failed")?;
    }
    for status in [MessageStatus::Queued, MessageStatus::Failed, MessageStatus::Uncertain] {
        let number =
            counts.messages.iter().find(|(other, _)| *other == status).map_or(0, |(_, number)| *number);
        if number > 0 {
            let (mails, name) = (plural(number, "mail"), status.name());
            let command = match status {
                MessageStatus::Uncertain => "dripline mail uncertain".to_owned(),
                _ => format!("dripline mail list --status {name}"),
            };
            writeln!(out, "{WARNING}{mails} {name}{WARNING:#}: {command}")?;
        }
    }
    Ok(())
}

fn work(settled: Settled, delivered: Delivered) -> String {
    let mut parts = vec![
        plural(settled.events, "event"),
        format!("{} enrolled", count(settled.enrolled)),
        plural(settled.turns, "turn"),
        format!("{} sent", plural(delivered.sent, "mail")),
    ];
    for (number, what) in
        [(delivered.retried, "put off"), (delivered.failed, "failed"), (delivered.uncertain, "uncertain")]
    {
        if number > 0 {
            parts.push(format!("{} {what}", count(number)));
        }
    }
    format!("{FAINT}{}{FAINT:#}", parts.join(", "))
}

/// Does the work to its end, or until the user has enough: then what is under way is ended in order, so that no mail is
/// left uncertain.
async fn until_interrupted<T>(engine: &Engine, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let done = tokio::select! {
        done = &mut work => done,
        () = interrupted() => tokio::join!(engine.close(), work).1,
    };
    engine.close().await;
    done
}

/// Resolves on Ctrl-C, and on SIGTERM where there is such a thing.
pub(super) async fn interrupted() {
    #[cfg(unix)]
    if let Ok(mut terminated) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}
