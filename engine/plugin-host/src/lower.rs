//! A batch on its way into the guest: borrowed, not copied.

use dripline_model::batch::{Batch, ColumnData, TextColumn};

use crate::{bindings::wit, guest::SplitMix64};

/// What a [`wit::Batch`] borrows from beside the batch itself.
pub(crate) struct Lowered<'a> {
    batch: &'a Batch,
    seeds: Vec<u64>,
    columns: Vec<wit::Column<'a>>,
}

impl<'a> Lowered<'a> {
    pub(crate) fn new(batch: &'a Batch) -> Self {
        let columns = batch
            .columns
            .iter()
            .map(|column| wit::Column {
                name: &column.name,
                present: &column.present.bytes,
                data: match &column.data {
                    ColumnData::Boolean(bits) => wit::ColumnData::Booleans(&bits.bytes),
                    ColumnData::Integer(numbers) => wit::ColumnData::Integers(numbers),
                    ColumnData::Float(numbers) => wit::ColumnData::Floats(numbers),
                    ColumnData::Text(texts) => wit::ColumnData::Texts(text_column(texts)),
                },
            })
            .collect();
        Self { batch, seeds: batch.turns.iter().map(|turn| turn.seed).collect(), columns }
    }

    pub(crate) fn batch(&self) -> wit::Batch<'_> {
        wit::Batch {
            now_ms: self.batch.now.as_millisecond(),
            // A column's offsets are 32 bits wide, so that a batch of more turns could not be made.
            turns: u32::try_from(self.seeds.len()).unwrap_or(u32::MAX),
            seeds: &self.seeds,
            columns: &self.columns,
            state: self.batch.state.as_deref(),
        }
    }

    /// Randomness for what the guest's standard library wants of it (the order of hash maps).
    pub(crate) fn seed(&self) -> u64 {
        self.seeds.iter().fold(0, |mixed, seed| SplitMix64(mixed ^ seed).next())
    }
}

fn text_column(texts: &TextColumn) -> wit::TextColumnParam<'_> {
    wit::TextColumnParam { bytes: &texts.bytes, offsets: &texts.offsets }
}
