//! What time does to a workflow: mails that a cap never lets out, waits that end in the quiet hours, waits behind which
//! nothing comes.
//!
//! What is known of time stands in the file: how long a step waits, how late a mail may go out, how many mails a contact gets at
//! most (`caps` in `dripline.yaml`). Whatever is not known counts in favour of the workflow: a warning says what happens to every
//! run, as long as nobody pauses it and no consent holds the mails back that came before.

use std::{collections::BTreeMap, ops::Range};

use dripline_model::{
    duration,
    effect::EffectKind,
    policy::{Cap, QuietHours},
    program::{Action, Node, NodeIndex, Program},
};
use jiff::{Timestamp, civil::Time, tz::TimeZone};
use serde_json::Value;

use crate::{Code, Diagnostic, PluginConfig, PluginInfo, Source, source::Report, yaml};

/// The built-in step whose configuration tells how long it waits.
const WAIT: &str = "wait";

const HOUR_MS: i64 = 3_600 * 1_000;

/// How often a step is come by before its past is given up as unknown: loops with short waits would be followed for ever.
const PATIENCE: u32 = 40;

/// Warns of what time makes of a workflow that is right in itself. `configs` are those that [`crate::check`] found in the same
/// file.
pub fn check(
    source: &Source,
    program: &Program,
    configs: &[PluginConfig],
    plugins: &BTreeMap<String, PluginInfo>,
    caps: &[Cap],
) -> Vec<Diagnostic> {
    let mut report = Report::new(source);
    let Some(tree) = yaml::parse(source, &mut Report::new(source)) else { return Vec::new() };
    let steps = Steps { program, configs, plugins, tree };
    for cap in caps {
        steps.always_capped(cap, &mut report);
    }
    if let Some(quiet) = program.policies.quiet_hours {
        steps.quiet_windows(quiet, &mut report);
    }
    if !program.policies.goals.is_empty() || !program.policies.exits.is_empty() {
        steps.last_waits(&mut report);
    }
    report.into_diagnostics()
}

struct Steps<'a> {
    program: &'a Program,
    configs: &'a [PluginConfig],
    plugins: &'a BTreeMap<String, PluginInfo>,
    tree: yaml::Node,
}

/// How long ago a contact got its latest mails, at the most, in milliseconds; the latest first. `None`: longer than counts, or
/// never.
type Past = Vec<Option<i64>>;

impl Steps<'_> {
    /// Warns of mails that the cap holds back beyond their `expires` on every way that leads to them.
    fn always_capped(&self, cap: &Cap, report: &mut Report<'_>) {
        let nodes = &self.program.nodes;
        let room = usize::try_from(cap.at_most).unwrap_or(usize::MAX);
        let mails = nodes.iter().filter(|node| self.mails(node, cap)).count();
        // Fewer mails than there is room for fill no cap.
        if room == 0 || mails <= room {
            return;
        }
        let window = length_ms(cap.within);
        let mut pasts: Vec<Option<Past>> = vec![None; nodes.len()];
        let mut visits = vec![0_u32; nodes.len()];
        let mut open: Vec<NodeIndex> = vec![0];
        if let Some(first) = pasts.first_mut() {
            *first = Some(vec![None; room]);
        }
        while let Some(index) = open.pop() {
            let place = index as usize;
            let (Some(node), Some(Some(past))) = (nodes.get(place), pasts.get(place)) else { continue };
            let mut past = past.clone();
            if let Some(visits) = visits.get_mut(place) {
                *visits += 1;
                if *visits > PATIENCE {
                    past = vec![None; room];
                }
            }
            if let Some(known) = pasts.get_mut(place) {
                *known = Some(past.clone());
            }
            for (next, after) in self.leads(node, &past, cap, window) {
                let Some(known) = pasts.get_mut(next as usize) else { continue };
                let merged = match known.as_ref() {
                    None => after,
                    Some(known) => known
                        .iter()
                        .zip(&after)
                        .map(|(one, other)| one.zip(*other).map(|(one, other)| one.max(other)))
                        .collect(),
                };
                if known.as_ref() != Some(&merged) {
                    *known = Some(merged);
                    open.push(next);
                }
            }
        }
        for (index, (node, past)) in (0..).zip(nodes.iter().zip(&pasts)) {
            let Some(past) = past.as_ref().filter(|_| self.mails(node, cap)) else { continue };
            let Some(text) = node.rules.expires.as_ref().filter(|_| is_hopeless(node, past, window)) else {
                continue;
            };
            let message = format!(
                "this mail is always skipped: {cap}, and the mails before it leave no room before `expires: {text}`"
            );
            report
                .warning(Code::AlwaysCapped, &self.verb(index), message)
                .help("wait before it until there is room again, let it come later (`expires`), or leave one of the mails out");
        }
    }

    /// Where a run may go from a node at which it has this past, each with the past there.
    fn leads(&self, node: &Node, past: &Past, cap: &Cap, window: i64) -> Vec<(NodeIndex, Past)> {
        let later = |past: &Past, ms: Option<i64>| -> Past {
            past.iter()
                .map(|age| Some(age.as_ref()?.saturating_add(ms?)).filter(|age| *age < window))
                .collect()
        };
        let skipped = node.condition.is_some().then(|| node.next.map(|next| (next, past.clone()))).flatten();
        let ways: Vec<(Option<NodeIndex>, Past)> = match &node.action {
            Action::Plugin(step) => {
                let outputs = || step.paths.values().copied().chain([node.next]);
                if self.mails(node, cap) {
                    if is_hopeless(node, past, window) {
                        return node.next.map(|next| (next, past.clone())).into_iter().collect();
                    }
                    let held = node
                        .rules
                        .expires
                        .as_deref()
                        .map(|text| duration::parse(text).map_or(window, length_ms));
                    let mut after = later(past, held);
                    after.insert(0, Some(0));
                    after.truncate(past.len());
                    outputs().map(|next| (next, after.clone())).collect()
                } else {
                    let takes = self.takes_ms(node);
                    outputs().map(|next| (next, later(past, takes))).collect()
                }
            }
            Action::Branch { otherwise, .. } => {
                [node.next, *otherwise].map(|next| (next, past.clone())).into()
            }
            Action::Switch { cases, otherwise, .. } => cases
                .iter()
                .map(|(_, next)| *next)
                .chain([*otherwise])
                .map(|next| (next, past.clone()))
                .collect(),
            Action::Split { arms } => arms.iter().map(|arm| (arm.next, past.clone())).collect(),
            Action::WaitFor(wait) => {
                let within = duration::parse(&wait.within).ok().map(length_ms);
                [wait.then, wait.otherwise].map(|next| (next, later(past, within))).into()
            }
            Action::Experiment(experiment) => {
                let arms = experiment.arms.iter().map(|arm| arm.next);
                arms.chain([node.next]).map(|next| (next, past.clone())).collect()
            }
            Action::Parallel(parallel) => {
                let paths = parallel.paths.iter().map(|path| (Some(path.first), past.clone()));
                paths.chain([(node.next, later(past, None))]).collect()
            }
            Action::Run(call) => {
                let ways = call.ways.values().copied().chain([node.next]);
                ways.map(|next| (next, later(past, None))).collect()
            }
            Action::Goto => vec![(node.next, past.clone())],
            Action::Exit { .. } => Vec::new(),
        };
        ways.into_iter().filter_map(|(next, past)| Some((next?, past))).chain(skipped).collect()
    }

    /// How long a step takes at the most, where it is no mail; `None` where nobody knows.
    fn takes_ms(&self, node: &Node) -> Option<i64> {
        let step = node.plugin_step()?;
        if !self.plugins.get(&step.plugin).is_some_and(|info| info.manifest.may_wait) {
            return Some(0);
        }
        let alone = |key: &str| step.config.get(key).is_none_or(Value::is_null);
        let is_plain = step.plugin == WAIT && ["between", "days", "spread"].iter().all(|key| alone(key));
        let text = step.config.get("for").filter(|_| is_plain)?.as_str()?;
        duration::parse(text).ok().map(length_ms)
    }

    /// Whether the step sends emails for which the cap counts.
    fn mails(&self, node: &Node, cap: &Cap) -> bool {
        let Some(step) = node.plugin_step() else { return false };
        let is_transactional = step.config.get("transactional").and_then(Value::as_bool).unwrap_or(false);
        self.sends(node) && cap.class.covers(is_transactional)
    }

    fn sends(&self, node: &Node) -> bool {
        let info = node.plugin_step().and_then(|step| self.plugins.get(&step.plugin));
        info.is_some_and(|info| info.manifest.effects.iter().any(|effect| effect.kind == EffectKind::Email))
    }

    /// Warns of waits that end within the quiet hours, where a mail follows that has to wait for their end.
    fn quiet_windows(&self, quiet: QuietHours, report: &mut Report<'_>) {
        for (index, node) in (0..).zip(&self.program.nodes) {
            let Some(step) = node.plugin_step().filter(|step| step.plugin == WAIT) else { continue };
            let text = |key: &str| step.config.get(key).and_then(Value::as_str);
            let (key, from, to) = match (text("between"), text("at")) {
                (Some(between), _) => {
                    let Some((from, to)) = between.split_once('-') else { continue };
                    let (Ok(from), Ok(to)) = (from.trim().parse::<Time>(), to.trim().parse::<Time>()) else {
                        continue;
                    };
                    ("between", from, to)
                }
                (None, Some(at)) if step.config.get("spread").is_none_or(Value::is_null) => {
                    let Ok(at) = at.trim().parse::<Time>() else { continue };
                    ("at", at, at)
                }
                _ => continue,
            };
            if quiet.covers(from, to) && self.mails_next(node) {
                let message = format!(
                    "this wait ends in the quiet hours {quiet}, so the mail behind it waits for their end"
                );
                report
                    .warning(Code::QuietWindow, &self.part(index, key), message)
                    .help("let it end outside of `settings.quiet_hours`, or change these");
            }
        }
    }

    /// Whether a marketing mail may be the next thing that is done behind a step, without another wait in between.
    fn mails_next(&self, node: &Node) -> bool {
        let nodes = &self.program.nodes;
        let mut seen = vec![false; nodes.len()];
        let mut open: Vec<NodeIndex> = node.ways().collect();
        while let Some(index) = open.pop() {
            let (Some(node), Some(seen)) = (nodes.get(index as usize), seen.get_mut(index as usize)) else {
                continue;
            };
            if std::mem::replace(seen, true) {
                continue;
            }
            let is_transactional =
                node.plugin_step().and_then(|step| step.config.get("transactional")?.as_bool()) == Some(true);
            if self.sends(node) && !is_transactional {
                return true;
            }
            if !matches!(node.action, Action::WaitFor(_)) && self.takes_ms_of_any(node) == Some(0) {
                open.extend(node.ways());
            }
        }
        false
    }

    fn takes_ms_of_any(&self, node: &Node) -> Option<i64> {
        if node.plugin_step().is_some() { self.takes_ms(node) } else { Some(0) }
    }

    /// Warns of waits at the end of a way: the run ends there at once, and reaches no goal meanwhile.
    fn last_waits(&self, report: &mut Report<'_>) {
        for (index, node) in (0..).zip(&self.program.nodes) {
            let Some(step) = node.plugin_step().filter(|step| step.plugin == WAIT) else { continue };
            if node.next.is_none() && step.paths.is_empty() {
                report
                    .warning(Code::LastWait, &self.verb(index), "no step follows this wait, so the run ends here at once")
                    .help("`goals` and `exits` are not waited for behind the last step; put a step behind the wait, for example `exit: not won`");
            }
        }
    }

    /// Where the verb of a step stands.
    fn verb(&self, index: NodeIndex) -> Range<usize> {
        let Some(config) = self.configs.iter().find(|config| config.node == index) else { return 0..0 };
        let (node, key) = self.tree.at(&config.path);
        key.unwrap_or(&node.span).clone()
    }

    /// Where the value under a key of a step's configuration stands.
    fn part(&self, index: NodeIndex, key: &str) -> Range<usize> {
        let Some(config) = self.configs.iter().find(|config| config.node == index) else { return 0..0 };
        let (node, _) = self.tree.at(&format!("{}/{key}", config.path));
        node.span.clone()
    }
}

/// Whether the cap is full for longer than the step may be late, even where the mails before it are as old as they can be.
fn is_hopeless(node: &Node, past: &Past, window: i64) -> bool {
    let Some(expires) = node.rules.expires.as_deref().and_then(|text| duration::parse(text).ok()) else {
        return false;
    };
    match past.last() {
        Some(Some(age)) => window.saturating_sub(*age).saturating_sub(uneven_ms(window)) > length_ms(expires),
        _ => false,
    }
}

/// By how much days and months that are counted may differ from one another: clocks are set, months have 28 to 31 days.
fn uneven_ms(window: i64) -> i64 {
    match window / HOUR_MS {
        hours if hours < 24 => 0,
        hours if hours < 27 * 24 => 4 * HOUR_MS,
        _ => 4 * 24 * HOUR_MS,
    }
}

/// How long a span is, counted in UTC.
fn length_ms(span: jiff::Span) -> i64 {
    let epoch = Timestamp::UNIX_EPOCH;
    let ms = duration::after(epoch, span, &TimeZone::UTC).duration_since(epoch).as_millis();
    i64::try_from(ms).unwrap_or(i64::MAX)
}
