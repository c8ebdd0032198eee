//! A workspace in a temporary folder, and the binary run in it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use assert_cmd::cargo::cargo_bin_cmd;
use insta::internals::SettingsBindDropGuard;
use tempfile::TempDir;

/// A workspace for one test.
pub(crate) struct TestWorkspace {
    folder: TempDir,
}

/// What a command answered.
pub(crate) struct Answer {
    /// The exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl TestWorkspace {
    /// A folder with nothing in it.
    pub(crate) fn empty() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    /// What `dripline init` makes.
    pub(crate) fn new() -> Self {
        let workspace = Self::empty();
        assert_eq!(workspace.run(&["init", "."]).code, 0);
        workspace.share_compiled_plugins();
        workspace
    }

    /// Compiling the plugins anew would be most of a test's time.
    fn share_compiled_plugins(&self) {
        let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-plugins");
        fs::create_dir_all(&shared).unwrap();
        fs::create_dir_all(self.path(".dripline")).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(shared, self.path(".dripline/cache")).unwrap();
    }

    /// A workspace with the sample contacts.
    pub(crate) fn with_contacts() -> Self {
        let workspace = Self::new();
        assert_eq!(workspace.run(&["import", "contacts.csv"]).code, 0);
        workspace
    }

    /// A path in the workspace.
    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// Writes a file.
    pub(crate) fn write(&self, relative: &str, content: impl AsRef<[u8]>) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Removes a file.
    pub(crate) fn remove(&self, relative: &str) {
        fs::remove_file(self.path(relative)).unwrap();
    }

    /// Reads a file.
    pub(crate) fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap()
    }

    /// Runs the binary in the workspace.
    pub(crate) fn run(&self, args: &[&str]) -> Answer {
        self.run_with(&[], args)
    }

    /// Runs the binary in the workspace with these environment variables.
    pub(crate) fn run_with(&self, variables: &[(&str, &str)], args: &[&str]) -> Answer {
        let mut command = cargo_bin_cmd!("dripline");
        command.current_dir(self.folder.path()).envs(variables.iter().copied()).args(args);
        self.answer(&command.output().unwrap())
    }

    /// What a process of the binary answered.
    pub(crate) fn answer(&self, output: &Output) -> Answer {
        let folder = fs::canonicalize(self.folder.path()).unwrap();
        let text = |bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            text.replace(folder.to_str().unwrap(), "[workspace]")
                .replace(self.folder.path().to_str().unwrap(), "[workspace]")
        };
        Answer { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Runs the binary and reads the JSON that it prints.
    pub(crate) fn json(&self, args: &[&str]) -> serde_json::Value {
        let answer = self.run(&[args, &["--json"]].concat());
        assert_eq!(answer.code, 0, "{}", answer.err);
        serde_json::from_str(&answer.out).unwrap()
    }
}

impl Answer {
    /// The code and both outputs as one text.
    pub(crate) fn shown(&self) -> String {
        let text = format!("[exit {}]\n{}{}", self.code, self.out, self.err);
        text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

/// While this lives, snapshots leave out what differs from one execution to the next.
pub(crate) fn steady() -> SettingsBindDropGuard {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?Z?", "[time]");
    settings.add_filter(r"%20[0-9a-f]{32}\b", "%20[token]");
    settings.add_filter(r" in \d+\.\d s", " in [time]");
    settings.add_filter(r"  \d+\.\d\d s\n", "  [time]\n");
    settings.add_filter(r"\b[0-9a-f]{12}\b", "[digest]");
    settings.add_filter(r"127\.0\.0\.1:\d+", "127.0.0.1:[port]");
    settings.add_filter(r"[\d,]+ MiB free", "[room] free");
    settings.add_filter(r"room for [\d,]+ connections", "room for [number] connections");
    settings.add_filter(r"dripline_test_\d+_\d+_\d+", "[database]");
    settings.add_filter(r"\b(69|7\d) s (before|behind)", "70 s $2");
    settings.add_filter(r"this program's \d+;", "this program's [newest];");
    settings.add_filter(r"schema     version \d+ is up to date", "schema     version [newest] is up to date");
    settings.bind_to_scope()
}
