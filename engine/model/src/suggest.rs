//! "Did you mean …?"

/// The candidate most like `word`, if any is like enough to be worth saying.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| {
            (strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase()), candidate)
        })
        .filter(|(distance, candidate)| *distance <= (word.len().max(candidate.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        assert_eq!(super::closest("scroe", ["email", "score", "wait"]), Some("score"));
        assert_eq!(super::closest("banana", ["email", "score", "wait"]), None);
    }
}
