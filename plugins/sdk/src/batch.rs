//! What a plugin is called with, as rows.

use serde::de::DeserializeOwned;

use crate::bindings::dripline::step::types;

/// Turns that are due at the same step, and everything that the plugin may know of them.
#[derive(Debug)]
pub struct Batch {
    now_ms: i64,
    turns: usize,
    seeds: Vec<u64>,
    columns: Vec<Column>,
    state: Option<Vec<u8>>,
}

/// One contact's visit to the step.
#[derive(Debug, Clone, Copy)]
pub struct Turn<'batch> {
    batch: &'batch Batch,
    index: usize,
}

#[derive(Debug)]
pub(crate) struct Column {
    name: String,
    present: Vec<u8>,
    values: Values,
}

/// As the contract's `column-data`, with texts proven to be UTF-8 once for the whole column.
#[derive(Debug)]
enum Values {
    Booleans(Vec<u8>),
    Integers(Vec<i64>),
    Floats(Vec<f64>),
    Texts { text: String, offsets: Vec<u32> },
}

impl Batch {
    /// Takes over the engine's batch.
    ///
    /// # Errors
    /// A text column that is not UTF-8.
    pub(crate) fn new(batch: types::Batch) -> Result<Self, String> {
        let columns = batch.columns.into_iter().map(Column::new).collect::<Result<_, _>>()?;
        Ok(Self {
            now_ms: batch.now_ms,
            turns: batch.turns as usize,
            seeds: batch.seeds,
            columns,
            state: batch.state,
        })
    }

    /// The engine's clock, the same for the whole batch, in milliseconds since the epoch, UTC.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// How many turns there are.
    pub fn len(&self) -> usize {
        self.turns
    }

    /// Whether there is no turn.
    pub fn is_empty(&self) -> bool {
        self.turns == 0
    }

    /// The turns, in contact order.
    pub fn turns(&self) -> impl Iterator<Item = Turn<'_>> + Clone {
        (0..self.turns).map(|index| Turn { batch: self, index })
    }

    /// The values of a contact field that the manifest reads: `batch.field::<Text>("contact.time_zone")`. A field that
    /// the operator did not grant has no values.
    pub fn field<F: crate::field::ColumnField>(&self, name: &str) -> F {
        F::at(self.columns.iter().position(|column| column.name == name))
    }

    /// The plugin's durable cell, if it has written one.
    pub fn state(&self) -> Option<&[u8]> {
        self.state.as_deref()
    }

    /// The plugin's durable cell as JSON. `None` too where it holds something else: another version may have written it.
    pub fn state_json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(self.state()?).ok()
    }
}

impl<'batch> Turn<'batch> {
    /// The turn's place in the batch, from 0.
    pub fn index(self) -> usize {
        self.index
    }

    /// Randomness for this turn; the same turn always has the same.
    pub fn seed(self) -> u64 {
        self.batch.seeds.get(self.index).copied().unwrap_or_default()
    }

    pub(crate) fn boolean(self, column: usize) -> Option<bool> {
        match self.present(column)? {
            Values::Booleans(bits) => Some(bit(bits, self.index)),
            _ => None,
        }
    }

    pub(crate) fn integer(self, column: usize) -> Option<i64> {
        match self.present(column)? {
            Values::Integers(all) => all.get(self.index).copied(),
            _ => None,
        }
    }

    pub(crate) fn float(self, column: usize) -> Option<f64> {
        match self.present(column)? {
            Values::Floats(all) => all.get(self.index).copied(),
            _ => None,
        }
    }

    pub(crate) fn text(self, column: usize) -> Option<&'batch str> {
        match self.present(column)? {
            Values::Texts { text, offsets } => {
                let start = *offsets.get(self.index)? as usize;
                let end = *offsets.get(self.index + 1)? as usize;
                text.get(start..end)
            }
            _ => None,
        }
    }

    /// The column's values where it has one for this turn.
    fn present(self, column: usize) -> Option<&'batch Values> {
        let column = self.batch.columns.get(column)?;
        bit(&column.present, self.index).then_some(&column.values)
    }
}

impl Column {
    fn new(column: types::Column) -> Result<Self, String> {
        let values = match column.data {
            types::ColumnData::Booleans(bits) => Values::Booleans(bits),
            types::ColumnData::Integers(all) => Values::Integers(all),
            types::ColumnData::Floats(all) => Values::Floats(all),
            types::ColumnData::Texts(texts) => Values::Texts {
                text: String::from_utf8(texts.bytes)
                    .map_err(|error| format!("the column `{}` is not UTF-8: {error}", column.name))?,
                offsets: texts.offsets,
            },
        };
        Ok(Self { name: column.name, present: column.present, values })
    }
}

/// The bit at `index`, eight to a byte, lowest first; past the end it is not set.
fn bit(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}
