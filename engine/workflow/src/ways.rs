//! Reading the steps that lead many ways: `switch` and `split`, and the arms of an `experiment`.

use dripline_model::batch::ColumnType;

use crate::{
    Code,
    marks::escape,
    read::entry,
    source::Report,
    step_reader::{Parts, Reader, is_id},
    steps::{Block, Kind},
    yaml::{Entry, Node},
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
        let scope = self.environment.scope();
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
        let arms = self.arms(&verb.value, "`split`", "split", report);
        Kind::Split { arms: self.arm_paths(arms, verb, paths, parts, "split", report) }
    }

    /// The names and weights of ways by chance; `what` is the word of the step.
    pub(crate) fn arms(&self, node: &Node, name: &str, what: &str, report: &mut Report<'_>) -> Vec<Arm> {
        const EXAMPLE: &str = "{half: 50, other: 50}";
        let code = code(what);
        let mut arms: Vec<Arm> = Vec::new();
        let entries = report.read_mapping(node, name, EXAMPLE).unwrap_or_default();
        for arm in entries {
            if !is_id(&arm.key) {
                let message =
                    format!("`{}` is no name of an arm: small letters, digits, `-` and `_`", arm.key);
                report.error(code, &arm.key_span, message);
            }
            let weight = arm.value.value().as_u64().and_then(|weight| u32::try_from(weight).ok());
            let weight = weight.filter(|weight| *weight <= HEAVIEST).unwrap_or_else(|| {
                report
                    .error(
                        code,
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
            report.error(code, &node.span, "no contact goes any of these ways: all weights are 0");
        } else if entries.len() == 1 {
            report
                .error(
                    code,
                    &node.span,
                    format!("a `{what}` needs two ways or more").replace("a `e", "an `e"),
                )
                .help(format!("write for example {EXAMPLE}"));
        }
        arms
    }

    /// The arms with the steps of each.
    pub(crate) fn arm_paths(
        &mut self,
        mut arms: Vec<Arm>,
        verb: &Entry,
        paths: Option<&Entry>,
        parts: &Parts<'_>,
        what: &str,
        report: &mut Report<'_>,
    ) -> Vec<Arm> {
        let Some(paths) = paths else {
            report
                .error(code(what), &verb.key_span, format!("nothing depends on this `{what}`"))
                .help("add `paths:` with the steps of each way");
            return arms;
        };
        let names: Vec<String> = arms.iter().map(|(name, ..)| name.clone()).collect();
        for path in report.read_mapping(&paths.value, "`paths`", "{half: [ … ]}").unwrap_or_default() {
            let key = path.key.as_str();
            let prefix = format!("{}.{key}-", parts.place);
            let pointer = format!("{}/paths/{}", parts.pointer, escape(key));
            let block = self.block(&path.value, &format!("`{key}`"), &prefix, &pointer, report);
            match arms.iter_mut().find(|(name, ..)| name == key) {
                Some((.., steps)) => *steps = block,
                None => {
                    report
                        .error(Code::Paths, &path.key_span, format!("this `{what}` has no way `{key}`"))
                        .suggest(key, names.iter().map(String::as_str));
                }
            }
        }
        arms
    }
}

/// A way by chance: its name, its weight, its steps.
pub(crate) type Arm = (String, u32, Block);

fn code(what: &str) -> Code {
    if what == "split" { Code::Split } else { Code::Experiment }
}
