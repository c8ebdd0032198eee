//! What is different between two versions of a workflow, in the words of its file.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    Digest,
    migration::PLACE,
    program::{Action, Again, Node, PluginStep, Program, Trigger, ValueSource},
};

/// What is different.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Beside the steps: triggers, enrolment, goals, settings.
    pub values: Vec<ValueChange>,
    /// The steps that are not what and where they were, in the order of the new version; those that are gone come last.
    pub steps: Vec<StepChange>,
    /// The templates that are new, changed or used no more.
    pub templates: Vec<TemplateChange>,
}

/// A value that is another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ValueChange {
    /// Its place, as the file says it: `enroll.if`, `email.subject`.
    pub what: String,
    /// What it was; `None` where nothing stood.
    pub old: Option<String>,
    /// What it is; `None` where nothing stands any more.
    pub new: Option<String>,
}

/// A step that is not what and where it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepChange {
    /// Its id; of a step that is gone, what it was.
    pub id: String,
    /// The id that it had, where that was another.
    pub old_id: Option<String>,
    /// What became of it.
    pub change: Change,
    /// Whether it also stands elsewhere among the others.
    pub moved: bool,
    /// What is different in it; of a new step all that it says.
    pub values: Vec<ValueChange>,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It does something else.
    Changed,
    /// It only stands elsewhere.
    Moved,
}

/// A template that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TemplateChange {
    /// Its name.
    pub name: String,
    /// What it was; `None` where it is new.
    pub old: Option<Digest>,
    /// What it is; `None` where it is used no more.
    pub new: Option<Digest>,
}

impl Difference {
    /// What has to be done to `old` to make it `new`. Lines in the file are no difference.
    pub fn between(old: &Program, new: &Program) -> Self {
        Self {
            values: compare(&settings(old), &settings(new)),
            steps: steps(old, new),
            templates: templates(old, new),
        }
    }

    /// Whether there is none that a person would see.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a place says, in the order of the file.
type Facts = Vec<(String, String)>;

fn compare(old: &Facts, new: &Facts) -> Vec<ValueChange> {
    let find = |facts: &Facts, what: &str| {
        facts.iter().find(|(place, _)| place == what).map(|(_, value)| value.clone())
    };
    let gone = old.iter().filter(|(what, _)| find(new, what).is_none());
    let places = new.iter().chain(gone).map(|(what, _)| what);
    let changes =
        places.map(|what| ValueChange { what: what.clone(), old: find(old, what), new: find(new, what) });
    changes.filter(|change| change.old != change.new).collect()
}

fn templates(old: &Program, new: &Program) -> Vec<TemplateChange> {
    let names: BTreeSet<&String> = old.templates.keys().chain(new.templates.keys()).collect();
    let changes = names.into_iter().map(|name| TemplateChange {
        name: name.clone(),
        old: old.templates.get(name).cloned(),
        new: new.templates.get(name).cloned(),
    });
    changes.filter(|change| change.old != change.new).collect()
}

/// Everything but the steps.
fn settings(program: &Program) -> Facts {
    let mut facts = Facts::new();
    let mut rest = object(program);
    for known in
        ["format", "name", "nodes", "templates", "triggers", "enroll_if", "again", "policies", "share"]
    {
        rest.remove(known);
    }
    put(&mut facts, "description", rest.remove("description"));
    for (number, trigger) in program.triggers.iter().enumerate() {
        let what = if program.triggers.len() == 1 { "on".to_owned() } else { format!("on[{number}]") };
        facts.push((what, trigger_text(trigger)));
    }
    if let Some(condition) = &program.enroll_if {
        facts.push(("enroll.if".into(), condition.clone()));
    }
    match &program.again {
        Again::Never => {}
        Again::Always => facts.push(("enroll.again".into(), "always".into())),
        Again::After(duration) => facts.push(("enroll.again".into(), format!("after {duration}"))),
    }
    let mut policies = object(&program.policies);
    for goals in ["goals", "exits"] {
        flatten(&mut facts, goals, policies.remove(goals).unwrap_or_default());
    }
    if let Some(share) = program.share {
        facts.push(("settings.share".into(), share.to_string()));
    }
    flatten(&mut facts, "settings", Value::Object(policies));
    for (what, value) in rest {
        flatten(&mut facts, &what, value);
    }
    facts
}

fn trigger_text(trigger: &Trigger) -> String {
    match trigger {
        Trigger::Event(name) => format!("event {name}"),
        Trigger::SegmentJoined(name) => format!("joining {name}"),
        Trigger::Schedule { cron, time_zone } => format!("schedule {cron} ({time_zone})"),
        Trigger::Manual => "manual".to_owned(),
        Trigger::Called => "called".to_owned(),
        other => {
            let mut facts = Facts::new();
            let what = object(other).into_iter().next().map(|(_, what)| what).unwrap_or_default();
            flatten(&mut facts, "", what);
            let said = facts.into_iter().map(|(what, value)| {
                let what = what.strip_prefix("what.").unwrap_or(&what).to_owned();
                let what = if what == "condition" { "if".to_owned() } else { what.replace('.', " ") };
                format!("{what} {value}")
            });
            said.collect::<Vec<_>>().join(" ")
        }
    }
}

/// The steps of two versions that are one step: places in both.
fn pairs(old: &Program, new: &Program) -> Vec<(usize, usize)> {
    let is_named = |node: &Node| !node.id.starts_with(PLACE);
    let by_id: BTreeMap<&str, usize> =
        old.nodes.iter().enumerate().map(|(place, node)| (node.id.as_str(), place)).collect();
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (place, node) in new.nodes.iter().enumerate().filter(|(_, node)| is_named(node)) {
        found.extend(by_id.get(node.id.as_str()).map(|other| (*other, place)));
    }
    // A step without an id of its own is called after its place, and that is another as soon as something comes above it.
    // So those are one that say the same, in the same order; else those in the same place that do the same kind of thing.
    let unnamed = |program: &Program| -> Vec<(usize, Facts)> {
        let nodes = program.nodes.iter().enumerate().filter(|(_, node)| !is_named(node));
        nodes.map(|(place, node)| (place, facts(node, program))).collect()
    };
    let (old_steps, new_steps) = (unnamed(old), unnamed(new));
    let same: Vec<(usize, usize)> = common(&old_steps, &new_steps, |one, other| one.1 == other.1);
    let mut taken: BTreeSet<usize> = BTreeSet::new();
    let mut paired: BTreeSet<usize> = BTreeSet::new();
    for (one, other) in same {
        let (Some((one, _)), Some((other, _))) = (old_steps.get(one), new_steps.get(other)) else { continue };
        found.push((*one, *other));
        taken.insert(*one);
        paired.insert(*other);
    }
    for (place, _) in new_steps.iter().filter(|(place, _)| !paired.contains(place)) {
        let Some(node) = new.nodes.get(*place) else { continue };
        let twin = by_id.get(node.id.as_str()).filter(|twin| !taken.contains(*twin));
        let Some(twin) = twin.copied() else { continue };
        if old.nodes.get(twin).is_some_and(|other| verb(other) == verb(node)) {
            found.push((twin, *place));
            taken.insert(twin);
        }
    }
    found.sort_by_key(|(_, place)| *place);
    found
}

/// The longest sequence of items that both have, as places in both.
fn common<T>(one: &[T], other: &[T], is_same: impl Fn(&T, &T) -> bool) -> Vec<(usize, usize)> {
    let width = other.len() + 1;
    let mut longest = vec![0_u32; (one.len() + 1) * width];
    let at =
        |longest: &[u32], row: usize, column: usize| longest.get(row * width + column).copied().unwrap_or(0);
    for (row, left) in one.iter().enumerate().rev() {
        for (column, right) in other.iter().enumerate().rev() {
            let length = if is_same(left, right) {
                at(&longest, row + 1, column + 1) + 1
            } else {
                at(&longest, row + 1, column).max(at(&longest, row, column + 1))
            };
            if let Some(place) = longest.get_mut(row * width + column) {
                *place = length;
            }
        }
    }
    let (mut row, mut column, mut found) = (0, 0, Vec::new());
    while let (Some(left), Some(right)) = (one.get(row), other.get(column)) {
        if is_same(left, right) {
            found.push((row, column));
            row += 1;
            column += 1;
        } else if at(&longest, row + 1, column) >= at(&longest, row, column + 1) {
            row += 1;
        } else {
            column += 1;
        }
    }
    found
}

fn steps(old: &Program, new: &Program) -> Vec<StepChange> {
    let pairs = pairs(old, new);
    let old_of: BTreeMap<usize, usize> = pairs.iter().map(|(one, other)| (*other, *one)).collect();
    let kept: BTreeSet<usize> = pairs.iter().map(|(one, _)| *one).collect();
    // Those that stand in another order than before: all but the longest run of steps that keep theirs.
    let before: Vec<usize> = pairs.iter().map(|(one, _)| *one).collect();
    let in_place = ascending(&before);
    let mut changes = Vec::new();
    for (place, node) in new.nodes.iter().enumerate() {
        let known = old_of.get(&place).and_then(|other| Some((*other, old.nodes.get(*other)?)));
        let Some((other, known)) = known else {
            changes.push(StepChange {
                id: node.id.clone(),
                old_id: None,
                change: Change::Added,
                moved: false,
                values: compare(&Facts::new(), &facts(node, new)),
            });
            continue;
        };
        let values = compare(&facts(known, old), &facts(node, new));
        let moved = !in_place.contains(&other);
        if values.is_empty() && !moved {
            continue;
        }
        changes.push(StepChange {
            id: node.id.clone(),
            old_id: (known.id != node.id).then(|| known.id.clone()),
            change: if values.is_empty() { Change::Moved } else { Change::Changed },
            moved,
            values,
        });
    }
    let gone = old.nodes.iter().enumerate().filter(|(place, _)| !kept.contains(place));
    changes.extend(gone.map(|(_, node)| StepChange {
        id: node.id.clone(),
        old_id: None,
        change: Change::Removed,
        moved: false,
        values: compare(&facts(node, old), &Facts::new()),
    }));
    changes
}

/// The longest ascending part of a sequence.
fn ascending(sequence: &[usize]) -> BTreeSet<usize> {
    let mut sorted = sequence.to_vec();
    sorted.sort_unstable();
    let found = common(sequence, &sorted, |one, other| one == other);
    found.into_iter().filter_map(|(place, _)| sequence.get(place).copied()).collect()
}

/// What a step does, in one word.
fn verb(node: &Node) -> String {
    match &node.action {
        Action::Plugin(step) => step.plugin.clone(),
        Action::Branch { .. } => "if".to_owned(),
        other => match to_value(other) {
            Value::String(word) => word,
            Value::Object(body) => body.into_iter().next().map(|(word, _)| word).unwrap_or_default(),
            _ => String::new(),
        },
    }
}

/// What a step says, in the words of the file.
fn facts(node: &Node, program: &Program) -> Facts {
    let mut facts = Facts::new();
    let mut rest = object(node);
    for known in ["id", "line", "next", "action", "condition", "rules"] {
        rest.remove(known);
    }
    put(&mut facts, "name", rest.remove("name"));
    if let Some(condition) = &node.condition {
        facts.push(("if".into(), condition.clone()));
    }
    action(&mut facts, node, program);
    flatten(&mut facts, "", to_value(&node.rules));
    for (what, value) in rest {
        flatten(&mut facts, &what, value);
    }
    facts
}

fn action(facts: &mut Facts, node: &Node, program: &Program) {
    match &node.action {
        Action::Plugin(step) => {
            facts.push(("does".into(), step.plugin.clone()));
            flatten(facts, &step.plugin, written(step));
            facts.push(("plugin".into(), format!("{} {}", step.plugin, step.digest.short())));
            facts.extend(
                step.paths.keys().map(|path| (format!("paths.{path}"), "a way of its own".to_owned())),
            );
        }
        Action::Branch { condition, .. } => facts.push(("if … then".into(), condition.clone())),
        Action::Goto => {
            let target = node.next.and_then(|next| program.node(next));
            facts.push(("goto".into(), target.map_or("the end", |node| node.id.as_str()).to_owned()));
        }
        Action::Exit { reason } => facts.push(("exit".into(), reason.clone())),
        Action::Split { arms } => {
            facts.extend(arms.iter().map(|arm| (format!("split.{}", arm.name), arm.weight.to_string())));
        }
        other => {
            let Value::Object(body) = to_value(other) else { return };
            for (word, body) in body {
                flatten(facts, &word, without_ways(body));
            }
        }
    }
}

/// A plugin's configuration as the author wrote it.
fn written(step: &PluginStep) -> Value {
    let mut config = step.config.clone();
    for column in &step.columns {
        if let Some(place) = config.pointer_mut(&column.name) {
            *place = match &column.value {
                ValueSource::Cel(text) | ValueSource::Template(text) | ValueSource::Member(text) => {
                    Value::String(text.clone())
                }
                other => to_value(other),
            };
        }
    }
    config
}

/// Under which names it is said where a step leads.
const WAYS: [&str; 11] = [
    "next",
    "then",
    "otherwise",
    "first",
    "end",
    "completed",
    "won",
    "failed",
    "cancelled",
    "refused",
    "started",
];

/// Without where it leads: of a way that has a name, the name stays.
fn without_ways(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(key, value)| !(WAYS.contains(&key.as_str()) && (value.is_number() || value.is_null())))
            .map(|(key, value)| {
                let key = if key == "condition" { "if".to_owned() } else { key };
                (key, without_ways(value))
            })
            .collect(),
        Value::Array(items) => Value::Array(items.into_iter().map(without_ways).collect()),
        other => other,
    }
}

/// A name and where it leads.
fn named_way(value: &Value) -> Option<&str> {
    match value.as_array()?.as_slice() {
        [Value::String(name), way] if way.is_number() || way.is_null() => Some(name),
        _ => None,
    }
}

fn put(facts: &mut Facts, what: &str, value: Option<Value>) {
    if let Some(value) = value {
        flatten(facts, what, value);
    }
}

/// Each single value with its place.
fn flatten(facts: &mut Facts, place: &str, value: Value) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (key, value) in fields {
                let place = if place.is_empty() { key } else { format!("{place}.{key}") };
                flatten(facts, &place, value);
            }
        }
        Value::Array(items) => {
            for (number, item) in items.into_iter().enumerate() {
                if let Some(name) = named_way(&item) {
                    facts.push((format!("{place}.{name}"), "a way of its own".to_owned()));
                } else {
                    flatten(facts, &format!("{place}[{number}]"), item);
                }
            }
        }
        Value::String(text) => facts.push((place.to_owned(), text)),
        other => facts.push((place.to_owned(), other.to_string())),
    }
}

/// These types have no maps with keys that are not text, so that nothing fails.
fn to_value(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn object(value: &impl Serialize) -> Map<String, Value> {
    match to_value(value) {
        Value::Object(fields) => fields,
        other => Map::from_iter([("value".to_owned(), other)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(json: Value) -> Program {
        let mut whole = serde_json::json!({
            "format": 1, "name": "w", "description": null, "triggers": [{"event": "go"}], "enroll_if": null,
            "again": "never", "nodes": [], "templates": {}
        });
        for (key, value) in json.as_object().unwrap() {
            whole[key] = value.clone();
        }
        serde_json::from_value(whole).unwrap()
    }

    fn mail(id: &str, subject: &str) -> Value {
        serde_json::json!({
            "id": id, "name": null, "line": 1, "condition": null, "next": null,
            "action": {"plugin": {
                "plugin": "email", "digest": "ab", "config": {"template": "hello", "subject": 0}, "teams": [],
                "columns": [{"name": "/subject", "column": "text", "value": {"template": subject}}],
                "state_key": null, "paths": {}
            }}
        })
    }

    fn exit(id: &str, reason: &str) -> Value {
        serde_json::json!({
            "id": id, "name": null, "line": 1, "condition": null, "next": null, "action": {"exit": {"reason": reason}}
        })
    }

    /// What is different, a line for each.
    fn lines(old: &[Value], new: &[Value]) -> Vec<String> {
        let nodes = |nodes: &[Value]| program(serde_json::json!({"nodes": nodes}));
        let difference = Difference::between(&nodes(old), &nodes(new));
        let line = |step: StepChange| {
            let values: Vec<_> = step
                .values
                .iter()
                .map(|one| {
                    let text = |value: &Option<String>| value.clone().unwrap_or("-".into());
                    format!("{}: {} > {}", one.what, text(&one.old), text(&one.new))
                })
                .collect();
            let was = step.old_id.map(|id| format!(" (was {id})")).unwrap_or_default();
            let moved = if step.moved { " moved" } else { "" };
            let shown = if step.change == Change::Changed { values.join("; ") } else { String::new() };
            format!("{:?} {}{was}{moved} {shown}", step.change, step.id).trim_end().to_owned()
        };
        difference.steps.into_iter().map(line).collect()
    }

    #[test]
    fn a_step_is_known_by_its_id_wherever_it_stands() {
        let old = [mail("a", "A"), mail("b", "B"), mail("c", "C"), mail("d", "D")];
        let new = [mail("d", "D"), mail("a", "A"), mail("b", "Bee"), mail("e", "E")];
        assert_eq!(
            lines(&old, &new),
            ["Moved d moved", "Changed b email.subject: B > Bee", "Added e", "Removed c"]
        );
        assert_eq!(lines(&old, &old), [""; 0]);
    }

    #[test]
    fn a_step_without_an_id_is_known_by_what_it_says() {
        let old = [mail("step-1", "A"), mail("step-2", "B"), exit("step-3", "done")];
        let new = [mail("step-1", "new"), mail("step-2", "A"), mail("step-3", "B"), exit("step-4", "done")];
        assert_eq!(lines(&old, &new), ["Added step-1"]);
        // In the same place, and of the same kind.
        let new = [mail("step-1", "A"), mail("step-2", "Bee"), exit("step-3", "gone")];
        assert_eq!(
            lines(&old, &new),
            ["Changed step-2 email.subject: B > Bee", "Changed step-3 exit: done > gone"]
        );
        let new = [mail("step-1", "A"), exit("step-2", "other")];
        assert_eq!(lines(&old, &new), ["Added step-2", "Removed step-2", "Removed step-3"]);
    }

    #[test]
    fn what_stands_around_the_steps_is_compared_too() {
        let old = program(serde_json::json!({
            "enroll_if": "a", "policies": {"goals": [{"event": "paid"}], "priority": 5}, "templates": {"x": "1", "y": "2"}
        }));
        let new = program(serde_json::json!({
            "description": "Says hello.", "triggers": ["manual", {"when": {"what": {"event": "go"}, "condition": "c"}}],
            "again": {"after": "90d"}, "policies": {"goals": [{"event": "won"}], "quiet_hours": "20:00-08:00"},
            "templates": {"y": "3", "z": "4"}
        }));
        let Difference { values, steps, templates } = Difference::between(&old, &new);
        let text = |value: &Option<String>| value.clone().unwrap_or("-".into());
        let values: Vec<_> = values
            .iter()
            .map(|one| format!("{}: {} > {}", one.what, text(&one.old), text(&one.new)))
            .collect();
        assert_eq!(
            values,
            [
                "description: - > Says hello.",
                "on[0]: - > manual",
                "on[1]: - > event go if c",
                "enroll.again: - > after 90d",
                "goals[0].event: paid > won",
                "settings.quiet_hours: - > 20:00-08:00",
                "on: event go > -",
                "enroll.if: a > -",
                "settings.priority: 5 > -",
            ]
        );
        assert!(steps.is_empty());
        let templates: Vec<_> =
            templates.iter().map(|one| (&*one.name, one.old.is_some(), one.new.is_some())).collect();
        assert_eq!(templates, [("x", true, false), ("y", true, true), ("z", false, true)]);
    }
}
