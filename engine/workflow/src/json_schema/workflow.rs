//! The schema of a workflow file.

use std::collections::BTreeMap;

use dripline_model::Manifest;
use serde_json::{Map, Value, json};

use super::{DRAFT, plugin};
use crate::{
    PluginInfo,
    step_reader::{MAX_STEPS, STEP_KEYS, VERBS},
    triggers,
    workflow::KEYS,
};

/// The schema of a workflow file where these plugins are installed. A word of the language that is not described here
/// may hold anything; a test sees to it that there is none.
pub fn workflow(plugins: &BTreeMap<String, PluginInfo>) -> Value {
    let manifests: Vec<&Manifest> = plugins.values().map(|info| &info.manifest).collect();
    let described = |keys: &[&str], of: fn(&str) -> Option<Value>| -> Map<String, Value> {
        keys.iter().map(|key| ((*key).to_owned(), of(key).unwrap_or(Value::Bool(true)))).collect()
    };
    let mut step_properties = described(STEP_KEYS, step_key);
    step_properties.extend(described(VERBS, verb));
    step_properties.extend(manifests.iter().map(|manifest| (manifest.name.clone(), plugin::step(manifest))));
    let mut definitions = json!({
        "expression": {
            "description": "A condition in CEL: contact.country == \"DE\"",
            "type": ["string", "boolean", "number"]
        },
        "duration": {"description": "30m, 4h, 3d, 2w or 1h 30m", "type": ["string", "number"]},
        "steps": {
            "type": "array", "minItems": 1, "maxItems": MAX_STEPS, "items": {"$ref": "#/definitions/step"}
        },
        "trigger": {
            "anyOf": [
                {"const": "manual", "description": "By `dripline enroll`."},
                {"const": "called", "description": "By a step `run` of another workflow."},
                {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": described(&triggers::keys(), trigger_key),
                    "oneOf": starts()
                }
            ]
        },
        "step": {
            "type": "object",
            "additionalProperties": false,
            "properties": step_properties,
            "oneOf": deeds(&manifests)
        }
    });
    if let Value::Object(definitions) = &mut definitions {
        definitions.extend(
            manifests
                .iter()
                .map(|manifest| (plugin::definition(&manifest.name), plugin::configuration(manifest))),
        );
    }
    json!({
        "$schema": DRAFT,
        "title": "Workflow",
        "description": "Who enters a campaign, and what then happens to each contact, step by step.",
        "type": "object",
        "additionalProperties": false,
        "required": ["name", "on", "steps"],
        "properties": described(KEYS, top_key),
        "definitions": definitions
    })
}

/// The keys of steps that hold steps, or say something of those that do.
const BLOCKS: &[&str] = &["then", "else", "cases", "default", "paths", "join"];

/// Those that a word of the language may have beside it.
fn blocks(verb: &str) -> &'static [&'static str] {
    match verb {
        "wait_for" => &["then", "else"],
        "run" => &["then", "else", "paths"],
        "parallel" => &["join"],
        "switch" => &["cases", "default"],
        "split" | "experiment" => &["paths"],
        _ => &[],
    }
}

/// Every block but these is refused.
fn no_blocks_but(blocks: &[&str]) -> Map<String, Value> {
    let others = BLOCKS.iter().filter(|key| !blocks.contains(*key));
    others.map(|key| ((*key).to_owned(), Value::Bool(false))).collect()
}

/// What a step may do: one of these, and only one.
fn deeds(manifests: &[&Manifest]) -> Vec<Value> {
    let own = VERBS.iter().map(|verb| json!({"required": [verb], "properties": no_blocks_but(blocks(verb))}));
    let of_plugins = manifests.iter().map(|manifest| {
        let outputs: Map<String, Value> = manifest
            .outputs
            .iter()
            .map(|output| {
                let steps = json!({"description": output.summary, "$ref": "#/definitions/steps"});
                (output.name.clone(), steps)
            })
            .collect();
        let paths = match outputs.is_empty() {
            true => json!(false),
            false => json!({"type": "object", "additionalProperties": false, "properties": outputs}),
        };
        let mut properties = no_blocks_but(&[]);
        properties.insert("paths".to_owned(), paths);
        json!({"required": [manifest.name], "properties": properties})
    });
    let verbs = VERBS.iter().copied().chain(manifests.iter().map(|manifest| manifest.name.as_str()));
    let none: Map<String, Value> = verbs
        .chain(["cases", "default", "paths", "join"])
        .map(|verb| (verb.to_owned(), Value::Bool(false)))
        .collect();
    let branch = json!({
        "required": ["if"],
        "anyOf": [{"required": ["then"]}, {"required": ["else"]}],
        "properties": none
    });
    own.chain(of_plugins).chain([branch]).collect()
}

/// What may start a run, one in each trigger, with what may stand beside it.
fn starts() -> Vec<Value> {
    let keys = triggers::keys();
    let start = |(start, beside): &(&str, &[&str])| {
        let others = keys.iter().filter(|key| *key != start && !beside.contains(*key));
        let none: Map<String, Value> = others.map(|key| ((*key).to_owned(), Value::Bool(false))).collect();
        json!({"required": [start], "properties": none})
    };
    triggers::STARTS.iter().map(start).collect()
}

fn top_key(key: &str) -> Option<Value> {
    Some(match key {
        "name" => json!({
            "description": "The workflow's identity.",
            "type": "string", "pattern": "^[a-z0-9-]+$", "maxLength": 100
        }),
        "description" => json!({"description": "One sentence for people.", "type": "string"}),
        "on" => json!({
            "description": "What starts a run.",
            "anyOf": [
                {"$ref": "#/definitions/trigger"},
                {"type": "array", "minItems": 1, "items": {"$ref": "#/definitions/trigger"}}
            ]
        }),
        "enroll" => json!({
            "description": "Who may enter, and how often.",
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "if": {"$ref": "#/definitions/expression"},
                "again": {
                    "description": "Whether a contact that was in the workflow may enter once more.",
                    "anyOf": [
                        {"enum": ["never", "always"]},
                        {
                            "type": "object",
                            "additionalProperties": false,
                            "required": ["after"],
                            "properties": {"after": {"$ref": "#/definitions/duration"}}
                        }
                    ]
                },
                "concurrency": {
                    "description": "What becomes of an event of a contact that is in the workflow.",
                    "enum": ["one", "queue", "parallel"]
                }
            }
        }),
        "settings" => json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "share": {
                    "description": "How large a part of the engine's time the workflow gets while others want it too.",
                    "type": "integer", "minimum": 1, "maximum": 100, "default": 10
                },
                "quiet_hours": {
                    "description": "When marketing mail waits, by the contact's clock: 20:00-08:00",
                    "type": "string", "pattern": "-"
                },
                "priority": {
                    "description": "Who mails first where a cap leaves room for fewer.",
                    "type": "integer", "minimum": 1, "maximum": 100, "default": 10
                },
                "after_pause": {
                    "description": "What becomes of what fell due while the workflow was paused.",
                    "enum": ["catch_up", "spread", "skip"]
                },
                "on_publish": {
                    "description": "What becomes of contacts that are on their way when a new version is published.",
                    "enum": ["pin", "migrate", "drain"]
                },
                "on_error": step_key("on_error"),
                "retry": step_key("retry")
            }
        }),
        "inputs" => {
            let types = json!({"enum": ["text", "integer", "number", "boolean"]});
            json!({
                "description": "With what other workflows call it: input.NAME",
                "type": "object", "minProperties": 1,
                "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
                "additionalProperties": {
                    "anyOf": [
                        types.clone(),
                        {
                            "type": "object", "additionalProperties": false, "required": ["type"],
                            "properties": {"type": types, "default": {"type": ["string", "number", "boolean"]}}
                        }
                    ]
                }
            })
        }
        "goals" => ends("What ends a run wherever it stands, as won."),
        "exits" => ends("What else ends a run wherever it stands."),
        "steps" => json!({"description": "What happens, from the top down.", "$ref": "#/definitions/steps"}),
        _ => return None,
    })
}

/// `goals` or `exits`.
fn ends(what: &str) -> Value {
    let end = json!({
        "type": "object",
        "additionalProperties": false,
        "minProperties": 1,
        "properties": {
            "event": {"description": "When an event of this name arrives.", "type": "string", "pattern": "\\S"},
            "if": {"$ref": "#/definitions/expression"}
        }
    });
    json!({"description": what, "anyOf": [end.clone(), {"type": "array", "minItems": 1, "items": end}]})
}

fn trigger_key(key: &str) -> Option<Value> {
    let text = |what: &str| Some(json!({"description": what, "type": "string", "pattern": "\\S"}));
    match key {
        "event" => text("When an event of this name arrives, for its contact."),
        "segment_joined" => text("When a contact joins this segment."),
        "schedule" => text("At these times: minute hour day-of-month month day-of-week."),
        "time_zone" => text("The schedule's time zone: Europe/Berlin"),
        "segment_left" => text("When a contact leaves this segment."),
        "changed" => text("When this attribute of a contact changes: contact.plan"),
        "from" | "to" => Some(json!({
            "description": if key == "from" { "Its value before." } else { "Its value now." },
            "type": ["string", "number", "boolean", "null"]
        })),
        "workflow" => text("When a run of this workflow ends, for its contact."),
        "ends" => Some(json!({"description": "Which ends of it count.", "enum": ["completed", "any"]})),
        "if" => Some(json!({"$ref": "#/definitions/expression"})),
        "date" => Some(json!({
            "description": "When this date of a contact comes: contact.renewal_date", "type": "string", "pattern": "\\S"
        })),
        "before" | "after" => Some(json!({
            "description": format!("How long {key} the date: 30d"), "$ref": "#/definitions/duration"
        })),
        "at" => Some(json!({
            "description": "At this time of day, by the contact's clock: 09:00", "type": "string", "pattern": ":"
        })),
        "every" => Some(json!({"description": "Each year on that day.", "const": "year"})),
        "debounce" => Some(json!({
            "description": "For how long none of the kind must follow; the last one starts the run.",
            "anyOf": [
                {"$ref": "#/definitions/duration"},
                {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["quiet"],
                    "properties": {
                        "quiet": {"$ref": "#/definitions/duration"},
                        "at_most": {"$ref": "#/definitions/duration"}
                    }
                }
            ]
        })),
        "dedupe" => Some(json!({
            "description": "Which events are one and the same, and for how long.",
            "type": "object",
            "additionalProperties": false,
            "required": ["key", "within"],
            "properties": {"key": {"$ref": "#/definitions/expression"}, "within": {"$ref": "#/definitions/duration"}}
        })),
        _ => None,
    }
}

fn step_key(key: &str) -> Option<Value> {
    Some(match key {
        "id" => json!({
            "description": "A name for `goto` and for reports.",
            "type": "string", "pattern": "^[a-z0-9_-]+$", "maxLength": 100
        }),
        "name" => json!({"description": "Words for people.", "type": "string"}),
        "if" => json!({"$ref": "#/definitions/expression"}),
        "then" => json!({"description": "Where the condition holds.", "$ref": "#/definitions/steps"}),
        "else" => json!({"description": "Where it does not.", "$ref": "#/definitions/steps"}),
        "paths" => json!({"description": "Where each named output leads.", "type": "object"}),
        "cases" => json!({
            "description": "What happens for each value of `switch`.",
            "type": "object", "minProperties": 1,
            "additionalProperties": {"$ref": "#/definitions/steps"}
        }),
        "default" => {
            json!({"description": "What happens for every other value.", "$ref": "#/definitions/steps"})
        }
        "join" => json!({
            "description": "For which paths the run waits: all of them, or any, and then the others are ended.",
            "enum": ["all", "any"]
        }),
        "expires" => json!({
            "description": "So long after it was due the step is skipped.", "$ref": "#/definitions/duration"
        }),
        "on_error" => json!({
            "description": "What becomes of a run whose step failed.", "enum": ["retry", "skip", "stop"]
        }),
        "retry" => json!({
            "description": "How often a step that failed is tried again, and after which pause.",
            "type": "object",
            "additionalProperties": false,
            "minProperties": 1,
            "properties": {
                "times": {"type": "integer", "minimum": 0},
                "pause": {"$ref": "#/definitions/duration"}
            }
        }),
        _ => return None,
    })
}

fn verb(key: &str) -> Option<Value> {
    Some(match key {
        "goto" => {
            json!({"description": "Jumps to the step with this id.", "type": "string", "pattern": "\\S"})
        }
        "switch" => json!({
            "description": "Takes the case that is the value of this.", "$ref": "#/definitions/expression"
        }),
        "split" => json!({
            "description": "Ways by chance, each with its weight; a contact always goes the same.",
            "type": "object", "minProperties": 1,
            "additionalProperties": {"type": "integer", "minimum": 0}
        }),
        "experiment" => json!({
            "description": "Ways by chance that are compared, until one has won.",
            "type": "object",
            "additionalProperties": false,
            "required": ["arms", "goal"],
            "properties": {
                "arms": {
                    "description": "The ways, each with its weight.",
                    "type": "object", "minProperties": 2,
                    "propertyNames": {"pattern": "^[a-z0-9_-]+$"},
                    "additionalProperties": {"type": "integer", "minimum": 0}
                },
                "hold_out": {
                    "description": "How many of a hundred contacts go on below without any of them.",
                    "type": "integer", "minimum": 1, "maximum": 90
                },
                "goal": {
                    "description": "By what the ways are compared.",
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["within"],
                    "anyOf": [{"required": ["event"]}, {"required": ["if"]}],
                    "properties": {
                        "event": {"description": "An event of the contact.", "type": "string", "pattern": "\\S"},
                        "if": {"$ref": "#/definitions/expression"},
                        "within": {"$ref": "#/definitions/duration"}
                    }
                },
                "significance": {
                    "description": "How sure it has to be that one way is better: 0.95",
                    "type": "number", "minimum": 0.5, "exclusiveMaximum": 1
                },
                "minimum": {
                    "description": "How many contacts of each way are counted before anything is decided.",
                    "type": "integer", "minimum": 10, "default": 500
                },
                "until": {"description": "From this date on the best way has won: 2026-12-31", "type": "string"}
            }
        }),
        "run" => json!({
            "description": "Starts a run of another workflow, and goes on when it has ended.",
            "anyOf": [
                {"type": "string", "pattern": "\\S"},
                {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["workflow"],
                    "properties": {
                        "workflow": {"description": "Its name.", "type": "string", "pattern": "\\S"},
                        "with": {
                            "description": "Its inputs, each an expression.",
                            "type": "object", "additionalProperties": {"$ref": "#/definitions/expression"}
                        },
                        "wait": {
                            "description": "Whether to wait for its end.", "type": "boolean", "default": true
                        }
                    }
                }
            ]
        }),
        "parallel" => json!({
            "description": "Paths that are gone at once; the run goes on when they have joined.",
            "type": "object", "minProperties": 2, "maxProperties": 20,
            "propertyNames": {"pattern": "^[a-z0-9_-]+$"},
            "additionalProperties": {"$ref": "#/definitions/steps"}
        }),
        "wait_for" => json!({
            "description": "Waits until something happens.",
            "type": "object",
            "additionalProperties": false,
            "required": ["within"],
            "anyOf": [{"required": ["event"]}, {"required": ["if"]}],
            "properties": {
                "event": {"description": "An event of the contact.", "type": "string", "pattern": "\\S"},
                "if": {"$ref": "#/definitions/expression"},
                "within": {"$ref": "#/definitions/duration"}
            }
        }),
        "exit" => json!({
            "description": "Ends the run; the reason is recorded.",
            "anyOf": [{"type": ["string", "null"]}, {"type": "object", "maxProperties": 0}]
        }),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_language_is_described() {
        let missing = |keys: &[&'static str], of: fn(&str) -> Option<Value>| -> Vec<&'static str> {
            keys.iter().copied().filter(|key| of(key).is_none()).collect()
        };
        let words = [
            missing(KEYS, top_key),
            missing(&triggers::keys(), trigger_key),
            missing(STEP_KEYS, step_key),
            missing(VERBS, verb),
        ];
        assert_eq!(words.concat(), Vec::<&str>::new(), "`dripline schema` says nothing of these");
    }
}
