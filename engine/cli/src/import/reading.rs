//! CSV as RFC 4180 has it, read strictly and in bounded memory.
//!
//! The `csv` crate is built to make something of every input: it takes the end of the file for a missing quote, and its
//! line numbers drift with blank lines. An import must instead stop at the line where a file goes wrong, so the dozen
//! states of the format are written out here; a test holds this reader against that crate on well-formed input.

use std::io::{self, BufRead, BufReader, Read};

use thiserror::Error;

/// The longest field that a row may have, in bytes; a longer one rejects its row.
pub(crate) const MAX_FIELD: usize = 64 * 1024;

/// The longest record, in bytes. What is longer is taken for a quote that nobody closed.
const MAX_RECORD: usize = 16 * 1024 * 1024;

/// A file that is not CSV, and the line where that shows.
#[derive(Debug, Error)]
#[error("line {line}: {kind}")]
pub(crate) struct ReadError {
    /// From 1.
    pub(crate) line: u64,
    /// What is wrong there.
    pub(crate) kind: ReadErrorKind,
}

/// What is wrong with a file.
#[derive(Debug, Error)]
pub(crate) enum ReadErrorKind {
    /// The file system said so.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The text is in another encoding.
    #[error("byte {byte} of the line (0x{value:02X}) is not UTF-8")]
    NotUtf8 {
        /// From 1.
        byte: usize,
        /// What stands there.
        value: u8,
    },
    /// The text is UTF-16.
    #[error("the file is UTF-16, not UTF-8")]
    Utf16,
    /// A quoted field does not end.
    #[error("the quote that is opened here is never closed")]
    Unterminated,
    /// `"Anna"x,`
    #[error("text follows the closing quote of a field, before the next delimiter")]
    AfterQuote,
    /// The line does not end.
    #[error("the line is longer than {} MiB", MAX_RECORD / 1024 / 1024)]
    TooLong,
}

/// One record; its allocations are used again for the next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    line: u64,
    text: String,
    ends: Vec<usize>,
}

impl Record {
    /// The line where the record begins, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// The size of all fields together.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// How many fields there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The fields in their order, without their quotes.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.text.get(start..*end).unwrap_or_default())
    }

    fn clear(&mut self, line: u64) {
        self.line = line;
        self.text.clear();
        self.ends.clear();
    }

    fn end_field(&mut self) {
        self.ends.push(self.text.len());
    }
}

/// Reads records one by one.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    input: BufReader<R>,
    delimiter: char,
    /// The line that `raw` holds, from 1.
    line: u64,
    raw: Vec<u8>,
    /// Whether `raw` still has to be split: the first line is read early, to find the delimiter.
    pending: bool,
    position: u64,
}

impl<R: Read> Reader<R> {
    /// A reader whose delimiter is the one that the first line has most of: comma, semicolon or tab.
    pub(crate) fn new(input: R) -> Result<Self, ReadError> {
        let mut reader = Self {
            input: BufReader::with_capacity(256 * 1024, input),
            delimiter: ',',
            line: 0,
            raw: Vec::new(),
            pending: false,
            position: 0,
        };
        reader.pending = reader.fill()?;
        if reader.raw.starts_with(&[0xFF, 0xFE]) || reader.raw.starts_with(&[0xFE, 0xFF]) {
            return Err(ReadError { line: 1, kind: ReadErrorKind::Utf16 });
        }
        if reader.raw.starts_with("\u{feff}".as_bytes()) {
            reader.raw.drain(..3);
        }
        let count = |delimiter: char| reader.raw.iter().filter(|byte| **byte == delimiter as u8).count();
        if let Some(most) = ['\t', ';', ','].into_iter().max_by_key(|delimiter| count(*delimiter)) {
            reader.delimiter = most;
        }
        Ok(reader)
    }

    /// What separates fields.
    pub(crate) fn delimiter(&self) -> char {
        self.delimiter
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Reads the next record into `record`; `false` at the end of the file. Blank lines are passed over.
    pub(crate) fn read(&mut self, record: &mut Record) -> Result<bool, ReadError> {
        loop {
            if !std::mem::take(&mut self.pending) && !self.fill()? {
                return Ok(false);
            }
            if !content(&self.raw).0.is_empty() {
                break;
            }
        }
        record.clear(self.line);
        let mut state = State::Start;
        let mut opened = self.line;
        loop {
            let (bytes, terminator) = content(&self.raw);
            let text = std::str::from_utf8(bytes).map_err(|error| {
                let byte = error.valid_up_to();
                let value = bytes.get(byte).copied().unwrap_or_default();
                ReadError { line: self.line, kind: ReadErrorKind::NotUtf8 { byte: byte + 1, value } }
            })?;
            let before = (state, record.len());
            state = split(text, self.delimiter, state, record)
                .map_err(|kind| ReadError { line: self.line, kind })?;
            if state != State::Quoted {
                record.end_field();
                return Ok(true);
            }
            if before.0 != State::Quoted || before.1 != record.len() {
                opened = self.line;
            }
            record.text.push_str(terminator);
            if record.text.len() > MAX_RECORD || !self.fill()? {
                return Err(ReadError { line: opened, kind: ReadErrorKind::Unterminated });
            }
        }
    }

    /// Reads the next line, its terminator included; `false` at the end of the file.
    fn fill(&mut self) -> Result<bool, ReadError> {
        self.raw.clear();
        self.line += 1;
        let line = self.line;
        let read = (&mut self.input)
            .take(MAX_RECORD as u64 + 1)
            .read_until(b'\n', &mut self.raw)
            .map_err(|error| ReadError { line, kind: error.into() })?;
        if read > MAX_RECORD {
            return Err(ReadError { line, kind: ReadErrorKind::TooLong });
        }
        self.position += read as u64;
        Ok(read > 0)
    }
}

/// Where the reader stands within a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a field.
    Start,
    /// Within a field that has no quotes around it; a quote there is text.
    Plain,
    /// Within quotes.
    Quoted,
    /// After a quote within quotes: the end of the field, or half of a doubled quote.
    Closing,
}

/// A line without its terminator, and the terminator.
fn content(raw: &[u8]) -> (&[u8], &'static str) {
    match raw.strip_suffix(b"\n") {
        Some(rest) => rest.strip_suffix(b"\r").map_or((rest, "\n"), |rest| (rest, "\r\n")),
        None => (raw, ""),
    }
}

/// Splits a line into the fields of `record`; the last field stays open.
fn split(line: &str, delimiter: char, from: State, record: &mut Record) -> Result<State, ReadErrorKind> {
    if from == State::Start && !line.contains('"') {
        for (index, field) in line.split(delimiter).enumerate() {
            if index > 0 {
                record.end_field();
            }
            record.text.push_str(field);
        }
        return Ok(State::Plain);
    }
    let mut state = from;
    for letter in line.chars() {
        state = match (state, letter) {
            (State::Start, '"') => State::Quoted,
            (State::Quoted, '"') => State::Closing,
            (State::Closing, '"') => {
                record.text.push('"');
                State::Quoted
            }
            (State::Start | State::Plain | State::Closing, _) if letter == delimiter => {
                record.end_field();
                State::Start
            }
            (State::Closing, ' ') => State::Closing,
            (State::Closing, _) => return Err(ReadErrorKind::AfterQuote),
            (State::Start | State::Plain | State::Quoted, _) => {
                record.text.push(letter);
                if state == State::Start { State::Plain } else { state }
            }
        };
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(input: &[u8]) -> Result<Vec<(u64, Vec<String>)>, String> {
        let mut reader = Reader::new(input).map_err(|error| error.to_string())?;
        let (mut record, mut all) = (Record::default(), Vec::new());
        while reader.read(&mut record).map_err(|error| error.to_string())? {
            all.push((record.line(), record.fields().map(str::to_owned).collect()));
        }
        Ok(all)
    }

    fn rows(input: &str) -> Vec<(u64, Vec<String>)> {
        read(input.as_bytes()).unwrap()
    }

    #[test]
    fn quotes_blank_lines_and_line_endings_keep_the_line_numbers_right() {
        let found = rows("\u{feff}a,b\r\n\r\n\"x\r\ny\",\"say \"\"hi\"\"\"\r\n5\" pipe,\n,\"\" \n");
        assert_eq!(found[0], (1, vec!["a".into(), "b".into()]));
        assert_eq!(found[1], (3, vec!["x\r\ny".into(), "say \"hi\"".into()]));
        assert_eq!(found[2], (5, vec!["5\" pipe".into(), String::new()]));
        assert_eq!(found[3], (6, vec![String::new(), String::new()]));
    }

    #[test]
    fn the_delimiter_is_the_one_that_the_header_uses() {
        assert_eq!(rows("a;b;c\n1,5;2;3")[1].1, ["1,5", "2", "3"]);
        assert_eq!(rows("a\tb\n1\t2")[1].1, ["1", "2"]);
        assert_eq!(rows("email\nx")[0].1, ["email"]);
    }

    #[test]
    fn what_is_not_csv_is_refused_with_its_line() {
        for (input, expected) in [
            (&b"a,b\n1,\"two\n3,4\n"[..], "line 2: the quote that is opened here is never closed"),
            (b"a,b\n\"x\ny\",\"z\nw", "line 3: the quote that is opened here is never closed"),
            (b"a\n\"x\"y\n", "line 2: text follows the closing quote of a field, before the next delimiter"),
            (b"a\nM\xFCller\n", "line 2: byte 2 of the line (0xFC) is not UTF-8"),
            (b"\xFF\xFEa\0", "line 1: the file is UTF-16, not UTF-8"),
        ] {
            assert_eq!(read(input).unwrap_err(), expected);
        }
    }

    proptest! {
        #[test]
        fn reads_well_formed_files_as_the_csv_crate_writes_them(
            table in proptest::collection::vec(proptest::collection::vec("[a-z,;\"\r\n ü]{0,6}", 3), 1..8),
        ) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(["a", "b", "c"]).unwrap();
            for row in &table {
                writer.write_record(row).unwrap();
            }
            let found = read(&writer.into_inner().unwrap()).unwrap();
            let fields: Vec<_> = found.into_iter().skip(1).map(|(_, fields)| fields).collect();
            prop_assert_eq!(fields, table);
        }
    }
}
