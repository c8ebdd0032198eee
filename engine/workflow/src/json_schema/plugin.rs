//! A plugin's own schema as a part of the workflow's.

use dripline_model::manifest::{Manifest, mark};
use serde_json::{Map, Value, json};

/// The name of the definition that describes the configuration of a plugin.
pub(super) fn definition(plugin: &str) -> String {
    format!("configuration of {plugin}").replace(' ', "-")
}

/// What stands behind a plugin's name in a step.
pub(super) fn step(manifest: &Manifest) -> Value {
    let place = format!("#/definitions/{}", definition(&manifest.name));
    let schema = &manifest.config_schema;
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut forms = vec![json!({"$ref": place})];
    if let Some(field) = schema.get(mark::SHORTHAND).and_then(Value::as_str)
        && required.iter().all(|key| *key == field)
        && schema.get("properties").is_some_and(|properties| properties.get(field).is_some())
    {
        forms.push(json!({"$ref": format!("{place}/properties/{}", crate::marks::escape(field))}));
    }
    if required.is_empty() {
        forms.push(json!({"type": "null"}));
    }
    json!({"description": manifest.summary, "anyOf": forms})
}

/// The plugin's schema, as it reads where it is a definition of another.
pub(super) fn configuration(manifest: &Manifest) -> Value {
    moved(&manifest.config_schema, &format!("#/definitions/{}", definition(&manifest.name)))
}

fn moved(schema: &Value, place: &str) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(|item| moved(item, place)).collect(),
        Value::Object(entries) => {
            let mut object: Map<String, Value> = entries
                .iter()
                .filter(|(key, _)| *key != "$schema" && *key != "$id")
                .map(|(key, value)| match (key.as_str(), value) {
                    ("$ref", Value::String(target)) => {
                        let target = target.strip_prefix('#').map(|pointer| format!("{place}{pointer}"));
                        (key.clone(), target.map_or_else(|| value.clone(), Value::String))
                    }
                    // What was written is data and no schema.
                    ("const" | "enum" | "default" | "examples", value) => (key.clone(), value.clone()),
                    (_, value) => (key.clone(), moved(value, place)),
                })
                .collect();
            let kind = entries.get(mark::KEY).and_then(|mark| mark.get("kind")).and_then(Value::as_str);
            // `if: true` is an expression, although YAML says that it is none.
            if matches!(kind, Some("cel" | "duration")) {
                let nothing =
                    matches!(object.get("type"), Some(Value::Array(types)) if types.contains(&json!("null")));
                let mut types = vec!["string", "boolean", "number"];
                types.extend(nothing.then_some("null"));
                object.insert("type".to_owned(), json!(types));
            }
            Value::Object(object)
        }
        other => other.clone(),
    }
}
