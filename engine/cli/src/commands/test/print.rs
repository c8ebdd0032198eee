//! The result of tests on the terminal.

use std::{io::Write, time::Duration};

use dripline_simulation::case::{Failure, WorkflowCoverage};

use super::Ran;
use crate::{
    args::Format,
    output::{BAD, FAINT, GOOD, HEADING, Out, WARNING, clean, plural},
    problem::Problem,
    workspace::CheckedWorkspace,
};

/// Prints what is wrong with the files.
pub(super) fn complaints(checked: &CheckedWorkspace, format: Format, out: &mut Out) -> Result<(), Problem> {
    if format.json {
        return Ok(());
    }
    for diagnostic in &checked.diagnostics {
        writeln!(out, "{}\n", diagnostic.render().trim_end())?;
    }
    Ok(())
}

/// Prints one test, with what it expected in vain.
pub(super) fn test(ran: &Ran, out: &mut Out) -> Result<(), Problem> {
    let failures = &ran.outcome.failures;
    let (style, word) = if failures.is_empty() { (GOOD, "ok  ") } else { (BAD, "FAIL") };
    writeln!(
        out,
        "{style}{word}{style:#}  {}: {}  {FAINT}{}{FAINT:#}",
        ran.file,
        clean(&ran.name),
        seconds(ran.took)
    )?;
    for failure in failures {
        print_failure(&ran.file, failure, out)?;
    }
    out.flush()?;
    Ok(())
}

fn print_failure(file: &str, failure: &Failure, out: &mut Out) -> Result<(), Problem> {
    writeln!(out, "\n      {HEADING}{}{HEADING:#}  {file}:{}", clean(&failure.contact), failure.line)?;
    writeln!(out, "        {GOOD}expected  {}{GOOD:#}", clean(&failure.expected))?;
    for (number, line) in failure.happened.iter().enumerate() {
        let label = if number == 0 { "happened" } else { "" };
        writeln!(out, "        {BAD}{label:<8}  {}{BAD:#}", clean(line))?;
    }
    for (number, line) in failure.why.iter().enumerate() {
        let label = if number == 0 { "why" } else { "" };
        writeln!(out, "        {FAINT}{label:<8}  {}{FAINT:#}", clean(line))?;
    }
    writeln!(out)?;
    Ok(())
}

/// Prints how many passed.
pub(super) fn summary(ran: &[Ran], left_out: u64, out: &mut Out) -> Result<(), Problem> {
    if ran.is_empty() && left_out == 0 {
        writeln!(
            out,
            "There are no tests. A test of workflows/welcome.yaml stands in workflows/welcome.test.yaml:"
        )?;
        writeln!(out, "dripline init writes one, and docs/simulation.md says what tests can say.")?;
        return Ok(());
    }
    let failed = ran.iter().filter(|one| !one.outcome.failures.is_empty()).count();
    let passed = ran.len() - failed;
    let took: Duration = ran.iter().map(|one| one.took).sum();
    let left = if left_out > 0 { format!(", {left_out} left out") } else { String::new() };
    let style = if failed == 0 { GOOD } else { BAD };
    writeln!(
        out,
        "\n{style}{} run: {passed} passed, {failed} failed{left}{style:#} in {:.1} s",
        plural(ran.len() as u64, "test"),
        took.as_secs_f64()
    )?;
    Ok(())
}

/// Prints how much of the workflows was covered; `is_whole` names what was not.
pub(super) fn coverage(covered: &[WorkflowCoverage], is_whole: bool, out: &mut Out) -> Result<(), Problem> {
    for workflow in covered {
        let [(steps, of_steps), (ways, of_ways)] = workflow.sums();
        let style = if steps == of_steps && ways == of_ways { GOOD } else { WARNING };
        let of_ways = if of_ways > 0 { format!(", {ways} of {of_ways} ways") } else { String::new() };
        writeln!(
            out,
            "{HEADING}{}{HEADING:#}: {style}{steps} of {of_steps} steps{of_ways}{style:#} taken",
            workflow.workflow
        )?;
        if !is_whole {
            continue;
        }
        for step in workflow.steps.iter().filter(|step| !step.covered) {
            writeln!(out, "  line {:>3}  step `{}` is never taken", step.line, step.step)?;
        }
        for way in workflow.ways.iter().filter(|way| !way.covered) {
            writeln!(out, "  line {:>3}  `{}` never leads to `{}`", way.line, way.step, way.way)?;
        }
    }
    if !is_whole && covered.iter().any(|workflow| workflow.sums().iter().any(|(covered, of)| covered < of)) {
        writeln!(out, "{FAINT}--coverage says what is missing{FAINT:#}")?;
    }
    Ok(())
}

fn seconds(took: Duration) -> String {
    format!("{:.2} s", took.as_secs_f64())
}
