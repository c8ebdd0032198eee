//! The texts of an answer, each once.

use crate::bindings::dripline::step::types::TextColumn;

/// An open-addressing set over the answer's own bytes: a text that is there already costs a hash and a comparison, a
/// new one is appended; neither allocates by itself.
#[derive(Debug)]
pub(crate) struct Dictionary {
    texts: TextColumn,
    /// Text index + 1, or 0 for a free slot. The length is a power of two, at least half of it free.
    slots: Vec<u32>,
}

impl Dictionary {
    pub(crate) fn new() -> Self {
        Self { texts: TextColumn { bytes: Vec::new(), offsets: vec![0] }, slots: vec![0; 64] }
    }

    /// Index of `text`, which is added if it is new.
    pub(crate) fn intern(&mut self, text: &str) -> u32 {
        if self.texts.offsets.len() * 2 > self.slots.len() {
            self.grow();
        }
        let mut slot = self.first_slot(text.as_bytes());
        loop {
            match self.slots.get(slot).copied().unwrap_or_default() {
                0 => return self.insert(slot, text),
                taken if self.bytes(taken - 1) == text.as_bytes() => return taken - 1,
                _ => slot = (slot + 1) & (self.slots.len() - 1),
            }
        }
    }

    pub(crate) fn into_texts(self) -> TextColumn {
        self.texts
    }

    fn insert(&mut self, slot: usize, text: &str) -> u32 {
        let index = self.len();
        self.texts.bytes.extend_from_slice(text.as_bytes());
        self.texts.offsets.push(self.texts.bytes.len() as u32);
        if let Some(free) = self.slots.get_mut(slot) {
            *free = index + 1;
        }
        index
    }

    fn len(&self) -> u32 {
        self.texts.offsets.len() as u32 - 1
    }

    fn bytes(&self, index: u32) -> &[u8] {
        let offset = |index: usize| self.texts.offsets.get(index).copied().unwrap_or_default() as usize;
        self.texts.bytes.get(offset(index as usize)..offset(index as usize + 1)).unwrap_or_default()
    }

    fn first_slot(&self, text: &[u8]) -> usize {
        // The multiplication's best bits are its upper ones.
        (hash(text) >> 32) as usize & (self.slots.len() - 1)
    }

    fn grow(&mut self) {
        self.slots = vec![0; self.slots.len() * 2];
        for index in 0..self.len() {
            let mut slot = self.first_slot(self.bytes(index));
            while self.slots.get(slot).is_some_and(|taken| *taken != 0) {
                slot = (slot + 1) & (self.slots.len() - 1);
            }
            if let Some(free) = self.slots.get_mut(slot) {
                *free = index + 1;
            }
        }
    }
}

/// rustc's FxHash, eight bytes at a time. Nobody but the plugin can be hurt by texts that collide.
fn hash(text: &[u8]) -> u64 {
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    let (words, rest) = text.as_chunks::<8>();
    words
        .iter()
        .map(|bytes| u64::from_le_bytes(*bytes))
        .chain([word(rest), text.len() as u64])
        .fold(0, |hash: u64, word| (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_distinct_text_is_kept_once_however_many_there_are() {
        let mut dictionary = Dictionary::new();
        let texts: Vec<String> = (0..1_000).map(|number| format!("text {}", number % 300)).collect();
        let indexes: Vec<u32> = texts.iter().map(|text| dictionary.intern(text)).collect();
        for (text, index) in texts.iter().zip(&indexes) {
            assert_eq!(dictionary.bytes(*index), text.as_bytes());
        }
        assert_eq!(dictionary.len(), 300);
        assert_eq!(dictionary.intern(""), 300);
        assert_eq!(dictionary.intern(""), 300);
    }
}
