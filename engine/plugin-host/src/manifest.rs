//! A plugin's word about itself, looked at before anybody relies on it.

use std::collections::BTreeSet;

use dripline_model::{
    Manifest,
    batch::ColumnType,
    effect::EffectKind,
    manifest::{EffectRequest, NamedOutput, Read, StateScope},
};
use serde_json::Value;

use crate::{bindings::wit, error::LoadErrorKind};

/// The manifest, if it makes sense.
pub(crate) fn manifest(said: wit::Manifest) -> Result<Manifest, LoadErrorKind> {
    let wit::Manifest { name, version, summary, config_schema, outputs, reads, effects, state, may_wait } =
        said;
    if !is_name(&name) {
        return Err(wrong(
            "name",
            format!("`{name}` is not made of a-z, 0-9, _ and -, at most {NAME_CHARS} of them"),
        ));
    }
    if !is_version(&version) {
        return Err(wrong("version", format!("`{version}` is not a semantic version such as 1.2.3")));
    }
    if summary.trim().is_empty() {
        return Err(wrong("summary", "is empty"));
    }
    let config_schema: Value = serde_json::from_str(&config_schema)
        .map_err(|error| wrong("config-schema", format!("is not JSON: {error}")))?;
    if !config_schema.is_object() {
        return Err(wrong("config-schema", "is not a JSON object"));
    }
    let mut names = BTreeSet::new();
    if let Some(output) = outputs.iter().find(|output| !is_name(&output.name) || !names.insert(&output.name))
    {
        return Err(wrong(
            "outputs",
            format!("name `{}` twice, or it is not made of a-z, 0-9, _ and -", output.name),
        ));
    }
    let mut fields = BTreeSet::new();
    if let Some(read) = reads.iter().find(|read| !is_field(&read.field) || !fields.insert(&read.field)) {
        return Err(wrong(
            "reads",
            format!("name `{}` twice, or it is no field such as contact.country", read.field),
        ));
    }
    let state = match state {
        wit::StateScope::None => StateScope::None,
        wit::StateScope::Step => StateScope::Step,
        wit::StateScope::Field(field) if field.is_empty() => return Err(wrong("state", "names no field")),
        wit::StateScope::Field(field) => StateScope::Field(field),
    };
    Ok(Manifest {
        name,
        version,
        summary,
        config_schema,
        outputs: outputs
            .into_iter()
            .map(|output| NamedOutput { name: output.name, summary: output.summary })
            .collect(),
        reads: reads
            .into_iter()
            .map(|read| Read { field: read.field, column: column_type(read.column), why: read.why })
            .collect(),
        effects: effects
            .into_iter()
            .map(|request| EffectRequest { kind: effect_kind(request.kind), why: request.why })
            .collect(),
        state,
        may_wait,
    })
}

const NAME_CHARS: usize = 64;

fn wrong(field: &'static str, problem: impl Into<String>) -> LoadErrorKind {
    LoadErrorKind::Manifest { field, problem: problem.into() }
}

fn is_name(name: &str) -> bool {
    (1..=NAME_CHARS).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

fn is_field(field: &str) -> bool {
    field.strip_prefix("contact.").is_some_and(|name| !name.is_empty())
}

/// Three numbers, and after a `-` or `+` whatever <https://semver.org> allows there.
fn is_version(version: &str) -> bool {
    let (core, rest) = version.split_at(version.find(['-', '+']).unwrap_or(version.len()));
    core.split('.').count() == 3
        && core.split('.').all(|number| number.parse::<u64>().is_ok())
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+'))
}

fn column_type(column: wit::ColumnType) -> ColumnType {
    match column {
        wit::ColumnType::Boolean => ColumnType::Boolean,
        wit::ColumnType::Integer => ColumnType::Integer,
        wit::ColumnType::Float => ColumnType::Float,
        wit::ColumnType::Text => ColumnType::Text,
        wit::ColumnType::Timestamp => ColumnType::Timestamp,
    }
}

fn effect_kind(kind: wit::EffectKind) -> EffectKind {
    match kind {
        wit::EffectKind::SetField => EffectKind::SetField,
        wit::EffectKind::Tag => EffectKind::Tag,
        wit::EffectKind::Score => EffectKind::Score,
        wit::EffectKind::Segment => EffectKind::Segment,
        wit::EffectKind::Email => EffectKind::Email,
        wit::EffectKind::Assign => EffectKind::Assign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> wit::Manifest {
        wit::Manifest {
            name: "round-robin_2".into(),
            version: "1.2.3-rc.1+linux".into(),
            summary: "Takes turns.".into(),
            config_schema: r#"{"type": "object"}"#.into(),
            outputs: vec![wit::NamedOutput { name: "full".into(), summary: "Nobody is free.".into() }],
            reads: vec![wit::Read {
                field: "contact.owner".into(),
                column: wit::ColumnType::Text,
                why: "to keep the owner".into(),
            }],
            effects: vec![wit::EffectRequest { kind: wit::EffectKind::Assign, why: "to assign".into() }],
            state: wit::StateScope::Field("team".into()),
            may_wait: false,
        }
    }

    #[test]
    fn a_good_manifest_comes_out_as_it_went_in() {
        let manifest = manifest(said()).unwrap();
        assert_eq!(manifest.name, "round-robin_2");
        assert_eq!(manifest.state, StateScope::Field("team".into()));
        assert_eq!(manifest.effects.first().unwrap().kind, EffectKind::Assign);
        assert_eq!(manifest.reads.first().unwrap().column, ColumnType::Text);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let output = || wit::NamedOutput { name: "full".into(), summary: String::new() };
        let read = |field: &str| wit::Read {
            field: field.into(),
            column: wit::ColumnType::Text,
            why: String::new(),
        };
        let refusals = [
            wit::Manifest { name: "Round Robin".into(), ..said() },
            wit::Manifest { name: String::new(), ..said() },
            wit::Manifest { version: "1.2".into(), ..said() },
            wit::Manifest { summary: " ".into(), ..said() },
            wit::Manifest { config_schema: "{".into(), ..said() },
            wit::Manifest { config_schema: "true".into(), ..said() },
            wit::Manifest { outputs: vec![output(), output()], ..said() },
            wit::Manifest { reads: vec![read("country")], ..said() },
            wit::Manifest { reads: vec![read("contact.a"), read("contact.a")], ..said() },
            wit::Manifest { state: wit::StateScope::Field(String::new()), ..said() },
        ]
        .map(|said| manifest(said).unwrap_err().to_string());
        insta::assert_snapshot!(refusals.join("\n"), @"
        the manifest's name `Round Robin` is not made of a-z, 0-9, _ and -, at most 64 of them
        the manifest's name `` is not made of a-z, 0-9, _ and -, at most 64 of them
        the manifest's version `1.2` is not a semantic version such as 1.2.3
        the manifest's summary is empty
        the manifest's config-schema is not JSON: EOF while parsing an object at line 1 column 1
        the manifest's config-schema is not a JSON object
        the manifest's outputs name `full` twice, or it is not made of a-z, 0-9, _ and -
        the manifest's reads name `country` twice, or it is no field such as contact.country
        the manifest's reads name `contact.a` twice, or it is no field such as contact.country
        the manifest's state names no field
        ");
    }
}
