//! `dripline import`, and what it shares with `dripline events import`.

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use dripline_model::{Clock, SystemClock, field::Fields};
use dripline_store::Store;
use serde_json::json;

use crate::{
    args::{Format, Global},
    import::{self, Contacts, Entity, MapRule, Meaning, Summary},
    output::{FAINT, HEADING, Out, WARNING, byte_progress, cell, clean, json, plural, table, write_table},
    problem::{Exit, Problem},
    workspace::Workspace,
};

/// Import contacts from a CSV file
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The first line names the columns. These names have a meaning of their own:
  email                      the address, which is checked; also e-mail, email_address
  external_id, id            your own key for the contact
  consent_TOPIC              yes or no; consent_email is the channel as a whole
  tags                       separated by ; or ,
  created_at                 2024-01-31T09:30:00Z, 2024-01-31 09:30:00 (UTC) or 2024-01-31
Every other column becomes an attribute of its name: `country` is contact.country.

Contacts that are known (by external id, else by address) are updated. Rows that cannot be taken \
are written to FILE.rejected.csv with the reason; mend them there and import that file. \
A file that is broken as a whole is not imported at all.

Examples:
  dripline import contacts.csv
  dripline import crm.csv --map \"E-mail (work)=email\" --map \"ZIP=zip:text\" --map \"Notes=-\"")]
pub(crate) struct Args {
    #[command(flatten)]
    file: FileArgs,
}

/// What every import takes.
#[derive(Debug, clap::Args)]
pub(super) struct FileArgs {
    /// The CSV file: UTF-8, separated by comma, semicolon or tab
    #[arg(value_name = "FILE.csv")]
    file: PathBuf,
    /// What a column means: a field, a name of your own with an optional type (text, integer, float, boolean), or -
    #[arg(long, value_name = "HEADER=TARGET[:TYPE]")]
    map: Vec<MapRule>,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    import_file(&Contacts, &args.file, global, out).await
}

/// Imports a file and prints what came of it.
pub(super) async fn import_file<E: Entity>(
    entity: &E,
    args: &FileArgs,
    global: &Global,
    out: &mut Out,
) -> Result<Exit, Problem> {
    let workspace = Workspace::find(global.workspace.as_deref())?;
    let store = workspace.open_store().await?;
    let known = if E::OF_CONTACTS { known(&workspace, store.as_ref()).await? } else { Fields::default() };
    let progress = byte_progress();
    let started = Instant::now();
    let now = SystemClock.now();
    let result = import::import(store.as_ref(), entity, &args.file, &args.map, &known, now, &progress).await;
    progress.finish_and_clear();
    let summary = result.map_err(|error| Problem {
        exit: if error.is_input() { Exit::Problems } else { Exit::Unavailable },
        message: format!("{error}; nothing was imported"),
        help: error.help(),
    })?;
    if args.format.json {
        json(out, &summary_json(&summary))?;
    } else {
        print(&summary, &args.file, started.elapsed().as_secs_f64(), out)?;
    }
    Ok(if summary.rejected > 0 && summary.taken() == 0 { Exit::Problems } else { Exit::Success })
}

/// What is known of contacts: what `fields.yaml` declares, and what the store has seen.
pub(super) async fn known(workspace: &Workspace, store: &dyn Store) -> Result<Fields, Problem> {
    let declared = workspace.declared_fields()?.map_err(|mistakes| {
        let first = mistakes.first();
        let place = first.map(|first| format!("{}:{}", first.path, first.line)).unwrap_or_default();
        let what = first.map(|first| first.message.as_str()).unwrap_or_default();
        Problem::input(format!("{place}: {what}; nothing was imported"))
            .with_help("`dripline check` shows every mistake in fields.yaml")
    })?;
    Ok(declared.unwrap_or_default().learning(store.known_attributes().await?))
}

fn print<F: import::Fields>(
    summary: &Summary<F>,
    file: &Path,
    seconds: f64,
    out: &mut Out,
) -> Result<(), Problem> {
    let mut columns = table(["column", "becomes", "type"]);
    for column in &summary.columns {
        let (target, value_type) = match &column.meaning {
            Meaning::Ignored => ("(ignored)".into(), ""),
            Meaning::Field(field) => (field.describe(), ""),
            Meaning::Value { name, value_type, .. } => (format!("{}.{name}", F::VALUES), value_type.name()),
        };
        columns.add_row([cell(&column.header), cell(target), cell(value_type)]);
    }
    write_table(out, &columns)?;
    if let Some(delimiter) = summary.delimiter {
        let name = if delimiter == '\t' { "tab" } else { "semicolon" };
        writeln!(out, "{FAINT}The columns are separated by {name}.{FAINT:#}")?;
    }
    for note in &summary.notes {
        writeln!(out, "{WARNING}note{WARNING:#}: {}", clean(note))?;
    }
    writeln!(
        out,
        "\n{HEADING}{}{HEADING:#} from {} in {seconds:.1} s: {} new, {} changed, {} unchanged",
        plural(summary.taken(), F::ROW),
        file.display(),
        crate::output::count(summary.inserted),
        crate::output::count(summary.updated),
        crate::output::count(summary.unchanged),
    )?;
    if summary.repeated > 0 {
        let rows = plural(summary.repeated, "row");
        writeln!(out, "{WARNING}{rows} repeated{WARNING:#} {} of an earlier row; {}", F::KEY, F::REPEATED)?;
    }
    if let Some(rejected) = &summary.rejected_file {
        let rows = plural(summary.rejected, "row");
        writeln!(out, "{WARNING}{rows} rejected{WARNING:#}, written to {}:", rejected.display())?;
        for (line, reason) in &summary.examples {
            writeln!(out, "  line {line}: {}", shorten(&clean(reason)))?;
        }
        let more = summary.rejected.saturating_sub(summary.examples.len() as u64);
        if more > 0 {
            writeln!(out, "  and {} more", crate::output::count(more))?;
        }
    }
    Ok(())
}

/// A reason that quotes a cell may be as long as the cell.
fn shorten(text: &str) -> String {
    const MOST: usize = 160;
    if text.chars().count() <= MOST {
        text.to_owned()
    } else {
        text.chars().take(MOST).chain(['…']).collect()
    }
}

fn summary_json<F: import::Fields>(summary: &Summary<F>) -> serde_json::Value {
    let columns = summary.columns.iter().map(|column| match &column.meaning {
        Meaning::Ignored => json!({"header": column.header, "target": null}),
        Meaning::Field(field) => json!({"header": column.header, "target": field.describe()}),
        Meaning::Value { name, value_type, .. } => {
            json!({"header": column.header, "target": format!("{}.{name}", F::VALUES), "type": value_type.name()})
        }
    });
    json!({
        "inserted": summary.inserted,
        "updated": summary.updated,
        "unchanged": summary.unchanged,
        "repeated": summary.repeated,
        "rejected": summary.rejected,
        "rejected_file": summary.rejected_file,
        "columns": columns.collect::<Vec<_>>(),
        "notes": summary.notes,
    })
}
