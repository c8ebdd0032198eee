//! Finding the marked fields of a configuration ([`dripline_model::manifest::mark`]).

use dripline_model::{batch::ColumnType, manifest::mark};
use serde_json::Value;

/// What a marked field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    Cel(ColumnType),
    Template,
    Member,
    Team,
    Segment,
    EmailTemplate,
    Duration,
    Topic,
    LocalTime,
    Holidays,
    TimeZone,
    Score,
    /// A mark that this version does not know.
    Unknown(String),
}

/// A value in a marked field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marked {
    /// JSON pointer into the configuration.
    pub(crate) pointer: String,
    pub(crate) mark: Mark,
}

/// `$ref`s that are followed without a step down in the configuration; more are a circle.
const MOST_REFS: usize = 16;

/// Every marked value in `config`, each once. Values need not fit the schema.
pub(crate) fn find(schema: &Value, config: &Value) -> Vec<Marked> {
    let mut walk = Walk { root: schema, found: Vec::new() };
    walk.value(schema, config, &mut String::new(), 0);
    walk.found
}

struct Walk<'s> {
    root: &'s Value,
    found: Vec<Marked>,
}

impl<'s> Walk<'s> {
    /// Goes down schema and value together; as deep as the value is, which is bounded.
    fn value(&mut self, schema: &'s Value, value: &Value, pointer: &mut String, refs: usize) {
        if refs > MOST_REFS {
            return;
        }
        if let Some(mark) = schema.get(mark::KEY) {
            if !value.is_null() && !self.found.iter().any(|found| found.pointer == *pointer) {
                self.found.push(Marked { pointer: pointer.clone(), mark: read(mark) });
            }
            return;
        }
        if let Some(target) = schema.get("$ref").and_then(Value::as_str)
            && let Some(target) = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer))
        {
            self.value(target, value, pointer, refs + 1);
        }
        for combined in ["allOf", "anyOf", "oneOf"] {
            let mut choices: Vec<&Value> =
                schema.get(combined).and_then(Value::as_array).into_iter().flatten().collect();
            // Where two forms mark one field differently, the form that the value seems to have decides.
            choices.sort_by_key(|choice| !seems(self.resolve(choice), value));
            for choice in choices {
                self.value(choice, value, pointer, refs + 1);
            }
        }
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    let known = schema.get("properties").and_then(|properties| properties.get(name));
                    if let Some(schema) = known.or_else(|| schema.get("additionalProperties")) {
                        self.below(schema, field, pointer, &escape(name));
                    }
                }
            }
            Value::Array(items) => {
                if let Some(schema) = schema.get("items") {
                    for (index, item) in items.iter().enumerate() {
                        self.below(schema, item, pointer, &index.to_string());
                    }
                }
            }
            _ => {}
        }
    }

    fn below(&mut self, schema: &'s Value, value: &Value, pointer: &mut String, part: &str) {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(part);
        self.value(schema, value, pointer, 0);
        pointer.truncate(length);
    }

    fn resolve(&self, schema: &'s Value) -> &'s Value {
        schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|target| self.root.pointer(target.strip_prefix('#')?))
            .unwrap_or(schema)
    }
}

/// Whether `value` has the type and the required fields of `schema`.
fn seems(schema: &Value, value: &Value) -> bool {
    let wanted = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_wanted = |name: &str| name == wanted || (wanted == "number" && name == "integer");
    let type_fits = match schema.get("type") {
        Some(Value::String(name)) => is_wanted(name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(is_wanted),
        _ => true,
    };
    let mut required =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    type_fits && required.all(|name| value.get(name).is_some())
}

/// Whether a field's schema marks it as a time zone.
pub(crate) fn is_time_zone(schema: &Value) -> bool {
    schema.get(mark::KEY).is_some_and(|mark| read(mark) == Mark::TimeZone)
}

fn read(mark: &Value) -> Mark {
    let text = |key: &str| mark.get(key).and_then(Value::as_str).unwrap_or_default();
    match text("kind") {
        "cel" => match serde_json::from_value(mark.get("result").cloned().unwrap_or_default()) {
            Ok(result) => Mark::Cel(result),
            Err(_) => Mark::Unknown(format!("cel with the result `{}`", text("result"))),
        },
        "template" => Mark::Template,
        "member" => Mark::Member,
        "team" => Mark::Team,
        "segment" => Mark::Segment,
        "email-template" => Mark::EmailTemplate,
        "duration" => Mark::Duration,
        "topic" => Mark::Topic,
        "score" => Mark::Score,
        "local-time" => Mark::LocalTime,
        "holidays" => Mark::Holidays,
        "time-zone" => Mark::TimeZone,
        other => Mark::Unknown(other.to_owned()),
    }
}

/// A key as a part of a JSON pointer (RFC 6901 §3).
pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn marks_are_found_through_refs_lists_maps_and_choices() {
        let schema = json!({
            "properties": {
                "rules": {"type": "array", "items": {"$ref": "#/$defs/rule"}},
                "language": {"anyOf": [{"type": "string", "x-dripline": {"kind": "cel", "result": "text"}}, {"type": "null"}]},
                "variants": {"additionalProperties": {"properties": {"subject": {"x-dripline": {"kind": "template"}}}}}
            },
            "$defs": {"rule": {"properties": {"if": {"x-dripline": {"kind": "cel", "result": "boolean"}}}}}
        });
        let config =
            json!({"rules": [{"if": "a"}, {}], "language": "b", "variants": {"a/b": {"subject": "c"}}});
        let found: Vec<_> = find(&schema, &config).into_iter().map(|marked| marked.pointer).collect();
        assert_eq!(found, ["/rules/0/if", "/language", "/variants/a~1b/subject"]);
        assert!(find(&schema, &json!({"language": null})).is_empty());
    }

    #[test]
    fn a_circle_of_refs_ends() {
        let schema = json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}});
        assert!(find(&schema, &json!({"x": 1})).is_empty());
    }

    #[test]
    fn the_form_that_the_value_has_decides_between_two_marks() {
        let form = |required: &str, kind: &str| json!({"type": "object", "required": [required], "properties": {"x": {"x-dripline": {"kind": kind}}}});
        let schema = json!({"oneOf": [form("a", "template"), form("b", "team")]});
        assert_eq!(
            find(&schema, &json!({"b": 1, "x": ""})).first().map(|found| &found.mark),
            Some(&Mark::Team)
        );
    }
}
