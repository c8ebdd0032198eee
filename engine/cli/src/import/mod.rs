//! CSV files into the store: read twice, kept whole or not at all.
//!
//! The first reading finds everything that makes a file unusable (its quoting, its encoding, its columns) and the type
//! of each column; the second puts the rows into the store, a thousand at a time, in one transaction. Neither holds
//! more than a slice of the file in memory. Rows that cannot be taken go to `FILE.rejected.csv`, each with its line and
//! the reason, and hold up no other.

mod contacts;
mod error;
mod events;
mod mapping;
mod reading;
mod rejected;
mod typing;

use std::{
    collections::HashSet,
    fs::File,
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
};

use dripline_model::field::Fields as KnownFields;
use dripline_store::{Import, RowResult, Store};
use indicatif::ProgressBar;
use jiff::Timestamp;

pub(crate) use contacts::Contacts;
pub(crate) use error::ImportError;
use error::{ImportErrorKind, Structure};
pub(crate) use events::Events;
use mapping::{Column, Mapping};
pub(crate) use mapping::{Fields, MapRule, Meaning};
use reading::{MAX_FIELD, Reader, Record};
use rejected::RejectedRows;
pub(crate) use typing::{read_boolean, read_time};

/// Rows put into the store at once; fewer, where they hold more than [`SLICE_BYTES`].
const SLICE: usize = 1_000;

/// Bytes after which a slice ends.
const SLICE_BYTES: usize = 16 * 1024 * 1024;

/// What the rows of a file are.
pub(crate) trait Entity {
    /// Its fields with a meaning of their own.
    type Field: Fields;
    /// A row on its way into the store.
    type Row;

    /// Whether its values of free choice are attributes of contacts.
    const OF_CONTACTS: bool = false;

    /// A row of the file, or why it is rejected. The cells are trimmed; an empty one means nothing.
    fn row(&self, columns: &[Column<Self::Field>], cells: &[&str]) -> Result<Self::Row, String>;

    /// By what the row is known, if by anything.
    fn key(row: &Self::Row) -> Option<&str>;

    /// Puts a slice into the store.
    async fn put(
        import: &mut dyn Import,
        rows: &[Self::Row],
        now: Timestamp,
    ) -> dripline_store::Result<Vec<RowResult>>;
}

/// What an import did.
#[derive(Debug)]
pub(crate) struct Summary<F> {
    /// What the columns were taken for.
    pub(crate) columns: Vec<Column<F>>,
    /// What separates the fields, where it is not the comma.
    pub(crate) delimiter: Option<char>,
    /// Sentences about columns.
    pub(crate) notes: Vec<String>,
    /// Rows that are new to the store.
    pub(crate) inserted: u64,
    /// Rows that changed something known.
    pub(crate) updated: u64,
    /// Rows that said nothing new.
    pub(crate) unchanged: u64,
    /// Rows whose key stands on an earlier line too.
    pub(crate) repeated: u64,
    /// Rows that were not taken.
    pub(crate) rejected: u64,
    /// The first few of those, as `(line, reason)`.
    pub(crate) examples: Vec<(u64, String)>,
    /// Where all of those are.
    pub(crate) rejected_file: Option<PathBuf>,
}

/// Imports `file`, where `known` is known of contacts.
pub(crate) async fn import<E: Entity>(
    store: &dyn Store,
    entity: &E,
    file: &Path,
    rules: &[MapRule],
    known: &KnownFields,
    now: Timestamp,
    progress: &ProgressBar,
) -> Result<Summary<E::Field>, ImportError> {
    let in_file = |kind| ImportError { file: file.to_owned(), kind };
    let (mapping, delimiter) = survey::<E>(file, rules, known, progress).map_err(in_file)?;
    load(store, entity, file, mapping, delimiter, now, progress).await.map_err(in_file)
}

/// The first reading: what the columns mean and which types they have.
fn survey<E: Entity>(
    file: &Path,
    rules: &[MapRule],
    known: &KnownFields,
    progress: &ProgressBar,
) -> Result<(Mapping<E::Field>, char), ImportErrorKind> {
    let mut reader = open(file, progress, "checking")?;
    let mut record = Record::default();
    if !reader.read(&mut record)? {
        return Err(Structure::Empty.into());
    }
    let headers: Vec<String> = record.fields().map(|header| header.trim().to_owned()).collect();
    let mut rules = rules.to_vec();
    if rejected::is_rejected_file(file, &headers) {
        rules.extend(rejected::OWN_COLUMNS.map(MapRule::ignore));
    }
    let mut mapping = Mapping::new(&headers, &rules)?;
    if E::OF_CONTACTS {
        mapping.declare(known)?;
    }
    let mut inferences = mapping.inferred();
    while reader.read(&mut record)? {
        progress.set_position(reader.position());
        // Rows that will be rejected have no say in the types.
        if check_shape(&record, headers.len()).is_err() {
            continue;
        }
        for (inference, cell) in inferences.iter_mut().zip(record.fields()) {
            if let (Some(inference), cell) = (inference, cell.trim())
                && !cell.is_empty()
            {
                inference.see(cell);
            }
        }
    }
    mapping.settle(&inferences);
    if E::OF_CONTACTS {
        mapping.compare(known);
    }
    Ok((mapping, reader.delimiter()))
}

/// The second reading: the rows into the store.
async fn load<E: Entity>(
    store: &dyn Store,
    entity: &E,
    file: &Path,
    mapping: Mapping<E::Field>,
    delimiter: char,
    now: Timestamp,
    progress: &ProgressBar,
) -> Result<Summary<E::Field>, ImportErrorKind> {
    let mut reader = open(file, progress, "importing")?;
    let mut header = Record::default();
    reader.read(&mut header)?;
    let mut rejected = RejectedRows::beside(file, &header);
    let mut import = store.begin_import().await?;
    let mut summary = Summary {
        columns: mapping.columns,
        delimiter: (delimiter != ',').then_some(delimiter),
        notes: mapping.notes,
        inserted: 0,
        updated: 0,
        unchanged: 0,
        repeated: 0,
        rejected: 0,
        examples: Vec::new(),
        rejected_file: None,
    };
    let mut seen = Seen::default();
    let mut slice = Vec::with_capacity(SLICE);
    let mut bytes = 0;
    loop {
        let mut record = Record::default();
        let more = reader.read(&mut record)?;
        if more {
            let row = check_shape(&record, summary.columns.len()).and_then(|()| {
                let cells: Vec<&str> = record.fields().map(str::trim).collect();
                entity.row(&summary.columns, &cells)
            });
            bytes += record.bytes();
            slice.push((record, row));
        }
        if slice.len() == SLICE || bytes > SLICE_BYTES || !more {
            bytes = 0;
            let rows = std::mem::replace(&mut slice, Vec::with_capacity(SLICE));
            put_slice::<E>(import.as_mut(), rows, now, &mut summary, &mut seen, &mut rejected).await?;
            progress.set_position(reader.position());
        }
        if !more {
            break;
        }
    }
    rejected.flush()?;
    import.commit().await?;
    match rejected.keep() {
        Ok(file) => summary.rejected_file = file,
        Err(error) => summary.notes.push(format!("the rejected rows could not be written down: {error}")),
    }
    Ok(summary)
}

async fn put_slice<E: Entity>(
    import: &mut dyn Import,
    slice: Vec<(Record, Result<E::Row, String>)>,
    now: Timestamp,
    summary: &mut Summary<E::Field>,
    seen: &mut Seen,
    rejected: &mut RejectedRows,
) -> Result<(), ImportErrorKind> {
    let mut records = Vec::with_capacity(slice.len());
    let mut rows = Vec::with_capacity(slice.len());
    for (record, row) in slice {
        match row {
            Ok(row) => {
                rows.push(row);
                records.push((record, None));
            }
            Err(reason) => records.push((record, Some(reason))),
        }
    }
    let results = E::put(import, &rows, now).await?;
    let mut results = rows.iter().zip(results);
    for (record, reason) in records {
        let reason = match reason {
            Some(reason) => reason,
            None => {
                let Some((row, result)) = results.next() else { continue };
                let count = match result {
                    RowResult::Inserted(_) => &mut summary.inserted,
                    RowResult::Updated(_) => &mut summary.updated,
                    RowResult::Unchanged(_) => &mut summary.unchanged,
                    RowResult::Rejected(reason) => {
                        rejected.write(&record, &reason)?;
                        summary.reject(record.line(), reason);
                        continue;
                    }
                };
                *count += 1;
                summary.repeated += u64::from(E::key(row).is_some_and(|key| seen.is_repeated(key)));
                continue;
            }
        };
        rejected.write(&record, &reason)?;
        summary.reject(record.line(), reason);
    }
    Ok(())
}

impl<F> Summary<F> {
    /// How many rejected rows a summary shows.
    const EXAMPLES: usize = 5;

    fn reject(&mut self, line: u64, reason: String) {
        self.rejected += 1;
        if self.examples.len() < Self::EXAMPLES {
            self.examples.push((line, reason));
        }
    }

    /// Rows that were taken.
    pub(crate) fn taken(&self) -> u64 {
        self.inserted + self.updated + self.unchanged
    }
}

/// The keys of a file as hashes: eight bytes a row, where the keys themselves would be most of the file. Two keys that
/// share a hash miscount by one, among ten million rows with a probability of three in a million.
#[derive(Debug, Default)]
struct Seen {
    hasher: RandomState,
    hashes: HashSet<u64>,
}

impl Seen {
    fn is_repeated(&mut self, key: &str) -> bool {
        !self.hashes.insert(self.hasher.hash_one(key))
    }
}

fn open(file: &Path, progress: &ProgressBar, doing: &'static str) -> Result<Reader<File>, ImportErrorKind> {
    let opened = File::open(file).map_err(ImportErrorKind::Open)?;
    let metadata = opened.metadata().map_err(ImportErrorKind::Open)?;
    if metadata.is_dir() {
        return Err(ImportErrorKind::Open(std::io::ErrorKind::IsADirectory.into()));
    }
    if !metadata.is_file() {
        let why = "it is read twice, so it has to be a file and no pipe; save it first";
        return Err(ImportErrorKind::Open(std::io::Error::other(why)));
    }
    progress.set_length(metadata.len());
    progress.set_position(0);
    progress.set_message(doing);
    Ok(Reader::new(opened)?)
}

/// A file as it is: its headers, and its rows with their lines.
pub(crate) struct Table {
    pub(crate) headers: Vec<String>,
    pub(crate) rows: Vec<(u64, Vec<String>)>,
}

/// Reads a file as a table; a row of another length than the headers' makes it unusable.
pub(crate) fn read_table(file: &Path) -> Result<Table, ImportError> {
    read_rows(file, usize::MAX).map_err(|kind| ImportError { file: file.to_owned(), kind })
}

/// The headers of a file.
pub(crate) fn read_headers(file: &Path) -> Result<Vec<String>, ImportError> {
    let table = read_rows(file, 0).map_err(|kind| ImportError { file: file.to_owned(), kind });
    table.map(|table| table.headers)
}

fn read_rows(file: &Path, most: usize) -> Result<Table, ImportErrorKind> {
    let mut reader = open(file, &ProgressBar::hidden(), "reading")?;
    let mut record = Record::default();
    if !reader.read(&mut record)? {
        return Err(Structure::Empty.into());
    }
    let cells = |record: &Record| record.fields().map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let mut table = Table { headers: cells(&record), rows: Vec::new() };
    while table.rows.len() < most && reader.read(&mut record)? {
        check_shape(&record, table.headers.len())
            .map_err(|why| Structure::Row { line: record.line(), why })?;
        table.rows.push((record.line(), cells(&record)));
    }
    Ok(table)
}

/// What rejects a row before its cells are looked at.
fn check_shape(record: &Record, columns: usize) -> Result<(), String> {
    if record.len() != columns {
        let (few, found) = (if record.len() < columns { "few" } else { "many" }, record.len());
        return Err(format!("too {few} columns: {found} where the header has {columns}"));
    }
    for (index, field) in record.fields().enumerate() {
        if field.len() > MAX_FIELD {
            let (kib, most) = (field.len() / 1024, MAX_FIELD / 1024);
            return Err(format!("column {} holds {kib} KiB; the most is {most} KiB", index + 1));
        }
        if field.contains('\0') {
            return Err(format!("column {} holds a NUL character", index + 1));
        }
    }
    Ok(())
}
