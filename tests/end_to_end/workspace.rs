//! A workspace of its own for each test, and the command that works on it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// The repository, which is a workspace itself: its campaigns, templates and teams are those that the tests run.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("engine/cli is two levels down")
        .to_owned()
}

/// The contacts and events to run on: the shipped sample, or the full set where `DRIPLINE_FULL_DATA` names it.
pub(crate) struct Data {
    pub(crate) contacts: PathBuf,
    pub(crate) events: PathBuf,
}

impl Data {
    pub(crate) fn sample() -> Self {
        Self::of(&repository().join("tests/data/b2b-saas"))
    }

    /// The full set; CI must have it, others may.
    pub(crate) fn full() -> Option<Self> {
        match std::env::var_os("DRIPLINE_FULL_DATA") {
            Some(dir) => Some(Self::of(Path::new(&dir))),
            None if std::env::var_os("CI").is_some() => {
                panic!("DRIPLINE_FULL_DATA must name the full data set in CI")
            }
            None => None,
        }
    }

    fn of(dir: &Path) -> Self {
        Self { contacts: dir.join("contacts.csv"), events: dir.join("events.csv") }
    }
}

pub(crate) struct Workspace {
    dir: TempDir,
}

impl Workspace {
    /// The shipped campaigns in a directory of their own, with an empty store.
    pub(crate) fn shipped() -> Self {
        let dir = TempDir::new().unwrap();
        let from = repository();
        for name in ["dripline.yaml", "teams.yaml"] {
            fs::copy(from.join(name), dir.path().join(name)).unwrap();
        }
        for name in ["workflows", "templates"] {
            copy_tree(&from.join(name), &dir.path().join(name));
        }
        Self { dir }
    }

    /// A workspace with settings and nothing else.
    pub(crate) fn empty() -> Self {
        let workspace = Self { dir: TempDir::new().unwrap() };
        workspace.write("dripline.yaml", "sender: {name: Test, email: test@dripline.example}\n");
        workspace
    }

    /// Writes something else into a file in the place of a text.
    pub(crate) fn replace(&self, name: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(old), "`{old}` does not stand in {name}");
        self.write(name, &text.replace(old, new));
    }

    /// The same files and the same store, elsewhere. Nothing may run there.
    pub(crate) fn copy(&self) -> Self {
        let dir = TempDir::new().unwrap();
        copy_tree(self.dir.path(), dir.path());
        Self { dir }
    }

    /// A workspace with one workflow of these steps, `on: manual`, and three contacts.
    pub(crate) fn with_steps(steps: &str) -> Self {
        let workspace = Self::empty();
        workspace.write("workflows/test.yaml", &format!("name: test\non: manual\nsteps:\n{steps}"));
        workspace.write(
            "contacts.csv",
            "external_id,email\na,a@dripline.example\nb,b@dripline.example\nc,c@dripline.example\n",
        );
        workspace.ok(&["import", "contacts.csv"]);
        workspace
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Adds to the settings.
    pub(crate) fn set(&self, more: &str) {
        let settings = fs::read_to_string(self.path("dripline.yaml")).unwrap();
        self.write("dripline.yaml", &format!("{settings}\n{more}"));
    }

    /// Sends through the SMTP server on this port of the loopback interface.
    pub(crate) fn send_through(&self, port: u16, extra: &str) {
        self.set(&format!("mail:\n  smtp: {{host: 127.0.0.1, port: {port}, tls: none}}\n{extra}"));
    }

    pub(crate) fn import(&self, data: &Data) {
        self.ok(&["import", data.contacts.to_str().unwrap()]);
        self.ok(&["events", "import", "--live", data.events.to_str().unwrap()]);
    }

    /// Publishes the workflow of [`Workspace::with_steps`], enrols its contacts, and does what is due.
    pub(crate) fn enroll(&self) {
        self.ok(&["run"]);
        self.ok(&["enroll", "test", "a", "b", "c"]);
        self.ok(&["run"]);
    }

    /// The command, ready to start.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dripline"));
        command.current_dir(self.dir.path()).args(arguments).stdin(Stdio::null()).env("NO_COLOR", "1");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the command, which must succeed, and answers what it printed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (out, err) = texts(&output);
        assert!(output.status.success(), "dripline {arguments:?} ended with {}\n{out}\n{err}", output.status);
        out
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        serde_json::from_str(&self.ok(&arguments)).expect("a JSON array")
    }

    /// What the store holds at the end, in a form in which two runs can be compared: times and ids are left out.
    pub(crate) fn summary(&self) -> Summary {
        let field = |row: &Value, name: &str| row.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
        let mut summary = Summary::default();
        for mail in self.json(&["mail", "list", "--limit", "1000000"]) {
            let key = (field(&mail, "to"), field(&mail, "template"), field(&mail, "status"));
            *summary.mails.entry(key).or_default() += 1;
        }
        for run in self.json(&["runs", "list", "--limit", "1000000"]) {
            *summary.runs.entry((field(&run, "workflow"), field(&run, "status"))).or_default() += 1;
        }
        for lead in self.json(&["leads", "--limit", "1000000"]) {
            *summary.leads.entry(field(&lead, "rep")).or_default() += 1;
        }
        summary
    }
}

/// See [`Workspace::summary`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// How many mails of which template went to whom, and how they stand.
    pub(crate) mails: BTreeMap<(String, String, String), u64>,
    /// Runs by workflow and state.
    pub(crate) runs: BTreeMap<(String, String), u64>,
    /// Leads by representative.
    pub(crate) leads: BTreeMap<String, u64>,
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub(crate) fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}
