//! The dictionary: texts that repeat thousands of times are stored once and named by a number.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use foldhash::fast::RandomState;

use crate::error::{Raw, damaged};

/// Words that are kept in memory before it starts anew; reasons may be all different.
const KEPT: usize = 1 << 16;

/// The words that committed transactions used, with their ids.
#[derive(Debug, Default)]
pub(crate) struct Dictionary(Mutex<HashMap<Arc<str>, i64, RandomState>>);

impl Dictionary {
    /// Keeps the words of a committed transaction.
    pub(crate) fn remember(&self, words: Words) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + words.0.len() > KEPT {
            known.clear();
        }
        known.extend(words.0);
    }
}

/// The words that one transaction uses.
#[derive(Debug, Default)]
pub(crate) struct Words(HashMap<Arc<str>, i64, RandomState>);

impl Words {
    /// Takes over what is known of `words`; answers the others.
    pub(crate) fn missing<'a>(
        &mut self,
        dictionary: &Dictionary,
        words: impl IntoIterator<Item = &'a str>,
    ) -> BTreeSet<&'a str> {
        let mut missing = BTreeSet::new();
        let known = dictionary.0.lock().unwrap_or_else(PoisonError::into_inner);
        for word in words {
            if self.0.contains_key(word) {
                continue;
            }
            match known.get_key_value(word) {
                Some((word, id)) => drop(self.0.insert(Arc::clone(word), *id)),
                None => drop(missing.insert(word)),
            }
        }
        missing
    }

    /// Takes in a word.
    pub(crate) fn insert(&mut self, word: &str, id: i64) {
        self.0.insert(word.into(), id);
    }

    /// The ids of those that are known.
    pub(crate) fn ids<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> HashMap<String, i64> {
        words.into_iter().filter_map(|word| Some((word.to_owned(), *self.0.get(word)?))).collect()
    }

    /// The id of a word.
    pub(crate) fn id(&self, word: &str) -> Raw<i64> {
        self.0.get(word).copied().ok_or_else(|| damaged("dictionary", format!("`{word}` is missing")))
    }
}
