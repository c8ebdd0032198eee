//! The rows that an import did not take, written down so that they can be mended and imported again.

use std::{
    fs::{self, File},
    io::{self, BufWriter},
    path::{Path, PathBuf},
};

use super::{error::ImportErrorKind, reading::Record};

/// The columns that such a file has before those of the file itself.
pub(super) const OWN_COLUMNS: [&str; 2] = ["line", "reason"];

/// Whether `file`, with these headers, is one that an import before wrote.
pub(super) fn is_rejected_file(file: &Path, headers: &[String]) -> bool {
    let named = file.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".rejected.csv"));
    named && headers.starts_with(&OWN_COLUMNS.map(str::to_owned))
}

/// `FILE.rejected.csv`, begun with the first rejected row.
#[derive(Debug)]
pub(super) struct RejectedRows {
    path: PathBuf,
    header: Record,
    writer: Option<csv::Writer<BufWriter<File>>>,
}

impl RejectedRows {
    /// The rejected rows of `file`. Those of an import before this one are deleted.
    pub(super) fn beside(file: &Path, header: &Record) -> Result<Self, ImportErrorKind> {
        let rows = Self { path: file.with_extension("rejected.csv"), header: header.clone(), writer: None };
        match fs::remove_file(&rows.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(rows.failed(error)),
            _ => Ok(rows),
        }
    }

    /// Adds a row.
    pub(super) fn write(&mut self, record: &Record, reason: &str) -> Result<(), ImportErrorKind> {
        self.try_write(record, reason).map_err(|error| self.failed(error))
    }

    /// Ends the file; answers where it is, unless no row was rejected.
    pub(super) fn finish(mut self) -> Result<Option<PathBuf>, ImportErrorKind> {
        match self.writer.as_mut().map(csv::Writer::flush) {
            None => Ok(None),
            Some(Ok(())) => Ok(Some(self.path)),
            Some(Err(error)) => Err(self.failed(error)),
        }
    }

    fn try_write(&mut self, record: &Record, reason: &str) -> io::Result<()> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let file = BufWriter::new(File::create(&self.path)?);
                let writer = csv::WriterBuilder::new().flexible(true).from_writer(file);
                let writer = self.writer.insert(writer);
                writer.write_record(OWN_COLUMNS.into_iter().chain(self.header.fields()))?;
                writer
            }
        };
        let line = record.line().to_string();
        writer.write_record([line.as_str(), reason].into_iter().chain(record.fields()))?;
        Ok(())
    }

    fn failed(&self, source: io::Error) -> ImportErrorKind {
        ImportErrorKind::Rejected { file: self.path.clone(), source }
    }
}
