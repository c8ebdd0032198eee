//! No room on the disk, or no right to write there: a clear error, nothing lost, and it goes on when that is mended.

use std::{
    fs::{self, File, Permissions},
    io::Write,
    os::unix::{fs::MetadataExt, fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::campaign::{Campaign, assert_unavailable};
use crate::smtp::Receiver;

/// What a full disk is called: by the store, and by the system.
const FULL: &[&str] = &["there is no room for it on the disk", "No space left on device"];

/// A disk of its own for a workspace's store, of a few megabytes, and a file that takes up its room.
struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    const KILOBYTES: usize = 16 * 1024;

    /// Mounts one, where that is allowed; CI must allow it.
    fn mount(at: PathBuf) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let options = format!("size={}k,mode=0777", Self::KILOBYTES);
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
