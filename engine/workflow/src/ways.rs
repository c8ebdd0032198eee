//! Reading the steps that lead many ways: `switch` and `split`.

use dripline_expression::Scope;
use dripline_model::batch::ColumnType;

use crate::{
    Code,
    marks::escape,
    read::entry,
    source::Report,
    step_reader::{Parts, Reader, is_id},
    steps::{Block, Kind},
    yaml::Entry,
};

/// Keys that belong to a `switch`.
const SWITCH: [&str; 2] = ["cases", "default"];

/// The weight of an arm is at most this, as that of a member of a team.
const HEAVIEST: u32 = 1_000_000;

/// Complains of `cases` and `default` where there is no `switch`.
pub(crate) fn cases_alone(entries: &[Entry], report: &mut Report<'_>) {
    for entry in entries.iter().filter(|entry| SWITCH.contains(&entry.key.as_str())) {
        report
            .error(Code::Switch, &entry.key_span, format!("`{}` goes with `switch`", entry.key))
            .help("write `switch:` with the expression whose value decides");
    }
}

impl Reader<'_> {
    pub(crate) fn switch(&mut self, verb: &Entry, parts: &Parts<'_>, report: &mut Report<'_>) -> Kind {
        const EXAMPLE: &str = "{DE: [ … ], AT: [ … ]}";
        let scope = Scope { attributes: self.environment.attributes, event: false };
        let value = report.read_cel(&verb.value, "`switch`", ColumnType::Text, &scope);
        let cases = entry(parts.entries, "cases");
        let read = cases.and_then(|cases| report.read_mapping(&cases.value, "`cases`", EXAMPLE));
        match (cases, read) {
            (None, _) => {
                report
                    .error(Code::Switch, &verb.key_span, "this `switch` has no `cases`")
                    .help(format!("add cases: {EXAMPLE}"));
            }
            (Some(cases), Some([])) => {
                report
                    .error(Code::Switch, &cases.value.span, "`cases` is empty")
                    .help(format!("write for example {EXAMPLE}"));
            }
            _ => {}
        }
        let mut blocks = Vec::new();
        for (number, case) in (1..).zip(read.unwrap_or_default()) {
            let key = case.key.as_str();
            let prefix = format!("{}.case-{number}-", parts.place);
            let pointer = format!("{}/cases/{}", parts.pointer, escape(key));
            let block = self.block(&case.value, &format!("`{key}`"), &prefix, &pointer, report);
            blocks.push((key.to_owned(), block));
        }
        let otherwise = entry(parts.entries, "default").map(|default| {
            let prefix = format!("{}.default-", parts.place);
            self.block(&default.value, "`default`", &prefix, &format!("{}/default", parts.pointer), report)
        });
        Kind::Switch { value, cases: blocks, otherwise }
    }

    pub(crate) fn split(
        &mut self,
        verb: &Entry,
        parts: &Parts<'_>,
        paths: Option<&Entry>,
        report: &mut Report<'_>,
    ) -> Kind {
        const EXAMPLE: &str = "{half: 50, other: 50}";
        let mut arms: Vec<(String, u32, Block)> = Vec::new();
        let entries = report.read_mapping(&verb.value, "`split`", EXAMPLE).unwrap_or_default();
        for arm in entries {
            if !is_id(&arm.key) {
                let message =
                    format!("`{}` is no name of an arm: small letters, digits, `-` and `_`", arm.key);
                report.error(Code::Split, &arm.key_span, message);
            }
            let weight = arm.value.value().as_u64().and_then(|weight| u32::try_from(weight).ok());
            let weight = weight.filter(|weight| *weight <= HEAVIEST).unwrap_or_else(|| {
                report
                    .error(
                        Code::Split,
                        &arm.value.span,
                        format!("the weight of `{}` is not a whole number", arm.key),
                    )
                    .help(format!(
                        "write a number from 0 to 1,000,000; {EXAMPLE} sends half of the contacts each way"
                    ));
                1
            });
            arms.push((arm.key.clone(), weight, Block::new()));
        }
        if !entries.is_empty() && arms.iter().all(|(_, weight, _)| *weight == 0) {
            report.error(
                Code::Split,
                &verb.value.span,
                "no contact goes any of these ways: all weights are 0",
            );
        } else if entries.len() == 1 {
            report
                .error(Code::Split, &verb.value.span, "a `split` needs two ways or more")
                .help(format!("write for example {EXAMPLE}"));
        }
        let Some(paths) = paths else {
            report
                .error(Code::Split, &verb.key_span, "nothing depends on this `split`")
                .help("add `paths:` with the steps of each way");
            return Kind::Split { arms };
        };
        for path in report.read_mapping(&paths.value, "`paths`", "{half: [ … ]}").unwrap_or_default() {
            let key = path.key.as_str();
            let prefix = format!("{}.{key}-", parts.place);
            let pointer = format!("{}/paths/{}", parts.pointer, escape(key));
            let block = self.block(&path.value, &format!("`{key}`"), &prefix, &pointer, report);
            match arms.iter_mut().find(|(name, ..)| name == key) {
                Some((.., steps)) => *steps = block,
                None => {
                    let names: Vec<&str> = entries.iter().map(|arm| arm.key.as_str()).collect();
                    report
                        .error(Code::Paths, &path.key_span, format!("this `split` has no way `{key}`"))
                        .suggest(key, names);
                }
            }
        }
        Kind::Split { arms }
    }
}
