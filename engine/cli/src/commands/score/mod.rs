//! `dripline score`

mod backtest;
mod cases;
mod explain;

use std::io::Write;

use dripline_model::score::{Decay, Score, Scores};

use crate::{
    args::{Format, Global},
    output::{Out, cell, json, table, write_table},
    problem::{Exit, Problem},
    workspace::Workspace,
};

/// See the scores, what a contact's points are made of, and whether a score tells who converts
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the scores that scores.yaml declares, as they are published
    List {
        #[command(flatten)]
        format: Format,
    },
    /// Say where a contact's points come from: each gift, its reason, what is left of it, and what bounds kept back
    Explain {
        /// The contact: id, external id or address
        contact: String,
        /// The score; by default all
        score: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    Backtest(Box<backtest::Args>),
}

pub(crate) async fn execute(args: &Args, global: &Global, out: &mut Out) -> Result<Exit, Problem> {
    match &args.command {
        Command::List { format } => {
            let store = Workspace::find(global.workspace.as_deref())?.open_store().await?;
            list(store.declared_scores().await?.as_ref(), *format, out)?;
        }
        Command::Explain { contact, score, format } => {
            let store = Workspace::find(global.workspace.as_deref())?.open_store().await?;
            explain::explain(store.as_ref(), contact, score.as_deref(), *format, out).await?;
        }
        Command::Backtest(args) => backtest::execute(args, global, out).await?,
    }
    Ok(Exit::Success)
}

fn list(scores: &Scores, format: Format, out: &mut Out) -> Result<(), Problem> {
    if format.json {
        return Ok(json(out, scores)?);
    }
    if scores.is_empty() {
        writeln!(out, "No scores are declared. scores.yaml declares them, and `dripline run` publishes it.")?;
        return Ok(());
    }
    let mut rows = table(["score", "from", "to", "points", "grades", "description"]);
    let bound = |bound: Option<i64>| cell(bound.map(|bound| bound.to_string()).unwrap_or_default());
    for (name, score) in scores.iter() {
        rows.add_row([
            cell(name),
            bound(score.min),
            bound(score.max),
            cell(fading(score).unwrap_or_else(|| "stay".to_owned())),
            cell(grades(score)),
            cell(score.description.as_deref().unwrap_or_default()),
        ]);
    }
    Ok(write_table(out, &rows)?)
}

/// What a score is declared as, in words.
pub(crate) fn in_words(score: &Score) -> String {
    let bound = |word, bound: Option<i64>| bound.map(|bound| format!("{word} {bound}"));
    let grades = (!score.grades.is_empty()).then(|| format!("grades {}", grades(score)));
    let points = format!("points {}", fading(score).unwrap_or_else(|| "stay".to_owned()));
    let parts =
        [bound("from", score.min), bound("to", score.max), Some(points), grades, score.description.clone()];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// `hot from 60, warm from 30`
fn grades(score: &Score) -> String {
    let grades = score.grades.iter().map(|grade| format!("{} from {}", grade.name, grade.from));
    grades.collect::<Vec<_>>().join(", ")
}

/// How a score's points fade, in words.
fn fading(score: &Score) -> Option<String> {
    let decay = score.decay.map(|decay| match decay {
        Decay::HalfLife(ms) => format!("halve every {}", length(ms)),
        Decay::Linear(ms) => format!("run out within {}", length(ms)),
    });
    let expires = score.expires_ms.map(|ms| format!("are gone after {}", length(ms)));
    let both: Vec<String> = [decay, expires].into_iter().flatten().collect();
    (!both.is_empty()).then(|| both.join(" and "))
}

/// `14d`, `1d 12h`
fn length(ms: i64) -> String {
    let minutes = ms / 60_000;
    let parts = [(minutes / 1_440, "d"), (minutes / 60 % 24, "h"), (minutes % 60, "m")];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn lengths_are_written_as_people_write_them() {
        let minute = 60_000;
        assert_eq!(
            [14 * 1_440, 36 * 60, 90, 1].map(|minutes| super::length(minutes * minute)),
            ["14d", "1d 12h", "1h 30m", "1m"]
        );
    }
}
