//! From contacts to the columns that a step asked for.

use std::collections::{HashMap, hash_map::Entry};

use dripline_expression::{Subject, Value};
use dripline_model::{
    Contact,
    batch::{Bits, Column, ColumnData, ColumnType, TextColumn},
    zone,
};
use dripline_template::RenderError;

use crate::compiled::{CompiledColumn, CompiledValue};

/// Columns that grow by one contact at a time.
pub(crate) struct Columns<'s> {
    sources: &'s [CompiledColumn],
    columns: Vec<Column>,
    /// The values of the contact that is being added; kept for its allocation.
    row: Vec<Option<Value>>,
    /// The holidays by the column's name and the contact's country.
    holidays: HashMap<(&'s str, Option<String>), String>,
}

impl<'s> Columns<'s> {
    pub(crate) fn new(sources: &'s [CompiledColumn]) -> Self {
        let columns = sources
            .iter()
            .map(|source| Column {
                name: source.name.clone(),
                present: Bits::default(),
                data: empty(source.column),
            })
            .collect();
        Self { sources, columns, row: Vec::with_capacity(sources.len()), holidays: HashMap::new() }
    }

    /// Adds a contact to every column. The answer says which expression could not be evaluated, if any, and why.
    ///
    /// # Errors
    /// When a template cannot be rendered for the contact; nothing was added then.
    pub(crate) fn push(
        &mut self,
        contact: &Contact,
        subject: &Subject<'_>,
    ) -> Result<Option<String>, RenderError> {
        let mut unevaluable = None;
        self.row.clear();
        for source in self.sources {
            self.row.push(match &source.value {
                CompiledValue::Cel(expression) => match expression.evaluate(subject) {
                    Ok(value) => Some(value),
                    Err(error) => {
                        // A manifest's own read that is absent is ordinary; an author's expression is worth a word.
                        if source.name.starts_with('/') {
                            unevaluable.get_or_insert(error.reason);
                        }
                        None
                    }
                },
                CompiledValue::Template(template) => Some(Value::Text(template.render(contact)?)),
                CompiledValue::Zone => zone::name_of(contact).map(|name| Value::Text(name.to_owned())),
                CompiledValue::Holidays(holidays) => {
                    let country = holidays.country_of(contact);
                    // A batch has many contacts and few countries.
                    let days = match self.holidays.entry((source.name.as_str(), country)) {
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(new) => {
                            let days = holidays.days(new.key().1.as_deref(), subject.now);
                            new.insert(days)
                        }
                    };
                    Some(Value::Text(days.clone()))
                }
                CompiledValue::Member(segment) => Some(Value::Boolean(contact.segments.contains(segment))),
            });
        }
        for (column, value) in self.columns.iter_mut().zip(&self.row) {
            column.present.push(push(&mut column.data, value.as_ref()));
        }
        Ok(unevaluable)
    }

    pub(crate) fn finish(self) -> Vec<Column> {
        self.columns
    }
}

fn empty(column: ColumnType) -> ColumnData {
    match column {
        ColumnType::Boolean => ColumnData::Boolean(Bits::default()),
        ColumnType::Integer | ColumnType::Timestamp => ColumnData::Integer(Vec::new()),
        ColumnType::Float => ColumnData::Float(Vec::new()),
        ColumnType::Text => ColumnData::Text(TextColumn::default()),
    }
}

/// Adds a value, or the type's zero where there is none or it is of another type; says whether there was one.
fn push(data: &mut ColumnData, value: Option<&Value>) -> bool {
    match (data, value) {
        (ColumnData::Boolean(bits), Some(Value::Boolean(value))) => bits.push(*value),
        (ColumnData::Integer(all), Some(Value::Integer(value))) => all.push(*value),
        (ColumnData::Integer(all), Some(Value::Timestamp(value))) => all.push(value.as_millisecond()),
        (ColumnData::Float(all), Some(Value::Float(value))) => all.push(*value),
        (ColumnData::Text(texts), Some(Value::Text(value))) => texts.push(value),
        (data, _) => {
            match data {
                ColumnData::Boolean(bits) => bits.push(false),
                ColumnData::Integer(all) => all.push(0),
                ColumnData::Float(all) => all.push(0.0),
                ColumnData::Text(texts) => texts.push(""),
            }
            return false;
        }
    }
    true
}
