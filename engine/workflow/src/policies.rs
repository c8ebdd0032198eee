//! Reading what bounds a workflow and its steps: quiet hours, priority, expiry, errors.

use dripline_expression::Scope;
use dripline_model::{
    batch::ColumnType,
    policy::{AfterPause, Goal, MAX_RETRIES, OnError, OnPublish, Policies, QuietHours, Retry, StepRules},
};

use crate::{
    Code, Environment,
    read::entry,
    source::Report,
    yaml::{Entry, Kind, Node},
};

/// The keys of `settings` that are read here.
pub(crate) const SETTINGS: &[&str] =
    &["quiet_hours", "priority", "on_error", "retry", "after_pause", "on_publish"];

/// The keys of a step that are read here.
pub(crate) const STEP: &[&str] = &["expires", "on_error", "retry"];

/// What `settings` says of it.
pub(crate) fn settings(entries: &[Entry], report: &mut Report<'_>) -> Policies {
    let value = |key| entry(entries, key).map(|entry| &entry.value);
    Policies {
        quiet_hours: value("quiet_hours").and_then(|node| quiet_hours(node, report)),
        priority: value("priority").and_then(|node| priority(node, report)),
        on_error: value("on_error").and_then(|node| on_error(node, report)),
        retry: value("retry").and_then(|node| retry(node, report)),
        after_pause: value("after_pause").and_then(|node| after_pause(node, report)),
        on_publish: value("on_publish").and_then(|node| on_publish(node, report)),
        ..Policies::default()
    }
}

/// What `goals` or `exits` say: one, or a list of them.
pub(crate) fn goals(
    node: &Node,
    key: &str,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Vec<Goal> {
    const EXAMPLE: &str = "[{event: subscription.paid}]";
    match &node.kind {
        Kind::List(items) if !items.is_empty() => {
            items.iter().filter_map(|item| goal(item, key, environment, report)).collect()
        }
        Kind::Mapping(_) => goal(node, key, environment, report).into_iter().collect(),
        _ => {
            let what = format!("`{key}` needs an event or a condition, but this is {}", found(node));
            report.error(Code::Goal, &node.span, what).help(format!("write for example {EXAMPLE}"));
            Vec::new()
        }
    }
}

fn goal(node: &Node, key: &str, environment: &Environment<'_>, report: &mut Report<'_>) -> Option<Goal> {
    const EXAMPLE: &str = "{event: subscription.paid}";
    let entries = report.read_mapping(node, &format!("one of `{key}`"), EXAMPLE)?;
    report.unknown_keys(entries, &["event", "if"], &format!("one of `{key}`"));
    let (event, condition) = (entry(entries, "event"), entry(entries, "if"));
    if event.is_none() && condition.is_none() {
        if entries.is_empty() {
            let message = format!("one of `{key}` says nothing");
            let help = format!("write for example {EXAMPLE}, or {{if: contact.scores.fit >= 100}}");
            report.error(Code::Goal, &node.span, message).help(help);
        }
        return None;
    }
    let scope = Scope { attributes: environment.attributes, event: event.is_some(), inputs: None };
    let name = event.map(|entry| report.read_name(&entry.value, "`event`"));
    let cel = condition.map(|entry| report.read_cel(&entry.value, "`if`", ColumnType::Boolean, &scope));
    // What is wrong is no goal at all, and has been said.
    Some(Goal { event: transpose(name)?, condition: transpose(cel)? })
}

/// What is there and right, or not there; `None` if it is wrong.
fn transpose(read: Option<Option<String>>) -> Option<Option<String>> {
    match read {
        Some(Some(text)) => Some(Some(text)),
        Some(None) => None,
        None => Some(None),
    }
}

/// What a step says of it.
pub(crate) fn step(entries: &[Entry], report: &mut Report<'_>) -> StepRules {
    let value = |key| entry(entries, key).map(|entry| &entry.value);
    StepRules {
        expires: value("expires").and_then(|node| report.read_duration(node, "`expires`")),
        on_error: value("on_error").and_then(|node| on_error(node, report)),
        retry: value("retry").and_then(|node| retry(node, report)),
    }
}

/// Complains of the keys of a step that cannot fail or be late, because it only says where to go.
pub(crate) fn not_here(entries: &[Entry], report: &mut Report<'_>) {
    for entry in entries.iter().filter(|entry| STEP.contains(&entry.key.as_str())) {
        report
            .error(Code::StepRule, &entry.key_span, format!("`{}` goes with a step that does something", entry.key))
            .help("a step that only says where the run goes is never late and cannot fail; remove it, or write it at the steps inside");
    }
}

fn quiet_hours(node: &Node, report: &mut Report<'_>) -> Option<QuietHours> {
    const EXAMPLE: &str = "write for example \"20:00-08:00\", by the contact's clock";
    let Some(text) = node.scalar().filter(|_| !node.is_null()) else {
        report.wrong_type(node, "`quiet_hours`", "a part of the day").help(EXAMPLE);
        return None;
    };
    match QuietHours::parse(text) {
        Ok(hours) => Some(hours),
        Err(message) => {
            report.error(Code::QuietHours, &node.span, message).help(EXAMPLE);
            None
        }
    }
}

fn priority(node: &Node, report: &mut Report<'_>) -> Option<u32> {
    let number = whole(node).filter(|number| (1..=100).contains(number));
    if number.is_none() {
        let message = format!("`priority` cannot be {}", found(node));
        report.error(Code::Priority, &node.span, message).help(
            "write a whole number from 1 to 100; the larger goes first, and without it the priority is 10",
        );
    }
    number
}

fn on_error(node: &Node, report: &mut Report<'_>) -> Option<OnError> {
    match node.scalar() {
        Some("retry") => Some(OnError::Retry),
        Some("skip") => Some(OnError::Skip),
        Some("stop") => Some(OnError::Stop),
        _ => {
            let message = format!("`on_error` cannot be {}", found(node));
            let diagnostic = report.error(Code::OnError, &node.span, message);
            match dripline_model::suggest::closest(
                node.scalar().unwrap_or_default(),
                ["retry", "skip", "stop"],
            ) {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None => diagnostic.help("write retry, skip or stop"),
            };
            None
        }
    }
}

fn after_pause(node: &Node, report: &mut Report<'_>) -> Option<AfterPause> {
    const WORDS: [&str; 3] = ["catch_up", "spread", "skip"];
    match node.scalar() {
        Some("catch_up") => Some(AfterPause::CatchUp),
        Some("spread") => Some(AfterPause::Spread),
        Some("skip") => Some(AfterPause::Skip),
        _ => {
            let message = format!("`after_pause` cannot be {}", found(node));
            let diagnostic = report.error(Code::AfterPause, &node.span, message);
            match dripline_model::suggest::closest(node.scalar().unwrap_or_default(), WORDS) {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None => diagnostic.help("write catch_up, spread or skip"),
            };
            None
        }
    }
}

fn on_publish(node: &Node, report: &mut Report<'_>) -> Option<OnPublish> {
    const WORDS: [&str; 3] = ["pin", "migrate", "drain"];
    match node.scalar() {
        Some("pin") => Some(OnPublish::Pin),
        Some("migrate") => Some(OnPublish::Migrate),
        Some("drain") => Some(OnPublish::Drain),
        _ => {
            let message = format!("`on_publish` cannot be {}", found(node));
            let diagnostic = report.error(Code::OnPublish, &node.span, message);
            match dripline_model::suggest::closest(node.scalar().unwrap_or_default(), WORDS) {
                Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
                None => diagnostic.help("write pin, migrate or drain"),
            };
            None
        }
    }
}

fn retry(node: &Node, report: &mut Report<'_>) -> Option<Retry> {
    const EXAMPLE: &str = "{times: 5, pause: 10m}";
    let entries = report.read_mapping(node, "`retry`", EXAMPLE)?;
    report.unknown_keys(entries, &["times", "pause"], "`retry`");
    let (times, pause) = (entry(entries, "times"), entry(entries, "pause"));
    if times.is_none() && pause.is_none() {
        report
            .error(Code::Retry, &node.span, "`retry` says nothing")
            .help(format!("write for example {EXAMPLE}"));
        return None;
    }
    let times = match times {
        None => Some(DEFAULT_TIMES),
        Some(times) => {
            let number = whole(&times.value).filter(|number| *number <= MAX_RETRIES);
            if number.is_none() {
                let message = format!("`times` cannot be {}", found(&times.value));
                let help =
                    format!("write how often it is tried again, from 0 to {MAX_RETRIES}; without it 3 times");
                report.error(Code::Retry, &times.value.span, message).help(help);
            }
            number
        }
    };
    let pause = match pause {
        None => Some(DEFAULT_PAUSE.to_owned()),
        Some(pause) => report.read_duration(&pause.value, "`pause`"),
    };
    Some(Retry { times: times?, pause: pause? })
}

/// As where nobody says otherwise.
const DEFAULT_TIMES: u32 = 3;
const DEFAULT_PAUSE: &str = "1m";

fn whole(node: &Node) -> Option<u32> {
    node.value().as_u64().and_then(|number| u32::try_from(number).ok())
}

/// What stands there, for people.
fn found(node: &Node) -> String {
    node.scalar().filter(|_| !node.is_null()).map_or(node.what().to_owned(), |text| format!("`{text}`"))
}
