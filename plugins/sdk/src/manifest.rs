//! What a plugin says of itself.

use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::Value;

use crate::{ColumnType, EffectKind, EffectRequest, Manifest, NamedOutput, Problem, Read, StateScope, Step};

impl Manifest {
    /// The manifest of `S`.
    pub(crate) fn of<S: Step>(version: &str) -> Self {
        S::describe(Self {
            name: S::NAME.to_owned(),
            version: version.to_owned(),
            summary: S::SUMMARY.to_owned(),
            config_schema: schema::<S>().to_string(),
            ..Self::empty()
        })
    }

    /// A manifest that asks for nothing.
    pub(crate) fn empty() -> Self {
        Self {
            name: String::new(),
            version: String::new(),
            summary: String::new(),
            config_schema: String::new(),
            outputs: Vec::new(),
            reads: Vec::new(),
            effects: Vec::new(),
            state: StateScope::None,
            may_wait: false,
        }
    }

    /// Names an output that `paths:` may lead on from, and says when a run leaves by it.
    #[must_use]
    pub fn output(mut self, name: &str, summary: &str) -> Self {
        self.outputs.push(NamedOutput { name: name.to_owned(), summary: summary.to_owned() });
        self
    }

    /// Asks for a contact field (`contact.time_zone`) in every turn and tells the operator why; read it by
    /// [`crate::Batch::field`].
    #[must_use]
    pub fn read(mut self, field: &str, column: ColumnType, why: &str) -> Self {
        self.reads.push(Read { field: field.to_owned(), column, why: why.to_owned() });
        self
    }

    /// Asks for a kind of effect and tells the operator why.
    #[must_use]
    pub fn effect(mut self, kind: EffectKind, why: &str) -> Self {
        self.effects.push(EffectRequest { kind, why: why.to_owned() });
        self
    }

    /// Asks for a durable cell.
    #[must_use]
    pub fn state(mut self, scope: StateScope) -> Self {
        self.state = scope;
        self
    }

    /// Says that a turn may end in waiting.
    #[must_use]
    pub fn may_wait(mut self) -> Self {
        self.may_wait = true;
        self
    }
}

impl Problem {
    /// Something wrong at a JSON pointer into the configuration (`/rules/0/add`; empty for all of it).
    pub fn at(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into(), help: None }
    }

    /// Adds what would be right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The configuration's JSON Schema, draft 2020-12: everything in its place (no `$ref`, so that marks are found by
/// walking down), and a field that may be left out may not be `null` instead.
pub(crate) fn schema<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .with_transform(RecursiveTransform(without_null))
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

fn without_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
}
