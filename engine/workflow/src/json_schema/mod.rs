//! JSON Schemas of the files that people write, for editors and other programs.
//!
//! That of a workflow is composed: the language's own words, and for each installed plugin the schema of its
//! configuration. All are draft 7, which every editor knows. What a schema cannot say (whether a template exists,
//! whether an expression fits) is [`crate::check`]'s.

mod plugin;
mod workflow;

use dripline_model::field::FieldType;
use serde_json::{Value, json};

pub use workflow::workflow;

/// The draft in which the schemas are written.
pub const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// The schema of `holidays.yaml`.
pub fn holidays() -> Value {
    let countries: Vec<&str> = dripline_model::holidays::countries().collect();
    let date = json!({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"});
    let day = json!({"type": "string", "pattern": "^[0-9]{2}-[0-9]{2}$"});
    let list =
        |what: &str, items: Value| json!({"description": what, "type": ["array", "null"], "items": items});
    json!({
        "$schema": DRAFT,
        "title": "Holidays",
        "description": "Calendars of days on which a `wait` with `holidays` does not end.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "calendars": {
                "description": "By name. One that has the code of a country stands for that country's.",
                "type": ["object", "null"],
                "propertyNames": {"pattern": "^([a-z0-9-]+|[A-Z]{2})$", "not": {"const": "contact"}},
                "additionalProperties": {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {
                        "countries": list("Their public holidays are among them.", json!({"enum": countries})),
                        "days": list("Single days: 2026-12-28", date.clone()),
                        "yearly": list("Days of every year: 12-24", day),
                        "except": list("Days that are none after all.", date)
                    }
                }
            }
        }
    })
}

/// The schema of `fields.yaml`.
pub fn fields() -> Value {
    let types = FieldType::ALL.map(FieldType::name);
    json!({
        "$schema": DRAFT,
        "title": "Fields of contacts",
        "description": "Which attributes contacts have, and to which topics they may consent.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "fields": {
                "description": "The attributes, by name: expressions say contact.NAME.",
                "type": ["object", "null"],
                "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "maxLength": 200},
                "additionalProperties": {
                    "anyOf": [
                        {"description": "What its values are.", "enum": types},
                        {
                            "type": "object",
                            "additionalProperties": false,
                            "required": ["type"],
                            "properties": {
                                "type": {"description": "What its values are.", "enum": types},
                                "values": {
                                    "description": "The only values that a text may have.",
                                    "type": ["array", "null"], "items": {"type": "string"},
                                    "minItems": 1, "uniqueItems": true
                                },
                                "description": {"description": "What it is, for people.", "type": "string"}
                            }
                        }
                    ]
                }
            },
            "topics": {
                "description": "The topics of consent: contact.consent.TOPIC. `email` is the channel as a whole and always there.",
                "anyOf": [
                    {"type": "array", "items": {"$ref": "#/definitions/topic"}, "uniqueItems": true},
                    {
                        "type": "object",
                        "propertyNames": {"$ref": "#/definitions/topic"},
                        "additionalProperties": {"description": "What it is about.", "type": ["string", "null"]}
                    },
                    {"type": "null"}
                ]
            }
        },
        "definitions": {
            "topic": {
                "type": "string", "pattern": "^[A-Za-z0-9_]+$", "maxLength": 100, "not": {"const": "email"}
            }
        }
    })
}

/// The schema of `scores.yaml`.
pub fn scores() -> Value {
    let points = |what: &str| json!({"description": what, "type": ["integer", "null"], "minimum": -1_000_000_000_000_i64, "maximum": 1_000_000_000_000_i64});
    let length =
        |what: &str| json!({"description": what, "type": ["string", "null"], "examples": ["14d", "12h"]});
    json!({
        "$schema": DRAFT,
        "title": "Scores",
        "description": "Which scores there are, how their points fade, and what their grades are.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "scores": {
                "description": "The scores, by name: expressions say contact.scores.NAME.",
                "type": ["object", "null"],
                "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "maxLength": 200},
                "additionalProperties": {
                    "type": ["object", "null"],
                    "additionalProperties": false,
                    "properties": {
                        "description": {"description": "What it says, for people.", "type": ["string", "null"]},
                        "min": points("The lowest value that it takes."),
                        "max": points("The highest value that it takes."),
                        "decay": {
                            "description": "How its points become less.",
                            "type": ["object", "null"],
                            "additionalProperties": false,
                            "minProperties": 1,
                            "maxProperties": 1,
                            "properties": {
                                "half_life": length("After so long half of the points are left, after twice as long a quarter."),
                                "linear": length("The points become less evenly, and after so long nothing is left.")
                            }
                        },
                        "expires": length("Each point is gone so long after it was given."),
                        "grades": {
                            "description": "Its bands, each with its lowest value, the highest first: contact.grades.NAME.",
                            "type": ["object", "null"],
                            "propertyNames": {"pattern": "\\S", "maxLength": 100},
                            "maxProperties": 50,
                            "additionalProperties": points("The lowest value of this grade.")
                        }
                    }
                }
            }
        }
    })
}

/// The schema of `teams.yaml`.
pub fn teams() -> Value {
    let key = |what: &str| json!({"description": what, "type": "string", "pattern": "\\S"});
    json!({
        "$schema": DRAFT,
        "title": "Teams",
        "description": "Who receives leads.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "representatives": {
                "description": "The people who receive leads.",
                "type": ["array", "null"],
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["key"],
                    "properties": {
                        "key": key("By which teams name the person."),
                        "name": key("For people; without it the key."),
                        "email": {"description": "The address.", "type": ["string", "null"]}
                    }
                }
            },
            "teams": {
                "description": "The pools that steps assign leads to.",
                "type": ["array", "null"],
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["key"],
                    "properties": {
                        "key": key("By which steps name the team."),
                        "name": key("For people; without it the key."),
                        "members": {
                            "description": "Who takes part.",
                            "type": ["array", "null"],
                            "items": {
                                "type": "object",
                                "additionalProperties": false,
                                "required": ["rep"],
                                "properties": {
                                    "rep": key("Key of the representative."),
                                    "weight": {
                                        "description": "A member of weight 2 receives twice as many leads as one of 1; 0 receives none.",
                                        "type": "integer", "minimum": 0, "maximum": 1_000_000, "default": 1
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    })
}
