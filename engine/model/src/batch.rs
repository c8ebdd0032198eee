//! The turns of one step as columns: what a plugin is called with.
//!
//! Columns cost a tenth of records at the sandbox's border (`docs/performance.md`): flat lists are copied in one go,
//! records are lowered field by field.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{ContactId, RunId};

/// Turns that are due at the same step of the same version, executed together.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The engine's clock for the whole batch.
    pub now: Timestamp,
    /// Who stands here.
    pub turns: Vec<BatchTurn>,
    /// One column for each value that the step asked for, each as long as `turns`.
    pub columns: Vec<Column>,
    /// The plugin's state cell, if it has written one.
    pub state: Option<Vec<u8>>,
}

/// One run's visit to the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchTurn {
    /// The run.
    pub run: RunId,
    /// Its contact.
    pub contact: ContactId,
    /// Randomness for this turn; the same turn always has the same.
    pub seed: u64,
}

/// The values of one field for every turn of the batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// A field (`contact.time_zone`) or the JSON pointer of an expression in the configuration (`/rules/0/if`).
    pub name: String,
    /// Which turns have a value; the others hold the type's zero in `data`.
    pub present: Bits,
    /// The values.
    pub data: ColumnData,
}

/// Values of one type.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnData {
    /// Yes or no.
    Boolean(Bits),
    /// Whole numbers, and instants as milliseconds since the epoch, UTC.
    Integer(Vec<i64>),
    /// Numbers.
    Float(Vec<f64>),
    /// Texts.
    Text(TextColumn),
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnType {
    /// Yes or no.
    Boolean,
    /// Whole numbers.
    Integer,
    /// Numbers.
    Float,
    /// Texts.
    Text,
    /// Instants, as milliseconds since the epoch, UTC.
    Timestamp,
}

/// Texts one after the other; text `i` is `bytes[offsets[i]..offsets[i + 1]]`, so there is one offset more than texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextColumn {
    /// UTF-8.
    pub bytes: Vec<u8>,
    /// Rising, starting with 0.
    pub offsets: Vec<u32>,
}

/// Bits, eight to a byte, lowest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bits {
    /// The bytes; bits past `len` are 0.
    pub bytes: Vec<u8>,
    /// How many bits there are.
    pub len: usize,
}

impl Bits {
    /// Adds a bit at the end.
    pub fn push(&mut self, bit: bool) {
        if self.len.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if bit && let Some(last) = self.bytes.last_mut() {
            *last |= 1 << (self.len % 8);
        }
        self.len += 1;
    }

    /// The bit at `index`; past the end it is not set.
    pub fn get(&self, index: usize) -> bool {
        self.bytes.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
    }

    /// The bits of `range`.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        range.map(|index| self.get(index)).collect()
    }
}

impl FromIterator<bool> for Bits {
    fn from_iter<I: IntoIterator<Item = bool>>(bits: I) -> Self {
        let mut all = Self::default();
        bits.into_iter().for_each(|bit| all.push(bit));
        all
    }
}

impl Default for TextColumn {
    fn default() -> Self {
        Self { bytes: Vec::new(), offsets: vec![0] }
    }
}

impl TextColumn {
    /// Adds a text at the end. A column holds at most 4 GiB; what would not fit is cut off at the end.
    pub fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.offsets.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
    }

    /// The text at `index`, if there is one and it is UTF-8.
    pub fn get(&self, index: usize) -> Option<&str> {
        let start = *self.offsets.get(index)? as usize;
        let end = *self.offsets.get(index + 1)? as usize;
        std::str::from_utf8(self.bytes.get(start..end)?).ok()
    }

    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Batch {
    /// The turns of `range` as a batch of their own, with the same clock and `state`.
    pub fn slice(&self, range: std::ops::Range<usize>, state: Option<Vec<u8>>) -> Self {
        Self {
            now: self.now,
            turns: self.turns.get(range.clone()).unwrap_or_default().to_vec(),
            columns: self.columns.iter().map(|column| column.slice(range.clone())).collect(),
            state,
        }
    }
}

impl Column {
    fn slice(&self, range: std::ops::Range<usize>) -> Self {
        let data = match &self.data {
            ColumnData::Boolean(bits) => ColumnData::Boolean(bits.slice(range.clone())),
            ColumnData::Integer(all) => {
                ColumnData::Integer(all.get(range.clone()).unwrap_or_default().to_vec())
            }
            ColumnData::Float(all) => ColumnData::Float(all.get(range.clone()).unwrap_or_default().to_vec()),
            ColumnData::Text(all) => {
                let mut texts = TextColumn::default();
                range.clone().for_each(|index| texts.push(all.get(index).unwrap_or_default()));
                ColumnData::Text(texts)
            }
        };
        Self { name: self.name.clone(), present: self.present.slice(range), data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_holds_the_same_values_as_the_whole() {
        let mut texts = TextColumn::default();
        ["a", "", "größer", "d"].iter().for_each(|text| texts.push(text));
        let column = Column {
            name: "contact.name".into(),
            present: [true, false, true, true].into_iter().collect(),
            data: ColumnData::Text(texts),
        };
        let slice = column.slice(1..3);
        assert_eq!((slice.present.get(0), slice.present.get(1)), (false, true));
        let ColumnData::Text(texts) = slice.data else { panic!("still text") };
        assert_eq!((texts.len(), texts.get(1)), (2, Some("größer")));
    }
}
