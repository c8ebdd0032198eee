//! The templates of a workspace, as files and as sources.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use dripline_model::suggest;

use crate::{Problem, check::Walker, scan::MAX_BYTES};

/// The deepest folder that is looked into.
const MAX_FOLDERS: usize = 16;

/// The template sources of a workspace, by path with extension (`trial/welcome.html`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Templates {
    sources: BTreeMap<String, String>,
}

/// Why templates could not be loaded.
#[derive(Debug, thiserror::Error)]
#[error("template {} {kind}", path.display())]
pub struct LoadError {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it.
    pub kind: LoadErrorKind,
}

/// What is wrong with a template file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadErrorKind {
    /// It cannot be read.
    #[error("cannot be read")]
    Io(#[source] io::Error),
    /// Its content or its name is not UTF-8.
    #[error("is not UTF-8 text")]
    NotUtf8,
    /// It is larger than 1 MiB.
    #[error("is larger than 1 MiB")]
    TooLarge,
    /// It lies in too many folders.
    #[error("lies more than {MAX_FOLDERS} folders deep")]
    TooDeep,
}

impl Templates {
    /// Loads all files under `dir`, save hidden ones; a folder that is not there holds none.
    ///
    /// # Errors
    /// The first file that cannot be read, is larger than 1 MiB or is not UTF-8.
    pub fn load(dir: &Path) -> Result<Self, LoadError> {
        let mut templates = Self::default();
        if dir.exists() {
            templates.load_folder(dir, "", 0)?;
        }
        Ok(templates)
    }

    fn load_folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), LoadError> {
        let failed = |path: &Path, kind| LoadError { path: path.to_owned(), kind };
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| LoadError { path, kind: LoadErrorKind::Io(error) }
        };
        if depth > MAX_FOLDERS {
            return Err(failed(folder, LoadErrorKind::TooDeep));
        }
        for entry in fs::read_dir(folder).map_err(io(folder))? {
            let path = entry.map_err(io(folder))?.path();
            let name = path.file_name().unwrap_or_default();
            let Some(name) = name.to_str() else { return Err(failed(&path, LoadErrorKind::NotUtf8)) };
            if name.starts_with('.') {
                continue;
            }
            let key = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
            let metadata = fs::metadata(&path).map_err(io(&path))?;
            if metadata.is_dir() {
                self.load_folder(&path, &key, depth + 1)?;
            } else if metadata.len() > MAX_BYTES as u64 {
                return Err(failed(&path, LoadErrorKind::TooLarge));
            } else {
                let bytes = fs::read(&path).map_err(io(&path))?;
                let source = String::from_utf8(bytes).map_err(|_| failed(&path, LoadErrorKind::NotUtf8))?;
                self.sources.insert(key, source);
            }
        }
        Ok(())
    }

    /// Templates by path with extension.
    pub fn from_sources(sources: BTreeMap<String, String>) -> Self {
        Self { sources }
    }

    /// The source of the template at `path`.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.sources.get(path).map(String::as_str)
    }

    /// The paths of all templates.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.sources.keys().map(String::as_str)
    }

    /// The names under which templates can be sent: `trial/welcome` for `trial/welcome.html` or `trial/welcome.txt`.
    pub fn email_names(&self) -> BTreeSet<String> {
        let name =
            |path: &str| path.strip_suffix(".html").or_else(|| path.strip_suffix(".txt")).map(str::to_owned);
        self.paths().filter_map(name).collect()
    }

    /// Everything that sending `email` needs, by path: its HTML and text, and all that they include.
    ///
    /// # Errors
    /// What is wrong with any of them; or that there is no such email.
    pub fn closure(&self, email: &str) -> Result<BTreeMap<String, String>, Vec<Problem>> {
        let reached = prepare(email, &self.sources)?.finish()?.templates;
        Ok(reached
            .into_keys()
            .filter_map(|path| self.sources.get(&path).map(|source| (path, source.clone())))
            .collect())
    }

    /// What is wrong with the template at `path` and with what it includes, where names that only its includer knows
    /// are let pass.
    pub fn check(&self, path: &str) -> Vec<Problem> {
        let mut walker = Walker::over(&self.sources);
        if self.sources.contains_key(path) {
            walker.alone(path);
            walker.problems
        } else {
            vec![unknown(path, self.paths())]
        }
    }
}

/// Walks the parts of an email.
pub(crate) fn prepare<'s>(
    email: &str,
    sources: &'s BTreeMap<String, String>,
) -> Result<Walker<'s>, Vec<Problem>> {
    let mut walker = Walker::over(sources);
    let parts = parts(email).into_iter().filter(|path| sources.contains_key(path)).collect::<Vec<_>>();
    if parts.is_empty() {
        let names: BTreeSet<&str> = sources
            .keys()
            .filter_map(|path| path.strip_suffix(".html").or_else(|| path.strip_suffix(".txt")))
            .collect();
        return Err(vec![unknown(email, names)]);
    }
    parts.iter().for_each(|path| walker.render(path));
    Ok(walker)
}

/// The paths of an email's HTML and text.
pub(crate) fn parts(email: &str) -> [String; 2] {
    [format!("{email}.html"), format!("{email}.txt")]
}

fn unknown<'n>(name: &str, names: impl IntoIterator<Item = &'n str>) -> Problem {
    let help = suggest::closest(name, names).map(|close| format!("did you mean `{close}`?"));
    Problem {
        path: String::new(),
        message: format!("there is no template `{name}`"),
        line: 1,
        column: 1,
        help,
    }
}
