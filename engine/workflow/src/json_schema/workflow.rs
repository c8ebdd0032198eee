//! The schema of a workflow file.

use std::collections::BTreeMap;

use dripline_model::Manifest;
use serde_json::{Map, Value, json};

use super::{DRAFT, plugin};
use crate::{
    PluginInfo,
    step_reader::{MAX_STEPS, STEP_KEYS, VERBS},
    workflow::{KEYS, TRIGGER_KEYS},
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
                {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": described(TRIGGER_KEYS, trigger_key),
                    "oneOf": starts(),
                    "dependencies": {"time_zone": ["schedule"]}
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

/// What a step may do: one of these, and only one.
fn deeds(manifests: &[&Manifest]) -> Vec<Value> {
    let own = VERBS.iter().map(|verb| {
        let mut properties = json!({"paths": false});
        if let (Value::Object(properties), false) = (&mut properties, takes_blocks(verb)) {
            properties.extend([("then".to_owned(), json!(false)), ("else".to_owned(), json!(false))]);
        }
        json!({"required": [verb], "properties": properties})
    });
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
        let properties = json!({"then": false, "else": false, "paths": paths});
        json!({"required": [manifest.name], "properties": properties})
    });
    let verbs = VERBS.iter().copied().chain(manifests.iter().map(|manifest| manifest.name.as_str()));
    let none: Map<String, Value> =
        verbs.chain(["paths"]).map(|verb| (verb.to_owned(), Value::Bool(false))).collect();
    let branch = json!({
        "required": ["if"],
        "anyOf": [{"required": ["then"]}, {"required": ["else"]}],
        "properties": none
    });
    own.chain(of_plugins).chain([branch]).collect()
}

/// Whether a word of the language may have `then` and `else` beside it.
fn takes_blocks(verb: &str) -> bool {
    !matches!(verb, "goto" | "exit")
}

/// What may start a run, one in each trigger.
fn starts() -> Vec<Value> {
    let beside = ["time_zone"];
    let starts = TRIGGER_KEYS.iter().filter(|key| !beside.contains(*key));
    starts.map(|key| json!({"required": [key]})).collect()
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
                }
            }
        }),
        "steps" => json!({"description": "What happens, from the top down.", "$ref": "#/definitions/steps"}),
        _ => return None,
    })
}

fn trigger_key(key: &str) -> Option<Value> {
    let text = |what: &str| Some(json!({"description": what, "type": "string", "pattern": "\\S"}));
    match key {
        "event" => text("When an event of this name arrives, for its contact."),
        "segment_joined" => text("When a contact joins this segment."),
        "schedule" => text("At these times: minute hour day-of-month month day-of-week."),
        "time_zone" => text("The schedule's time zone: Europe/Berlin"),
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
        "paths" => json!({"description": "Where each named output of the plugin leads.", "type": "object"}),
        _ => return None,
    })
}

fn verb(key: &str) -> Option<Value> {
    Some(match key {
        "goto" => {
            json!({"description": "Jumps to the step with this id.", "type": "string", "pattern": "\\S"})
        }
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
            missing(TRIGGER_KEYS, trigger_key),
            missing(STEP_KEYS, step_key),
            missing(VERBS, verb),
        ];
        assert_eq!(words.concat(), Vec::<&str>::new(), "`dripline schema` says nothing of these");
    }
}
