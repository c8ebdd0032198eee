//! Reading steps: what each key of a step says, and what is wrong with it.

use std::collections::BTreeMap;

use dripline_model::{batch::ColumnType, policy::StepRules, program::NodeIndex};

use crate::{
    Code, Environment, PluginInfo,
    config::{Configs, Place},
    diagnostic::one_of,
    marks::escape,
    parallel, policies,
    read::entry,
    source::Report,
    steps::{Block, Kind, Step, Steps},
    wait_for, ways,
    workflow::slug,
    yaml::{self, Entry},
};

/// Most steps of one workflow.
pub(crate) const MAX_STEPS: usize = 1000;

/// Keys that are not verbs.
pub(crate) const STEP_KEYS: &[&str] = &[
    "id", "name", "if", "then", "else", "cases", "default", "paths", "join", "expires", "on_error", "retry",
];

/// The language's own verbs.
pub(crate) const VERBS: &[&str] =
    &["switch", "split", "experiment", "parallel", "run", "wait_for", "goto", "exit"];

/// Reads the steps under `steps:`.
pub(crate) fn read(
    node: &yaml::Node,
    workflow: &str,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Steps {
    let mut reader = Reader {
        environment,
        workflow,
        steps: Vec::new(),
        ids: BTreeMap::new(),
        configs: Configs::default(),
    };
    let top = reader.block(node, "`steps`", "step-", "/steps", report);
    let Reader { mut steps, ids, configs, .. } = reader;
    if let Some(extra) = steps.get(MAX_STEPS) {
        report
            .error(Code::TooManySteps, &extra.span, format!("this is step {}", MAX_STEPS + 1))
            .help(format!("a workflow has at most {MAX_STEPS} steps: split it in two"));
    }
    for step in &mut steps {
        if let Kind::Goto { to, to_span, target } = &mut step.kind {
            *target = ids.get(to.as_str()).copied();
            if target.is_none() && !to.is_empty() {
                report
                    .error(Code::GotoNowhere, to_span, format!("no step has the id `{to}`"))
                    .help(format!("write `id: {to}` at the step to which the run shall jump"))
                    .suggest(to, ids.keys().map(String::as_str).filter(|id| !id.starts_with("step-")));
            }
        }
    }
    parallel::jumps(&steps, report);
    Steps { steps, top, templates: configs.templates, configs: configs.checked }
}

pub(crate) struct Reader<'e> {
    pub(crate) environment: &'e Environment<'e>,
    workflow: &'e str,
    steps: Vec<Step>,
    ids: BTreeMap<String, NodeIndex>,
    configs: Configs,
}

/// What the keys of a step say, before its verb is looked at.
pub(crate) struct Parts<'n> {
    id: String,
    /// The id made of the place.
    pub(crate) place: String,
    pub(crate) pointer: &'n str,
    pub(crate) entries: &'n [Entry],
    condition: Option<&'n Entry>,
}

impl Reader<'_> {
    /// A list of steps. `prefix` begins the default ids, `pointer` leads to the list in the file.
    pub(crate) fn block(
        &mut self,
        node: &yaml::Node,
        name: &str,
        prefix: &str,
        pointer: &str,
        report: &mut Report<'_>,
    ) -> Block {
        let items = match &node.kind {
            yaml::Kind::List(items) => items.as_slice(),
            _ if node.is_null() => &[],
            _ => {
                report
                    .wrong_type(node, name, "a list of steps")
                    .help("begin each step with `- `, for example `- wait: 3d`");
                return Block::new();
            }
        };
        if items.is_empty() {
            report
                .error(Code::NoSteps, &node.span, format!("{name} has no steps"))
                .help("add a step, or remove it");
        }
        let mut block = Block::new();
        for (at, item) in items.iter().enumerate() {
            block.extend(self.step(item, format!("{prefix}{}", at + 1), &format!("{pointer}/{at}"), report));
        }
        block
    }

    /// The index of the step that is read next.
    pub(crate) fn position(&self) -> NodeIndex {
        NodeIndex::try_from(self.steps.len()).unwrap_or(NodeIndex::MAX)
    }

    fn step(
        &mut self,
        node: &yaml::Node,
        place: String,
        pointer: &str,
        report: &mut Report<'_>,
    ) -> Option<NodeIndex> {
        // Reading stops at the limit; the step past it is complained of.
        if self.steps.len() > MAX_STEPS {
            return None;
        }
        let index = NodeIndex::try_from(self.steps.len()).ok()?;
        let span = node.span.clone();
        let line = report.line(span.start);
        let broken = Step {
            id: place.clone(),
            name: None,
            span,
            line,
            condition: None,
            guarded: false,
            rules: StepRules::default(),
            kind: Kind::Broken,
        };
        self.steps.push(broken);
        let entries = report.read_mapping(node, "a step", "`- wait: 3d`")?;
        let id = self.id(entry(entries, "id"), &place, index, report);
        let name = entry(entries, "name").and_then(|entry| report.read_text(&entry.value, "`name`"));
        let condition = entry(entries, "if");
        let scope = self.environment.scope();
        let checked =
            condition.and_then(|entry| report.read_cel(&entry.value, "`if`", ColumnType::Boolean, &scope));
        let parts = Parts { id: id.clone(), place, pointer, entries, condition };
        let kind = self.kind(node, &parts, index, report);
        let rules = match &kind {
            Kind::Plugin { .. } | Kind::Broken => policies::step(entries, report),
            _ => {
                policies::not_here(entries, report);
                StepRules::default()
            }
        };
        if let Some(step) = self.steps.get_mut(index as usize) {
            let guarded = condition.is_some();
            let span = step.span.clone();
            *step = Step { id, name, span, line, condition: checked, guarded, rules, kind };
        }
        Some(index)
    }

    fn id(
        &mut self,
        entry: Option<&Entry>,
        place: &str,
        index: NodeIndex,
        report: &mut Report<'_>,
    ) -> String {
        let given =
            entry.and_then(|entry| Some((report.read_text(&entry.value, "`id`")?, &entry.value.span)));
        let (id, span) = match given {
            Some((id, span)) if is_id(&id) => (id, Some(span)),
            Some((id, span)) => {
                let diagnostic = report.error(
                    Code::Id,
                    span,
                    format!("`{id}` is no step id: small letters, digits, `-` and `_`, at most 100"),
                );
                let slug = slug(&id, '-');
                if !slug.is_empty() {
                    diagnostic.help(format!("write `{slug}`, and put the words for people in `name`"));
                }
                // A `goto` to it is no second error.
                self.ids.entry(id).or_insert(index);
                (place.to_owned(), None)
            }
            None => (place.to_owned(), None),
        };
        match self.ids.get(&id).and_then(|before| self.steps.get(*before as usize)) {
            Some(before) => {
                let line = before.line;
                let own = self.steps.get(index as usize).map(|step| step.span.clone()).unwrap_or_default();
                report
                    .error(Code::DuplicateId, span.unwrap_or(&own), format!("two steps have the id `{id}`"))
                    .label(format!("the other is in line {line}"))
                    .help("give one of them another id");
            }
            None => {
                self.ids.insert(id.clone(), index);
            }
        }
        id
    }

    fn kind(
        &mut self,
        node: &yaml::Node,
        parts: &Parts<'_>,
        index: NodeIndex,
        report: &mut Report<'_>,
    ) -> Kind {
        let plugins = self.environment.plugins;
        let is_verb = |key: &str| VERBS.contains(&key) || plugins.contains_key(key);
        let (verbs, unknown): (Vec<&Entry>, Vec<&Entry>) = parts
            .entries
            .iter()
            .filter(|entry| !STEP_KEYS.contains(&entry.key.as_str()))
            .partition(|entry| is_verb(&entry.key));
        for entry in &unknown {
            self.unknown_verb(entry, verbs.first().copied(), report);
        }
        if let Some(second) = verbs.get(1) {
            let first = verbs.first().map_or("", |entry| entry.key.as_str());
            report
                .error(
                    Code::TwoVerbs,
                    &second.key_span,
                    format!("this step does two things: `{first}` and `{}`", second.key),
                )
                .help("make it two steps");
        }
        let branches: Vec<&Entry> =
            parts.entries.iter().filter(|entry| matches!(entry.key.as_str(), "then" | "else")).collect();
        let is_branching = verbs.first().is_some_and(|verb| matches!(verb.key.as_str(), "wait_for" | "run"));
        if let Some(branch) = branches.first().filter(|_| !is_branching) {
            branch_alone(branch, verbs.first().copied(), parts, report);
        }
        let paths = entry(parts.entries, "paths");
        if verbs.first().is_none_or(|verb| verb.key != "switch") {
            ways::cases_alone(parts.entries, report);
        }
        if verbs.first().is_none_or(|verb| verb.key != "parallel") {
            parallel::join_alone(parts.entries, report);
        }
        let kind = match verbs.first() {
            Some(verb) if verb.key == "wait_for" => {
                let what = wait_for::read(&verb.value, self.environment, report);
                let (then, otherwise) = self.blocks(&branches, parts, report);
                Kind::WaitFor { what, then, otherwise }
            }
            Some(verb) if verb.key == "parallel" => self.parallel(verb, parts, report),
            Some(verb) if verb.key == "run" => return self.run(verb, &branches, parts, paths, report),
            Some(verb) if verb.key == "goto" => goto(&verb.value, report),
            Some(verb) if verb.key == "exit" => exit(&verb.value, report),
            Some(verb) if verb.key == "switch" => self.switch(verb, parts, report),
            Some(verb) if verb.key == "split" => return self.split(verb, parts, paths, report),
            Some(verb) if verb.key == "experiment" => return self.experiment(verb, parts, paths, report),
            Some(verb) => match plugins.get(&verb.key) {
                Some(info) => return self.plugin(verb, info, parts, paths, index, report),
                None => Kind::Broken,
            },
            None if !branches.is_empty() => self.branch(&branches, parts, report),
            None if unknown.is_empty() => self.nothing(node, parts, report),
            None => Kind::Broken,
        };
        if let Some(paths) = paths {
            report
                .error(Code::Paths, &paths.key_span, "`paths` goes with a plugin that has named outputs")
                .help("use `if` with `then` and `else`, or remove it");
        }
        kind
    }

    fn branch(&mut self, blocks: &[&Entry], parts: &Parts<'_>, report: &mut Report<'_>) -> Kind {
        let (then, otherwise) = self.blocks(blocks, parts, report);
        Kind::Branch { then, otherwise }
    }

    /// The blocks `then` and `else`, read in the order of the file, so that nodes are numbered in it.
    pub(crate) fn blocks(
        &mut self,
        blocks: &[&Entry],
        parts: &Parts<'_>,
        report: &mut Report<'_>,
    ) -> (Block, Block) {
        let (mut then, mut otherwise) = (Block::new(), Block::new());
        for block in blocks {
            let key = block.key.as_str();
            let (name, prefix) = (format!("`{key}`"), format!("{}.{key}-", parts.place));
            let steps = self.block(&block.value, &name, &prefix, &format!("{}/{key}", parts.pointer), report);
            if key == "then" { then = steps } else { otherwise = steps }
        }
        (then, otherwise)
    }

    /// A step that says nothing to do.
    fn nothing(&self, node: &yaml::Node, parts: &Parts<'_>, report: &mut Report<'_>) -> Kind {
        match parts.condition {
            Some(condition) => report
                .error(
                    Code::NoVerb,
                    &condition.key_span,
                    "this step has a condition, but nothing depends on it",
                )
                .help("add `then:` with steps, or what to do, for example `wait: 3d`"),
            None => report
                .error(Code::NoVerb, &node.span, "this step says nothing to do")
                .help(format!("add {}", one_of(self.verbs()).unwrap_or_default())),
        };
        Kind::Broken
    }

    /// The verbs that there are.
    fn verbs(&self) -> impl Iterator<Item = &str> + Clone {
        self.environment.plugins.keys().map(String::as_str).chain(VERBS.iter().copied())
    }

    fn unknown_verb(&self, entry: &Entry, verb: Option<&Entry>, report: &mut Report<'_>) {
        let key = entry.key.as_str();
        if verb.is_some() || dripline_model::suggest::closest(key, STEP_KEYS.iter().copied()).is_some() {
            let keys = STEP_KEYS.iter().copied().chain(self.verbs());
            let keys: Vec<&str> = if verb.is_some() { STEP_KEYS.to_vec() } else { keys.collect() };
            report
                .error(Code::UnknownStepKey, &entry.key_span, format!("a step has no key `{key}`"))
                .suggest(key, keys);
            return;
        }
        let diagnostic =
            report.error(Code::UnknownPlugin, &entry.key_span, format!("no plugin is called `{key}`"));
        match dripline_model::suggest::closest(key, self.verbs()) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => {
                let all = one_of(self.verbs()).unwrap_or_default();
                diagnostic
                    .help(format!("it can be {all}; `dripline plugin add FILE` installs another plugin"))
            }
        };
    }

    fn plugin(
        &mut self,
        verb: &Entry,
        info: &PluginInfo,
        parts: &Parts<'_>,
        paths: Option<&Entry>,
        index: NodeIndex,
        report: &mut Report<'_>,
    ) -> Kind {
        let step = self.configs.prepare(
            &Place {
                verb,
                info,
                node: index,
                state_cell: format!("{}/{}", self.workflow, parts.id),
                pointer: format!("{}/{}", parts.pointer, verb.key),
            },
            self.environment,
            report,
        );
        let paths = paths.map(|paths| self.paths(verb, info, paths, parts, report)).unwrap_or_default();
        Kind::Plugin { step, may_wait: info.manifest.may_wait, paths }
    }

    fn paths(
        &mut self,
        verb: &Entry,
        info: &PluginInfo,
        paths: &Entry,
        parts: &Parts<'_>,
        report: &mut Report<'_>,
    ) -> BTreeMap<String, Block> {
        let outputs: Vec<&str> = info.manifest.outputs.iter().map(|output| output.name.as_str()).collect();
        if outputs.is_empty() {
            report
                .error(Code::Paths, &paths.key_span, format!("`{}` has no named outputs", verb.key))
                .help("remove `paths`, and write the steps below this one");
            return BTreeMap::new();
        }
        let example = format!("{{{}: [ … ]}}", outputs.first().copied().unwrap_or_default());
        let Some(entries) = report.read_mapping(&paths.value, "`paths`", &example) else {
            return BTreeMap::new();
        };
        let mut blocks = BTreeMap::new();
        for entry in entries {
            let key = entry.key.as_str();
            if !outputs.contains(&key) {
                report
                    .error(Code::Paths, &entry.key_span, format!("`{}` has no output `{key}`", verb.key))
                    .suggest(key, outputs.iter().copied());
            }
            let prefix = format!("{}.{key}-", parts.place);
            let pointer = format!("{}/paths/{}", parts.pointer, escape(key));
            blocks.insert(
                key.to_owned(),
                self.block(&entry.value, &format!("`{key}`"), &prefix, &pointer, report),
            );
        }
        blocks
    }
}

/// Complains of a `then` or `else` without `if`, or beside a verb.
fn branch_alone(branch: &Entry, verb: Option<&Entry>, parts: &Parts<'_>, report: &mut Report<'_>) {
    match (parts.condition, verb) {
        (None, _) => report
            .error(Code::NoCondition, &branch.key_span, format!("`{}` without `if`", branch.key))
            .help("add `if:` with the condition that decides"),
        (Some(_), Some(verb)) => report
            .error(
                Code::BranchWithVerb,
                &verb.key_span,
                format!("a branch cannot do something itself: `{}` stands beside `{}`", verb.key, branch.key),
            )
            .help(format!("move `{}` into the block, or into a step before", verb.key)),
        (Some(_), None) => return,
    };
}

pub(crate) fn is_id(id: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    !id.is_empty() && id.len() <= 100 && id.chars().all(fits)
}

fn goto(node: &yaml::Node, report: &mut Report<'_>) -> Kind {
    let to = report.read_name(node, "`goto`").unwrap_or_default();
    Kind::Goto { to, to_span: node.span.clone(), target: None }
}

fn exit(node: &yaml::Node, report: &mut Report<'_>) -> Kind {
    let reason = match &node.kind {
        yaml::Kind::Mapping(entries) if entries.is_empty() => String::new(),
        _ if node.is_null() => String::new(),
        _ => report.read_text(node, "`exit`").unwrap_or_default(),
    };
    Kind::Exit { reason }
}
