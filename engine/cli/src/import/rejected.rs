//! The rows that an import did not take, written down so that they can be mended and imported again.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use super::{error::ImportErrorKind, reading::Record};

/// The columns that such a file has before those of the file itself.
pub(super) const OWN_COLUMNS: [&str; 2] = ["line", "reason"];

/// Whether `file`, with these headers, is one that an import before wrote.
pub(super) fn is_rejected_file(file: &Path, headers: &[String]) -> bool {
    let named = file.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".rejected.csv"));
    named && headers.starts_with(&OWN_COLUMNS.map(str::to_owned))
}

/// `FILE.rejected.csv`. Until the import is committed it is a draft beside it, so that an import that fails leaves the
/// rows of the one before, which somebody may have mended, as they are.
#[derive(Debug)]
pub(super) struct RejectedRows {
    path: PathBuf,
    header: Record,
    writer: Option<csv::Writer<NamedTempFile>>,
}

impl RejectedRows {
    /// The rejected rows of `file`.
    pub(super) fn beside(file: &Path, header: &Record) -> Self {
        Self { path: file.with_extension("rejected.csv"), header: header.clone(), writer: None }
    }

    /// Adds a row.
    pub(super) fn write(&mut self, record: &Record, reason: &str) -> Result<(), ImportErrorKind> {
        self.try_write(record, reason).map_err(|error| self.failed(error))
    }

    /// Writes the draft out, while the import can still be given up.
    pub(super) fn flush(&mut self) -> Result<(), ImportErrorKind> {
        let flushed = self.writer.as_mut().map_or(Ok(()), csv::Writer::flush);
        flushed.map_err(|error| self.failed(error))
    }

    /// Puts the draft in its place, once the import is committed; answers where it is. Without rejected rows there is no
    /// file, and one from an import before is deleted.
    pub(super) fn keep(self) -> io::Result<Option<PathBuf>> {
        let Some(writer) = self.writer else {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(None),
            };
        };
        let draft = writer.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
        draft.persist(&self.path).map_err(|failed| failed.error)?;
        Ok(Some(self.path))
    }

    fn try_write(&mut self, record: &Record, reason: &str) -> io::Result<()> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
                let draft = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
                let writer = csv::WriterBuilder::new().flexible(true).from_writer(draft);
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
