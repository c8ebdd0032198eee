//! Edits that make bad inputs of good ones.

/// Longest input.
const LONGEST: usize = 64 * 1024;

/// Pieces that mean something in every kind of file.
const COMMON: &[&str] = &[
    "\t",
    "\n",
    "\r\n",
    " ",
    "  ",
    "- ",
    ": ",
    "#",
    "&a ",
    "*a",
    "!t ",
    "|\n",
    ">-\n",
    "---\n",
    "...",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "\"",
    "'",
    "\\",
    "ü",
    "\u{feff}",
    "\u{2028}",
    "漢",
    "\0",
    "\u{10ffff}",
    ",",
    "?",
    "<<: ",
    "null",
    "~",
    "true",
    "0",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "99999999999999999999",
    "1e308",
    "1e999",
    ".inf",
    "0x1F",
    "0.000000000000000000000000000001",
    "{{",
    "}}",
    "*/0",
    "0-0",
    "P1D",
    "%",
];

/// Makes inputs, the same for the same seed.
pub(crate) struct Mutator {
    state: u64,
    seeds: Vec<String>,
    pieces: &'static [&'static str],
}

impl Mutator {
    pub(crate) fn new(seed: u64, seeds: Vec<String>, pieces: &'static [&'static str]) -> Self {
        Self { state: seed, seeds, pieces }
    }

    /// SplitMix64 (Steele, Lea and Flood 2014).
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is 0 where there is none.
    fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { usize::try_from(self.random() % end as u64).unwrap() }
    }

    fn seed(&mut self) -> Vec<char> {
        let index = self.below(self.seeds.len());
        self.seeds.get(index).map(|seed| seed.chars().collect()).unwrap_or_default()
    }

    fn piece(&mut self) -> &'static str {
        let index = self.below(COMMON.len() + self.pieces.len());
        COMMON.get(index).or_else(|| self.pieces.get(index - COMMON.len())).copied().unwrap_or_default()
    }

    /// A range of at most `most` characters.
    fn range(&mut self, length: usize, most: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let end = (start + self.below(most + 1)).min(length);
        start..end
    }

    pub(crate) fn next_input(&mut self) -> String {
        let mut text = self.seed();
        for _ in 0..=self.below(6) {
            self.edit(&mut text);
            text.truncate(LONGEST);
        }
        text.into_iter().collect()
    }

    fn edit(&mut self, text: &mut Vec<char>) {
        match self.below(8) {
            // A piece in the place of some characters.
            0..=2 => {
                let piece: Vec<char> = self.piece().chars().collect();
                let range = self.range(text.len(), 8);
                text.splice(range, piece);
            }
            3 => {
                let range = self.range(text.len(), 40);
                text.drain(range);
            }
            // A part twice, or very often.
            4 => {
                let range = self.range(text.len(), 60);
                let part: Vec<char> = text.get(range.clone()).unwrap_or_default().to_vec();
                let times = if self.below(8) == 0 { self.below(400) } else { 1 };
                let copies = part.repeat(times);
                text.splice(range.end..range.end, copies);
            }
            // A part of another file.
            5 => {
                let other = self.seed();
                let part = self.range(other.len(), 200);
                let part: Vec<char> = other.get(part).unwrap_or_default().to_vec();
                let range = self.range(text.len(), 20);
                text.splice(range, part);
            }
            6 => {
                let (one, other) = (self.below(text.len()), self.below(text.len()));
                if one < text.len() && other < text.len() {
                    text.swap(one, other);
                }
            }
            // Any character at all.
            _ => {
                let code = u32::try_from(self.random() % 0x11_0000).unwrap();
                let any = char::from_u32(code).unwrap_or('\u{fffd}');
                let at = self.below(text.len() + 1);
                text.insert(at, any);
            }
        }
    }
}
