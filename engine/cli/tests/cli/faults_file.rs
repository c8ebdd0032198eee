//! A store in a file that cannot be used: what is wrong is said, and the file is left as it is.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use assert_cmd::cargo::cargo_bin;
use insta::assert_snapshot;
use rusqlite::Connection;

use crate::support::{Answer, TestWorkspace, steady};

const STORE: &str = ".dripline/dripline.db";

/// What `contacts list` answers, which must change nothing.
fn refused(workspace: &TestWorkspace) -> Answer {
    let before = fs::read(workspace.path(STORE)).ok();
    let answer = workspace.run(&["contacts", "list"]);
    assert!(fs::read(workspace.path(STORE)).ok() == before, "the file is as it was");
    answer
}

fn raw(workspace: &TestWorkspace) -> Connection {
    let file = Connection::open(workspace.path(STORE)).unwrap();
    file.pragma_update(None, "journal_mode", "DELETE").unwrap();
    file
}

#[test]
fn a_folder_in_the_place_of_the_file() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    fs::create_dir_all(workspace.path(STORE)).unwrap();
    assert_snapshot!(workspace.run(&["contacts", "list"]).shown(), @"
    [exit 1]
    error: failed to open the store `[workspace]/.dripline/dripline.db`: `[workspace]/.dripline/dripline.db` is not a Dripline database: it is a directory
    help: `store` in dripline.yaml says where the store is; let it name a place of its own
    ");
}

#[test]
fn a_file_that_is_no_database() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    workspace.write(STORE, "Dear SQLite,\n".repeat(100));
    assert_snapshot!(refused(&workspace).shown(), @"
    [exit 1]
    error: failed to open the store `[workspace]/.dripline/dripline.db`: `[workspace]/.dripline/dripline.db` is not a Dripline database: it is not an SQLite database
    help: `store` in dripline.yaml says where the store is; let it name a place of its own
    ");
}

#[test]
fn another_programs_database() {
    let _steady = steady();
    let workspace = TestWorkspace::new();
    raw(&workspace).execute_batch("CREATE TABLE notes (note TEXT)").unwrap();
    assert_snapshot!(refused(&workspace).shown(), @"
    [exit 1]
    error: failed to open the store `[workspace]/.dripline/dripline.db`: `[workspace]/.dripline/dripline.db` is not a Dripline database: it is another program's SQLite database
    help: `store` in dripline.yaml says where the store is; let it name a place of its own
    ");
}

#[test]
fn a_damaged_file() {
    let _steady = steady();
    let workspace = TestWorkspace::with_contacts();
    drop(raw(&workspace));
    let mut bytes = fs::read(workspace.path(STORE)).unwrap();
    bytes.get_mut(100..3_000).unwrap().fill(0xab);
    workspace.write(STORE, bytes);
    assert_snapshot!(refused(&workspace).shown(), @"
    [exit 74]
    error: failed to open the store `[workspace]/.dripline/dripline.db`: stored database is damaged: (code: 11) database disk image is malformed
    help: put a backup in its place; `dripline doctor` looks at the whole store
    ");
}

/// Where the first page of a table lies in the file.
fn first_page(file: &Connection, table: &str) -> std::ops::Range<usize> {
    let root: i64 = file
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [table], |row| row.get(0))
        .unwrap();
    let page: i64 = file.pragma_query_value(None, "page_size", |row| row.get(0)).unwrap();
    usize::try_from((root - 1) * page).unwrap()..usize::try_from(root * page).unwrap()
}

#[test]
fn a_file_of_which_the_end_is_missing() {
    let _steady = steady();
    let workspace = TestWorkspace::with_contacts();
    drop(raw(&workspace));
    let mut bytes = fs::read(workspace.path(STORE)).unwrap();
    bytes.truncate(bytes.len() / 2);
    workspace.write(STORE, bytes);
    assert_snapshot!(refused(&workspace).shown(), @"
    [exit 74]
    error: failed to open the store `[workspace]/.dripline/dripline.db`: stored database is damaged: (code: 11) database disk image is malformed
    help: put a backup in its place; `dripline doctor` looks at the whole store
    ");
}

#[test]
fn garbage_in_the_middle_of_a_file() {
    let _steady = steady();
    let workspace = TestWorkspace::with_contacts();
    let file = Connection::open(workspace.path(STORE)).unwrap();
    file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let page = first_page(&file, "contacts");
    drop(file);
    let mut bytes = fs::read(workspace.path(STORE)).unwrap();
    bytes.get_mut(page).unwrap().fill(0xab);
    workspace.write(STORE, bytes);
    assert_snapshot!(refused(&workspace).shown(), @"
    [exit 74]
    error: failed to list contacts: stored database is damaged: (code: 11) database disk image is malformed
    help: put a backup in its place; `dripline doctor` looks at the whole store
    ");
}

#[test]
fn a_file_that_another_process_keeps_for_itself() {
    let _steady = steady();
    let workspace = TestWorkspace::with_contacts();
    let holder = Connection::open(workspace.path(STORE)).unwrap();
    holder
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; SELECT count(*) FROM contacts")
        .unwrap();
    let mut waiting = Command::new(cargo_bin!("dripline"))
        .current_dir(workspace.path(""))
        .args(["contacts", "list"])
        .env("NO_COLOR", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(waiting.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    drop(holder);
    assert!(line.contains("waiting for another process"), "{line}");
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(0));
}

#[test]
fn damage_that_only_the_doctor_sees() {
    let _steady = steady();
    let workspace = TestWorkspace::with_contacts();
    let file = raw(&workspace);
    let page = first_page(&file, "contact_scores");
    file.execute_batch("DROP INDEX events_of").unwrap();
    drop(file);
    let mut bytes = fs::read(workspace.path(STORE)).unwrap();
    bytes.get_mut(page).unwrap().fill(0xab);
    workspace.write(STORE, bytes);
    let answer = workspace.run(&["doctor"]);
    assert_eq!(answer.code, 1);
    assert!(answer.out.contains("error    store      the file is damaged: "), "{}", answer.out);
    assert!(answer.out.contains("error    indexes    the index events_of is missing"), "{}", answer.out);
    let mend = answer.out.split("mend:").find(|text| text.contains("CREATE INDEX events_of ON events"));
    assert!(mend.is_some(), "{}", answer.out);
}

#[test]
fn a_file_of_a_newer_dripline() {
    let _steady = steady();
    let workspace = TestWorkspace::with_contacts();
    raw(&workspace)
        .execute_batch("INSERT INTO _sqlx_migrations VALUES (999, 'later', '', TRUE, x'00', 0)")
        .unwrap();
    assert_snapshot!(refused(&workspace).shown(), @"
    [exit 1]
    error: failed to open the store `[workspace]/.dripline/dripline.db`: `[workspace]/.dripline/dripline.db` has schema version 999, newer than this program's [newest]; use the newer dripline
    ");
}

#[cfg(unix)]
#[test]
fn a_file_that_must_not_be_written() {
    use std::os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    };

    let _steady = steady();
    let workspace = TestWorkspace::with_contacts();
    drop(raw(&workspace));
    let permit = |path: &str, mode| {
        fs::set_permissions(workspace.path(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    permit("", 0o755);
    // Where anybody may execute it: the folder of the build may be root's alone.
    let program = workspace.path("program");
    fs::copy(cargo_bin!("dripline"), &program).unwrap();
    permit(STORE, 0o444);
    permit(".dripline", 0o555);
    let before = fs::read(workspace.path(STORE)).unwrap();
    let mut command = Command::new(program);
    command.current_dir(workspace.path("")).args(["contacts", "list"]);
    if fs::metadata(workspace.path(STORE)).unwrap().uid() == 0 {
        // Root may do everything; nobody may do nothing that the permissions do not grant.
        command.uid(65_534).gid(65_534);
    }
    let answer = workspace.answer(&command.output().unwrap());
    assert_eq!(fs::read(workspace.path(STORE)).unwrap(), before);
    permit(".dripline", 0o755);
    assert_snapshot!(answer.shown(), @"
    [exit 74]
    error: failed to open the store `[workspace]/.dripline/dripline.db`: error returned from database: (code: 8) attempt to write a readonly database
    ");
}

#[test]
fn another_process_that_writes_for_long_is_waited_for_aloud() {
    let _steady = steady();
    let workspace = TestWorkspace::with_contacts();
    let writer = Connection::open(workspace.path(STORE)).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = Command::new(cargo_bin!("dripline"))
        .current_dir(workspace.path(""))
        .args(["import", "contacts.csv"])
        .env("NO_COLOR", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_secs(5));
    writer.execute_batch("COMMIT").unwrap();
    let answer = workspace.answer(&waiting.wait_with_output().unwrap());
    assert_eq!(answer.code, 0, "{}", answer.err);
    let said = "waiting for another process that writes to [workspace]/.dripline/dripline.db, for 10 minutes at the longest";
    assert_eq!(answer.err.matches(said).count(), 1, "{}", answer.err);
}
