//! A checked workflow, ready to run; stored as JSON with its version.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    batch::ColumnType,
    contact::Needs,
    digest::Digest,
    holidays::Holidays,
    policy::{Goal, Policies, StepRules},
};

/// Position of a node in [`Program::nodes`]; a run's cursor.
pub type NodeIndex = u32;

/// One version of a workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// Format of this JSON; see [`FORMAT`].
    pub format: u32,
    /// The workflow's name.
    pub name: String,
    /// One sentence for people.
    pub description: Option<String>,
    /// What starts a run.
    pub triggers: Vec<Trigger>,
    /// CEL: who may enter.
    pub enroll_if: Option<String>,
    /// Whether a contact may enter again.
    pub again: Again,
    /// With what other workflows call it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
    /// What becomes of an event of a contact that is in the workflow. Older programs do not have it.
    #[serde(default, skip_serializing_if = "Concurrency::is_one")]
    pub concurrency: Concurrency,
    /// The steps and the control flow between them; a run starts at node 0. Never empty.
    pub nodes: Vec<Node>,
    /// Every template that a step of this version may send (partials included), by name.
    pub templates: BTreeMap<String, Digest>,
    /// The author's `settings.share`: how large a part of the engine's time the workflow gets while several want it.
    /// Older programs do not have it, and keep their digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<u32>,
    /// What bounds the workflow as a whole.
    #[serde(default, skip_serializing_if = "Policies::is_empty")]
    pub policies: Policies,
}

/// The newest format that today's code reads and writes. It rises when a program means something else to who does not
/// know what is new in it; a field that may be passed over, like [`Program::share`], does not raise it. A program has the
/// lowest format that says all that is in it ([`Program::needed_format`]), so that older ones keep their digests.
pub const FORMAT: u32 = 3;

/// The format of a program in which nothing is newer than the first release.
const FIRST_FORMAT: u32 = 1;

/// The format of a program with policies, and with steps that lead many ways or wait for something to happen.
const SECOND_FORMAT: u32 = 2;

/// The share of a workflow that does not say which.
pub const DEFAULT_SHARE: u32 = 10;

/// What starts a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// An event of this name arrives.
    Event(String),
    /// The contact joins this segment.
    SegmentJoined(String),
    /// The times of a five-field cron expression, in an IANA time zone: every contact that `enroll.if` admits enters.
    Schedule {
        /// `30 9 * * 1-5`
        cron: String,
        /// `Europe/Berlin`
        time_zone: String,
    },
    /// `dripline enroll`.
    Manual,
    /// A step of another workflow.
    Called,
    /// Something happens to the contact, and more is asked of it than its name.
    When(Box<When>),
}

/// Something that happens to a contact, and what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct When {
    /// What happens.
    pub what: Occasion,
    /// CEL: which of these start a run; it sees `event`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// What is one and the same although it happens twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedupe: Option<Dedupe>,
    /// For how long nothing of the kind must follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debounce: Option<Debounce>,
}

/// What may happen to a contact. All of it is an event of the contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// An event of this name arrives.
    Event(String),
    /// The contact joins this segment.
    SegmentJoined(String),
    /// The contact leaves this segment.
    SegmentLeft(String),
    /// An attribute gets another value.
    Changed {
        /// The attribute's name.
        attribute: String,
        /// The value before; without it any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Value>,
        /// The value now; without it any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Value>,
    },
    /// A run of another workflow ends.
    WorkflowEnded {
        /// The workflow's name.
        workflow: String,
        /// Whether it also counts when the run failed or its contact went.
        any: bool,
    },
    /// A date of the contact comes.
    Date(DateTrigger),
}

/// A moment that follows from a date of the contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DateTrigger {
    /// CEL, a timestamp; one at midnight UTC is that day where the contact is.
    pub date: String,
    /// How long before or after it; without it at the date itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<Shift>,
    /// The time of day, `09:00`; without it the day's first moment, or the exact point in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Whether it comes each year.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub yearly: bool,
    /// What of a contact it looks at.
    pub needs: Needs,
}

/// By how much something is moved in time; a duration (`30d`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shift {
    /// Earlier.
    Before(String),
    /// Later.
    After(String),
}

/// How long an event waits for others of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debounce {
    /// For how long none must follow; a duration.
    pub quiet: String,
    /// After how long the latest starts a run although others follow; a duration.
    pub at_most: String,
}

/// Which events are one and the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dedupe {
    /// CEL, a text; it sees `event`.
    pub key: String,
    /// A duration: how long ago an event of the same key counts.
    pub within: String,
}

/// Whether a contact that was in the workflow may enter once more. Nobody is in one workflow twice at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Again {
    /// Once in a lifetime.
    Never,
    /// Whenever the run before has ended.
    Always,
    /// Not before this long after the run before was enrolled; a duration (`90d`).
    After(String),
}

/// What becomes of something that starts a run for a contact that is in the workflow already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Concurrency {
    /// It starts nothing.
    #[default]
    One,
    /// An event waits until the run before has ended.
    Queue,
    /// It starts a further run.
    Parallel,
}

impl Concurrency {
    /// Whether it is what holds where nobody says otherwise.
    pub fn is_one(&self) -> bool {
        *self == Self::One
    }
}

/// One step, or one piece of control flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// The author's `id`, or one made of its place (`step-3`, `step-3.then-1`). Unique in the program.
    pub id: String,
    /// The author's `name`, for people.
    pub name: Option<String>,
    /// Line in the file, from 1.
    pub line: u32,
    /// CEL: the step's own `if`; where it does not hold the step is skipped.
    pub condition: Option<String>,
    /// What it does.
    pub action: Action,
    /// Where a run goes on; `None` ends it.
    pub next: Option<NodeIndex>,
    /// How late it may be done, and what becomes of its failures.
    #[serde(default, skip_serializing_if = "StepRules::is_empty")]
    pub rules: StepRules,
}

/// What a node does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Calls a plugin.
    Plugin(PluginStep),
    /// Goes to `next` where the CEL condition holds, else to `otherwise` (`None` ends the run).
    Branch {
        /// CEL
        condition: String,
        /// The other way.
        otherwise: Option<NodeIndex>,
    },
    /// Goes where the case that is the value of the CEL expression leads, else to `otherwise` (`None` ends the run).
    Switch {
        /// CEL, of text
        value: String,
        /// The cases and where each leads.
        cases: Vec<(String, Option<NodeIndex>)>,
        /// The way of every other value, and of none.
        otherwise: Option<NodeIndex>,
    },
    /// Goes one of several ways, by chance, and a contact always the same.
    Split {
        /// The ways.
        arms: Vec<SplitArm>,
    },
    /// Goes one of several ways, by chance, and what becomes of the contacts decides which way is best.
    Experiment(Experiment),
    /// Goes several ways at once, and on to `next` when they have joined.
    Parallel(Parallel),
    /// Starts a run of another workflow, and may wait for its end.
    Run(Call),
    /// Goes on to `next`, which need not be the step below.
    Goto,
    /// Waits until something happens.
    WaitFor(WaitFor),
    /// Ends the run with this reason.
    Exit {
        /// For people.
        reason: String,
    },
}

/// One way of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitArm {
    /// Its name.
    pub name: String,
    /// Its part of the contacts in relation to the others'.
    pub weight: u32,
    /// Where it leads; `None` ends the run.
    pub next: Option<NodeIndex>,
}

/// Ways that are compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// The ways.
    pub arms: Vec<SplitArm>,
    /// How many of a hundred contacts go on to the node's `next` without any of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_out: Option<u32>,
    /// By what they are compared.
    pub goal: Goal,
    /// A duration, counted from when a contact comes to the step: the time in which the goal counts.
    pub within: String,
    /// How sure it has to be that one is better, below 1; without it no test decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub significance: Option<f64>,
    /// How many contacts of each arm the first comparison waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<u64>,
    /// A date, or a date and time, in the workspace's zone: from then on the best has won.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// Something with which a workflow is called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Its name: `input.NAME`.
    pub name: String,
    /// What it is.
    #[serde(rename = "type")]
    pub column: ColumnType,
    /// Its value where the caller gives none; without it the caller has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

/// A call of another workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its name. Its version is the current one when the step is taken.
    pub workflow: String,
    /// With what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<Argument>,
    /// Whether the run waits for the end of the one that it starts.
    pub waits: bool,
    /// Where the ways lead for which the author gives steps; every other goes on to the node's `next`. `None` ends the run.
    pub ways: BTreeMap<CallEnd, Option<NodeIndex>>,
}

/// A value with which a workflow is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argument {
    /// The input's name.
    pub name: String,
    /// CEL
    pub value: String,
}

/// How a call came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallEnd {
    /// The run came to its end.
    Completed,
    /// The run reached a goal of its workflow.
    Won,
    /// The run failed.
    Failed,
    /// The run was ended by a person.
    Cancelled,
    /// No run began.
    Refused,
    /// A run began, and nobody waits for it.
    Started,
}

impl CallEnd {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Completed, Self::Won, Self::Failed, Self::Cancelled, Self::Refused, Self::Started];

    /// The word for it in a workflow's file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Won => "won",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
            Self::Started => "started",
        }
    }

    /// Whether it is what the caller wanted: it takes `then`.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Completed | Self::Won | Self::Started)
    }

    /// Those that there may be.
    pub fn of(waits: bool) -> impl Iterator<Item = Self> {
        let fits = move |end: &Self| match end {
            Self::Refused => true,
            Self::Started => !waits,
            _ => waits,
        };
        Self::ALL.into_iter().filter(fits)
    }
}

/// Ways that a run goes at once, each as a run of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parallel {
    /// The ways; a run that comes to the end of one has ended.
    pub paths: Vec<Path>,
    /// For which of them the run waits.
    #[serde(default, skip_serializing_if = "Join::is_all")]
    pub join: Join,
}

/// One way of a [`Parallel`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// Its name.
    pub name: String,
    /// Where it begins.
    pub first: NodeIndex,
    /// The node behind its last.
    pub end: NodeIndex,
}

/// When parallel ways have joined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// When all have come to their end.
    #[default]
    All,
    /// When one has; the others are ended.
    Any,
}

impl Join {
    fn is_all(&self) -> bool {
        *self == Self::All
    }
}

/// What those are called who are held out of an experiment; no arm is.
pub const HOLD_OUT: &str = "hold_out";

/// What a run waits for, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitFor {
    /// An event of this name; without it the condition alone is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// CEL: with an event, which ones count (it sees `event`); without one, what has to hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// A duration (`3d`), counted from when the run comes to the step.
    pub within: String,
    /// Where a run goes on when it happens; `None` ends it.
    pub then: Option<NodeIndex>,
    /// Where a run goes that waited in vain; `None` ends it.
    pub otherwise: Option<NodeIndex>,
}

/// A plugin's call, prepared when the workflow was published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginStep {
    /// The plugin's name, as in its manifest.
    pub plugin: String,
    /// The code that runs, whatever is installed later.
    pub digest: Digest,
    /// The configuration with marked fields replaced as [`crate::manifest::mark`] says; teams are still keys here.
    pub config: Value,
    /// JSON pointers into `config` of fields that hold a team's key, to be replaced by its members at the call.
    pub teams: Vec<String>,
    /// The columns, in the order of their indexes in `config`: first the manifest's reads, then the expressions.
    pub columns: Vec<ColumnSource>,
    /// Which state cell the step uses; `None` where the plugin keeps none.
    pub state_key: Option<String>,
    /// Where named outputs lead; an output that is not here goes to the node's `next`. `None` ends the run.
    pub paths: BTreeMap<String, Option<NodeIndex>>,
}

/// Where a column's values come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnSource {
    /// The column's name: the field or the JSON pointer in the configuration.
    pub name: String,
    /// What it holds.
    pub column: ColumnType,
    /// How it is made.
    pub value: ValueSource,
}

/// How the engine makes the values of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueSource {
    /// Evaluates CEL. A contact for which it cannot be evaluated has no value.
    Cel(String),
    /// Renders Handlebars. A contact for which it cannot be rendered fails the turn.
    Template(String),
    /// Membership of the segment.
    Member(String),
    /// The IANA name of the zone in which the contact lives ([`crate::zone::name_of`]).
    Zone,
    /// The holidays from now on ([`Holidays::days`]).
    Holidays(Holidays),
}

impl Program {
    /// The attributes whose changes start runs.
    pub fn watched_attributes(&self) -> BTreeSet<&str> {
        let watched = self.whens().filter_map(|when| match &when.what {
            Occasion::Changed { attribute, .. } => Some(attribute.as_str()),
            _ => None,
        });
        watched.collect()
    }

    /// The node at `index`.
    pub fn node(&self, index: NodeIndex) -> Option<&Node> {
        self.nodes.get(index as usize)
    }

    /// The types of what it is called with, by name.
    pub fn input_types(&self) -> BTreeMap<String, ColumnType> {
        self.inputs.iter().map(|input| (input.name.clone(), input.column)).collect()
    }

    /// The path in which a node stands, with the node of its [`Parallel`]: of paths inside one another the innermost.
    pub fn path_of(&self, index: NodeIndex) -> Option<(NodeIndex, &Path)> {
        let paths = (0..).zip(&self.nodes).filter_map(|(at, node)| match &node.action {
            Action::Parallel(parallel) => Some((at, parallel)),
            _ => None,
        });
        let around = paths.flat_map(|(at, parallel)| parallel.paths.iter().map(move |path| (at, path)));
        around.filter(|(_, path)| (path.first..path.end).contains(&index)).max_by_key(|(at, _)| *at)
    }

    /// The dates whose coming starts runs.
    pub fn dates(&self) -> impl Iterator<Item = &DateTrigger> {
        self.whens().filter_map(|when| match &when.what {
            Occasion::Date(date) => Some(date),
            _ => None,
        })
    }

    fn whens(&self) -> impl Iterator<Item = &When> {
        self.triggers.iter().filter_map(|trigger| match trigger {
            Trigger::When(when) => Some(when.as_ref()),
            _ => None,
        })
    }

    /// Whether older programs would do something else with it.
    fn is_of_today(&self) -> bool {
        let mut columns = self.nodes.iter().filter_map(Node::plugin_step).flat_map(|step| &step.columns);
        !self.concurrency.is_one()
            || self.dates().next().is_some()
            || self.whens().any(|when| when.debounce.is_some())
            || columns.any(|column| matches!(column.value, ValueSource::Holidays(_)))
    }

    /// The lowest format that says all that is in this program.
    pub fn needed_format(&self) -> u32 {
        let of = |action: &Action| match action {
            Action::Experiment(_) | Action::Parallel(_) | Action::Run(_) => FORMAT,
            Action::Switch { .. } | Action::Split { .. } | Action::WaitFor(_) => SECOND_FORMAT,
            Action::Plugin(_) | Action::Branch { .. } | Action::Goto | Action::Exit { .. } => FIRST_FORMAT,
        };
        let rules = |node: &Node| if node.rules.is_empty() { FIRST_FORMAT } else { SECOND_FORMAT };
        let policies = if self.policies.is_empty() { FIRST_FORMAT } else { SECOND_FORMAT };
        let nodes = self.nodes.iter().map(|node| of(&node.action).max(rules(node)));
        let is_called = !self.inputs.is_empty() || self.triggers.contains(&Trigger::Called);
        // Who does not know grades takes them for an attribute that nobody has. Where they are only written about, the format
        // is higher than it need be.
        let names_grades = || serde_json::to_string(self).is_ok_and(|json| json.contains("contact.grades"));
        if is_called || self.is_of_today() || names_grades() {
            return FORMAT;
        }
        nodes.fold(policies, u32::max)
    }

    /// What names this version: the digest of its canonical JSON, which holds the digests of its plugins and templates.
    pub fn digest(&self) -> Digest {
        // Serialising these types cannot fail: there are no maps with keys that are not text.
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}

impl DateTrigger {
    /// What it is, in words that no other trigger of the same workflow has.
    pub fn words(&self) -> String {
        let date = &self.date;
        let mut words = match &self.shift {
            None => date.clone(),
            Some(Shift::Before(span)) => format!("{span} before {date}"),
            Some(Shift::After(span)) => format!("{span} after {date}"),
        };
        if self.yearly {
            words.push_str(", each year");
        }
        if let Some(at) = &self.at {
            words.push_str(&format!(", at {at}"));
        }
        words
    }
}

impl Node {
    /// Where a run may go from here, with the steps of a block and what stands below.
    pub fn ways(&self) -> impl Iterator<Item = NodeIndex> {
        let arms = |arms: &[SplitArm]| arms.iter().map(|arm| arm.next).collect();
        let own: Vec<Option<NodeIndex>> = match &self.action {
            Action::Plugin(step) => step.paths.values().copied().collect(),
            Action::Branch { otherwise, .. } => vec![*otherwise],
            Action::Switch { cases, otherwise, .. } => {
                cases.iter().map(|(_, next)| *next).chain([*otherwise]).collect()
            }
            Action::Split { arms: all } => arms(all),
            Action::Experiment(experiment) => arms(&experiment.arms),
            Action::Parallel(parallel) => parallel.paths.iter().map(|path| Some(path.first)).collect(),
            Action::Run(call) => call.ways.values().copied().collect(),
            Action::WaitFor(wait) => vec![wait.then, wait.otherwise],
            Action::Goto | Action::Exit { .. } => Vec::new(),
        };
        // Whoever does not meet the step's own `if` goes on below an `exit` too.
        let ends = matches!(self.action, Action::Exit { .. }) && self.condition.is_none();
        own.into_iter().chain([self.next.filter(|_| !ends)]).flatten()
    }

    /// The plugin's call, where the node is one.
    pub fn plugin_step(&self) -> Option<&PluginStep> {
        match &self.action {
            Action::Plugin(step) => Some(step),
            _ => None,
        }
    }
}
