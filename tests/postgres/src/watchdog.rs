//! What stops the server when this process is gone.

use std::os::unix::process::CommandExt;
use std::{
    path::Path,
    process::{Child, ChildStdin, Stdio},
};

use crate::{
    error::Failed,
    installed::{User, command},
};

/// Waits for the end of its input, then stops the server and removes its folder. Not a static's `Drop`, because statics
/// are not dropped, and nothing is when a process is killed.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
while read -r _; do :; done
"$1/pg_ctl" stop -s -m immediate -D "$2/data" >/dev/null 2>&1
rm -rf "$2"
"#;

/// A shell that waits for our end. Dropping it has the server stopped, and returns when that is done.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Watchdog {
    /// Watches over the server in `folder`, whose data is in `data` there.
    pub(crate) fn start(programs: &Path, folder: &Path, user: Option<User>) -> Result<Self, Failed> {
        let mut shell = command(Path::new("/bin/sh"), user, Path::new("/"))
            .arg("-c")
            .arg(SCRIPT)
            .arg("watchdog")
            .args([programs, folder])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Out of reach of what ends the tests: Ctrl-C, and a runner that kills a whole group.
            .process_group(0)
            .spawn()
            .map_err(Failed::io("start the server's watchdog"))?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // Nothing to do about a failure: the folder is temporary.
        let _ = self.shell.wait();
    }
}
