//! `parallel`: paths that a run goes at once.

use std::ops::Range;

use dripline_model::program::{Join, NodeIndex};

use crate::{
    Code,
    marks::escape,
    read::entry,
    source::Report,
    step_reader::{Parts, Reader, is_id},
    steps::{Kind, ParallelPath, Step},
    yaml::Entry,
};

/// Most paths of one `parallel`.
const MOST_PATHS: usize = 20;

/// Complains of `join` where there is no `parallel`.
pub(crate) fn join_alone(entries: &[Entry], report: &mut Report<'_>) {
    if let Some(join) = entry(entries, "join") {
        report
            .error(Code::Parallel, &join.key_span, "`join` goes with `parallel`")
            .help("write `parallel:` with the steps of each path");
    }
}

impl Reader<'_> {
    pub(crate) fn parallel(&mut self, verb: &Entry, parts: &Parts<'_>, report: &mut Report<'_>) -> Kind {
        const EXAMPLE: &str = "{mails: [ … ], sales: [ … ]}";
        let entries = report.read_mapping(&verb.value, "`parallel`", EXAMPLE);
        if let Some(entries) = entries
            && (entries.len() < 2 || entries.len() > MOST_PATHS)
        {
            let message =
                format!("a `parallel` has from 2 to {MOST_PATHS} paths, and this has {}", entries.len());
            report
                .error(Code::Parallel, &verb.value.span, message)
                .help(format!("write for example {EXAMPLE}"));
        }
        let mut paths = Vec::new();
        for path in entries.unwrap_or_default() {
            let key = path.key.as_str();
            if !is_id(key) {
                let message = format!("`{key}` is no name of a path: small letters, digits, `-` and `_`");
                report.error(Code::Parallel, &path.key_span, message);
            }
            let first = self.position();
            let prefix = format!("{}.{key}-", parts.place);
            let pointer = format!("{}/parallel/{}", parts.pointer, escape(key));
            let block = self.block(&path.value, &format!("`{key}`"), &prefix, &pointer, report);
            paths.push(ParallelPath { name: key.to_owned(), block, inside: first..self.position() });
        }
        let join = match entry(parts.entries, "join").map(|join| (join, join.value.scalar())) {
            None | Some((_, Some("all"))) => Join::All,
            Some((_, Some("any"))) => Join::Any,
            Some((join, found)) => {
                let found = found.map_or_else(|| join.value.what().to_owned(), |found| format!("`{found}`"));
                report
                    .error(Code::Parallel, &join.value.span, format!("`join` cannot be {found}"))
                    .help("write all, which holds without it, or any");
                Join::All
            }
        };
        Kind::Parallel { paths, join }
    }
}

/// Complains of jumps that lead out of a path, or into one.
pub(crate) fn jumps(steps: &[Step], report: &mut Report<'_>) {
    for (index, step) in steps.iter().enumerate() {
        let Kind::Goto { to, to_span, target: Some(target) } = &step.kind else { continue };
        let Ok(index) = NodeIndex::try_from(index) else { continue };
        let (from, into) = (innermost(steps, index), innermost(steps, *target));
        if from == into {
            continue;
        }
        let (message, help) = match from {
            Some((name, _)) => (
                format!("`goto: {to}` leads out of the path `{name}`"),
                "a path ends at its end; what comes after all paths stands below the `parallel`",
            ),
            None => (
                format!("`goto: {to}` leads into a path"),
                "jump to the `parallel` itself, or put the steps that both need into a workflow of their own",
            ),
        };
        report.error(Code::JumpOverPaths, to_span, message).help(help);
    }
}

/// The path in which a step stands, if it stands in one; of paths inside one another the innermost.
fn innermost(steps: &[Step], index: NodeIndex) -> Option<(&str, Range<NodeIndex>)> {
    let paths = steps.iter().filter_map(|step| match &step.kind {
        Kind::Parallel { paths, .. } => Some(paths),
        _ => None,
    });
    let around = paths.flatten().filter(|path| path.inside.contains(&index));
    around.map(|path| (path.name.as_str(), path.inside.clone())).max_by_key(|(_, inside)| inside.start)
}
