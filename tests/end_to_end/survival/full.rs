//! No room on the disk, or no right to write there: a clear error, nothing lost, and it goes on when that is mended.

use std::{
    fs::{self, File, Permissions},
    io::Write,
    os::unix::{fs::MetadataExt, fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use dripline_test_postgres::{Durability, Server};
use tempfile::TempDir;

use super::{
    campaign::{Campaign, Pace, assert_unavailable, block_on},
    workers::{begin, end, execute, stop},
};
use crate::smtp::Receiver;

/// What a full disk is called: by the store, and by the system.
const FULL: &[&str] = &["there is no room for it on the disk", "No space left on device"];

/// A disk of its own for a store, of a few megabytes, and a file that takes up its room.
struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts one, where that is allowed; CI must allow it.
    fn mount(at: PathBuf) -> Option<Self> {
        Self::mount_of(at, 16)
    }

    /// [`SmallDisk::mount`], of so many megabytes.
    fn mount_of(at: PathBuf, megabytes: usize) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let options = format!("size={megabytes}m,mode=0777");
        if privileged("mount", &["-t", "tmpfs", "-o", &options, "dripline-test", at.to_str().unwrap()]) {
            return Some(Self { at });
        }
        assert!(std::env::var_os("CI").is_none(), "CI must let the tests mount a tmpfs");
        eprintln!("a full disk is not tested: mounting a tmpfs needs root");
        None
    }

    /// Takes up all room but so much.
    fn leave(&self, kilobytes: usize) {
        let path = self.at.join("filler");
        let mut filler = File::create(&path).unwrap();
        let mut length = 0;
        while filler.write_all(&[0; 4096]).is_ok() {
            length += 4096;
        }
        filler.set_len(u64::try_from(length - (kilobytes * 1024).min(length)).unwrap()).unwrap();
    }

    /// Lets it only be read, or be written again.
    fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        assert!(privileged("mount", &["-o", &options, self.at.to_str().unwrap()]));
    }

    fn clear(&self) {
        fs::remove_file(self.at.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        privileged("umount", &["-l", self.at.to_str().unwrap()]);
    }
}

/// Runs a command that only root may run; whether that worked.
fn privileged(program: &str, arguments: &[&str]) -> bool {
    let works = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    works(Command::new(program).args(arguments))
        || works(Command::new("sudo").args(["-n", program]).args(arguments))
}

#[test]
fn a_full_disk_stops_a_campaign_and_loses_nothing() {
    let campaign = Campaign::without_contacts(200);
    let Some(disk) = SmallDisk::mount(campaign.workspace.path(".dripline")) else { return };
    let receiver = Receiver::start();
    campaign.workspace.send_through(receiver.port, "");

    disk.leave(64);
    assert_unavailable(&campaign.workspace.run(&["import", "contacts.csv"]), FULL);
    disk.clear();
    campaign.import();
    // Each time it gets a little further, and the last time it is stopped in the middle of the campaign.
    for kilobytes in [0, 128, 512] {
        disk.leave(kilobytes);
        assert_unavailable(&campaign.run(), FULL);
        disk.clear();
    }
    campaign.finish();
    campaign.assert_clean(&receiver, "after the disk was full");
}

/// Starts a worker whose log is kept, and waits until it works.
fn logging(campaign: &Campaign, name: &str) -> Child {
    let log = File::options().create(true).append(true).open(campaign.workspace.path(name)).unwrap();
    let out = log.try_clone().unwrap();
    let worker = campaign.command(&["worker"]).stdout(out).stderr(log).spawn().unwrap();
    wait_until_said(campaign, name, "Working.", 1);
    worker
}

/// Waits until the worker has said something so often.
fn wait_until_said(campaign: &Campaign, log: &str, words: &str, times: usize) {
    let started = Instant::now();
    loop {
        let said = fs::read_to_string(campaign.workspace.path(log)).unwrap();
        if said.matches(words).count() >= times {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "`{words}` was not said {times} times: {said}");
        thread::sleep(Duration::from_millis(20));
    }
}

const AWAY: &str = "the store is away";
const BACK: &str = "the store is back";

#[test]
fn a_full_disk_under_a_database_is_waited_for_and_loses_nothing() {
    let at = TempDir::new().unwrap();
    let Some(disk) = SmallDisk::mount_of(at.path().join("disk"), 160) else { return };
    let Some(server) = Server::on_small_disk(&disk.at) else { return };
    let url = block_on(server.database());
    let campaign = Campaign::in_postgres(300, Pace::Seconds, url.clone());
    let receiver = Receiver::start();
    campaign.workspace.send_through(receiver.port, "");
    begin(&campaign);

    let mut workers = vec![logging(&campaign, "one.log"), logging(&campaign, "other.log")];
    for (round, kilobytes) in [0, 200].into_iter().enumerate() {
        // It refuses, or it dies and cannot come up again.
        disk.leave(kilobytes);
        wait_until_said(&campaign, "one.log", AWAY, round + 1);
        for worker in &mut workers {
            assert!(worker.try_wait().unwrap().is_none(), "a worker waits");
        }
        disk.clear();
        server.start_again().unwrap();
        wait_until_said(&campaign, "one.log", BACK, round + 1);
    }
    stop(workers);
    let report = end(&campaign, &receiver, &url, "after the database's disk was full");
    eprintln!("the database's disk was full twice: {report}");
}

/// As after a failover, when a process still finds the server that is only read now.
#[test]
fn a_database_that_may_only_be_read_is_waited_for_and_loses_nothing() {
    let Some(server) = Server::own(Durability::Full) else { return };
    let url = block_on(server.database());
    let campaign = Campaign::in_postgres(120, Pace::Seconds, url.clone());
    let receiver = Receiver::start();
    campaign.workspace.send_through(receiver.port, "");
    begin(&campaign);

    let mut worker = logging(&campaign, "log");
    let only_read = |is_so: &str| {
        let set = format!("ALTER SYSTEM SET default_transaction_read_only = {is_so}");
        execute(&server.url("postgres?options=-c%20default_transaction_read_only=off"), &set);
        server.restart().unwrap();
    };
    only_read("on");
    wait_until_said(&campaign, "log", AWAY, 1);
    // Long enough to come back to it, and to be refused.
    thread::sleep(Duration::from_millis(1_500));
    assert_unavailable(
        &campaign.workspace.run(&["workflows", "pause", "odd-ones"]),
        &["read-only transaction"],
    );
    assert!(worker.try_wait().unwrap().is_none(), "a worker waits");
    only_read("off");
    wait_until_said(&campaign, "log", BACK, 1);
    stop(vec![worker]);
    end(&campaign, &receiver, &url, "after the database could only be read");
}

#[test]
fn a_disk_that_may_only_be_read_is_named_and_loses_nothing() {
    let campaign = Campaign::without_contacts(60);
    let Some(disk) = SmallDisk::mount(campaign.workspace.path(".dripline")) else { return };
    let receiver = Receiver::start();
    campaign.workspace.send_through(receiver.port, "");
    campaign.import();
    disk.remount("ro");
    let words = ["Read-only file system", "readonly database", "unable to open"];
    assert_unavailable(&campaign.run(), &words);
    assert_unavailable(&campaign.workspace.run(&["import", "contacts.csv"]), &words);
    disk.remount("rw");
    campaign.finish();
    campaign.assert_clean(&receiver, "after the disk could only be read");
}

/// Who may do nothing that the permissions do not grant; root may do everything.
const NOBODY: u32 = 65_534;

#[test]
fn a_store_that_cannot_be_written_is_named_and_loses_nothing() {
    let (campaign, receiver) = Campaign::new(60).copy();
    let cache = TempDir::new().unwrap();
    permit(cache.path(), 0o777);
    permit(&campaign.workspace.path(""), 0o755);
    let folder = campaign.workspace.path(".dripline");
    // Where anybody may execute it: the folder of the build may be root's alone.
    let program = cache.path().join("dripline");
    fs::copy(env!("CARGO_BIN_EXE_dripline"), &program).unwrap();
    let run = || {
        let mut run = Command::new(&program);
        run.current_dir(campaign.workspace.path("")).args(["run", "--fast-forward"]).env("NO_COLOR", "1");
        run.env("XDG_CACHE_HOME", cache.path());
        if fs::metadata(&folder).unwrap().uid() == 0 {
            run.uid(NOBODY).gid(NOBODY);
        }
        run.output().unwrap()
    };

    permit_all(&folder, 0o444);
    permit(&folder, 0o555);
    assert_unavailable(&run(), &["Permission denied", "readonly database", "unable to open"]);
    permit(&folder, 0o777);
    assert_unavailable(&run(), &["Permission denied", "readonly database"]);
    permit_all(&folder, 0o644);
    campaign.finish();
    campaign.assert_clean(&receiver, "after the store could not be written");
}

fn permit(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Permits so much with every file of a folder.
fn permit_all(folder: &Path, mode: u32) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            permit(&path, mode);
        }
    }
}
