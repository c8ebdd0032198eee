//! A version, ready to execute: expressions compiled, templates parsed, plugins loaded, grants intersected.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dripline_expression::{Expression, Scope};
use dripline_model::{
    Digest, Manifest,
    batch::ColumnType,
    contact::{EventView, Needs},
    effect::EffectKind,
    holidays::{COUNTRY, Holidays},
    manifest::Grant,
    policy::{DEFAULT_PRIORITY, Policies},
    program::{
        self, Action, ColumnSource, DEFAULT_SHARE, Input, NodeIndex, Parallel, PluginStep, Trigger,
        ValueSource,
    },
    zone,
};
use dripline_plugin_host::Plugin;
use dripline_store::StoredProgram;
use dripline_template::Inline;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::{
    call::CompiledCall,
    dates::{CompiledDate, Dated},
    entrance::Entrance,
    error::{Error, ErrorKind, Result},
    experiment::CompiledExperiment,
    failing::Rules,
    goals::Goals,
    split::Split,
    waiting::CompiledWait,
};

pub(crate) struct CompiledProgram {
    pub(crate) entrance: Entrance,
    pub(crate) name: String,
    /// Its schedules, each a cron expression and a time zone.
    pub(crate) schedules: Vec<(String, String)>,
    pub(crate) share: u32,
    pub(crate) published_at: jiff::Timestamp,
    pub(crate) policies: Policies,
    pub(crate) goals: Goals,
    /// With what it is called.
    pub(crate) inputs: Vec<Input>,
    /// The dates of contacts whose coming starts a run.
    pub(crate) dates: Vec<CompiledDate>,
    nodes: Vec<CompiledNode>,
    /// For each node, whether a run that stands there may mail its contact without waiting before.
    may_mail: Vec<bool>,
}

pub(crate) struct CompiledNode {
    pub(crate) condition: Option<Expression>,
    pub(crate) action: CompiledAction,
    pub(crate) next: Option<NodeIndex>,
    /// Where a run may go from here.
    ways: Vec<NodeIndex>,
    /// What of a contact the node reads, and every node to which a run may get from here without waiting: a batch loads it
    /// all at once.
    pub(crate) ahead: Needs,
    pub(crate) rules: Rules,
}

pub(crate) enum CompiledAction {
    Plugin(Box<CompiledStep>),
    Branch {
        condition: Expression,
        otherwise: Option<NodeIndex>,
    },
    Switch {
        value: Expression,
        cases: Vec<(String, Option<NodeIndex>)>,
        otherwise: Option<NodeIndex>,
    },
    Split(Split),
    Experiment(Box<CompiledExperiment>),
    Parallel(Parallel),
    Run(CompiledCall),
    WaitFor(CompiledWait),
    /// The id of the node that it goes to.
    Goto(String),
    Exit(String),
}

pub(crate) struct CompiledStep {
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) config: String,
    pub(crate) columns: Vec<CompiledColumn>,
    pub(crate) state_key: Option<String>,
    pub(crate) paths: BTreeMap<String, Option<NodeIndex>>,
    pub(crate) granted: BTreeSet<EffectKind>,
    /// Why the step must not run at all: a field that it reads was not granted.
    pub(crate) denied: Option<String>,
}

pub(crate) struct CompiledColumn {
    pub(crate) name: String,
    pub(crate) column: ColumnType,
    pub(crate) value: CompiledValue,
}

/// What a version is compiled with.
pub(crate) struct Around<'a> {
    /// The plugins that it calls.
    pub(crate) plugins: &'a BTreeMap<Digest, Arc<Plugin>>,
    pub(crate) grants: &'a BTreeMap<String, Grant>,
    /// The teams as plugins see them.
    pub(crate) teams: &'a BTreeMap<String, Value>,
    /// The workspace's zone.
    pub(crate) zone: &'a TimeZone,
}

pub(crate) enum CompiledValue {
    Cel(Expression),
    Template(Inline),
    Member(String),
    /// The name of the zone in which the contact lives.
    Zone,
    /// The holidays from now on.
    Holidays(Holidays),
}

impl CompiledProgram {
    pub(crate) fn new(stored: StoredProgram, around: &Around<'_>) -> Result<Self> {
        let StoredProgram { workflow, version, program, published_at, .. } = stored;
        let name = program.name.clone();
        let unusable = |reason| Error {
            doing: "prepare a workflow",
            kind: ErrorKind::Unusable { workflow: name.clone(), version, reason },
        };
        if !(1..=program::FORMAT).contains(&program.format) {
            return Err(unusable(format!("its format {} is newer than {}", program.format, program::FORMAT)));
        }
        let entrance = Entrance::new(&program, workflow, version, around.zone)?;
        let goals = Goals::new(&program.policies).map_err(&unusable)?;
        let dates = CompiledDate::all(&program).map_err(&unusable)?;
        let own_goals = goals.needs(None);
        let types = program.input_types();
        let inputs = (!types.is_empty()).then_some(&types);
        let ids: Vec<String> = program.nodes.iter().map(|node| node.id.clone()).collect();
        let mut nodes = program
            .nodes
            .into_iter()
            .map(|node| CompiledNode::new(node, &name, &ids, &program.policies, inputs, around))
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(unusable)?;
        // They are looked at before each turn.
        nodes.iter_mut().for_each(|node| node.ahead.merge(&own_goals));
        let nodes = look_ahead(nodes);
        Ok(Self {
            may_mail: may_mail(&nodes),
            goals,
            inputs: program.inputs,
            dates,
            policies: program.policies,
            entrance,
            share: program.share.unwrap_or(DEFAULT_SHARE),
            schedules: program.triggers.into_iter().filter_map(schedule).collect(),
            name: program.name,
            published_at,
            nodes,
        })
    }

    /// What its dates are looked at with.
    pub(crate) fn dated(&self) -> Dated<'_> {
        let Entrance { workflow, version, .. } = self.entrance;
        Dated { workflow, version, name: &self.name, dates: &self.dates }
    }

    /// Whether a step of this version may wait for the event.
    pub(crate) fn awaits(&self, event: &EventView) -> bool {
        self.nodes
            .iter()
            .any(|node| matches!(&node.action, CompiledAction::WaitFor(wait) if wait.hears(event)))
    }

    pub(crate) fn nodes(&self) -> &[CompiledNode] {
        &self.nodes
    }

    pub(crate) fn node(&self, index: NodeIndex) -> Option<&CompiledNode> {
        self.nodes.get(index as usize)
    }

    /// Whether a run that stands at the node may mail its contact without waiting before.
    pub(crate) fn may_mail_from(&self, index: NodeIndex) -> bool {
        self.may_mail.get(index as usize).copied().unwrap_or(false)
    }

    pub(crate) fn priority(&self) -> u32 {
        self.policies.priority.unwrap_or(DEFAULT_PRIORITY)
    }
}

/// From which nodes a step that mails is reached without one that may wait in between.
fn may_mail(nodes: &[CompiledNode]) -> Vec<bool> {
    let mails = |node: &CompiledNode| match &node.action {
        CompiledAction::Plugin(step) => step.granted.contains(&EffectKind::Email),
        _ => false,
    };
    let mut may: Vec<bool> = nodes.iter().map(mails).collect();
    loop {
        let mut changed = false;
        for (index, node) in nodes.iter().enumerate().rev() {
            let leads = node.follows().iter().any(|next| may.get(*next as usize).copied().unwrap_or(false));
            if let Some(here) = may.get_mut(index)
                && leads
                && !*here
            {
                *here = true;
                changed = true;
            }
        }
        if !changed {
            return may;
        }
    }
}

/// Adds to each node's needs those of the nodes ahead of it.
fn look_ahead(mut nodes: Vec<CompiledNode>) -> Vec<CompiledNode> {
    // Most ways lead down the file, so that one pass from its end does nearly all; loops need a second one.
    loop {
        let mut grew = false;
        for index in (0..nodes.len()).rev() {
            let Some(node) = nodes.get(index) else { continue };
            let mut ahead = node.ahead.clone();
            for next in node.follows() {
                if let Some(next) = nodes.get(*next as usize) {
                    ahead.merge(&next.ahead);
                }
            }
            if let Some(node) = nodes.get_mut(index)
                && node.ahead != ahead
            {
                node.ahead = ahead;
                grew = true;
            }
        }
        if !grew {
            return nodes;
        }
    }
}

impl CompiledNode {
    /// Whether it is all the same in how many calls a batch is worked out: where there is a state, each call waits for the
    /// one before.
    pub(crate) fn goes_in_slices(&self) -> bool {
        matches!(&self.action, CompiledAction::Plugin(step) if step.state_key.is_none())
    }

    /// Where a run may stand next in the same transaction.
    fn follows(&self) -> &[NodeIndex] {
        match &self.action {
            CompiledAction::Plugin(step) if step.plugin.manifest().may_wait && self.condition.is_none() => {
                &[]
            }
            _ => &self.ways,
        }
    }

    fn new(
        node: program::Node,
        workflow: &str,
        ids: &[String],
        policies: &Policies,
        inputs: Option<&BTreeMap<String, ColumnType>>,
        around: &Around<'_>,
    ) -> std::result::Result<Self, String> {
        let ways = node.ways().collect();
        let mut needs = Needs::default();
        let rules = Rules::new(&node.rules, policies)?;
        let mut expression = |source: &str, column| -> std::result::Result<Expression, String> {
            let compiled = compile(source, column, inputs)?;
            needs.merge(compiled.needs());
            Ok(compiled)
        };
        let condition = node.condition.map(|source| expression(&source, ColumnType::Boolean)).transpose()?;
        let action = match node.action {
            Action::Branch { condition, otherwise } => {
                CompiledAction::Branch { condition: expression(&condition, ColumnType::Boolean)?, otherwise }
            }
            Action::Switch { value, cases, otherwise } => {
                CompiledAction::Switch { value: expression(&value, ColumnType::Text)?, cases, otherwise }
            }
            Action::Split { arms } => CompiledAction::Split(Split::new(workflow, &node.id, arms)),
            Action::Experiment(experiment) => {
                let experiment = CompiledExperiment::new(workflow, &node.id, experiment, around.zone)?;
                needs.merge(&experiment.needs());
                CompiledAction::Experiment(Box::new(experiment))
            }
            Action::Parallel(parallel) => CompiledAction::Parallel(parallel),
            Action::Run(call) => {
                let call = CompiledCall::new(call, inputs)?;
                needs.merge(&call.needs());
                CompiledAction::Run(call)
            }
            Action::WaitFor(wait) => {
                let wait = CompiledWait::new(wait, inputs, around.zone)?;
                needs.merge(&wait.needs());
                CompiledAction::WaitFor(wait)
            }
            Action::Goto => {
                let target = node.next.and_then(|next| ids.get(next as usize)).cloned();
                CompiledAction::Goto(target.unwrap_or_else(|| "the end".to_owned()))
            }
            Action::Exit { reason } => CompiledAction::Exit(reason),
            Action::Plugin(step) => {
                let step = CompiledStep::new(step, inputs, around)?;
                step.needs(&mut needs);
                // By whose clock it is quiet.
                if policies.quiet_hours.is_some() && step.granted.contains(&EffectKind::Email) {
                    needs.attributes.extend(zone::ATTRIBUTES.map(str::to_owned));
                }
                CompiledAction::Plugin(Box::new(step))
            }
        };
        Ok(Self { condition, action, next: node.next, ways, ahead: needs, rules })
    }
}

impl CompiledStep {
    fn new(
        step: PluginStep,
        inputs: Option<&BTreeMap<String, ColumnType>>,
        around: &Around<'_>,
    ) -> std::result::Result<Self, String> {
        let Around { plugins, grants, teams, .. } = around;
        let plugin =
            plugins.get(&step.digest).ok_or_else(|| format!("plugin `{}` is not loaded", step.plugin))?;
        let mut config = step.config;
        for pointer in &step.teams {
            let field =
                config.pointer_mut(pointer).ok_or_else(|| format!("its configuration has no `{pointer}`"))?;
            let key = field.as_str().unwrap_or_default().to_owned();
            // A team that left teams.yaml since is an empty one: the plugin says so for each contact.
            *field = teams.get(&key).cloned().unwrap_or_else(
                || serde_json::json!({"key": key.clone(), "name": key.clone(), "members": []}),
            );
        }
        let columns = step.columns.into_iter().map(|source| CompiledColumn::new(source, inputs));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        let manifest = plugin.manifest();
        let grant = grants.get(&step.plugin).cloned().unwrap_or_default();
        Ok(Self {
            denied: denied(manifest, &grant),
            granted: grant.effects.into_iter().collect(),
            plugin: Arc::clone(plugin),
            config: config.to_string(),
            columns,
            state_key: step.state_key,
            paths: step.paths,
        })
    }

    fn needs(&self, needs: &mut Needs) {
        for column in &self.columns {
            match &column.value {
                CompiledValue::Cel(expression) => needs.merge(expression.needs()),
                CompiledValue::Template(template) => needs.merge(template.needs()),
                CompiledValue::Member(_) => needs.segments = true,
                CompiledValue::Zone => needs.attributes.extend(zone::ATTRIBUTES.map(str::to_owned)),
                CompiledValue::Holidays(holidays) => {
                    needs.attributes.extend(holidays.by_country.as_ref().map(|_| COUNTRY.to_owned()));
                }
            }
        }
        // The engine itself decides about consent, whatever the plugin looks at.
        needs.consents |= self.granted.contains(&EffectKind::Email);
        // Points are added to what is there.
        needs.scores |= self.granted.contains(&EffectKind::Score);
    }
}

impl CompiledColumn {
    fn new(
        source: ColumnSource,
        inputs: Option<&BTreeMap<String, ColumnType>>,
    ) -> std::result::Result<Self, String> {
        let value = match source.value {
            ValueSource::Cel(cel) => CompiledValue::Cel(compile(&cel, source.column, inputs)?),
            ValueSource::Template(text) => {
                CompiledValue::Template(Inline::compile(&text).map_err(|problem| problem.message)?)
            }
            ValueSource::Member(segment) => CompiledValue::Member(segment),
            ValueSource::Zone => CompiledValue::Zone,
            ValueSource::Holidays(holidays) => CompiledValue::Holidays(holidays),
        };
        Ok(Self { name: source.name, column: source.column, value })
    }
}

fn schedule(trigger: Trigger) -> Option<(String, String)> {
    match trigger {
        Trigger::Schedule { cron, time_zone } => Some((cron, time_zone)),
        _ => None,
    }
}

fn denied(manifest: &Manifest, grant: &Grant) -> Option<String> {
    let missing = manifest.reads.iter().find(|read| !grant.reads.contains(&read.field))?;
    Some(format!("plugin `{}` was not granted to read `{}`", manifest.name, missing.field))
}

fn compile(
    source: &str,
    column: ColumnType,
    inputs: Option<&BTreeMap<String, ColumnType>>,
) -> std::result::Result<Expression, String> {
    Expression::compile(source, column, &Scope { inputs, ..Scope::default() }).map_err(|problems| {
        problems
            .into_iter()
            .next()
            .map_or_else(|| format!("`{source}` does not compile"), |first| first.message)
    })
}
